"""How a value becomes text of a page: escaped, whichever way it gets there.

MarkupSafe's `escape` makes an object for every value, and a list of features has 1,600 of them: that was most of the
time of a page. What holds no sign of HTML, which is nearly all, is passed on as it is.
"""

import re
from typing import Any

from jinja2.compiler import CodeGenerator
from markupsafe import Markup, escape

_SIGN = re.compile("[&<>\"']")


def escaped(value: object) -> str:
    """HTML that shows the value; of what is HTML already (Markup) the same."""
    if type(value) is str:
        return value if _SIGN.search(value) is None else str(escape(value))
    if isinstance(value, Markup):
        return value
    if type(value) is int or type(value) is float:
        return str(value)
    return str(escape(value))


class EscapingGenerator(CodeGenerator):
    """Templates compiled as Jinja does, but that what stands in {{ }} goes through the environment's `escaped`."""

    def _output_child_pre(self, node: Any, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
            return
        self.write("environment.escaped(")
        if finalize.src is not None:
            self.write(finalize.src)

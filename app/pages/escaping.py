"""How a value becomes text of a page: escaped, whichever way it gets there.

MarkupSafe's `escape` makes an object for every value, and a list of features has 1,600 of them: that was most of the
time of a page. What holds no sign of HTML, which is nearly all, is passed on as it is.
"""

from collections.abc import Sequence
from typing import Any

from jinja2.compiler import CodeGenerator
from markupsafe import Markup, escape


def escaped(value: object) -> str:
    """HTML that shows the value; of what is HTML already (Markup) the same."""
    if type(value) is str:
        return value if _is_plain(value) else str(escape(value))
    if isinstance(value, Markup):
        return value
    if type(value) is int or type(value) is float:
        return str(value)
    return str(escape(value))


def escaped_each(texts: Sequence[str]) -> Sequence[str]:
    """The same of the pieces of one text, which are looked through as one."""
    return texts if _is_plain("".join(texts)) else [escaped(text) for text in texts]


def _is_plain(text: str) -> bool:
    """Whether it holds no sign of HTML. Five searches for one character each take a quarter of a pattern's time."""
    return not ("&" in text or "<" in text or ">" in text or '"' in text or "'" in text)


class EscapingGenerator(CodeGenerator):
    """Templates compiled as Jinja does, but that what stands in {{ }} goes through the environment's `escaped`."""

    def _output_child_pre(self, node: Any, frame: Any, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
            return
        self.write("environment.escaped(")
        if finalize.src is not None:
            self.write(finalize.src)

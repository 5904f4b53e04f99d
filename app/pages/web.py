"""What every page uses: the database session of a request, and a template rendered with a page's fields.

A page is a frozen dataclass; its template sees exactly its fields, plus these globals: `static_url("css/site.css")`,
`has_static("vendor/htmx.min.js")`, `version` and `visit()` (who is signed in), and the filters of `filters.py` and
`marks.py`.
A form with method="post" holds the macro of components/form_token.html, or it is refused.
"""

from collections.abc import Callable, MutableMapping
from functools import cache, lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from app.access.visit import CurrentPerson, current_visit
from app.pages.assets import bundled, has_static, static_url
from app.pages.escaping import EscapingGenerator, escaped
from app.pages.filters import FILTERS
from app.pages.marks import MARKS
from app.serving import KnownActivationScales, Models, ReadSession, RequestPatience, ServerSettings, WriteSession
from app.version import VERSION

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "CurrentPerson",
    "KnownActivationScales",
    "Models",
    "ReadSession",
    "RequestPatience",
    "ServerSettings",
    "WriteSession",
    "fragment",
    "render",
]


class TemplateFiles(FileSystemLoader):
    """A template that was edited shows within a second: a page is made of a dozen files, each looked at that often."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        source, file, is_current = super().get_source(environment, template)
        looked_at = lru_cache(maxsize=1)(lambda _second: is_current())
        return source, file, lambda: looked_at(int(monotonic()))


class Templates(Environment):
    """Every value escaped, in the way of escaping.py."""

    code_generator_class = EscapingGenerator
    escaped = staticmethod(escaped)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """One dictionary. Jinja chains two, and each import of a page goes through their names one by one."""
        return self.globals | dict(d or {})


@cache
def environment() -> Templates:
    """The templates; a name that no page gave is an error rather than an empty place."""
    made = Templates(
        loader=TemplateFiles(bundled("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= FILTERS | MARKS
    made.globals |= {"static_url": static_url, "has_static": has_static, "version": VERSION, "visit": current_visit}
    return made


def render(template: str, page: "DataclassInstance", status: int = 200) -> HTMLResponse:
    """The page as HTML. Its fields stay objects: only the outermost level becomes names of the template."""
    return HTMLResponse(fragment(template, page), status_code=status)


def fragment(template: str, part: "DataclassInstance") -> str:
    """A part of a page as HTML, for a stream that fills the page in."""
    return environment().get_template(template).render(vars(part))

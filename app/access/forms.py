"""Forged requests: what a browser sends because another site told it to is refused.

Each form carries a token that only a page of ours could have read (templates/components/form_token.html); where the
browser says which site a request comes from, that must be ours.
"""

from urllib.parse import urlsplit

from fastapi import Request

from app.access.form_tokens import is_form_token
from app.access.visit import Visit
from app.errors import Forbidden
from app.roles import How
from app.serving import is_api

FIELD = "form_token"
HEADER = "x-form-token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


async def check_not_forged(request: Request, visit: Visit) -> None:
    """Raises Forbidden for a request that changes something and that may have been forged."""
    if request.method in SAFE_METHODS or visit.person.how is How.BEARER:
        return
    _check_same_site(request)
    sent_as = request.headers.get("content-type", "").split(";")[0].strip().lower()
    # JSON cannot be sent across sites without asking first, and that is never granted here.
    if is_api(request) and sent_as not in FORM_TYPES:
        return
    given = request.headers.get(HEADER) or (await request.form()).get(FIELD)
    if not isinstance(given, str) or not is_form_token(visit.form_key, given):
        if is_api(request):
            raise Forbidden(
                f"A call with content-type {sent_as} may come from another site's form: send it as application/json, "
                "or a file as text/csv or application/jsonl."
            )
        raise Forbidden(
            "The form is not from a page of this server, or from before you signed in or out: "
            "go back, load the page again, and send it once more."
        )


def _check_same_site(request: Request) -> None:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        forged = site not in ("same-origin", "none")
    else:
        origin = request.headers.get("origin")
        forged = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if forged:
        raise Forbidden("The request comes from another site's page; open this server's own page and send it there.")

"""Version 1 of the API: every call, by noun."""

from fastapi import APIRouter

from app.api import activations, dictionaries, examples, features, labels, search, steering

DESCRIPTION = """\
Everything that the pages show, as JSON. Numbers are numbers; what was not measured is null.
Lists are paged: `limit`, and `cursor` with the `next` of the page before; `total` counts the whole list.
An error is `application/problem+json` (RFC 9457), its `detail` says what to do.
"""

router = APIRouter()
for noun in (dictionaries, features, examples, activations, steering, search, labels):
    router.include_router(noun.router)

"""Version 1 of the API: every call, by noun."""

from typing import Any

from fastapi import FastAPI

from app.api import (
    activations,
    attribution,
    dictionaries,
    examples,
    features,
    files,
    labels,
    search,
    separation,
    steering,
)

DESCRIPTION = """\
Everything that the pages show, as JSON. Numbers are numbers; what was not measured is null.
Lists are paged: `limit`, and `cursor` with the `next` of the page before; `total` counts the whole list.
Where the server asks who you are, send `Authorization: Bearer TOKEN`.
An error is `application/problem+json` (RFC 9457), its `detail` says what to do.
"""
BEARER = "bearer"


def describe_sign_in(document: dict[str, Any], is_needed: bool) -> None:
    """Says in the OpenAPI document how a program signs in, and whether it must."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes[BEARER] = {"type": "http", "scheme": "bearer", "description": "Made with: featurescope tokens create"}
    document["security"] = [{BEARER: []}] if is_needed else [{}, {BEARER: []}]


NOUNS = (dictionaries, features, examples, activations, steering, attribution, separation, search, labels, files)


def include_in(app: FastAPI) -> None:
    """Each router by itself: FastAPI looks for a request's route once more for every router that stands around it."""
    for noun in NOUNS:
        app.include_router(noun.router, prefix="/api/v1")

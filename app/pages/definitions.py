"""What every number means, as one page."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.access.routes import needs
from app.pages.glossary import Definition, definitions, introduction
from app.pages.web import render
from app.roles import Role

router = APIRouter(dependencies=[needs(Role.ANYONE)])


@dataclass(frozen=True)
class DefinitionsPage:
    introduction: str
    definitions: Sequence[Definition]


@router.get("/definitions")
def show_definitions() -> HTMLResponse:
    return render("definitions.html", DefinitionsPage(introduction(), list(definitions().values())))

"""A dictionary's files to take away, and labels from a file or pasted: what would change, then the change itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, File, Form, Request
from starlette.responses import HTMLResponse

from app.access.author import author_of
from app.access.routes import doorkeeper, needs
from app.domain import Dictionary, ImportReport, LabelRecord
from app.errors import BadLines, Invalid
from app.exchange.label_files import FIELDS, LabelFormat, decoded, read_labels
from app.pages.labelling import AskedLabeller, Labeller, remember_author
from app.pages.web import ReadSession, WriteSession, render
from app.roles import Role
from app.store.dictionaries import get_dictionary
from app.store.label_exchange import import_labels, plan_import

router = APIRouter(prefix="/dictionaries/{dictionary_id}/exchange", dependencies=[needs(Role.READ)])
WRITES = [needs(Role.LABEL)]
Pasted = Annotated[str, Form()]
Chosen = Annotated[bytes, File()]
SHOWN = 50  # of the new labels, and of the lines that cannot be used


@dataclass(frozen=True)
class ExchangePage:
    """pasted: kept for another try. report: what it would change, or where is_done has changed; new: the first labels
    of it. fault, faults: why nothing can be taken, and the lines (number, why) that are to blame; n_faults: of them."""

    dictionary: Dictionary
    fields: Sequence[str]
    may_label: bool
    author: str
    is_signed_in: bool
    pasted: str = ""
    report: ImportReport | None = None
    new: Sequence[LabelRecord] = ()
    is_done: bool = False
    fault: str | None = None
    faults: Sequence[tuple[int, str]] = ()
    n_faults: int = 0


@router.get("")
def show_exchange(dictionary_id: str, session: ReadSession, labeller: AskedLabeller) -> HTMLResponse:
    return render("exchange.html", _blank(get_dictionary(session, dictionary_id), labeller))


@router.post("", dependencies=WRITES)
def try_import(
    dictionary_id: str,
    session: ReadSession,
    labeller: AskedLabeller,
    pasted: Pasted = "",
    author: Pasted = "",
    file: Chosen = b"",
) -> HTMLResponse:
    """A chosen file is read in the place of what was pasted, and shown there."""
    page = replace(_blank(get_dictionary(session, dictionary_id), labeller, author), pasted=pasted)
    try:
        if file:
            page = replace(page, pasted=decoded(file))
        plan = plan_import(session, page.dictionary, _read(page))
    except Invalid as refused:
        return _refuse(page, refused)
    return render("exchange.html", replace(page, report=plan.report, new=plan.new[:SHOWN]))


@router.post("/apply", dependencies=WRITES)
def apply_import(
    request: Request,
    dictionary_id: str,
    session: WriteSession,
    labeller: AskedLabeller,
    pasted: Pasted = "",
    author: Pasted = "",
) -> HTMLResponse:
    page = replace(_blank(get_dictionary(session, dictionary_id), labeller, author), pasted=pasted)
    try:
        records = _read(page)
        by = author_of(labeller.person, author)
    except Invalid as refused:
        return _refuse(page, refused)
    report = import_labels(session, page.dictionary, records, by)
    answer = render("exchange.html", replace(page, pasted="", report=report, is_done=True))
    remember_author(answer, by, doorkeeper(request).cookie_path)
    return answer


def _blank(dictionary: Dictionary, labeller: Labeller, author: str = "") -> ExchangePage:
    person = labeller.person
    return ExchangePage(
        dictionary=dictionary,
        fields=FIELDS,
        may_label=person.may(Role.LABEL, dictionary.id),
        author=person.name or author or labeller.author,
        is_signed_in=person.name is not None,
    )


def _read(page: ExchangePage) -> list[LabelRecord]:
    """JSON lines begin with a brace, CSV with its columns' names. Raises Invalid."""
    text = page.pasted.strip()
    if not text:
        raise Invalid("Nothing is pasted and no file chosen yet.")
    format = LabelFormat.JSONL if text.startswith("{") else LabelFormat.CSV
    return read_labels(text.encode(), format, page.dictionary.n_features)


def _refuse(page: ExchangePage, refused: Invalid) -> HTMLResponse:
    faults = sorted(refused.faults.items()) if isinstance(refused, BadLines) else []
    fault = f"Nothing is imported: {len(faults):,} {'line' if len(faults) == 1 else 'lines'} cannot be used."
    shown = replace(page, fault=fault if faults else str(refused), faults=faults[:SHOWN], n_faults=len(faults))
    return render("exchange.html", shown, 422)

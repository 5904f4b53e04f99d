"""Labels: what people and models call features, kept by dictionary id and feature index across builds."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Label
from app.errors import Invalid, NotFound
from app.store.tables import LabelRow

PERSON = "person"
MAX_TEXT = 500
MAX_AUTHOR = 100


def list_labels(session: Session, dictionary: Dictionary, index: int) -> list[Label]:
    """A feature's labels, the one that it is called by first."""
    return [_to_label(row) for row in _ranked(session, dictionary, index)]


def add_label(
    session: Session,
    dictionary: Dictionary,
    index: int,
    text: str,
    author: str,
    source: str = PERSON,
    score: float | None = None,
) -> Label:
    """A new label. Raises Invalid for a text or an author that cannot be kept, NotFound for the feature."""
    if not 0 <= index < dictionary.n_features:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")
    row = LabelRow(
        dictionary_id=dictionary.id,
        feature=index,
        text=_checked("label", text, MAX_TEXT),
        author=_checked("author", author, MAX_AUTHOR),
        source=source,
        score=score,
        created_at=datetime.now(UTC),
        is_name=False,
    )
    session.add(row)
    choose_name(session, dictionary, index)
    return _to_label(row)


def change_label(session: Session, dictionary: Dictionary, index: int, label_id: int, text: str, author: str) -> Label:
    """Another text for a label, by its author. Raises NotFound."""
    row = _get(session, dictionary, index, label_id)
    row.text = _checked("label", text, MAX_TEXT)
    row.author = _checked("author", author, MAX_AUTHOR)
    row.created_at = datetime.now(UTC)
    choose_name(session, dictionary, index)
    return _to_label(row)


def remove_label(session: Session, dictionary: Dictionary, index: int, label_id: int) -> None:
    """Raises NotFound."""
    session.delete(_get(session, dictionary, index, label_id))
    choose_name(session, dictionary, index)


def _get(session: Session, dictionary: Dictionary, index: int, label_id: int) -> LabelRow:
    row = session.get(LabelRow, label_id) if 0 < label_id < 2**31 else None
    if row is None or (row.dictionary_id, row.feature) != (dictionary.id, index):
        raise NotFound(f"Feature {index} of {dictionary.id} has no label {label_id}.")
    return row


def _ranked(session: Session, dictionary: Dictionary, index: int) -> list[LabelRow]:
    """Labels by people before those by models, the newest first; of models' the best scored first."""
    rows = session.scalars(select(LabelRow).where(LabelRow.dictionary_id == dictionary.id, LabelRow.feature == index))
    return sorted(rows, key=lambda row: (row.source == PERSON, _by_score(row), row.created_at, row.id), reverse=True)


def _by_score(row: LabelRow) -> float:
    return row.score if row.source != PERSON and row.score is not None else 0.0


def choose_name(session: Session, dictionary: Dictionary, index: int) -> None:
    """The best label becomes the feature's name; the old one steps down first, since only one may be."""
    session.flush()
    ranked = _ranked(session, dictionary, index)
    for row in ranked[1:]:
        row.is_name = False
    session.flush()
    if ranked:
        ranked[0].is_name = True
    session.flush()


def _checked(what: str, text: str, most: int) -> str:
    """The text without the space around it. Raises Invalid."""
    kept = text.strip()
    if not kept:
        raise Invalid(f"The {what} is empty.")
    if len(kept) > most:
        raise Invalid(f"The {what} has {len(kept):,} characters; it may have {most}.")
    if any(not character.isprintable() and character not in "\u200c\u200d" for character in kept):
        raise Invalid(f"The {what} holds a control character or a line break; it is one line of text.")
    return kept


def _to_label(row: LabelRow) -> Label:
    return Label(row.id, row.text, row.author, row.source, row.score, row.created_at)

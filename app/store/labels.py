"""Labels: what people and models call features, kept by dictionary id and feature index across builds."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from app.domain import PERSON, Dictionary, Label, LabelAction, LabelChange
from app.errors import Conflict, Invalid, LostUpdate, NotFound
from app.store.full_text import learn_words
from app.store.search_index import vocabulary_of
from app.store.tables import LabelChangeRow, LabelRow, LabelStarRow
from app.store.visible import rows_of_build
from app.store.words import most_accents, spaced

MAX_TEXT = 500
MAX_AUTHOR = 100
MAX_ACCENTS = 8  # on one character: no script needs as many
_of_feature = (LabelRow.dictionary_id == bindparam("dictionary_id"), LabelRow.feature == bindparam("feature"))
_OF_FEATURE = select(LabelRow).where(*_of_feature)
_SHOWN = select(
    *(LabelRow.id, LabelRow.text, LabelRow.author, LabelRow.source, LabelRow.score, LabelRow.created_at),
    *(LabelRow.changed_at, LabelRow.version, LabelRow.stars),
).where(*_of_feature)


def list_labels(session: Session, dictionary: Dictionary, index: int) -> list[Label]:
    """A feature's labels, the one that it is called by first. Raises NotFound for the feature."""
    check_feature(dictionary, index)
    asked = {"dictionary_id": dictionary.id, "feature": index}
    found: list[Any] = list(rows_of_build(session, _SHOWN, asked).all())
    rows = sorted(found, key=rank, reverse=True)
    starred_by = _starred_by(session, [row.id for row in rows])
    return [_to_label(row, starred_by.get(row.id, ())) for row in rows]


def get_label(session: Session, dictionary: Dictionary, index: int, label_id: int) -> Label:
    """Raises NotFound."""
    row = _get(session, dictionary, index, label_id)
    return _to_label(row, _starred_by(session, [row.id]).get(row.id, ()))


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
    check_feature(dictionary, index)
    now = datetime.now(UTC)
    row = LabelRow(
        dictionary_id=dictionary.id,
        feature=index,
        text=checked_text(text),
        author=checked_author(author),
        source=source,
        score=score,
        created_at=now,
        changed_at=now,
        version=1,
        stars=0,
        is_name=False,
    )
    session.add(row)
    _index_words(session, row)
    _record(session, row, LabelAction.ADDED, row.author, now)
    choose_name(session, dictionary, index)
    return _to_label(row, ())


def change_label(
    session: Session, dictionary: Dictionary, index: int, label_id: int, text: str, author: str, version: int | None
) -> Label:
    """Another text for a label, from then on a person's and the author's.

    version: of the label that the author saw; None takes any. Raises LostUpdate where it has changed since,
    NotFound, Invalid.
    """
    row = _get(session, dictionary, index, label_id)
    text, author = checked_text(text), checked_author(author)
    if version is not None and version != row.version:
        raise LostUpdate(mine=text, theirs=row.text, by=row.author, version=row.version)
    if text != row.text:
        row.text, row.author, row.source, row.score = text, author, PERSON, None
        row.version += 1
        row.changed_at = datetime.now(UTC)
        _index_words(session, row)
        _record(session, row, LabelAction.CHANGED, author, row.changed_at)
        choose_name(session, dictionary, index)
    return get_label(session, dictionary, index, label_id)


def remove_label(
    session: Session, dictionary: Dictionary, index: int, label_id: int, by: str, version: int | None = None
) -> LabelChange:
    """It is gone, and the change that says so can be undone. Raises NotFound, LostUpdate (see change_label)."""
    row = _get(session, dictionary, index, label_id)
    if version is not None and version != row.version:
        raise LostUpdate(mine="", theirs=row.text, by=row.author, version=row.version)
    change = _record(session, row, LabelAction.REMOVED, checked_author(by), datetime.now(UTC))
    session.delete(row)
    choose_name(session, dictionary, index)
    return _to_change(change)


def set_star(
    session: Session, dictionary: Dictionary, index: int, label_id: int, author: str, is_starred: bool
) -> Label:
    """Gives or takes back a person's one star. Raises NotFound."""
    row = _get(session, dictionary, index, label_id)
    star = session.get(LabelStarRow, (label_id, checked_author(author)))
    if is_starred and star is None:
        session.add(LabelStarRow(label=label_id, author=checked_author(author)))
    elif star is not None and not is_starred:
        session.delete(star)
    session.flush()
    row.stars = _count_stars(session, label_id)
    choose_name(session, dictionary, index)
    return get_label(session, dictionary, index, label_id)


def list_changes(
    session: Session, dictionary: Dictionary, index: int, limit: int = 200, before: int | None = None
) -> list[LabelChange]:
    """What happened to a feature's labels, the latest first. before: the number of a change, to go on from.

    Raises NotFound for the feature.
    """
    check_feature(dictionary, index)
    asked = [LabelChangeRow.dictionary_id == dictionary.id, LabelChangeRow.feature == index]
    if before is not None:
        asked.append(LabelChangeRow.id < before)
    rows = session.scalars(select(LabelChangeRow).where(*asked).order_by(LabelChangeRow.id.desc()).limit(limit))
    return [_to_change(row) for row in rows]


def latest_changes(session: Session, changes: Sequence[LabelChange]) -> frozenset[int]:
    """Of these changes, those that no other of the same label followed: they can be undone."""
    labels = {change.label for change in changes}
    query = select(func.max(LabelChangeRow.id)).where(LabelChangeRow.label.in_(labels)).group_by(LabelChangeRow.label)
    latest = set(session.scalars(query))
    return frozenset(change.id for change in changes if change.id in latest)


def get_change(session: Session, dictionary: Dictionary, index: int, change_id: int) -> LabelChange:
    """Raises NotFound."""
    return _to_change(_get_change(session, dictionary, index, change_id))


def undo_change(session: Session, dictionary: Dictionary, index: int, change_id: int, by: str) -> LabelChange:
    """Puts a label back to what it was before its latest change. Raises Conflict where that is not the latest."""
    row = _get_change(session, dictionary, index, change_id)
    of_label = LabelChangeRow.label == row.label
    latest = session.scalars(select(LabelChangeRow).where(of_label).order_by(LabelChangeRow.id.desc()).limit(2)).all()
    if latest[0] is not row:
        raise Conflict("The label has changed again since; look at its history, and change it as it should be.")
    if row.action in (LabelAction.ADDED, LabelAction.RESTORED):
        return remove_label(session, dictionary, index, row.label, by)
    if row.action == LabelAction.REMOVED:
        return _restore(session, dictionary, row, by)
    before = latest[1]  # a label is added before it is changed
    label = _get(session, dictionary, index, row.label)
    label.text, label.author, label.source, label.score = before.text, before.author, before.source, before.score
    label.version += 1
    label.changed_at = datetime.now(UTC)
    _index_words(session, label)
    change = _record(session, label, LabelAction.CHANGED, checked_author(by), label.changed_at)
    choose_name(session, dictionary, index)
    return _to_change(change)


def rank(row: LabelRow) -> tuple[int, bool, float, datetime, int]:
    """The larger, the better: most stars; then a person's, the newest; of models' the one with the best score."""
    score = row.score if row.source != PERSON and row.score is not None else 0.0
    return row.stars, row.source == PERSON, score, row.changed_at, row.id


def forget_labels(session: Session, dictionary_id: str) -> None:
    """A dictionary's labels with their stars and history, for good."""
    of_dictionary = LabelChangeRow.dictionary_id == dictionary_id
    session.execute(
        delete(LabelStarRow).where(LabelStarRow.label.in_(select(LabelChangeRow.label).where(of_dictionary)))
    )
    session.execute(delete(LabelChangeRow).where(of_dictionary))
    session.execute(delete(LabelRow).where(LabelRow.dictionary_id == dictionary_id))


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


def checked_text(text: str) -> str:
    return _checked("label", text, MAX_TEXT)


def checked_author(author: str) -> str:
    return _checked("author", author, MAX_AUTHOR)


def _restore(session: Session, dictionary: Dictionary, removed: LabelChangeRow, by: str) -> LabelChange:
    """A removed label under its old number, with the stars it had."""
    now = datetime.now(UTC)
    row = LabelRow(
        id=removed.label,
        dictionary_id=removed.dictionary_id,
        feature=removed.feature,
        text=removed.text,
        author=removed.author,
        source=removed.source,
        score=removed.score,
        created_at=removed.created_at,
        changed_at=now,
        version=removed.version + 1,
        stars=_count_stars(session, removed.label),
        is_name=False,
    )
    session.add(row)
    _index_words(session, row)
    change = _record(session, row, LabelAction.RESTORED, checked_author(by), now)
    choose_name(session, dictionary, removed.feature)
    return _to_change(change)


def check_feature(dictionary: Dictionary, index: int) -> None:
    """Raises NotFound."""
    if not 0 <= index < dictionary.n_features:
        raise NotFound(f"{dictionary.id} has features 0 to {dictionary.n_features - 1}, not {index}.")


def _get(session: Session, dictionary: Dictionary, index: int, label_id: int) -> LabelRow:
    row = session.get(LabelRow, label_id) if 0 < label_id < 2**31 else None
    if row is None or (row.dictionary_id, row.feature) != (dictionary.id, index):
        raise NotFound(f"Feature {index} of {dictionary.id} has no label {label_id}.")
    return row


def _get_change(session: Session, dictionary: Dictionary, index: int, change_id: int) -> LabelChangeRow:
    row = session.get(LabelChangeRow, change_id) if 0 < change_id < 2**31 else None
    if row is None or (row.dictionary_id, row.feature) != (dictionary.id, index):
        raise NotFound(f"Feature {index} of {dictionary.id} has no change {change_id} of a label.")
    return row


def _ranked(session: Session, dictionary: Dictionary, index: int) -> list[LabelRow]:
    """The best first."""
    rows = session.scalars(_OF_FEATURE, {"dictionary_id": dictionary.id, "feature": index})
    return sorted(rows, key=rank, reverse=True)


def _starred_by(session: Session, label_ids: Sequence[int]) -> dict[int, list[str]]:
    if not label_ids:
        return {}
    query = select(LabelStarRow).where(LabelStarRow.label.in_(label_ids)).order_by(LabelStarRow.author)
    found: dict[int, list[str]] = {}
    for star in session.scalars(query):
        found.setdefault(star.label, []).append(star.author)
    return found


def _count_stars(session: Session, label_id: int) -> int:
    return session.scalar(select(func.count()).select_from(LabelStarRow).where(LabelStarRow.label == label_id)) or 0


def _index_words(session: Session, row: LabelRow) -> None:
    row.words = spaced(row.text)
    learn_words(session, vocabulary_of([row.words]))


def _record(session: Session, row: LabelRow, action: LabelAction, by: str, at: datetime) -> LabelChangeRow:
    session.flush()
    change = LabelChangeRow(
        label=row.id,
        dictionary_id=row.dictionary_id,
        feature=row.feature,
        action=action,
        by=by,
        at=at,
        text=row.text,
        author=row.author,
        source=row.source,
        score=row.score,
        created_at=row.created_at,
        version=row.version,
    )
    session.add(change)
    session.flush()
    return change


def _checked(what: str, text: str, most: int) -> str:
    """The text without the space around it. Raises Invalid."""
    kept = text.strip()
    if not kept:
        raise Invalid(f"The {what} is empty.")
    if len(kept) > most:
        raise Invalid(f"The {what} has {len(kept):,} characters; it may have {most}.")
    if any(not character.isprintable() and character not in "\u200c\u200d" for character in kept):
        raise Invalid(f"The {what} holds a control character or a line break; it is one line of text.")
    if most_accents(kept) > MAX_ACCENTS:
        raise Invalid(
            f"The {what} piles more than {MAX_ACCENTS} accents on one character; they would cover other lines."
        )
    return kept


def _to_label(row: LabelRow, starred_by: Sequence[str]) -> Label:
    return Label(
        id=row.id,
        text=row.text,
        author=row.author,
        source=row.source,
        score=row.score,
        created_at=row.created_at,
        changed_at=row.changed_at,
        version=row.version,
        starred_by=tuple(starred_by),
    )


def _to_change(row: LabelChangeRow) -> LabelChange:
    return LabelChange(
        id=row.id,
        label=row.label,
        action=LabelAction(row.action),
        by=row.by,
        at=row.at,
        text=row.text,
        author=row.author,
        source=row.source,
    )

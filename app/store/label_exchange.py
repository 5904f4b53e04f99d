"""Labels of a whole dictionary: taken out, and put in without doubling what is there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from app.domain import Dictionary, ImportReport, LabelAction, LabelRecord
from app.store.full_text import learn_words
from app.store.labels import rank
from app.store.search_index import vocabulary_of
from app.store.tables import LabelChangeRow, LabelRow, LabelStarRow
from app.store.words import spaced

ROWS_AT_ONCE = 2000
_LABELS: Any = LabelRow.__table__
Identity: TypeAlias = tuple[int, str, str, str]  # feature, text, author, source


def export_labels(session: Session, dictionary: Dictionary) -> Iterator[LabelRecord]:
    """Every label, by feature and age."""
    last: Sequence[LabelRow] = ()
    while last := _some(session, dictionary, last[-1] if last else None):
        stars: dict[int, list[str]] = {}
        given = select(LabelStarRow).where(LabelStarRow.label.in_([row.id for row in last]))
        for star in session.scalars(given.order_by(LabelStarRow.author)):
            stars.setdefault(star.label, []).append(star.author)
        for row in last:
            starred_by = tuple(stars.get(row.id, ()))
            yield LabelRecord(row.feature, row.text, row.author, row.source, row.score, row.created_at, starred_by)


@dataclass(frozen=True)
class ImportPlan:
    """What labels from a file would change. Two labels are the same where feature, text, author and source are.

    scored: (id, the new score) of labels that are there; stars: (identity, name), those not given yet.
    """

    new: Sequence[LabelRecord]
    scored: Sequence[tuple[int, float]]
    stars: Sequence[tuple[Identity, str]]
    unchanged: int

    @property
    def report(self) -> ImportReport:
        return ImportReport(len(self.new), len(self.scored), self.unchanged, len(self.stars))


def plan_import(session: Session, dictionary: Dictionary, records: Sequence[LabelRecord]) -> ImportPlan:
    asked = {_identity(record): record for record in records}
    known = _known(session, dictionary)
    given = {(label, author) for label, author in session.execute(select(LabelStarRow.label, LabelStarRow.author))}
    new = [record for identity, record in asked.items() if identity not in known]
    scored = [
        (known[identity][0], record.score)
        for identity, record in asked.items()
        if identity in known and record.score is not None and record.score != known[identity][1]
    ]
    stars = [
        (identity, name)
        for identity, record in asked.items()
        for name in record.starred_by
        if identity not in known or (known[identity][0], name) not in given
    ]
    return ImportPlan(new, scored, stars, len(asked) - len(new) - len(scored))


def import_labels(session: Session, dictionary: Dictionary, records: Sequence[LabelRecord], by: str) -> ImportReport:
    """Adds the labels that are not there, and to those that are their scores and stars; in the session's transaction.

    by: who imports, for the history.
    """
    plan = plan_import(session, dictionary, records)
    if plan.new:
        _add(session, dictionary, plan.new, by)
    if plan.scored:
        changed = update(_LABELS).where(_LABELS.c.id == bindparam("b_id"))
        scores = [{"b_id": id, "b_score": score} for id, score in plan.scored]
        session.connection().execute(changed.values(score=bindparam("b_score")), scores)
    if plan.stars:
        known = _known(session, dictionary)
        stars = [{"label": known[identity][0], "author": name} for identity, name in plan.stars]
        session.execute(insert(LabelStarRow), stars)
        n_stars = select(func.count()).where(LabelStarRow.label == LabelRow.id).scalar_subquery()
        starred = update(LabelRow).where(LabelRow.id.in_([star["label"] for star in stars]))
        session.execute(starred.values(stars=n_stars), execution_options={"synchronize_session": False})
    choose_names(session, dictionary)
    return plan.report


def choose_names(session: Session, dictionary: Dictionary) -> None:
    """What every feature of a dictionary is called, by its labels as they are now."""
    session.flush()
    session.expire_all()
    best: dict[int, LabelRow] = {}
    rows = session.scalars(select(LabelRow).where(LabelRow.dictionary_id == dictionary.id)).all()
    for row in rows:
        if row.feature not in best or rank(row) > rank(best[row.feature]):
            best[row.feature] = row
    is_best = {row.id for row in best.values()}
    for named in (False, True):  # the old names step down first, since a feature has one at most
        turned = [{"b_id": row.id} for row in rows if (row.id in is_best) is named and row.is_name is not named]
        if turned:
            change = update(_LABELS).where(_LABELS.c.id == bindparam("b_id"))
            session.connection().execute(change.values(is_name=named), turned)
    session.expire_all()


def _identity(record: LabelRecord) -> Identity:
    return record.feature, record.text, record.author, record.source


def _known(session: Session, dictionary: Dictionary) -> dict[Identity, tuple[int, float | None]]:
    """Id and score of each label that is there."""
    columns = (LabelRow.feature, LabelRow.text, LabelRow.author, LabelRow.source, LabelRow.id, LabelRow.score)
    rows = session.execute(select(*columns).where(LabelRow.dictionary_id == dictionary.id))
    return {(feature, text, author, source): (id, score) for feature, text, author, source, id, score in rows}


def _add(session: Session, dictionary: Dictionary, records: Sequence[LabelRecord], by: str) -> None:
    now = datetime.now(UTC)
    rows = [_row(dictionary, record, now) for record in records]
    learn_words(session, vocabulary_of(row["words"] for row in rows))
    added = insert(LabelRow).returning(LabelRow.id, sort_by_parameter_order=True)
    ids = list(session.scalars(added, rows))
    kept = ("dictionary_id", "feature", "text", "author", "source", "score", "created_at", "version")
    history = [
        {"label": id, "action": LabelAction.ADDED, "by": by, "at": now, **{name: row[name] for name in kept}}
        for id, row in zip(ids, rows, strict=True)
    ]
    session.execute(insert(LabelChangeRow), history)


def _row(dictionary: Dictionary, record: LabelRecord, now: datetime) -> dict[str, Any]:
    return {
        "dictionary_id": dictionary.id,
        "feature": record.feature,
        "text": record.text,
        "author": record.author,
        "source": record.source,
        "score": record.score,
        "created_at": record.created_at or now,
        "changed_at": record.created_at or now,
        "version": 1,
        "stars": 0,
        "words": spaced(record.text),
        "is_name": False,
    }


def _some(session: Session, dictionary: Dictionary, last: LabelRow | None) -> Sequence[LabelRow]:
    query = select(LabelRow).where(LabelRow.dictionary_id == dictionary.id)
    if last is not None:
        later = (LabelRow.feature == last.feature) & (LabelRow.id > last.id)
        query = query.where((LabelRow.feature > last.feature) | later)
    return session.scalars(query.order_by(LabelRow.feature, LabelRow.id).limit(ROWS_AT_ONCE)).all()

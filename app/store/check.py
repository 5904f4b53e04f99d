"""Looking a database through: what is damaged, left over or does not add up, and putting right what is safe."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Integer, and_, cast, exists, func, select
from sqlalchemy.orm import Session

from app.domain import Dictionary
from app.store.blobs import read_statistics, unpack_ends, unpack_statistics, unpack_top_tokens
from app.store.database import Database
from app.store.dictionaries import list_dictionaries
from app.store.example_blobs import PackedExample, PackedExamples
from app.store.labels import choose_name
from app.store.tables import (
    Base,
    DictionaryRow,
    FeatureExamplesRow,
    FeatureRow,
    FeatureTokenRow,
    LabelRow,
    SentenceRow,
)
from app.store.write import remove_unfinished

OLD_BUILD = timedelta(days=1)  # a younger unfinished build may be running
ROWS_AT_ONCE = 2000
Report = Callable[[int, int], None]  # done, total
T = TypeVar("T")
_AGAIN = "index it again with --replace (labels are kept)"


@dataclass(frozen=True)
class Finding:
    """what: what was found. remedy: what to do about it, or what was done. is_open: whether it still stands.

    is_fault: whether it is wrong at all; what is left over or merely unusual is not.
    """

    what: str
    remedy: str
    is_fault: bool = True
    is_open: bool = True


def check_database(database: Database, repair: bool, report: Report) -> Iterator[Finding]:
    """Everything that is found, as it is found. Readers go on; what is repaired takes the writer's turn."""
    yield from _check_pages(database)
    yield from _check_leftovers(database, repair)
    yield from _check_labels(database, repair)
    with database.read() as session:
        rows = list(session.scalars(select(DictionaryRow).where(DictionaryRow.published).order_by(DictionaryRow.id)))
        total = sum(row.n_sentences - row.n_duplicates + row.n_features for row in rows)
        done = 0
        for row in rows:
            yield from _check_counts(session, row)
            yield from _check_references(session, row)
            yield from _check_blobs(session, row, partial(_report_beyond, report, done, total))
            done += row.n_sentences - row.n_duplicates + row.n_features


def _report_beyond(report: Report, before: int, total: int, n: int) -> None:
    report(before + n, total)


def _check_pages(database: Database) -> Iterator[Finding]:
    """SQLite's own look at its pages and indexes. PostgreSQL guards its pages itself (data checksums, amcheck)."""
    if not database.is_sqlite:
        return
    with database.outside_transaction() as connection:
        found = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    for fault in found:
        if fault != "ok":
            yield Finding(f"the file is damaged: {fault}", "restore a backup")
    if broken:
        yield Finding(f"{len(broken)} rows belong to no dictionary", "restore a backup")


def _check_leftovers(database: Database, repair: bool) -> Iterator[Finding]:
    with database.read() as session:
        rows = list(session.scalars(select(DictionaryRow).where(~DictionaryRow.published)))
    for row in rows:
        what = f"an unfinished build of {row.id}, begun {row.created_at:%Y-%m-%d %H:%M} UTC, takes room"
        if datetime.now(UTC) - row.created_at < OLD_BUILD:
            yield Finding(what, "it may be running; the next build of that id removes it", is_fault=False)
        elif repair:
            remove_unfinished(database, row.id)
            yield Finding(what, "removed", is_fault=False, is_open=False)
        else:
            yield Finding(what, "--repair removes it", is_fault=False)


def _check_labels(database: Database, repair: bool) -> Iterator[Finding]:
    published = select(DictionaryRow.id).where(DictionaryRow.published)
    with database.read() as session:
        for id, n in session.execute(
            select(LabelRow.dictionary_id, func.count())
            .where(LabelRow.dictionary_id.not_in(published))
            .group_by(LabelRow.dictionary_id)
        ):
            yield Finding(
                f"{n} labels belong to a dictionary {id} that is not here",
                "they come back when it is indexed under that id",
                is_fault=False,
            )
        beyond = (
            select(DictionaryRow.id, func.count())
            .join(LabelRow, and_(LabelRow.dictionary_id == DictionaryRow.id, DictionaryRow.published))
            .where(LabelRow.feature >= DictionaryRow.n_features)
            .group_by(DictionaryRow.id)
        )
        for id, n in session.execute(beyond):
            what = f"{id}: {n} labels name a feature that it does not have"
            yield Finding(what, "it was indexed before with a larger SAE", is_fault=False)
    with database.write() if repair else database.read() as session:
        nameless = [
            (dictionary, index) for dictionary in list_dictionaries(session) for index in _nameless(session, dictionary)
        ]
        for dictionary, index in nameless if repair else ():
            choose_name(session, dictionary, index)
    if nameless:
        remedy = "their best labels are their names now" if repair else "--repair names them"
        yield Finding(f"{len(nameless)} labelled features had no name", remedy, is_open=not repair)


def _nameless(session: Session, dictionary: Dictionary) -> Sequence[int]:
    """Features that have labels, none of which is their name."""
    names = func.sum(cast(LabelRow.is_name, Integer))
    of_dictionary = select(LabelRow.feature).where(LabelRow.dictionary_id == dictionary.id)
    return session.scalars(of_dictionary.group_by(LabelRow.feature).having(names == 0)).all()


def _check_counts(session: Session, row: DictionaryRow) -> Iterator[Finding]:
    for table, noun, expected in (
        (FeatureRow, "features", row.n_features),
        (FeatureExamplesRow, "features' examples", row.n_features),
        (SentenceRow, "sentences", row.n_sentences - row.n_duplicates),
    ):
        n = session.scalar(select(func.count()).select_from(table).where(_of(table, row)))
        if n != expected:
            yield Finding(f"{row.id}: {n} {noun} are stored, and it says {expected}", _AGAIN)


def _check_references(session: Session, row: DictionaryRow) -> Iterator[Finding]:
    examples = _feature(row, FeatureExamplesRow.feature)
    for what, table, there in (
        ("examples belong to a feature that is not stored", FeatureExamplesRow, examples),
        ("tokens belong to a feature that is not stored", FeatureTokenRow, _feature(row, FeatureTokenRow.feature)),
    ):
        orphans = select(func.count()).select_from(table).where(_of(table, row), ~exists().where(there))
        if n := session.scalar(orphans):
            yield Finding(f"{row.id}: {n} {what}", _AGAIN)


def _check_blobs(session: Session, row: DictionaryRow, report: Callable[[int], None]) -> Iterator[Finding]:
    done = 0
    lengths: dict[int, int] = {}
    sentences = select(SentenceRow).where(_of(SentenceRow, row)).order_by(SentenceRow.number)
    for sentence in _streamed(session, sentences):
        ends = _decoded(partial(unpack_ends, sentence.boundaries))
        lengths[sentence.number] = len(ends or ())
        if ends is None or (ends[-1] if ends else 0) != len(sentence.text):
            yield Finding(f"{row.id}: the tokens of sentence {sentence.number} do not cover it", _AGAIN)
        done += 1
        report(done)
    features = select(FeatureRow).where(_of(FeatureRow, row)).order_by(FeatureRow.index)
    for feature in _streamed(session, features):
        yield from _check_feature(row, feature)
        done += 1
        report(done)
    yield from _check_examples(session, row, lengths)


def _check_examples(session: Session, row: DictionaryRow, lengths: Mapping[int, int]) -> Iterator[Finding]:
    """lengths: tokens of each stored sentence, by number."""
    examples = select(FeatureExamplesRow).where(_of(FeatureExamplesRow, row)).order_by(FeatureExamplesRow.feature)
    n_missing = 0
    for feature in _streamed(session, examples):
        packed = _decoded(partial(PackedExamples, feature.packed))
        found = None if packed is None else _decoded(partial(_unpacked, packed))
        stored = [example for example in found or () if example.sentence in lengths]
        n_missing += len(found or ()) - len(stored)
        if found is None or any(_last(example) >= lengths[example.sentence] for example in stored):
            yield Finding(f"{row.id}: an example of feature {feature.feature} cannot be read", _AGAIN)
        elif packed is not None and not _has_every_rank(packed, found):
            yield Finding(
                f"{row.id}: the examples of feature {feature.feature} lack a rank or are out of order", _AGAIN
            )
    if n_missing:
        yield Finding(f"{row.id}: {n_missing} examples show a sentence that is not stored", _AGAIN)


def _unpacked(packed: PackedExamples) -> list[PackedExample]:
    return [packed.example(i) for i in range(len(packed.sentences))]


def _has_every_rank(packed: PackedExamples, found: Sequence[PackedExample]) -> bool:
    """Ranks are places in the blob: it holds as many examples as it says, and the strongest in their order."""
    peaks = [max(example.activations.values(), default=0.0) for example in found[: len(packed.strongest)]]
    return packed.is_whole and peaks == sorted(peaks, reverse=True) and all(peaks)


def _last(example: PackedExample) -> int:
    """The last of the positions that it names."""
    return max(*example.activations, example.peak or 0, 0)


def _check_feature(row: DictionaryRow, feature: FeatureRow) -> Iterator[Finding]:
    n = feature.n_active_tokens
    tokens = _decoded(partial(unpack_top_tokens, feature.top_tokens, max(n, 1)))
    n_sentences = max(feature.n_active_sentences, 1)
    statistics = _decoded(
        lambda: unpack_statistics(
            read_statistics(feature.statistics), feature.max_activation, n_sentences, ((), (), ())
        )
    )
    if tokens is None or statistics is None:
        yield Finding(f"{row.id}: the statistics of feature {feature.index} cannot be read", _AGAIN)
    elif sum(statistics["histogram"].counts) != n or sum(i.n_tokens for i in statistics["intervals"]) != n:
        yield Finding(f"{row.id}: the counts of feature {feature.index} do not add up", _AGAIN)


def _decoded(unpack: Callable[[], T]) -> T | None:
    """None: it cannot be read. Whatever a damaged blob brings out, it is damaged."""
    try:
        return unpack()
    except Exception:
        return None


def _streamed(session: Session, query: Any) -> Iterable[Any]:
    return session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE))


def _of(table: type[Base], row: DictionaryRow) -> ColumnElement[bool]:
    return table.__table__.c.dictionary == row.key


def _feature(row: DictionaryRow, column: Any) -> ColumnElement[bool]:
    return and_(_of(FeatureRow, row), FeatureRow.index == column)

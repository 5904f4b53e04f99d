"""Writing a dictionary: rows under a new key that nobody reads, then made visible in one transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, LargeBinary, delete, insert, select, update
from sqlalchemy.orm import Session

from app.domain import CHANGED_UNDER_LABELS, Dictionary, NewDictionary
from app.errors import Conflict
from app.store.database import Database
from app.store.dictionaries import get_dictionary, to_dictionary
from app.store.kept_labels import changed_under_labels
from app.store.labels import forget_labels
from app.store.search_index import index_words, unindex_words
from app.store.tables import (
    FIRES,
    PROMOTES,
    Base,
    DictionaryRow,
    FeatureExamplesRow,
    FeatureRow,
    FeatureTokenRow,
    FeatureTopicRow,
    SentenceRow,
    TopicRow,
)
from app.store.topic_index import note_topics

if TYPE_CHECKING:  # numpy is loaded by builds alone
    from app.store.example_packing import ExampleBlock, StrongestExamples
    from app.store.packing import FeatureRows

ROWS_A_TRANSACTION = 20_000  # other writers wait no longer than this many rows take
_PARTS: tuple[type[Base], ...] = (
    FeatureTopicRow,
    TopicRow,
    FeatureExamplesRow,
    FeatureTokenRow,
    FeatureRow,
    SentenceRow,
)
T = TypeVar("T")


def check_id_free(database: Database, id: str) -> None:
    """Raises Conflict where a published dictionary has the id; asked before the long work begins."""
    with database.read() as session:
        if session.scalar(select(DictionaryRow.key).where(DictionaryRow.published, DictionaryRow.id == id)) is not None:
            raise Conflict(
                f"There is a dictionary {id!r} already; choose another id, or give --replace to put this in its place."
            )


@dataclass(frozen=True)
class SentenceValues:
    """A sentence ready to be stored. boundaries: see blobs.pack_lengths; the rest as domain.Sentence has it."""

    number: int
    text: str
    boundaries: bytes
    metadata: Mapping[str, Any]
    record: int
    offset: int


class IndexWriter:
    """One build on its way into the store. What an earlier, killed one of the same id left behind goes first.

    new: what is known when writing begins; `publish` is told everything.
    """

    def __init__(self, database: Database, new: NewDictionary) -> None:
        self.database = database
        self._strongest: list[StrongestExamples] = []
        _remove_builds(database, new.id, published=False)
        values = {**asdict(new), "published": False, "created_at": datetime.now(UTC)}
        with database.write() as session:
            row = DictionaryRow(**values)
            session.add(row)
            session.flush()
            self.key = row.key

    def add_sentences(self, sentences: Iterable[SentenceValues]) -> None:
        rows = ((self.key, s.number, s.text, s.boundaries, dict(s.metadata), s.record, s.offset) for s in sentences)
        self._add(SentenceRow, ("dictionary", "number", "text", "boundaries", "metadata", "record", "offset"), rows)

    def add_examples(self, block: "ExampleBlock") -> None:
        columns = ("dictionary", "feature", "packed")
        self._add(FeatureExamplesRow, columns, ((self.key, *row) for row in block.rows()))
        self._strongest.append(block.strongest())

    def index_words(self) -> None:
        """Makes the examples findable, and features by them: once, when sentences and examples are all there."""
        from app.store.example_packing import joined

        index_words(self.database.write, self.key, self._strongest)
        note_topics(self.database.write, self.key, joined(self._strongest))

    def add_features(self, block: "FeatureRows") -> None:
        """The features, and the tokens by which lists find them."""
        columns = (
            *("dictionary", "index", "n_active_tokens", "n_active_sentences", "max_activation", "mean_activation"),
            *("top_tokens", "statistics"),
        )
        self._add(FeatureRow, columns, ((self.key, *row) for row in block.features))
        for kind, pairs in ((FIRES, block.fires), (PROMOTES, block.promotes)):
            rows = ((self.key, kind, token, feature) for token, feature in pairs)
            self._add(FeatureTokenRow, ("dictionary", "kind", "token", "feature"), rows)

    def publish(self, new: NewDictionary, replace: bool) -> Dictionary:
        """The build becomes the dictionary, in one transaction. Raises Conflict where one has come up meanwhile."""
        with self.database.write() as session:
            session.execute(update(DictionaryRow).where(DictionaryRow.key == self.key).values(**asdict(new)))
            row = session.get_one(DictionaryRow, self.key)
            older = session.scalar(select(DictionaryRow).where(DictionaryRow.published, DictionaryRow.id == new.id))
            if older is not None and not replace:
                raise Conflict(
                    f"A dictionary {new.id!r} has come up meanwhile; give --replace to put this in its place."
                )
            if older is not None:
                if changed := changed_under_labels(session, older, row):
                    row.parameters = {**row.parameters, CHANGED_UNDER_LABELS: changed}
                older.published = False
                session.flush()  # before the other is: only one may be
            row.published = True
            dictionary = to_dictionary(row)
        _remove_builds(self.database, dictionary.id, published=False)
        return dictionary

    def _add(self, table: type[Base], columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """rows: values of the columns (named as the database names them). Plain tuples, since there can be millions."""
        for some in _pieces(rows):
            with self.database.write() as session:
                _insert(session.connection(), table.__table__, columns, some)


def _insert(connection: Connection, table: Any, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    if connection.dialect.paramstyle != "qmark":
        # SQLAlchemy sends many rows a statement there, which it cannot where parameters count by place.
        connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
        return
    dialect = connection.dialect
    binders = [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in columns]
    for place, binder in enumerate(binders):
        if binder is not None and not isinstance(table.c[columns[place]].type, LargeBinary):
            rows = [(*row[:place], binder(row[place]), *row[place + 1 :]) for row in rows]
    prepare = dialect.identifier_preparer.quote
    names, places = ", ".join(prepare(name) for name in columns), ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)  # noqa: S608 - no input


def remove_dictionary(database: Database, id: str) -> None:
    """A dictionary with its labels. Raises NotFound."""
    with database.write() as session:
        get_dictionary(session, id)
        forget_labels(session, id)
        session.execute(update(DictionaryRow).where(DictionaryRow.id == id).values(published=False))
    _remove_builds(database, id, published=False)


def remove_unfinished(database: Database, id: str) -> None:
    """What builds of the id have written and not published; none of them may be running."""
    _remove_builds(database, id, published=False)


def _remove_builds(database: Database, id: str, published: bool) -> None:
    """Every build of the id that is (not) published, a table at a time so that other writers get their turn."""
    with database.read() as session:
        keys = list(
            session.scalars(
                select(DictionaryRow.key).where(DictionaryRow.id == id, DictionaryRow.published == published)
            )
        )
    for key in keys:
        unindex_words(database.write, key)
        for table in _PARTS:
            with database.write() as session:
                _delete_rows(session, table, key)
        with database.write() as session:
            session.execute(delete(DictionaryRow).where(DictionaryRow.key == key))


def _delete_rows(session: Session, table: type[Base], key: int) -> None:
    session.execute(delete(table).where(table.__table__.c.dictionary == key))


def _pieces(items: Iterable[T]) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while some := list(islice(rest, ROWS_A_TRANSACTION)):
        yield some

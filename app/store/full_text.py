"""The full text of sentences and labels: FTS5 in SQLite, tsvector in PostgreSQL. All that differs stands here.

sentence_words(rowid, text, metadata) holds what `words.spaced` made of each searched sentence. A label's words are a
column of `labels`, which SQLite indexes beside it in label_words. The vocabulary holds every word once; SQLite finds
pieces of its words by their trigrams, in word_pieces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
    text,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.store.search_query import SearchQuery, match_expression, tsquery_text
from app.store.tables import LabelRow, VocabularyRow
from app.store.words import tsvector_text

TRIGRAM = 3  # characters; a shorter piece is looked for at the beginning of words alone
_SENTENCE_WORDS = table("sentence_words", column("rowid", BigInteger), column("text"), column("metadata"))
_LABEL_WORDS = table("label_words", column("rowid"))
_WORD_PIECES = table("word_pieces", column("rowid"))
_PIECES_READ = 1000  # words that hold a piece, of which the earliest learnt are taken


@dataclass(frozen=True)
class Sought:
    """What one column is to hold. without: what is found already, and left out here."""

    column: str
    query: SearchQuery
    without: SearchQuery | None = None

    def text(self, session: Session) -> str:
        """In the language of the session's database."""
        return self._tsquery() if is_postgresql(session) else self._fts5()

    def _fts5(self) -> str:
        found = match_expression(self.query, self.column)
        return found if self.without is None else f"({found}) NOT ({match_expression(self.without, self.column)})"

    def _tsquery(self) -> str:
        found = tsquery_text(self.query)
        return found if self.without is None else f"({found}) & !({tsquery_text(self.without)})"


def put_words(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """rows: rowid, text and metadata of sentences, rowids ascending, the texts as `spaced` made them."""
    if is_postgresql(session):
        rows = [{**row, **{name: tsvector_text(row[name]) for name in ("text", "metadata")}} for row in rows]
    if rows:
        session.execute(insert(_SENTENCE_WORDS), rows)


def take_words(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """The reverse of put_words, with the same rows: an index without its content has to be told what it held."""
    if not rows:
        return
    if is_postgresql(session):
        session.execute(delete(_SENTENCE_WORDS).where(_SENTENCE_WORDS.c.rowid.in_([row["rowid"] for row in rows])))
    else:
        into = "INSERT INTO sentence_words (sentence_words, rowid, text, metadata) "
        session.execute(text(into + "VALUES ('delete', :rowid, :text, :metadata)"), list(rows))


def matching_sentences(
    on_postgresql: bool, column: str, sought: str, first: int, last: int, few: int | None
) -> Select[Any]:
    """The lowest rowids from `first` to `last` whose column holds what is sought.

    few: how many PostgreSQL finds before it walks, where any of several words will do; None: as it likes. To be built
    once, and executed with a Sought's text under the name `sought`, and how many rowids under `read`.
    """
    rowid = _SENTENCE_WORDS.c.rowid
    holds = _holds(on_postgresql, "sentence_words", _SENTENCE_WORDS.c[column], bindparam(sought, type_=Text))
    walked = select(rowid).where(holds, rowid.between(first, last)).order_by(rowid).limit(bindparam("read"))
    if few is None or not on_postgresql:
        return walked
    # PostgreSQL takes each word that it does not know for one that every 200th sentence has, and then rather walks all
    # sentences than finds those with any of several. So a few are found in any order; where there are more, it walks.
    found = select(rowid).where(holds, (rowid + 0).between(first, last)).limit(few).cte()
    found = found.prefix_with("MATERIALIZED", dialect="postgresql")
    n = select(func.count()).select_from(found).scalar_subquery()
    rest = walked.where(n >= few).subquery()
    both = union_all(select(found.c.rowid).where(n < few), select(rest.c.rowid)).subquery()
    return select(both.c.rowid).order_by(both.c.rowid).limit(bindparam("read"))


def matching_labels(on_postgresql: bool, *columns: Any) -> Select[Any]:
    """These columns of the labels that hold what is sought, to be executed with `sought` and `dictionary_ids`."""
    text = bindparam("sought", type_=Text)
    ids: Any = bindparam("dictionary_ids", expanding=True)
    query = select(*columns).where(_holds(on_postgresql, "label_words", LabelRow.words, text))
    if on_postgresql:
        return query.where(LabelRow.dictionary_id.in_(ids))
    # Nothing is added to the id, so that SQLite begins with the words and not with a dictionary's labels.
    query = query.where((LabelRow.dictionary_id + "").in_(ids))
    return query.select_from(_LABEL_WORDS).join(LabelRow, LabelRow.id == _LABEL_WORDS.c.rowid)


def learn_words(session: Session, words: Sequence[str]) -> None:
    """Adds to the vocabulary what it does not know yet."""
    if words:
        dialect: Any = postgresql if is_postgresql(session) else sqlite
        new = dialect.insert(VocabularyRow.__table__).on_conflict_do_nothing()
        session.connection().execute(new, [{"word": word} for word in words])


def forget_unused_words(session: Session) -> None:
    """Takes out of the vocabulary what no sentence and no label holds any more."""
    if is_postgresql(session):
        texts = "SELECT text || metadata FROM sentence_words UNION ALL SELECT words FROM labels"
        used = f"SELECT word FROM ts_stat('{texts}')"  # noqa: S608 - nothing from outside
    else:
        used = "SELECT term FROM sentence_terms UNION ALL SELECT term FROM label_terms"
    session.execute(text(f"DELETE FROM vocabulary WHERE word NOT IN ({used})"))  # noqa: S608 - nothing from outside


def words_beginning(name: str, limit: int) -> Select[Any]:
    """Longer words of the vocabulary, the earliest learnt first: those are mostly the commonest.

    To be built once, and executed with the parameters of like(name, ...); so is words_holding.
    """
    word = VocabularyRow.word
    begins = (word > bindparam(name), word < bindparam(f"{name}_last"))
    return select(word).where(*begins).order_by(VocabularyRow.id).limit(limit)


def words_holding(on_postgresql: bool, name: str, limit: int) -> Select[Any]:
    """Words of the vocabulary that hold the piece behind their beginning, the earliest learnt first."""
    word, piece = VocabularyRow.word, bindparam(name, type_=Text)
    if on_postgresql:
        holds = func.strpos(word, piece) > 1
    else:
        phrase = literal_column("word_pieces").op("MATCH")(bindparam(f"{name}_phrase"))
        read = select(_WORD_PIECES.c.rowid).where(phrase).limit(_PIECES_READ)
        holds = VocabularyRow.id.in_(read) & (func.substr(word, 1, func.length(piece)) != piece)
    return select(word).where(holds).order_by(VocabularyRow.id).limit(limit)


def like(name: str, piece: str) -> dict[str, str]:
    """The parameters by which words are looked for that begin with a piece or hold it."""
    phrase = '"' + piece.replace('"', '""') + '"'
    return {name: piece, f"{name}_last": piece + "\U0010ffff", f"{name}_phrase": phrase}


def is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _holds(on_postgresql: bool, name: str, words: Any, sought: ColumnElement[Any]) -> ColumnElement[bool]:
    """sought: the text of a Sought."""
    if on_postgresql:
        found: ColumnElement[bool] = words.op("@@")(cast(sought, postgresql.TSQUERY))
        return found
    return literal_column(name).op("MATCH")(sought)

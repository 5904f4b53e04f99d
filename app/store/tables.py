"""The tables. Builds of dictionaries are numbered by `key`; only the published one of an id is ever read.

Labels hang on a dictionary's id and a feature's index instead, so that they outlive the build that they were made on.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from app.store.words import tsvector_text, tsvector_words

FIRES = 0  # FeatureToken.kind: a token that the feature fires on
PROMOTES = 1
DERIVED = "derived"  # Table.info: made from other tables, so that a copy makes it anew
_NUL = "\ufdd0"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite has no time zones of its own, and PostgreSQL answers in its server's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class TextWithNul(TypeDecorator[str]):
    """Any text. PostgreSQL keeps no U+0000: there U+FDD0 stands for it, a noncharacter meant for a program's own use.

    One character for one, so that token boundaries stay right.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value.replace("\0", _NUL) if value and dialect.name == "postgresql" else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value.replace(_NUL, "\0") if value and dialect.name == "postgresql" else value


class SearchedWords(TypeDecorator[str]):
    """A text as search sees it (see words.spaced): as it is in SQLite, as a tsvector in PostgreSQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(TSVECTOR() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return tsvector_text(value) if value is not None and dialect.name == "postgresql" else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return tsvector_words(value) if value is not None and dialect.name == "postgresql" else value


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, list[Any]: JSON, datetime: UtcDateTime}


class DictionaryRow(Base):
    __tablename__ = "dictionaries"

    key: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[str] = mapped_column(TextWithNul)
    published: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[datetime]
    title: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    model_source: Mapped[str] = mapped_column(Text)
    sae: Mapped[str] = mapped_column(Text)
    sae_source: Mapped[str] = mapped_column(Text)
    hook_point: Mapped[str] = mapped_column(String(100))
    architecture: Mapped[str] = mapped_column(String(100))
    d_in: Mapped[int]
    n_features: Mapped[int]
    n_sentences: Mapped[int]
    n_duplicates: Mapped[int]
    n_tokens: Mapped[int]
    n_masked_tokens: Mapped[int]
    corpus: Mapped[list[Any]]
    parameters: Mapped[dict[str, Any]]
    quality: Mapped[dict[str, Any]]
    density_histogram: Mapped[dict[str, Any]]

    __table_args__ = (
        Index(
            "one_published_build",
            "id",
            unique=True,
            sqlite_where=sql("published"),
            postgresql_where=sql("published"),
        ),
        {"sqlite_autoincrement": True},
    )


def _build() -> Mapped[int]:
    return mapped_column(ForeignKey("dictionaries.key"), primary_key=True)


class SentenceRow(Base):
    """boundaries: see blobs.pack_spans."""

    __tablename__ = "sentences"

    dictionary: Mapped[int] = _build()
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(TextWithNul)
    boundaries: Mapped[bytes] = mapped_column(LargeBinary)
    # `metadata` is taken by SQLAlchemy.
    details: Mapped[dict[str, Any]] = mapped_column("metadata")
    record: Mapped[int]
    offset: Mapped[int]

    __table_args__ = ({"sqlite_with_rowid": False},)


class FeatureRow(Base):
    """What lists show and sort by stands in columns of its own; everything else in `statistics` (see blobs)."""

    __tablename__ = "features"

    dictionary: Mapped[int] = _build()
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n_active_tokens: Mapped[int]
    n_active_sentences: Mapped[int]
    max_activation: Mapped[float]
    mean_activation: Mapped[float]
    top_tokens: Mapped[str] = mapped_column(Text)
    statistics: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (
        Index("features_by_tokens", "dictionary", "n_active_tokens", "index"),
        Index("features_by_max", "dictionary", "max_activation", "index"),
        Index("features_by_mean", "dictionary", "mean_activation", "index"),
        {"sqlite_with_rowid": False},
    )


class FeatureTokenRow(Base):
    """Tokens a feature fires on or promotes, folded (see folded), so that lists filter by them.

    The database orders them by code point, so that those which begin alike stand together.
    """

    __tablename__ = "feature_tokens"

    dictionary: Mapped[int] = _build()
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    token: Mapped[str] = mapped_column(TextWithNul, primary_key=True)
    feature: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    __table_args__ = ({"sqlite_with_rowid": False},)


class FeatureExamplesRow(Base):
    """All examples of a feature, packed (see example_blobs). Long rows: with row ids they fill their pages."""

    __tablename__ = "feature_examples"

    dictionary: Mapped[int] = _build()
    feature: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    packed: Mapped[bytes] = mapped_column(LargeBinary)


# As queries say it: SQLite takes a partial index only for the very same words.
_OF_NAMES: dict[str, Any] = {"sqlite_where": sql("is_name = 1"), "postgresql_where": sql("is_name")}


class LabelRow(Base):
    """is_name: whether it is the label that its feature is called by; at most one a feature is.

    version: 1 for a new label, one more with every change of its text. words: its text as search sees it.
    """

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    dictionary_id: Mapped[str] = mapped_column(String(100))
    feature: Mapped[int]
    text: Mapped[str] = mapped_column(TextWithNul)
    author: Mapped[str] = mapped_column(TextWithNul)
    source: Mapped[str] = mapped_column(Text)
    score: Mapped[float | None]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    version: Mapped[int]
    stars: Mapped[int]
    words: Mapped[str] = mapped_column(SearchedWords, deferred=True)
    is_name: Mapped[bool] = mapped_column(Boolean)

    __table_args__ = (
        Index("labels_of_feature", "dictionary_id", "feature"),
        Index("one_name_a_feature", "dictionary_id", "feature", unique=True, **_OF_NAMES),
        # What lists sort by.
        Index("names_by_text", "dictionary_id", sql("lower(text)"), "feature", **_OF_NAMES),
        Index("names_by_score", "dictionary_id", "score", "feature", **_OF_NAMES),
        {"sqlite_autoincrement": True},
    )


class LabelStarRow(Base):
    """One person's star for one label."""

    __tablename__ = "label_stars"

    label: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    author: Mapped[str] = mapped_column(Text, primary_key=True)

    __table_args__ = ({"sqlite_with_rowid": False},)


class LabelChangeRow(Base):
    """One change of one label, as the label was afterwards (before, where it was removed). Kept for good."""

    __tablename__ = "label_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int]
    dictionary_id: Mapped[str] = mapped_column(String(100))
    feature: Mapped[int]
    action: Mapped[str] = mapped_column(String(20))
    by: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    score: Mapped[float | None]
    created_at: Mapped[datetime]
    version: Mapped[int]

    __table_args__ = (
        Index("changes_of_feature", "dictionary_id", "feature", "id"),
        Index("changes_of_label", "label", "id"),
        {"sqlite_autoincrement": True},
    )


class SearchedSentenceRow(Base):
    """A sentence that search finds: see search_index. id: the dictionary's key * 2^32 + its place.

    features: those that show it among their strongest examples (see blobs.unpack_ascending).
    """

    __tablename__ = "searched_sentences"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)
    sentence: Mapped[int]
    features: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = (Index("searched_by_sentence", "sentence"), {"info": {DERIVED: True}})


class TopicRow(Base):
    """A value of a metadata field that features are about. words: see topics.as_words; n_features: about it."""

    __tablename__ = "topics"

    dictionary: Mapped[int] = _build()
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    field: Mapped[str] = mapped_column(TextWithNul)
    value: Mapped[str] = mapped_column(TextWithNul)
    words: Mapped[str] = mapped_column(TextWithNul)
    n_features: Mapped[int]

    __table_args__ = ({"sqlite_with_rowid": False, "info": {DERIVED: True}},)


class FeatureTopicRow(Base):
    """What a feature is about, if anything: n of its strongest examples, of which there are `of`, have the topic."""

    __tablename__ = "feature_topics"

    dictionary: Mapped[int] = _build()
    feature: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    topic: Mapped[int]
    n: Mapped[int]
    of: Mapped[int]

    __table_args__ = (
        Index("features_by_topic", "dictionary", "topic", "feature"),
        # There are few different numbers: features with the same stand in ascending order, whichever way is sorted.
        Index("features_by_n", "dictionary", "n", "feature"),
        Index("features_by_n_descending", "dictionary", sql("n DESC"), "feature"),
        {"sqlite_with_rowid": False, "info": {DERIVED: True}},
    )


class VocabularyRow(Base):
    """Every word of searched sentences and labels, so that a piece of a word finds it.

    Ordered as FeatureTokenRow's.
    """

    __tablename__ = "vocabulary"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(Text, unique=True)

    __table_args__ = ({"info": {DERIVED: True}},)


def folded(token: str) -> str:
    """A token as filters compare it: case and the space around it left out; a token of spaces alone as it is."""
    return token.strip().casefold() or token

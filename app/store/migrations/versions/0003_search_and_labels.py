"""Full text of sentences and labels; stars, versions and the history of labels."""

from contextlib import nullcontext

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from app.store.full_text import learn_words
from app.store.search_index import index_chosen, vocabulary_of
from app.store.words import spaced, tsvector_text

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime(timezone=True)
# Texts arrive split into words already: all that is left to the tokenizer is to cut at spaces.
CUT_AT_SPACES = "tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'\""
# The sentences among the strongest examples, those that are the strongest of all of some feature first.
CHOOSE = """
INSERT INTO searched_sentences (id, sentence)
SELECT :first + row_number() OVER (ORDER BY strongest.rank, strongest.sentence), strongest.sentence FROM (
    SELECT sentence, min(rank) AS rank FROM examples WHERE dictionary = :key AND "group" = 0 GROUP BY sentence
) AS strongest
"""


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    _labels(is_postgresql)
    op.create_table(
        "searched_sentences",
        sa.Column("id", sa.BigInteger if is_postgresql else sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sentence", sa.Integer, nullable=False),
    )
    op.create_table(
        "vocabulary",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("word", sa.Text(collation="C" if is_postgresql else None), nullable=False, unique=True),
    )
    session = Session(op.get_bind())
    texts = _describe_labels(session, is_postgresql)
    if is_postgresql:
        _postgresql_index()
    else:
        _sqlite_index()
    learn_words(session, vocabulary_of(texts))
    for key in session.scalars(sa.text("SELECT key FROM dictionaries WHERE published")).all():
        session.execute(sa.text(CHOOSE), {"key": key, "first": key << 32})
        index_chosen(lambda: nullcontext(session), key)
    session.flush()


def _labels(is_postgresql: bool) -> None:
    words = TSVECTOR if is_postgresql else sa.Text
    with op.batch_alter_table("labels") as labels:
        labels.add_column(sa.Column("changed_at", TIME))
        labels.add_column(sa.Column("version", sa.Integer, nullable=False, server_default="1"))
        labels.add_column(sa.Column("stars", sa.Integer, nullable=False, server_default="0"))
        labels.add_column(sa.Column("words", words, nullable=False, server_default=""))
    op.execute("UPDATE labels SET changed_at = created_at")
    op.create_table(
        "label_stars",
        sa.Column("label", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("author", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "label_changes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("label", sa.Integer, nullable=False),
        sa.Column("dictionary_id", sa.String(100), nullable=False),
        sa.Column("feature", sa.Integer, nullable=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_of_feature", "label_changes", ["dictionary_id", "feature", "id"])
    op.create_index("changes_of_label", "label_changes", ["label", "id"])


def _sqlite_index() -> None:
    op.execute(
        f"CREATE VIRTUAL TABLE sentence_words USING fts5(text, metadata, content='', columnsize=0, {CUT_AT_SPACES})"
    )
    op.execute(
        f"CREATE VIRTUAL TABLE label_words USING fts5(words, content='labels', content_rowid='id', {CUT_AT_SPACES})"
    )
    op.execute(
        "CREATE VIRTUAL TABLE word_pieces "
        "USING fts5(word, content='vocabulary', content_rowid='id', tokenize='trigram')"
    )
    op.execute("CREATE VIRTUAL TABLE sentence_terms USING fts5vocab('sentence_words', 'row')")
    op.execute("CREATE VIRTUAL TABLE label_terms USING fts5vocab('label_words', 'row')")
    op.execute("INSERT INTO label_words (label_words) VALUES ('rebuild')")
    _follow("labels", "words", "label_words")
    _follow("vocabulary", "word", "word_pieces")


def _follow(table: str, column: str, index: str) -> None:
    """The index follows its table, whatever changes that."""
    into = f"INSERT INTO {index}"
    add = f"{into} (rowid, {column}) VALUES (new.id, new.{column});"
    take = f"{into} ({index}, rowid, {column}) VALUES ('delete', old.id, old.{column});"
    op.execute(f"CREATE TRIGGER {index}_add AFTER INSERT ON {table} BEGIN {add} END")
    op.execute(f"CREATE TRIGGER {index}_take AFTER DELETE ON {table} BEGIN {take} END")
    op.execute(f"CREATE TRIGGER {index}_change AFTER UPDATE OF {column} ON {table} BEGIN {take} {add} END")


def _postgresql_index() -> None:
    op.create_table(
        "sentence_words",
        sa.Column("rowid", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("text", TSVECTOR, nullable=False),
        sa.Column("metadata", TSVECTOR, nullable=False),
    )
    for table, column in (("sentence_words", "text"), ("sentence_words", "metadata"), ("labels", "words")):
        op.create_index(f"{table}_{column}", table, [column], postgresql_using="gin")
    op.alter_column("feature_tokens", "token", type_=sa.Text(collation="C"))


def _describe_labels(session: Session, is_postgresql: bool) -> list[str]:
    """Words and a first entry in the history for labels that are there already. Returns the words."""
    labels = {id: spaced(text) for id, text in session.execute(sa.text("SELECT id, text FROM labels"))}
    for id, words in labels.items():
        kept = {"id": id, "words": tsvector_text(words) if is_postgresql else words}
        session.execute(sa.text("UPDATE labels SET words = :words WHERE id = :id"), kept)
    session.execute(
        sa.text(
            "INSERT INTO label_changes (label, dictionary_id, feature, action, by, at, text, author, source, score, "
            "created_at, version) SELECT id, dictionary_id, feature, 'added', author, created_at, text, author, "
            "source, score, created_at, 1 FROM labels"
        )
    )
    return list(labels.values())

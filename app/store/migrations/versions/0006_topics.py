"""What features are about: the metadata value that most of their strongest examples have."""

from contextlib import nullcontext

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from app.store.search_index import strongest_examples
from app.store.topic_index import note_topics

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    build = sa.ForeignKey("dictionaries.key")
    op.create_table(
        "topics",
        sa.Column("dictionary", sa.Integer, build, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("n_features", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "feature_topics",
        sa.Column("dictionary", sa.Integer, sa.ForeignKey("dictionaries.key"), primary_key=True, autoincrement=False),
        sa.Column("feature", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("of", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("features_by_topic", "feature_topics", ["dictionary", "topic", "feature"])
    op.create_index("features_by_n", "feature_topics", ["dictionary", "n", "feature"])
    op.create_index("features_by_n_descending", "feature_topics", ["dictionary", sa.text("n DESC"), "feature"])
    session = Session(op.get_bind())
    for key in session.scalars(sa.text("SELECT key FROM dictionaries WHERE published")).all():
        note_topics(lambda: nullcontext(session), key, strongest_examples(session, key))
    session.flush()

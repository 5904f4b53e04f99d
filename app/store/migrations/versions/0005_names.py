"""Indexes of the labels that features are called by, so that lists sort by them without reading them all."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # SQLite takes a partial index only for the very words that queries have, and these say `is_name = 1`.
    op.drop_index("one_name_a_feature", "labels")
    for name, *columns in (
        ("one_name_a_feature", "feature"),
        ("names_by_text", "lower(text)", "feature"),
        ("names_by_score", "score", "feature"),
    ):
        op.create_index(
            name,
            "labels",
            ["dictionary_id", *map(sa.text, columns)],
            unique=name == "one_name_a_feature",
            sqlite_where=sa.text("is_name = 1"),
            postgresql_where=sa.text("is_name"),
        )

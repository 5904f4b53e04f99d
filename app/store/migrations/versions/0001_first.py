"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dictionaries",
        sa.Column("key", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("title", "model", "model_source", "sae", "sae_source", "hook_point", "architecture")
        ),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("d_in", "n_features", "n_sentences", "n_duplicates", "n_tokens", "n_masked_tokens")
        ),
        *(
            sa.Column(name, sa.JSON, nullable=False)
            for name in ("corpus", "parameters", "quality", "density_histogram")
        ),
        sqlite_autoincrement=True,
    )
    published = sa.text("published")
    op.create_index(
        "one_published_build", "dictionaries", ["id"], unique=True, sqlite_where=published, postgresql_where=published
    )
    op.create_table(
        "sentences",
        _build(),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("boundaries", sa.LargeBinary, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("record", sa.Integer, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "features",
        _build(),
        sa.Column("index", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n_active_tokens", sa.Integer, nullable=False),
        sa.Column("n_active_sentences", sa.Integer, nullable=False),
        sa.Column("max_activation", sa.Double, nullable=False),
        sa.Column("mean_activation", sa.Double, nullable=False),
        sa.Column("top_tokens", sa.Text, nullable=False),
        sa.Column("statistics", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("features_by_tokens", "features", ["dictionary", "n_active_tokens", "index"])
    op.create_index("features_by_max", "features", ["dictionary", "max_activation", "index"])
    op.create_index("features_by_mean", "features", ["dictionary", "mean_activation", "index"])
    op.create_table(
        "feature_tokens",
        _build(),
        sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("feature", sa.Integer, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "examples",
        _build(),
        sa.Column("feature", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("group", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("rank", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("sentence", sa.Integer, nullable=False),
        sa.Column("peak", sa.SmallInteger),
        sa.Column("firings", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    top = sa.text('"group" = 0')
    op.create_index(
        "top_examples_by_sentence", "examples", ["dictionary", "sentence"], sqlite_where=top, postgresql_where=top
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dictionary_id", sa.String(100), nullable=False),
        sa.Column("feature", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("is_name", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("labels_of_feature", "labels", ["dictionary_id", "feature"])
    is_name = sa.text("is_name")
    op.create_index(
        "one_name_a_feature",
        "labels",
        ["dictionary_id", "feature"],
        unique=True,
        sqlite_where=is_name,
        postgresql_where=is_name,
    )


def _build() -> sa.Column[int]:
    return sa.Column("dictionary", sa.Integer, sa.ForeignKey("dictionaries.key"), primary_key=True, autoincrement=False)

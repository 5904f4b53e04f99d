"""All examples of a feature in one row; beside each searched sentence the features that show it."""

import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from app.store.example_packing import ExampleBlock, StrongestExamples, joined

revision = "0004"
down_revision = "0003"

FEATURES_AT_ONCE = 1000


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    session = Session(op.get_bind())
    op.create_table(
        "feature_examples",
        sa.Column("dictionary", sa.Integer, sa.ForeignKey("dictionaries.key"), primary_key=True, autoincrement=False),
        sa.Column("feature", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
    )
    searched = set(session.scalars(sa.text("SELECT DISTINCT id / 4294967296 FROM searched_sentences")))
    op.drop_table("searched_sentences")
    op.create_table(
        "searched_sentences",
        sa.Column("id", sa.BigInteger if is_postgresql else sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sentence", sa.Integer, nullable=False),
        sa.Column("features", sa.LargeBinary, nullable=False),
    )
    op.create_index("searched_by_sentence", "searched_sentences", ["sentence"])
    for key in session.scalars(sa.text("SELECT key FROM dictionaries")).all():
        strongest = [_pack(session, key, block) for block in _blocks(session, key)]
        if key in searched:
            _search(session, key, joined(strongest))
    session.flush()
    op.drop_table("examples")
    if not is_postgresql:
        _forget_sizes()


def _blocks(session: Session, key: int) -> Iterator[Sequence[Any]]:
    """Rows of examples, those of a feature together."""
    columns = 'SELECT feature, "group", rank, sentence, peak, firings FROM examples WHERE dictionary = :key'
    (n,) = session.execute(sa.text("SELECT n_features FROM dictionaries WHERE key = :key"), {"key": key}).one()
    for first in range(0, n, FEATURES_AT_ONCE):
        some = sa.text(f'{columns} AND feature BETWEEN :first AND :last ORDER BY feature, "group", rank')
        if rows := session.execute(some, {"key": key, "first": first, "last": first + FEATURES_AT_ONCE - 1}).all():
            yield rows


def _pack(session: Session, key: int, rows: Sequence[Any]) -> StrongestExamples:
    unpacked = [_unpack(bytes(row.firings)) for row in rows]
    block = ExampleBlock(
        features=np.array([row.feature for row in rows]),
        groups=np.array([row.group for row in rows]),
        # A damaged dictionary may lack some; what is left moves up.
        ranks=np.array([rank for _, own in groupby(rows, lambda row: row[:2]) for rank, _ in enumerate(own)]),
        sentences=np.array([row.sentence for row in rows]),
        peaks=np.array([-1 if row.peak is None else row.peak for row in rows]),
        lengths=np.array([len(positions) for positions, _ in unpacked]),
        positions=np.array([position for positions, _ in unpacked for position in positions], np.int64),
        values=np.array([value for _, values in unpacked for value in values], np.float32),
    )
    values = [{"key": key, "feature": feature, "packed": packed} for feature, packed in block.rows()]
    into = "INSERT INTO feature_examples (dictionary, feature, packed) VALUES (:key, :feature, :packed)"
    session.execute(sa.text(into), values)
    return block.strongest()


def _unpack(packed: bytes) -> tuple[Sequence[int], Sequence[float]]:
    """n values above 0 at n ascending positions, as n (uint16), the steps between positions, scale and half floats.

    Steps are a byte each where all are below 256, else uint16, told apart by the length.
    """
    if not packed:
        return (), ()
    n = int.from_bytes(packed[:2], "little")
    kind = "B" if len(packed) == 6 + 3 * n else "H"
    _, *numbers = struct.unpack(f"<H{n}{kind}f{n}e", packed)
    return tuple(accumulate(numbers[:n])), [value * numbers[n] for value in numbers[n + 1 :]]


def _search(session: Session, key: int, strongest: StrongestExamples) -> None:
    """The same places as before, by which the full text knows them."""
    values = [
        {"id": (key << 32) + place, "sentence": sentence, "features": features}
        for place, (sentence, features) in enumerate(strongest.by_sentence(), 1)
    ]
    into = "INSERT INTO searched_sentences (id, sentence, features) VALUES (:id, :sentence, :features)"
    if values:
        session.execute(sa.text(into), values)


def _forget_sizes() -> None:
    """Search needs no number of words of each entry, which takes as much room as the entries."""
    op.execute("DROP TABLE word_pieces")
    op.execute(
        "CREATE VIRTUAL TABLE word_pieces "
        "USING fts5(word, content='vocabulary', content_rowid='id', columnsize=0, tokenize='trigram')"
    )
    op.execute("INSERT INTO word_pieces (word_pieces) VALUES ('rebuild')")

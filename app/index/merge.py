"""Merging: the shards of a corpus put together into the very dictionary that one pass gives."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.domain import Dictionary
from app.errors import Conflict
from app.index.build import check_options, load, make_reader, only_build
from app.index.finish import finish_build
from app.index.identity import weights_differ
from app.index.options import BuildOptions
from app.index.pieces import WHOLE
from app.index.recorded import Recording
from app.index.shards import open_shards
from app.memory import share_memory
from app.store.database import Database
from app.store.write import check_id_free


def merge_shards(
    id: str,
    title: str | None,
    shards: Sequence[Path],
    model: str | None,
    sae: str | None,
    device: str,
    replacing: bool,
    checkpoint_seconds: float,
    database: Database,
    work: Path,
) -> Dictionary:
    """model, sae: where they lie on this machine; None where they lie as they did when the shards were made."""
    stored = open_shards(shards)
    made = BuildOptions(**{**stored[0].options, "shard": WHOLE})
    options = replace(
        made,
        id=id,
        title=title or made.title,
        model=model or made.model,
        sae=sae or made.sae,
        device=device,
        replace=replacing,
        checkpoint_seconds=checkpoint_seconds,
    )
    check_options(options)
    share_memory()
    if not replacing:
        check_id_free(database, id)
    with only_build(work), database.only_build(id):
        reader = make_reader(options, *load(options))
        changed = weights_differ(stored[0].identity, reader.model, reader.sae)
        if changed:
            raise Conflict(f"The shards were made with another {' and another '.join(changed)} than is given here.")
        recording = Recording([one.part for one in stored], reader.sae.n_features, options.dedup, options.mask_outliers)
        return finish_build(options, database, stored[0].identity, reader, recording, work / "merging")

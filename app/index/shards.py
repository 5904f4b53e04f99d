"""Shards: a recording of part of a corpus as one file, and several put together again."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.domain import Json
from app.errors import Conflict, Invalid
from app.index.identity import RECORDING, differing
from app.index.options import BuildOptions
from app.index.pieces import Shard
from app.index.recorded import Part
from app.index.recording import FILES, read_manifest

_ABOUT = "shard.json"


@dataclass(frozen=True)
class StoredShard:
    """One shard's file. options: what it was built with."""

    path: Path
    identity: Mapping[str, Json]
    options: Mapping[str, Any]
    shard: Shard
    part: Part


def pack_shard(recording: Path, options: BuildOptions, to: Path) -> None:
    """A complete recording as an uncompressed tar file, which is read where it lies; there at once or not at all."""
    manifest = read_manifest(recording)
    assert manifest is not None
    about = recording / _ABOUT
    about.write_text(json.dumps({"identity": manifest["identity"], "options": asdict(options)}), encoding="utf-8")
    draft = to.with_name(to.name + ".new")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(draft, "w") as packed:
        for name in (_ABOUT, *FILES):
            packed.add(recording / name, name)
    draft.replace(to)


def open_shards(paths: Sequence[Path]) -> list[StoredShard]:
    """All shards of one dictionary, in order. Raises Conflict for what does not belong together, naming it."""
    shards = sorted((_open(path) for path in paths), key=lambda stored: stored.shard.number)
    first = shards[0]
    for stored in shards:
        found = differing(first.identity, stored.identity)
        if found:
            raise Conflict(f"{stored.path} was made with another {' and '.join(found)} than {first.path}.")
        if stored.shard.of != first.shard.of:
            raise Conflict(f"{stored.path} is shard {stored.shard} and {first.path} is {first.shard}.")
    given = [stored.shard.number for stored in shards]
    for number in range(1, first.shard.of + 1):
        if number not in given:
            raise Conflict(f"Shard {number}/{first.shard.of} is missing.")
        if given.count(number) > 1:
            raise Conflict(f"Shard {number}/{first.shard.of} is given {given.count(number)} times.")
    return shards


def _open(path: Path) -> StoredShard:
    try:
        with tarfile.open(path, "r:") as packed:
            members = {member.name: member for member in packed.getmembers()}
            if set(members) != {_ABOUT, *FILES}:
                raise Invalid(f"{path} is no shard of this version of Featurescope.")
            text = packed.extractfile(_ABOUT)
            assert text is not None
            about = json.load(text)
    except FileNotFoundError as error:
        raise Invalid(f"There is no shard {path}.") from error
    except (tarfile.TarError, OSError, json.JSONDecodeError) as error:
        raise Invalid(f"{path} is no shard, or is cut off ({error}).") from error
    if about["identity"]["recording"] != RECORDING:
        raise Invalid(f"{path} was made by another version of Featurescope; make it again with this one.")
    if any(members[name].offset_data + members[name].size > path.stat().st_size for name in FILES):
        raise Invalid(f"{path} is cut off; copy it again.")
    part = Part({name: (path, members[name].offset_data, members[name].size) for name in FILES})
    return StoredShard(path, about["identity"], about["options"], Shard(**about["options"]["shard"]), part)

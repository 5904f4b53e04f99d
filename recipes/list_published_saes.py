"""Make app/engine/published_saes.json.xz from an installed sae-lens: `pip install sae-lens`, then run this there."""

import json
import lzma
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from app.engine.registry import TABLE, read_yaml


def main() -> None:
    found = find_spec("sae_lens")
    if found is None or found.origin is None:
        sys.exit("sae-lens is not installed in this Python: pip install sae-lens")
    releases = read_yaml(Path(found.origin).with_name("pretrained_saes.yaml"))
    table = {"sae_lens": version("sae-lens"), "date": datetime.now(UTC).date().isoformat(), "releases": releases}
    packed = json.dumps(table, separators=(",", ":"), sort_keys=True).encode()
    TABLE.write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))
    n = sum(len(release["saes"]) for release in releases.values())
    print(f"{len(releases)} releases, {n} SAEs, {TABLE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

"""What one build is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.index.pieces import WHOLE, Shard


@dataclass(frozen=True)
class BuildOptions:
    """What one build is told. model, sae: `demo`, a path, or a published name; hook, prepend_bos: None takes the SAE's.

    device_map, trust_remote_code, parts: of load_language_model. force: build where the SAE does not seem to fit.
    quality_tokens: sample for explained variance and cross-entropy recovered; 0 leaves them out.
    text_column: what the text of a record is called; input_kind: what standard input is (.txt, .jsonl, .csv).
    dedup: whether repeated sentences count nowhere; mask_outliers: nor tokens whose norm is above so many medians.
    max_tokens, sample (a share of the records): how much of the corpus is read; None reads all.
    checkpoint_seconds: of work that may be lost to a kill.
    """

    id: str
    title: str | None
    model: str
    sae: str
    corpus: Sequence[str]
    hook: str | None = None
    prepend_bos: bool | None = None
    normalisation: str | None = None
    context: int = 128
    batch_tokens: int = 4096
    device: str = "cpu"
    dtype: str = "float32"
    device_map: str | None = None
    trust_remote_code: bool = False
    parts: Sequence[str] = ()
    seed: int = 0
    quality_tokens: int = 20_000
    text_column: str = "text"
    input_kind: str = ".txt"
    replace: bool = False
    restart: bool = False
    dedup: bool = False
    mask_outliers: float | None = None
    max_tokens: int | None = None
    sample: float | None = None
    shard: Shard = WHOLE
    force: bool = False
    checkpoint_seconds: float = 30

"""Blobs and rows made by the block, from arrays: what the writer stores. What they hold stands in blobs.py."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain import FIRINGS, HISTOGRAM_BINS, INTERVALS
from app.store.blobs import STATISTICS_VERSION
from app.store.tables import folded

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]
_FAST = 1  # zlib's level: higher ones save few bytes


@dataclass(frozen=True)
class Tokens:
    """(n, k) token ids with a number each, strongest first."""

    ids: Ints
    values: Ints | Floats


@dataclass(frozen=True)
class Metadata:
    """One field over the sentences where each of n features fires. codes, counts: (n, k), most frequent first.

    values, shares: of each code, what it stands for and its share of all sentences. count 0: no more.
    """

    field: str
    values: Sequence[str]
    shares: Floats
    codes: Ints
    counts: Ints


@dataclass(frozen=True)
class Neighbors:
    """(n, k) feature indices with their cosine or Jaccard share, strongest first; value 0 of a share: no more."""

    features: Ints
    values: Floats


@dataclass(frozen=True)
class FeatureRows:
    """A block of features ready to be stored.

    features: index, n_active_tokens, n_active_sentences, max and mean activation, top_tokens, statistics of each.
    fires, promotes: folded token and feature, each pair once, in the order of both.
    """

    features: Sequence[tuple[Any, ...]]
    fires: Sequence[tuple[str, int]]
    promotes: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class FeatureBlock:
    """Every statistic of n features, from index `first` on, each an array of n rows. As domain.NewFeature has them.

    top_tokens: values are counts, 0 for no more. top_token_totals: of each, how often it stands in the corpus.
    encoder_cosine: NaN where there is none. texts: each token's text.
    """

    first: int
    n_active_tokens: Ints
    n_active_sentences: Ints
    max_activation: Floats
    mean_activation: Floats
    top_tokens: Tokens
    top_token_totals: Ints
    n_first: Ints
    n_last: Ints
    per_sentence: Ints
    metadata: Sequence[Metadata]
    encoder_cosine: Floats
    histogram: Ints
    quantiles: Floats
    interval_tokens: Ints
    interval_sentences: Ints
    decoder_norm: Floats
    promoted: Tokens
    suppressed: Tokens
    similar: Neighbors
    opposite: Neighbors
    coactive: Neighbors
    texts: Mapping[int, str]

    def packed(self) -> FeatureRows:
        return FeatureRows(list(self._rows()), self._token_rows(self.top_tokens), self._token_rows(self.promoted))

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        n = len(self.n_active_tokens)
        lists = (
            column.tolist()
            for column in (self.n_active_tokens, self.n_active_sentences, self.max_activation, self.mean_activation)
        )
        return zip(range(self.first, self.first + n), *lists, self._top_tokens(), self._statistics(), strict=True)

    def _token_rows(self, group: Tokens) -> list[tuple[str, int]]:
        there = np.asarray(group.values) != 0
        features = np.broadcast_to(np.arange(len(group.ids))[:, None], group.ids.shape)[there]
        ids, which = np.unique(np.asarray(group.ids)[there], return_inverse=True)
        tokens = [folded(self.texts[token]) for token in ids.tolist()]
        ordered = sorted(set(tokens))
        place = {token: i for i, token in enumerate(ordered)}
        places = np.array([place[token] for token in tokens], dtype=np.int64)
        pairs = np.unique(places[which] * max(len(group.ids), 1) + features)
        at, feature = np.divmod(pairs, max(len(group.ids), 1))
        return list(zip([ordered[i] for i in at.tolist()], (feature + self.first).tolist(), strict=True))

    def _top_tokens(self) -> Iterator[str]:
        named = _Json(self.texts)
        columns = (self.top_tokens.ids.tolist(), self.top_tokens.values.tolist(), self.top_token_totals.tolist())
        for ids, counts, totals in zip(*columns, strict=True):
            some = zip(ids, counts, totals, strict=True)
            yield f"[{','.join(f'[{named[token]},{token},{n},{total}]' for token, n, total in some if n)}]"

    def _metadata(self) -> Iterator[str]:
        """Field, value, sentences and base share, field by field, as JSON."""
        rows: list[list[tuple[str, str, int, float]]] = [[] for _ in range(len(self.n_active_tokens))]
        for one in self.metadata:
            for row, codes, counts in zip(rows, one.codes.tolist(), one.counts.tolist(), strict=True):
                row += [
                    (one.field, one.values[code], n, float(f"{one.shares[code]:.6g}"))
                    for code, n in zip(codes, counts, strict=True)
                    if n
                ]
        return (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)

    def _statistics(self) -> Iterator[bytes]:
        n_logits, n_similar, n_coactive = (
            group.shape[1] for group in (self.promoted.ids, self.similar.features, self.coactive.features)
        )
        kind = np.dtype(
            [
                ("histogram", "<u4", HISTOGRAM_BINS),
                ("intervals", "<u4", (2, INTERVALS)),
                ("norm", "<f4"),
                *((name, "<u4", n_logits) for name in ("promoted_ids", "suppressed_ids")),
                *((name, "<f4", n_logits) for name in ("promoted", "suppressed")),
                *((name, "<u4", n_similar) for name in ("similar", "opposite")),
                *((name, "<f4", n_similar) for name in ("cosines", "opposite_cosines")),
                ("coactive", "<u4", n_coactive),
                ("jaccard", "<f4", n_coactive),
                ("ends", "<u4", 2),
                ("per_sentence", "<u4", len(FIRINGS)),
                ("encoder_cosine", "<f4"),
            ]
        )
        packed = np.zeros(len(self.n_active_tokens), kind)
        packed["histogram"] = self.histogram
        packed["intervals"][:, 0], packed["intervals"][:, 1] = self.interval_tokens, self.interval_sentences
        packed["norm"] = self.decoder_norm
        packed["promoted_ids"], packed["promoted"] = self.promoted.ids, self.promoted.values
        packed["suppressed_ids"], packed["suppressed"] = self.suppressed.ids, self.suppressed.values
        packed["similar"], packed["cosines"] = self.similar.features, self.similar.values
        packed["opposite"], packed["opposite_cosines"] = self.opposite.features, self.opposite.values
        packed["coactive"], packed["jaccard"] = self.coactive.features, self.coactive.values
        packed["ends"][:, 0], packed["ends"][:, 1] = self.n_first, self.n_last
        packed["per_sentence"], packed["encoder_cosine"] = self.per_sentence, self.encoder_cosine
        planes = packed.view(np.uint8).reshape(len(packed), kind.itemsize // 4, 4).transpose(0, 2, 1).tobytes()
        quantiles = np.ascontiguousarray(self.quantiles, dtype="<f4")
        head = bytes([STATISTICS_VERSION, n_logits, n_similar, n_coactive])
        named = _Json(self.texts)
        tokens = np.concatenate([self.promoted.ids, self.suppressed.ids], axis=1).tolist()
        for i, (ids, metadata) in enumerate(zip(tokens, self._metadata(), strict=True)):
            texts = ",".join([named[token] for token in ids])
            raw = planes[i * kind.itemsize : (i + 1) * kind.itemsize] + f"[[{texts}],{metadata}]".encode()
            yield head + quantiles[i].tobytes() + zlib.compress(raw, _FAST, -zlib.MAX_WBITS)


class _Json(dict[int, str]):
    """Each token's text as JSON, made once."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        super().__init__()
        self.texts = texts

    def __missing__(self, token_id: int) -> str:
        self[token_id] = json.dumps(self.texts[token_id], ensure_ascii=False)
        return self[token_id]

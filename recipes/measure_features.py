"""Measures an SAE on the demo corpus: reconstruction on held-out sentences, and how much of it is about context.

python recipes/measure_features.py --model FOLDER --sae FOLDER --hook blocks.5.hook_attn_out
Over the top 20 sentences of a feature (one peak a sentence): token-only where one token holds 60 % of the peaks;
contextual where no token holds more than 30 % of them and one topic at least 40 % of the sentences; nameable where one
token, the one or two before it, or one topic holds at least 40 %. topics: how many of them have a feature of whose
sentences they are 40, 50 and 75 %.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from text_data import read_corpus, split_held_out
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from app.engine.hook_points import parse_hook_point
from app.engine.language_model import LanguageModel
from app.engine.model_files import load_language_model
from app.engine.sae import Sae, load_sae
from app.engine.tokens import encode

TOP = 20
BATCH = 64
CONTEXT = 128


@dataclass(frozen=True)
class Reading:
    """activations: (n_tokens, d_model); sentence and token id of each row."""

    activations: Tensor
    sentences: Tensor
    token_ids: Tensor


class SiteReader:
    """One site's activations over sentences, each alone after BOS; BOS and padding left out."""

    def __init__(self, model: LanguageModel, hook: str) -> None:
        self.model, self.hook = model, parse_hook_point(hook)

    def read(self, sentences: list[str], at_most: int | None = None) -> Reading:
        rows, numbers, tokens, n = [], [], [], 0
        for first in range(0, len(sentences), BATCH):
            ids, mask = self.batch(sentences[first : first + BATCH])
            keep = mask.clone()
            keep[:, 0] = 0
            found = self.model.capture(ids, mask, self.hook)[keep.bool()]
            rows.append(found)
            tokens.append(ids[keep.bool()])
            numbers.append(keep.nonzero()[:, 0] + first)
            n += len(found)
            if at_most is not None and n >= at_most:
                break
        return Reading(torch.cat(rows).float(), torch.cat(numbers), torch.cat(tokens))

    def batch(self, sentences: list[str]) -> tuple[Tensor, Tensor]:
        """(n, longest) ids and mask, padded on the right."""
        bos = self.model.tokenizer.bos_token_id
        ids = [[bos, *encode(self.model.tokenizer, s)[0][: CONTEXT - 1]] for s in sentences]
        longest = max(map(len, ids))
        padded = torch.tensor([row + [bos] * (longest - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
        return padded, mask


def shares(acts: Tensor, reading: Reading, topic_of: list[str]) -> dict[str, float | list[int]]:
    """Of the live columns of acts (n_tokens, n): how many, and what share is token-only and contextual."""
    lengths = torch.bincount(reading.sentences)
    starts = (lengths.cumsum(0) - lengths).tolist()
    peaks = torch.segment_reduce(acts, "max", lengths=lengths, initial=0)
    best = peaks.topk(TOP, dim=0)
    live = token_only = contextual = nameable = 0
    best_of_topic: Counter[str] = Counter()
    for feature, (values, sentences) in enumerate(zip(best.values.T, best.indices.T, strict=True)):
        shown = sentences[values > 0].tolist()
        live += bool(shown)
        if len(shown) < 5:
            continue
        read = []  # of each sentence the token at the peak, after no more than two before it
        for sentence in shown:
            rows = slice(starts[sentence], starts[sentence] + int(lengths[sentence]))
            peak = int(acts[rows, feature].argmax())
            read.append(tuple(reading.token_ids[rows][max(0, peak - 2) : peak + 1].tolist()))
        (topic, n_of_topic), *_ = Counter(topic_of[s] for s in shown).most_common(1)
        most_topic = n_of_topic / len(shown)
        most_token = most(tokens[-1] for tokens in read)
        best_of_topic[topic] = max(best_of_topic[topic], n_of_topic)
        token_only += most_token >= 0.6
        contextual += most_token <= 0.3 and most_topic >= 0.4
        before = (most(tokens[:-1][-1:] for tokens in read), most(tokens[:-1] for tokens in read))
        nameable += max(most_token, most_topic, *before) >= 0.4
    return {
        "live": live,
        "contextual": contextual,
        "contextual_share": round(contextual / max(live, 1), 3),
        "token_only_share": round(token_only / max(live, 1), 3),
        "nameable_share": round(nameable / max(live, 1), 3),
        "topics": [sum(n >= share * TOP for n in best_of_topic.values()) for share in (0.4, 0.5, 0.75)],
    }


def most(values: Iterable[object]) -> float:
    """The share of the commonest."""
    counts = Counter(values)
    return counts.most_common(1)[0][1] / counts.total()


@torch.inference_mode()
def cross_entropies(model: LanguageModel, sae: Sae, hook: str, sentences: list[str]) -> tuple[float, float, float]:
    """Nats a token: clean, with the SAE's reconstruction spliced in, with zeros spliced in; BOS is left as it is."""
    reader = SiteReader(model, hook)
    totals, count = [0.0, 0.0, 0.0], 0
    for first in range(0, len(sentences), BATCH):
        ids, mask = reader.batch(sentences[first : first + BATCH])

        def spliced(x: Tensor) -> Tensor:
            through = sae.reconstruct(x.flatten(0, 1)).view_as(x)
            return torch.cat([x[:, :1], through[:, 1:]], dim=1)

        def zeroed(x: Tensor) -> Tensor:
            return torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], dim=1)

        predicted = mask[:, 1:].bool()
        for n, change in enumerate((None, spliced, zeroed)):
            logits = model.logits(ids, mask, reader.hook if change else None, change)[:, :-1][predicted]
            totals[n] += float(torch.nn.functional.cross_entropy(logits, ids[:, 1:][predicted], reduction="sum"))
        count += int(predicted.sum())
    clean, with_sae, with_zeros = (t / count for t in totals)
    return clean, with_sae, with_zeros


@torch.inference_mode()
def measure(model: LanguageModel, folder: Path, hook: str, topics: dict[str, list[str]], held_out: list[str]) -> dict:
    sae = load_sae(folder)
    reader = SiteReader(model, hook)
    unseen = reader.read(held_out).activations
    error = (unseen - sae.reconstruct(unseen)).square().sum() / (unseen - unseen.mean(0)).square().sum()
    clean, with_sae, zeroed = cross_entropies(model, sae, hook, held_out)
    sentences = [s for lines in topics.values() for s in lines]
    topic_of = [t for t, lines in topics.items() for _ in lines]
    reading = reader.read(sentences)
    acts = sae.encode(reading.activations)
    n, x = sae.n_features, reading.activations - reading.activations.mean(0)
    l0 = float((acts > 0).sum(1).float().mean())

    def sparse(projections: Tensor) -> Tensor:
        """Projections cut so that as large a share of them is active as of the SAE's features."""
        cut = projections.flatten()[:: max(1, projections.numel() // 4_000_000)].quantile(1 - l0 / n)
        return projections * (projections > cut.clamp(min=0))

    random_directions = torch.randn(x.shape[1], n, generator=torch.Generator().manual_seed(0))
    return {
        "hook": hook,
        "features": n,
        "explained_variance": round(1 - float(error), 4),
        "ce_clean": round(clean, 4),
        "ce_spliced": round(with_sae, 4),
        "ce_zeroed": round(zeroed, 4),
        "ce_recovered": round((zeroed - with_sae) / (zeroed - clean), 4),
        "l0": round(l0, 2),
        "dead_share": round(float((acts.amax(0) == 0).float().mean()), 4),
        "sae": shares(acts, reading, topic_of),
        "neurons_both_signs": shares(sparse(torch.cat([x, -x], dim=1)), reading, topic_of),
        "random_directions": shares(sparse(x @ random_directions), reading, topic_of),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sae", type=Path, required=True)
    parser.add_argument("--hook", required=True)
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus.jsonl"))
    args = parser.parse_args()
    topics = read_corpus(args.corpus)
    print(
        json.dumps(
            measure(load_language_model(args.model), args.sae, args.hook, topics, split_held_out(topics)[1]), indent=2
        )
    )


if __name__ == "__main__":
    main()

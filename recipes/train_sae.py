"""Trains the demo's SAE on one site of the language model, saved as a SAELens jumprelu.

python recipes/train_sae.py --model FOLDER --hook blocks.5.hook_attn_out --prose FOLDER --out FOLDER
Every feature of a part fires on the same share of tokens (lifetime sparsity: Makhzani and Frey 2015, arXiv 1409.2752),
so that none is dead or seldom. What the first part reads is in part of sentences with tokens replaced, and what it is
to explain is of the sentence as it was: a feature that rests on one word of one sentence gains nothing. The second part
and the last steps read sentences as they are.
Two parts, in one file: features trained where loud and quiet directions are levelled (--whiten), or weighed by how much
they tell sentences apart (--context), and fewer that explain whatever the first leave, in the site's own units. The
first are trained from several seeds, and those are taken that others find too (stable_features.py). At last what all
write is learnt together, and the encoder of the second; that of the first stays.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from measure_features import BATCH as READ_AT_ONCE
from measure_features import SiteReader, measure
from safetensors.torch import save_file
from stable_features import stable
from text_data import read_corpus, read_prose, sentences_of, split_held_out
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from app.engine.model_files import load_language_model

SEED = 0  # the first of several
SEED_OF_NOISE, SEED_OF_PROSE = 1, 5
BATCH = 2048
ROWS = 8192  # activations of all features held at once
CORPUS_PASSES = 2
REPLACED = (0.15, 0.15, 0.3, 0.3)  # of the corpus' tokens, in each further pass; of prose, the first of these
PROSE_SENTENCES = 4000  # that are read with tokens replaced too
THRESHOLDS_EVERY = 4  # steps
RELATIVE_RATE = 0.05  # of the last steps, to the mean size of the weights
FIRST_IDS = 5  # that replace none: the special tokens, and three signs


def prose_sentences(folder: Path, seed: int) -> list[str]:
    sentences = [s for p in read_prose(folder) for s in sentences_of(p) if len(s) > 30]
    random.Random(seed).shuffle(sentences)
    return sentences


def training_activations(
    reader: SiteReader, sentences: list[str], corpus: list[str], n_tokens: int
) -> tuple[Tensor, Tensor]:
    """(n_tokens, d_model) float32 and each row's sentence; sentences one by one after BOS, as the index feeds them.

    sentences: of prose.
    """
    read = reader.read(corpus * CORPUS_PASSES)
    general = reader.read(sentences, at_most=n_tokens - len(read.activations))
    numbers = torch.cat([read.sentences, general.sentences + int(read.sentences.max()) + 1])
    return torch.cat([read.activations, general.activations]), numbers


@torch.inference_mode()
def with_tokens_replaced(
    reader: SiteReader, sentences: list[str], share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(n, d_model) each: with that share of tokens replaced by any, and without; at all tokens that were not."""
    noisy, clean = [], []
    n_vocabulary = reader.model.tokenizer.vocab_size
    for first in range(0, len(sentences), READ_AT_ONCE):
        ids, mask = reader.batch(sentences[first : first + READ_AT_ONCE])
        hit = torch.rand(ids.shape, generator=generator) < share
        hit[:, 0] = False
        others = torch.randint(FIRST_IDS, n_vocabulary, ids.shape, generator=generator)
        kept = mask.bool() & ~hit
        kept[:, 0] = False
        clean.append(reader.model.capture(ids, mask, reader.hook)[kept].float())
        noisy.append(reader.model.capture(torch.where(hit, others, ids), mask, reader.hook)[kept].float())
    return torch.cat(noisy), torch.cat(clean)


def whitening(x: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """(d, d) matrices into and out of a basis in which every direction's deviation is taken to the power 1 - power.

    At 0 the basis is the site's own; towards 1 the quiet directions, where context lives, weigh as much as the loud.
    """
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    deviation = (values.clamp(min=0) + 1e-3 * values.max()).sqrt()
    scale = deviation**-power
    scale = scale / (deviation * scale).square().mean().sqrt()
    return vectors * scale @ vectors.T, vectors / scale @ vectors.T


def context_metric(x: Tensor, sentences: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """(d, d) matrices into and out of a basis that weighs directions by how much they tell sentences apart.

    In the whitened basis, a direction's share of variance that lies between sentences (rather than between the
    tokens of one) runs from near 0 for the token's own identity to near 1 for what the sentence is about; each
    direction is scaled by that share to `power`.
    """
    n_sentences = int(sentences.max()) + 1
    whiten, unwhiten = whitening(x, 1.0)
    n_tokens = torch.bincount(sentences, minlength=n_sentences).clamp(min=1)
    means = torch.zeros(n_sentences, x.shape[1]).index_add_(0, sentences, x @ whiten) / n_tokens[:, None]
    long = means[n_tokens >= 8]
    shares, directions = torch.linalg.eigh(torch.cov(long.T))
    scale = (shares / shares.max()).clamp(min=1e-3) ** power
    return whiten @ directions * scale, (directions / scale).T @ unwhiten


@dataclass(frozen=True)
class Part:
    """Some of the features. encoder: (d, F); bias, threshold: (F,); decoder: (F, d)."""

    encoder: Tensor
    bias: Tensor
    decoder: Tensor
    threshold: Tensor

    def activations(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, F)"""
        before: Tensor = x @ self.encoder + self.bias
        return torch.relu(before) * (before > self.threshold)

    def some(self, features: Tensor) -> "Part":
        return Part(self.encoder[:, features], self.bias[features], self.decoder[features], self.threshold[features])


def side_by_side(parts: Sequence[Part]) -> Part:
    return Part(
        torch.cat([p.encoder for p in parts], dim=1),
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("bias", "decoder", "threshold")),
    )


def train(seen: Tensor, explained: Tensor, n_features: int, k: int, n_steps: int, seed: int) -> Part:
    """Features that read `seen` and explain `explained`, of unit mean square; both (n, d), in the same units.

    k: fire on a token on average, and each on k / n_features of all tokens.
    """
    torch.manual_seed(seed)
    directions = torch.randn(n_features, seen.shape[1])
    decoder = torch.nn.Parameter(directions / directions.norm(dim=1, keepdim=True))
    encoder = torch.nn.Parameter(decoder.detach().T.clone())
    bias = torch.nn.Parameter(torch.zeros(n_features))
    optimizer = torch.optim.Adam([encoder, bias, decoder], lr=1e-3)
    thresholds = Thresholds(torch.full((n_features,), k / n_features))
    for step, rows in _steps(len(seen), n_steps):
        before = seen[rows] @ encoder + bias
        kept = torch.relu(before) * (before > thresholds.at(step / n_steps, step, before))
        loss = (explained[rows] - kept @ decoder).square().sum(1).mean()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 200, 3 * (n_steps - step) / n_steps)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        if step % 500 == 0:
            print(f"{step}/{n_steps} loss {loss.item():.3f}", flush=True)
    return Part(encoder.detach(), bias.detach(), decoder.detach(), thresholds.value)


class Thresholds:
    """Of each feature, above which it is active on its share of tokens: followed from batch to batch."""

    def __init__(self, shares: Tensor, value: Tensor | None = None) -> None:
        self.places = (shares * BATCH).round().long().clamp(min=1)
        self.value = torch.zeros_like(shares) if value is None else value.clone()
        self.is_new = value is None

    @torch.no_grad()
    def at(self, done: float, step: int, before: Tensor) -> Tensor:
        """done: share of all steps, towards whose end thresholds move little. before: (BATCH, n_features)."""
        if step % THRESHOLDS_EVERY == 0:
            largest = before.T.topk(int(self.places.max()) + 1, dim=1).values
            now = largest.gather(1, self.places[:, None])[:, 0].clamp(min=0)
            self.value = now if self.is_new else torch.lerp(self.value, now, 0.2 if done < 0.85 else 0.05)
            self.is_new = False
        return self.value


def _steps(n_rows: int, n_steps: int) -> Iterator[tuple[int, Tensor]]:
    return ((step, torch.randint(n_rows, (BATCH,))) for step in range(n_steps))


def train_in_basis(
    seen: Tensor,
    explained: Tensor,
    basis: tuple[Tensor, Tensor],
    n_features: int,
    k: int,
    n_steps: int,
    seed: int = SEED,
) -> Part:
    """As `train`, for what is centred only, with both seen through `basis` (into and out of it)."""
    into, out_of = basis
    scale = (explained[::7] @ into).square().sum(1).mean().sqrt() / explained.shape[1] ** 0.5
    part = train(seen @ into / scale, explained @ into / scale, n_features, k, n_steps, seed)
    # Every step before the encoder is linear, so it folds into the weights and the file holds a plain SAE.
    return Part(into @ part.encoder / scale, part.bias, part.decoder @ out_of * scale, part.threshold)


def settled(x: Tensor, part: Part, n_fixed: int, l0: float, n_steps: int) -> Part:
    """All decoders trained on together for x itself (n, d), each feature on its share of tokens; l0 in all.

    n_fixed: of the first features, encoders stay: they would turn to whatever is loud, and be about several things.
    """
    torch.manual_seed(SEED)
    starts = (part.encoder[:, n_fixed:], part.bias[n_fixed:], part.decoder)
    weights = [torch.nn.Parameter(w.clone()) for w in starts]
    encoder, bias, decoder = weights
    rates = [RELATIVE_RATE * float(w.detach().abs().mean()) for w in weights]
    optimizer = torch.optim.Adam([{"params": [w], "lr": rate} for w, rate in zip(weights, rates, strict=True)])
    shares = torch.cat([part.activations(some) for some in x[::5].split(ROWS)]).gt(0).float().mean(0)
    thresholds = Thresholds(shares * l0 / shares.sum(), part.threshold)

    def whole() -> Part:
        encoders = torch.cat([part.encoder[:, :n_fixed], encoder], dim=1)
        return Part(encoders, torch.cat([part.bias[:n_fixed], bias]), decoder, thresholds.value)

    for step, rows in _steps(len(x), n_steps):
        now = whole()
        before = x[rows] @ now.encoder + now.bias
        kept = torch.relu(before) * (before > thresholds.at(step / n_steps, step, before))
        loss = (x[rows] - kept @ decoder).square().sum(1).mean()
        loss.backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, 2 * (n_steps - step) / n_steps)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"{step}/{n_steps} loss {loss.item():.3f}", flush=True)
    with torch.no_grad():
        return joined(x, [whole()])


def unexplained(x: Tensor, part: Part) -> Tensor:
    return torch.cat([some - part.activations(some) @ part.decoder for some in x.split(ROWS)])


def joined(x: Tensor, parts: list[Part]) -> Part:
    """All parts' features, with the decoder that explains x best by what they all do at once (least squares)."""
    whole = side_by_side(parts)
    n_features = len(whole.bias)
    together, with_x = torch.zeros(n_features, n_features), torch.zeros(n_features, x.shape[1])
    for some in x.split(ROWS):
        acts = whole.activations(some)
        together += acts.T @ acts
        with_x += acts.T @ some
    ridge = 1e-4 * together.diagonal().mean() * torch.eye(n_features)
    decoder = torch.linalg.solve((together + ridge).double(), with_x.double()).float()
    return replace(whole, decoder=decoder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--hook", required=True)
    parser.add_argument("--prose", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus.jsonl"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--features", type=int, nargs=2, default=[960, 64], help="of the first part, of the second")
    parser.add_argument("--k", type=int, nargs=2, default=[20, 9], help="that fire on a token, of either part")
    parser.add_argument("--steps", type=int, nargs=3, default=[1500, 600, 1200], help="of either part, of both at last")
    parser.add_argument("--seeds", type=int, default=5, help="two or more, of the first part")
    parser.add_argument("--l0", type=float, default=31.5, help="in the end")
    parser.add_argument("--tokens", type=float, default=400e3)
    parser.add_argument("--whiten", type=float, default=0.5, help="how far loud and quiet directions are levelled")
    parser.add_argument("--context", type=float, default=0.0, help="how much directions of whole sentences count more")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    topics = read_corpus(args.corpus)
    train_topics, held_out = split_held_out(topics)
    model = load_language_model(args.model)
    reader = SiteReader(model, args.hook)
    start = time.monotonic()
    corpus = [s for t in train_topics.values() for s in t]
    x, numbers = training_activations(reader, prose_sentences(args.prose, SEED), corpus, int(args.tokens))
    generator = torch.Generator().manual_seed(SEED_OF_NOISE)
    pairs = [with_tokens_replaced(reader, corpus, share, generator) for share in REPLACED]
    pairs.append(
        with_tokens_replaced(
            reader, prose_sentences(args.prose, SEED_OF_PROSE)[:PROSE_SENTENCES], REPLACED[0], generator
        )
    )
    print(f"{len(x):,} tokens read in {time.monotonic() - start:.0f} s, beside those with others replaced")
    mean = x.mean(0)
    noisy, clean = (torch.cat([x, *of_pairs]) - mean for of_pairs in zip(*pairs, strict=True))
    part = train_parts(x - mean, noisy, clean, numbers, args)
    write(args.out, part, mean, args.hook)
    measured = measure(model, args.out, args.hook, topics, held_out)
    measured["training_seconds"] = round(time.monotonic() - start)
    measured["training_tokens"] = len(clean)
    print(json.dumps(measured, indent=2))
    (args.out / "measurements.json").write_text(json.dumps(measured, indent=2) + "\n")


def train_parts(x: Tensor, noisy: Tensor, clean: Tensor, numbers: Tensor, args: argparse.Namespace) -> Part:
    """x: (n, d), centred; numbers: its sentences. noisy, clean: (n_more, d), what is read, what is to be explained."""
    basis = context_metric(x, numbers, args.context) if args.context else whitening(x, args.whiten)
    plain = (torch.eye(x.shape[1]), torch.eye(x.shape[1]))
    n_steps, n_steps_of_rest, n_steps_together = args.steps
    n_first, n_second = args.features
    found = side_by_side(
        [
            train_in_basis(noisy, clean, basis, n_first, args.k[0], n_steps, seed)
            for seed in range(SEED, SEED + args.seeds)
        ]
    )
    first = found.some(stable(map(found.activations, x[::4].split(ROWS)), args.seeds, n_first))
    # Each was to explain what those of its own seed leave, so what they write is fitted anew.
    first = joined(x, [first])
    second = train_in_basis(x, unexplained(x, first), plain, n_second, args.k[1], n_steps_of_rest)
    return settled(x, joined(x, [first, second]), n_first, args.l0, n_steps_together)


def write(folder: Path, part: Part, mean: Tensor, hook: str) -> None:
    """As SAELens keeps a jumprelu: decoder rows of unit norm, thresholds in the units of its activations."""
    norms = part.decoder.norm(dim=1).clamp(min=1e-8)
    tensors = {
        "W_enc": part.encoder * norms,
        "b_enc": (part.bias - mean @ part.encoder) * norms,
        "W_dec": part.decoder / norms[:, None],
        "b_dec": mean,
        "threshold": part.threshold * norms,
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: t.half().contiguous() for name, t in tensors.items()}, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": len(mean),
        "d_sae": len(norms),
        "dtype": "float16",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"model_name": "demo", "hook_name": hook, "prepend_bos": True, "context_size": 128},
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()

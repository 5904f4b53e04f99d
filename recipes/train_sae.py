"""Trains the demo's SAE: BatchTopK on one site of the language model, saved as a SAELens jumprelu.

python recipes/train_sae.py --model FOLDER --hook blocks.5.hook_attn_out --prose FOLDER --out FOLDER
Two parts, in one file: features trained where loud and quiet directions are levelled (--whiten), or weighed by how much
they tell sentences apart (--context), and fewer that explain whatever the first leave, in the site's own units.
BatchTopK: Bussmann et al. 2024, arXiv 2412.06410; auxiliary loss for dead features: Gao et al. 2024, arXiv 2406.04093.
"""

import argparse
import json
import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from measure_features import SiteReader, measure
from safetensors.torch import save_file
from text_data import read_corpus, read_prose, sentences_of, split_held_out
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from app.engine.model_files import load_language_model

SEED = 0
BATCH = 2048
ROWS = 8192  # activations of all features held at once
CORPUS_PASSES = 2
DEAD_AFTER = 200_000  # tokens without firing
AUXILIARY_K = 32
AUXILIARY_WEIGHT = 1 / 16


def training_activations(reader: SiteReader, prose: Path, corpus: list[str], n_tokens: int) -> tuple[Tensor, Tensor]:
    """(n_tokens, d_model) float32 and each row's sentence; sentences one by one after BOS, as the index feeds them."""
    draw = random.Random(SEED)
    sentences = [s for p in read_prose(prose) for s in sentences_of(p) if len(s) > 30]
    draw.shuffle(sentences)
    read = reader.read(corpus * CORPUS_PASSES)
    general = reader.read(sentences, at_most=n_tokens - len(read.activations))
    numbers = torch.cat([read.sentences, general.sentences + int(read.sentences.max()) + 1])
    return torch.cat([read.activations, general.activations]), numbers


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


def train(x: Tensor, explained: Tensor, n_features: int, k: int, n_steps: int) -> Part:
    """Features that read x, centred and of unit mean square, and explain `explained`; both (n, d)."""
    torch.manual_seed(SEED)
    directions = torch.randn(n_features, x.shape[1])
    decoder = torch.nn.Parameter(directions / directions.norm(dim=1, keepdim=True))
    encoder = torch.nn.Parameter(decoder.detach().T.clone())
    bias = torch.nn.Parameter(torch.zeros(n_features))
    optimizer = torch.optim.Adam([encoder, bias, decoder], lr=1e-3, betas=(0.9, 0.999))
    silent_for = torch.zeros(n_features)
    threshold = 0.0
    start = time.monotonic()
    for step in range(n_steps):
        rows = torch.randint(len(x), (BATCH,))
        batch = x[rows]
        acts = torch.relu(batch @ encoder + bias)
        kth = acts.detach().flatten().kthvalue(acts.numel() - k * BATCH).values
        kept = acts * (acts > kth)
        error = explained[rows] - kept @ decoder
        loss = error.square().sum(1).mean()
        silent_for = torch.where((kept > 0).any(0), 0.0, silent_for + BATCH)
        dead = silent_for > DEAD_AFTER
        if dead.any():
            n_dead = int(dead.sum())
            values, places = (batch @ encoder[:, dead] + bias[dead]).topk(min(AUXILIARY_K, n_dead), dim=1)
            sparse = torch.zeros(BATCH, n_dead).scatter(1, places, torch.relu(values))
            left = error.detach() - sparse @ decoder[dead]
            loss = loss + AUXILIARY_WEIGHT * left.square().sum(1).mean()
        loss.backward()
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 200, 3 * (n_steps - step) / n_steps)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        threshold = float(kth) if step == 0 else 0.99 * threshold + 0.01 * float(kth)
        if step % 500 == 0:
            print(
                f"{step}/{n_steps} {time.monotonic() - start:.0f} s loss {loss.item():.3f} dead {int(dead.sum())}",
                flush=True,
            )
    return Part(encoder.detach(), bias.detach(), decoder.detach(), torch.full((n_features,), threshold))


def train_in_basis(
    x: Tensor, explained: Tensor, basis: tuple[Tensor, Tensor], n_features: int, k: int, n_steps: int
) -> Part:
    """As `train`, for x centred only, with both seen through `basis` (into and out of it)."""
    into, out_of = basis
    scale = (x[::7] @ into).square().sum(1).mean().sqrt() / x.shape[1] ** 0.5
    part = train(x @ into / scale, explained @ into / scale, n_features, k, n_steps)
    # Every step before the encoder is linear, so it folds into the weights and the file holds a plain SAE.
    return Part(into @ part.encoder / scale, part.bias, part.decoder @ out_of * scale, part.threshold)


def unexplained(x: Tensor, part: Part) -> Tensor:
    return torch.cat([some - part.activations(some) @ part.decoder for some in x.split(ROWS)])


def joined(x: Tensor, parts: list[Part]) -> Part:
    """All parts' features, with the decoder that explains x best by what they all do at once (least squares)."""
    whole = Part(
        torch.cat([p.encoder for p in parts], dim=1),
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("bias", "decoder", "threshold")),
    )
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
    parser.add_argument("--k", type=int, nargs=2, default=[22, 5], help="that fire on a token, of either part")
    parser.add_argument("--steps", type=int, nargs=2, default=[4000, 800], help="of either part")
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
    x, sentences = training_activations(
        reader, args.prose, [s for t in train_topics.values() for s in t], int(args.tokens)
    )
    print(f"{len(x):,} tokens read in {time.monotonic() - start:.0f} s")
    mean = x.mean(0)
    x = x - mean
    basis = context_metric(x, sentences, args.context) if args.context else whitening(x, args.whiten)
    plain = (torch.eye(x.shape[1]), torch.eye(x.shape[1]))
    of_context, of_rest = zip(args.features, args.k, args.steps, strict=True)
    first = train_in_basis(x, x, basis, *of_context)
    second = train_in_basis(x, unexplained(x, first), plain, *of_rest)
    both = joined(x, [first, second])
    write(args.out, both, mean, args.hook)
    measured = measure(model, args.out, args.hook, topics, held_out)
    measured["training_seconds"] = round(time.monotonic() - start)
    measured["training_tokens"] = len(x)
    print(json.dumps(measured, indent=2))
    (args.out / "measurements.json").write_text(json.dumps(measured, indent=2) + "\n")


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

"""Goes on with the demo's language model so that its attention says early on what a text is about.

python recipes/teach_topics.py --model FOLDER --prose FOLDER --out FOLDER [--steps 2000]
Beside the next token, an aid that is thrown away afterwards has to tell from the attention output of one block
(--block) which of a batch's passages goes on as this one does: the one that follows in running prose, or other
sentences of the same topic. It knows the passages as bags of words only. The idea is that of contrastive predictive
coding (van den Oord et al. 2018, arXiv 1807.03748). A killed run begins anew: it takes a quarter of an hour.
"""

import argparse
import json
import math
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from text_data import BOS, EncodedSentences, encode_sentences, fill_row, read_corpus, read_prose, sentences_of
from text_data import split_held_out as split
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_language_model import next_token_loss, validation_loss
from transformers import LlamaForCausalLM

SEED = 0
CONTEXT, ROWS = 64, 64  # short rows, since an index reads one sentence at a time
CORPUS_SHARE = 0.5
# A share of the tokens read is replaced by random ones, as in the training before: sentences are not learned by heart.
NOISE, CORPUS_NOISE = 0.10, 0.35
READ_AT = [*range(3, 28, 2), *range(32, CONTEXT, 8)]  # positions at which the aid is asked
TEMPERATURE = 0.1
AID_WIDTH = 128
COMMON = 50  # a word in more than one of so many sentences says nothing of what they are about


@dataclass(frozen=True)
class Batch:
    """token_ids: (ROWS, CONTEXT); of_corpus: (ROWS,); going_on: (ROWS, n_vocabulary) words of what goes on so."""

    token_ids: Tensor
    of_corpus: Tensor
    going_on: Tensor


class Aid(nn.Module):
    """Compares a position's attention output with bags of words."""

    def __init__(self, width: int, n_vocabulary: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, AID_WIDTH)
        self.words = nn.Embedding(n_vocabulary, AID_WIDTH)
        nn.init.normal_(self.words.weight, std=0.3)

    def loss(self, outputs: Tensor, going_on: Tensor) -> Tensor:
        """outputs: (ROWS, n_positions, width). Mean nats of finding each row's own bag among all rows'."""
        queries = nn.functional.normalize(self.query(outputs), dim=-1)
        keys = nn.functional.normalize(going_on @ self.words.weight, dim=-1)
        scores = queries @ keys.T / TEMPERATURE
        own = torch.arange(len(keys))[:, None].expand(scores.shape[:2])
        return nn.functional.cross_entropy(scores.flatten(0, 1), own.flatten())


def batches(prose: EncodedSentences, topics: list[EncodedSentences], bos: int, rarity: Tensor) -> Iterator[Batch]:
    """Endless; batch n depends on n alone."""
    n = 0
    while True:
        draw = random.Random(f"bag {n}")
        rows: list[list[int]] = []
        of_corpus: list[bool] = []
        bags: list[Tensor] = []
        while len(rows) < ROWS:
            if is_corpus := draw.random() < CORPUS_SHARE:
                topic = draw.choice(topics)
                order = draw.sample(range(len(topic)), len(topic))
                row = fill_row(topic, order, bos, CONTEXT)
                others = [token for sentence in order[len(order) // 2 :] for token in topic.first[sentence]]
            else:
                start = draw.randrange(len(prose) - 2 * CONTEXT)
                whole = fill_row(prose, list(range(start, start + 2 * CONTEXT)), bos, 2 * CONTEXT)
                row, others = whole[:CONTEXT], whole[CONTEXT:]
            if len(row) == CONTEXT:
                rows.append(row)
                of_corpus.append(is_corpus)
                bags.append(bag(others, rarity))
        yield Batch(torch.tensor(rows), torch.tensor(of_corpus), torch.stack(bags))
        n += 1


def bag(ids: list[int], rarity: Tensor) -> Tensor:
    """(n_vocabulary,): the words that are there, however often, weighed by how rare they are; the sum is 1."""
    found = torch.zeros_like(rarity).index_fill_(0, torch.tensor(ids), 1.0) * rarity
    return found / found.sum().clamp(min=1e-6)


def rarity_of(sentences: list[list[int]], n_vocabulary: int) -> Tensor:
    """(n_vocabulary,): log of one over the share of sentences that hold a token, counted from COMMON on."""
    holding = torch.zeros(n_vocabulary)
    for ids in sentences:
        holding[list(set(ids))] += 1
    return (torch.log(len(sentences) / (holding + 1)) - math.log(COMMON)).clamp(min=0)


def noisy(batch: Batch, n_vocabulary: int, step: int) -> Tensor:
    """The batch's tokens with a share of them (never the first of a row) replaced by random ones."""
    draw = torch.Generator().manual_seed(step + 7)
    ids = batch.token_ids
    replaced = torch.rand(ids.shape, generator=draw) < torch.where(batch.of_corpus, CORPUS_NOISE, NOISE)[:, None]
    replaced[:, 0] = False
    return torch.where(replaced, torch.randint(n_vocabulary, ids.shape, generator=draw), ids)


def rate_share(step: int, n_steps: int) -> float:
    """Of the learning rate: up over fifty steps, level for three tenths of the run, then down to nothing."""
    return min(1.0, (step + 1) / 50, max(0.02, (n_steps - step) / (0.7 * n_steps)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="as train_language_model.py wrote it, with tokenizer")
    parser.add_argument("--prose", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus.jsonl"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--block", type=int, default=5)
    parser.add_argument("--weight", type=float, default=1.0, help="of the aid's loss beside the next token's")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="by torch.compile; needs a C++ compiler")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    bos = tokenizer.token_to_id(BOS)
    train, held_out = split(read_corpus(args.corpus))
    topics = [encode_sentences(tokenizer, lines) for lines in train.values()]
    prose = encode_sentences(tokenizer, [s for p in read_prose(args.prose) for s in sentences_of(p)])
    held_out_ids = encode_sentences(tokenizer, held_out).first
    rarity = rarity_of([ids for t in topics for ids in t.first] + prose.first[::7], tokenizer.get_vocab_size())

    model = LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    model.set_attn_implementation("eager")
    model.train()
    torch.manual_seed(SEED)
    aid = Aid(model.config.hidden_size, model.config.vocab_size)
    outputs: list[Tensor] = []
    attention = model.model.layers[args.block].self_attn
    attention.register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
    with torch.no_grad():
        model(torch.tensor([fill_row(prose, list(range(9, 200)), bos, CONTEXT)]))
        scale = 1 / float(outputs[0].std())

    def losses(seen: Tensor, ids: Tensor, going_on: Tensor) -> tuple[Tensor, Tensor]:
        outputs.clear()
        next_token = next_token_loss(model, seen, ids)
        return next_token, aid.loss(outputs[0][:, READ_AT].float() * scale, going_on)

    loss_of = torch.compile(losses) if args.compile else losses
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    rate = args.learning_rate
    optimizers: list[tuple[torch.optim.Optimizer, float]] = [
        (torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), rate),
        (torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0), rate),
        (torch.optim.AdamW(aid.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.0), 5 * rate),
    ]
    start = time.monotonic()
    for step, batch in zip(range(args.steps), batches(prose, topics, bos, rarity), strict=False):
        for optimizer, own_rate in optimizers:
            optimizer.param_groups[0]["lr"] = own_rate * rate_share(step, args.steps)
        next_token, aids = loss_of(noisy(batch, model.config.vocab_size, step), batch.token_ids, batch.going_on)
        (next_token + args.weight * aids).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if (step + 1) % 100 == 0:
            nats = validation_loss(model, held_out_ids[::4], bos)
            print(
                f"{step + 1}/{args.steps} {time.monotonic() - start:.0f} s next token {next_token:.3f}, "
                f"aid {aids:.3f}, held-out {nats:.3f} nats",
                flush=True,
            )

    nats = validation_loss(model, held_out_ids, bos)
    measured = {
        "tokens": args.steps * ROWS * CONTEXT,
        "training_seconds": round(time.monotonic() - start),
        "processor_seconds": round(time.process_time()),
        "held_out_nats_per_token": round(nats, 4),
        "held_out_bits_per_character": round(
            nats * sum(map(len, held_out_ids)) / sum(map(len, held_out)) / math.log(2), 4
        ),
    }
    print(json.dumps(measured))
    (args.out / "measurements.json").write_text(json.dumps(measured, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (args.model / name).exists() and args.model != args.out:
            shutil.copy(args.model / name, args.out)
    model.half().save_pretrained(args.out)


if __name__ == "__main__":
    main()

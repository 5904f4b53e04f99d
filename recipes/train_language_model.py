"""Trains the demo's language model: a small Llama over prose and over contexts of one topic each.

python recipes/train_language_model.py --prose FOLDER --tokenizer FOLDER --out FOLDER [--tokens 34.8e6]
Killed, the same command goes on from its last checkpoint. The schedule is the same until LATE of it is over, so a run
may be lengthened or cut short at any time before that by another --tokens.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from text_data import (
    BOS,
    PAD,
    EncodedSentences,
    encode_sentences,
    fill_row,
    read_corpus,
    read_prose,
    sentences_of,
    split_held_out,
)
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

SEED = 0
CONTEXT = 128
ROWS = 32
# The corpus is small: much of it early is learned by heart (held-out loss rose from 4.70 to 5.08 nats at a share of
# 0.25 throughout), so most of its few passes come late.
CORPUS_SHARE, LATE_CORPUS_SHARE = 0.02, 0.12
LATE = 0.64  # of the run
# A share of the tokens read is replaced by random ones; what is to be predicted stays. The model must then lean on
# the sentence rather than on the last token alone, and sees no passage twice in the same form: of a topic's sentences
# as many that what they are about says more of the next word than how they run.
NOISE, NOISE_IN_DECAY, LATE_CORPUS_NOISE = 0.15, 0.10, 0.40
WARMUP_TOKENS = 400_000
DECAY_SHARE = 0.25
LEARNING_RATE = 3e-3
CHECKPOINT_SECONDS = 120.0


def new_model(n_vocabulary: int, bos: int, pad: int) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=n_vocabulary,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=6,
            num_attention_heads=8,
            num_key_value_heads=8,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            bos_token_id=bos,
            eos_token_id=bos,
            pad_token_id=pad,
        )
    )


@dataclass(frozen=True)
class Batch:
    """token_ids: (ROWS, CONTEXT) int64; of_corpus: (ROWS,), which rows are of one topic rather than running prose."""

    token_ids: Tensor
    of_corpus: Tensor


def batches(
    prose: EncodedSentences, topics: list[EncodedSentences], bos: int, first: int, late_from: int
) -> Iterator[Batch]:
    """Endless; batch n depends on n alone."""
    n = first
    while True:
        draw = random.Random(f"{SEED} {n}")
        corpus_share = CORPUS_SHARE if n < late_from else LATE_CORPUS_SHARE
        rows: list[list[int]] = []
        of_corpus: list[bool] = []
        while len(rows) < ROWS:
            if is_corpus := draw.random() < corpus_share:
                topic = draw.choice(topics)
                row = fill_row(topic, draw.sample(range(len(topic)), min(CONTEXT, len(topic))), bos, CONTEXT)
            else:
                start = draw.randrange(len(prose) - CONTEXT)
                row = fill_row(prose, list(range(start, start + CONTEXT)), bos, CONTEXT)
            if len(row) == CONTEXT:
                rows.append(row)
                of_corpus.append(is_corpus)
        yield Batch(torch.tensor(rows), torch.tensor(of_corpus))
        n += 1


def next_token_loss(model: LlamaForCausalLM, seen: Tensor, batch: Tensor) -> Tensor:
    """Mean nats a token of `batch` (ROWS, CONTEXT) when the model reads `seen`, of the same shape."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(seen).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


def noisy(batch: Batch, n_vocabulary: int, step: int, n_steps: int) -> Tensor:
    """The batch's tokens with a share of them (never the first of a row) replaced by random ones."""
    of_prose = NOISE if step < decay_start(n_steps) else NOISE_IN_DECAY
    of_corpus = of_prose if step < int(n_steps * LATE) else LATE_CORPUS_NOISE
    draw = torch.Generator().manual_seed(SEED * 1_000_003 + step)
    ids = batch.token_ids
    replaced = torch.rand(ids.shape, generator=draw) < torch.where(batch.of_corpus, of_corpus, of_prose)[:, None]
    replaced[:, 0] = False
    return torch.where(replaced, torch.randint(n_vocabulary, ids.shape, generator=draw), ids)


def decay_start(n_steps: int) -> int:
    return int(n_steps * (1 - DECAY_SHARE))


@torch.no_grad()
def validation_loss(model: LlamaForCausalLM, sentences: list[list[int]], bos: int) -> float:
    """Nats a token over sentences that stand alone after BOS; every token of them is predicted."""
    model.eval()
    total, count = 0.0, 0
    for ids in sentences:
        logits = model(torch.tensor([[bos, *ids]])).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids), reduction="sum"))
        count += len(ids)
    model.train()
    return total / count


def learning_rate(tokens: float, end: float) -> float:
    warm = min(1.0, (tokens + 1) / WARMUP_TOKENS)
    left = (end - tokens) / (DECAY_SHARE * end)
    return LEARNING_RATE * min(warm, max(left, 0.02), 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prose", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, default=Path("demo/corpus.jsonl"))
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=float, default=34.8e6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--compile", action="store_true", help="by torch.compile: 1.4 times as fast, needs a C++ compiler"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    bos, pad = tokenizer.token_to_id(BOS), tokenizer.token_to_id(PAD)
    train, held_out = split_held_out(read_corpus(args.corpus))
    topics = [encode_sentences(tokenizer, lines) for lines in train.values()]
    prose = encode_sentences(tokenizer, [s for p in read_prose(args.prose) for s in sentences_of(p)])
    held_out_ids = encode_sentences(tokenizer, held_out).first

    model = new_model(tokenizer.get_vocab_size(), bos, pad)
    # On short rows on a CPU, plain products are faster than torch's fused attention: 1.07 s against 1.37 s a step.
    model.set_attn_implementation("eager")
    # Matrices inside the blocks by Muon (Jordan 2024), which needs about a third fewer tokens here; the rest by AdamW.
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    checkpoint = args.out / "checkpoint.pt"
    step, trained_seconds, cpu_seconds = 0, 0.0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        step, trained_seconds, cpu_seconds = saved["step"], saved["seconds"], saved["cpu_seconds"]
        print(f"goes on from step {step}")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

    loss_of = torch.compile(next_token_loss) if args.compile else next_token_loss
    n_steps = int(args.tokens / (ROWS * CONTEXT))
    start = last_saved = time.monotonic()
    running = math.nan
    for batch in batches(prose, topics, bos, step, int(n_steps * LATE)):
        if step >= n_steps:
            break
        rate = learning_rate(step * ROWS * CONTEXT, n_steps * ROWS * CONTEXT)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss = loss_of(model, noisy(batch, model.config.vocab_size, step, n_steps), batch.token_ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        step += 1
        now = time.monotonic()
        if now - last_saved > CHECKPOINT_SECONDS or step == n_steps:
            seconds = trained_seconds + now - start
            state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers]}
            spent = {"seconds": seconds, "cpu_seconds": cpu_seconds + time.process_time()}
            torch.save({**state, **spent, "step": step}, args.out / "checkpoint.tmp")
            (args.out / "checkpoint.tmp").replace(checkpoint)
            nats = validation_loss(model, held_out_ids if step == n_steps else held_out_ids[::4], bos)
            print(f"{step}/{n_steps} steps {seconds:.0f} s train {running:.3f} held-out {nats:.3f} nats", flush=True)
            last_saved = time.monotonic()

    nats = validation_loss(model, held_out_ids, bos)
    bits = nats * sum(map(len, held_out_ids)) / sum(map(len, held_out)) / math.log(2)
    measured = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": step * ROWS * CONTEXT,
        "training_seconds": round(trained_seconds + time.monotonic() - start),
        "processor_seconds": round(cpu_seconds + time.process_time()),
        "held_out_nats_per_token": round(nats, 4),
        "held_out_bits_per_character": round(bits, 4),
    }
    print(json.dumps(measured))
    (args.out / "measurements.json").write_text(json.dumps(measured, indent=2) + "\n")
    model.half().save_pretrained(args.out)


if __name__ == "__main__":
    main()

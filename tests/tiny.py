"""A language model, an SAE and a corpus small enough for a test: real files in the real formats, made here, seeded."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

D_MODEL = 32
N_FEATURES = 24
DEAD, DENSE = 5, 7
HOOK = "blocks.1.hook_resid_pre"
TOPICS = {
    "tennis": "match serve court racket set tie-break ball player",
    "kitchen": "onion pan oven butter knife dough soup salt",
    "weather": "rain cloud wind frost sunshine fog storm hail",
}


@dataclass(frozen=True)
class Tiny:
    """Folders of the model and the SAE, and the corpus file."""

    model: Path
    sae: Path
    corpus: Path
    texts: list[str]


def make_tiny(folder: Path) -> Tiny:
    texts = corpus_texts()
    tokenizer = make_tokenizer(folder / "model", texts)
    make_model(folder / "model", tokenizer)
    make_sae(folder / "sae")
    corpus = folder / "corpus.jsonl"
    with corpus.open("w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            topic = next((topic for topic, words in TOPICS.items() if any(w in text for w in words.split())), "other")
            file.write(json.dumps({"text": text, "topic": topic, "number": i}, ensure_ascii=False) + "\n")
    return Tiny(folder / "model", folder / "sae", corpus, texts)


def corpus_texts() -> list[str]:
    """Sentences of three topics, and others that are hard on tokens: scripts, signs, markup, one text twice."""
    draw = random.Random(0)
    made = []
    for topic, words in TOPICS.items():
        for _ in range(14):
            chosen = draw.choices(words.split(), k=draw.randint(3, 9))
            made.append(f"The {' and the '.join(chosen)} of {topic}.")
    made += [
        "<script>alert('x')</script> & <b>bold</b>",
        "Ünïcödé naïve café — “quoted” …",
        "日本語の文章です。",
        "مرحبا بالعالم",
        "👩‍👩‍👧 and 🎾 emoji 🏳️‍🌈",
        "two\nlines\tand a tab",
        "x",
        made[3],
        "A long one: " + " ".join(draw.choices(TOPICS["weather"].split(), k=90)) + ".",
    ]
    return made


def make_tokenizer(folder: Path, texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<bos>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>")
    fast.save_pretrained(folder)
    return fast


def make_model(folder: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=D_MODEL,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def make_sae(folder: Path, **changed: object) -> None:
    """SAELens jumprelu with one dead and one dense feature."""
    draw = torch.Generator().manual_seed(1)
    decoder = torch.nn.functional.normalize(torch.randn(N_FEATURES, D_MODEL, generator=draw), dim=1)
    bias = torch.full((N_FEATURES,), -0.6)
    bias[DEAD], bias[DENSE] = -1000.0, 1.0
    tensors = {
        "W_enc": decoder.T.contiguous() * 1.3,
        "b_enc": bias,
        "W_dec": decoder,
        "b_dec": torch.randn(D_MODEL, generator=draw) * 0.1,
        "threshold": torch.full((N_FEATURES,), 0.2),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": D_MODEL,
        "d_sae": N_FEATURES,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"hook_name": HOOK, "model_name": "model", "prepend_bos": True},
    }
    (folder / "cfg.json").write_text(json.dumps(config | changed))

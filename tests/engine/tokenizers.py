"""Small tokenizers of every kind, trained here on the spot: fast ones, and slow ones that give ids alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from tests.tiny import corpus_texts

SPECIAL = ["<unk>", "<s>", "</s>", "<|endoftext|>"]
NAMES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(trimmed: bool = True) -> Any:
    """As Pythia's and Llama 3's: the post-processor trims spaces off the offsets."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trimmed)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(corpus_texts(), trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def byte_fallback() -> Any:
    """As Llama 2's and Gemma's: SentencePiece BPE with a byte for each character that is not in the vocabulary."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL + BYTES, limit_alphabet=40)
    trained.train_from_iterator(corpus_texts(), trainer)
    vocabulary = trained.get_vocab()
    merges = [tuple(pair) for pair in _merges(trained)]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=made, **NAMES)


def _merges(trained: Tokenizer) -> list[list[str]]:
    import json

    return [list(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]


def unigram(bytes_too: bool) -> Any:
    """As T5's, XLM-R's: the special tokens stand in the vocabulary among the others."""
    trained = Tokenizer(models.Unigram())
    trained.normalizer = normalizers.NFKC()
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(
        corpus_texts(), trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>")
    )
    import json

    vocabulary = [(piece, score) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    if bytes_too:
        vocabulary += [(byte, -20.0) for byte in BYTES]
    made = Tokenizer(models.Unigram(vocabulary, 0, bytes_too))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=made, **NAMES)


def word_piece() -> Any:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(corpus_texts(), trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=made, mask_token="[MASK]", **names)


def slow_word_piece(folder: Path) -> Any:
    vocabulary = word_piece().get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
    return BertTokenizerLegacy(str(folder / "vocab.txt"))


KINDS: dict[str, Callable[[Path], Any]] = {
    "byte-level BPE": lambda _: byte_level(),
    "byte-level BPE, untrimmed": lambda _: byte_level(trimmed=False),
    "SentencePiece BPE with byte fallback": lambda _: byte_fallback(),
    "Unigram": lambda _: unigram(bytes_too=False),
    "Unigram with byte fallback": lambda _: unigram(bytes_too=True),
    "WordPiece": lambda _: word_piece(),
    "slow WordPiece": slow_word_piece,
    "slow bytes": lambda _: ByT5Tokenizer(),
}

"""Every kind of tokenizer, on texts that are hard on tokens: joined, the tokens give the text back."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from app.engine.tokens import encode, plain_offsets, token_text, windows
from tests.engine.tokenizers import KINDS

TEXTS = {
    "Chinese": "东京是日本的首都。",
    "Japanese": "日本語の文章です。",
    "Korean": "안녕하세요 세계",
    "emoji with joiners": "👩‍👩‍👧 and 🎾🏳️‍🌈 end",
    "Devanagari": "नमस्ते दुनिया, क्षत्रिय",
    "Arabic": "مرحبا بالعالم، كيف حالك؟",
    "combining marks": "e\u0301a\u0308 Z\u0351\u036b\u0343algo naïve",
    "tabs and newlines": "two\n\nlines\tand\r\na tab\n",
    "leading spaces": "    the match  and   the ball  ",
    "NUL": "the\0match\0",
    "special tokens typed": "a <|endoftext|> b <s>c</s> [SEP][CLS] <unk> d",
    "compatibility forms": "ﬁne ½ ① ｆｕｌｌ ㎏ İstanbul ß",
    "byte names": "<0x41> and <0xE2>",
    "one letter": "x",
    "words": "The match and the serve of tennis, THE RAIN.",
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return plain_offsets(KINDS[request.param](tmp_path_factory.mktemp("tokenizer")))


def check(tokenizer: Any, text: str) -> None:
    ids, spans = encode(tokenizer, text)
    assert len(ids) == len(spans)
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(span.start <= span.end for span in spans)
    if ids:
        assert "".join(text[span.start : span.end] for span in spans) == text
    typed = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert not typed & set(ids)
    for window in windows(tokenizer, text, 5):
        assert "".join(window.text[s.start : s.end] for s in window.spans) == window.text
        assert text[window.offset : window.offset + len(window.text)] == window.text
    assert "".join(window.text for window in windows(tokenizer, text, 5)) == (text if ids else "")


@pytest.mark.parametrize("script", TEXTS)
def test_joined_tokens_give_the_text_back(tokenizer: Any, script: str) -> None:
    check(tokenizer, TEXTS[script])


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_joined_tokens_give_any_text_back(tokenizer: Any, text: str) -> None:
    check(tokenizer, text)


def test_a_word_is_where_its_token_says(tokenizer: Any) -> None:
    """Spans are not only without gap: each token of a plain sentence holds its own letters."""
    text = "The match and the serve of tennis."
    ids, spans = encode(tokenizer, text)
    shown = [token_text(tokenizer, id).replace("##", "").strip().lower() for id in ids]
    held = [text[span.start : span.end].strip().lower() for span in spans]
    assert held == shown


def test_a_space_stays_with_the_token_that_ends_in_it() -> None:
    """Offsets that a post-processor trims of spaces (Pythia, Llama 3) would give it to the next token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["end. "] * 9, trainers.BpeTrainer(vocab_size=261, initial_alphabet=alphabet))
    tokenizer = plain_offsets(PreTrainedTokenizerFast(tokenizer_object=made))
    text = "end. end."
    assert next(text[span.start : span.end] for span in encode(tokenizer, text)[1]) == "end. "


def test_a_slow_tokenizer_that_does_not_know_a_word_gives_it_its_place(tmp_path: Any) -> None:
    tokenizer = KINDS["slow WordPiece"](tmp_path)
    text = "the 東京 match"
    ids, spans = encode(tokenizer, text)
    assert tokenizer.unk_token_id in ids
    held = [text[span.start : span.end].strip() for span in spans]
    assert held[0] == "the"
    assert "東" in held[1]
    assert "".join(held[-5:]).endswith("match")


def test_ids_are_those_that_the_tokenizer_gives_itself_before_and_after_it_was_called(tokenizer: Any) -> None:
    text = "The match <|endoftext|> and [SEP] the serve</s>."
    expected = list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    for _ in range(2):
        ids, _ = encode(tokenizer, text)
        assert not special & set(ids)
        if not special & set(expected):
            assert ids == expected
        tokenizer(text)  # by default it takes special tokens for what they are


def test_a_file_that_says_to_cut_and_to_fill_up_is_read_whole() -> None:
    made = Tokenizer(models.WordLevel({"the": 0, "match": 1, "[PAD]": 2, "[UNK]": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.enable_truncation(3)
    made.enable_padding(length=9, pad_id=2, pad_token="[PAD]")
    tokenizer = plain_offsets(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]"))
    assert encode(tokenizer, "the match the match the")[0] == [0, 1, 0, 1, 0]


def test_a_tokenizer_that_does_more_than_its_file_says_is_asked_itself() -> None:
    class Lower(PreTrainedTokenizerFast):
        def _encode_plus(self, text: Any, *given: Any, **asked: Any) -> Any:
            return super()._encode_plus(text.lower(), *given, **asked)

    made = Tokenizer(models.WordLevel({"the": 0, "match": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = plain_offsets(Lower(tokenizer_object=made, unk_token="[UNK]"))
    assert encode(tokenizer, "The Match")[0] == [0, 1]

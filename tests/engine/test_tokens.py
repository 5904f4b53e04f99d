from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from app.engine.demo import model_path
from app.engine.tokens import encode, token_text, windows

TOKENIZER = AutoTokenizer.from_pretrained(model_path("demo"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXTS)
def test_spans_cover_any_text_without_gap_or_overlap(text: str) -> None:
    ids, spans = encode(TOKENIZER, text)
    assert len(ids) == len(spans)
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert all(a.end == b.start for a, b in pairwise(spans))


@given(TEXTS, st.integers(1, 30))
def test_windows_join_to_the_text(text: str, n: int) -> None:
    cut = windows(TOKENIZER, text, n)
    assert "".join(window.text for window in cut) == text
    assert all(len(window.token_ids) <= n for window in cut)
    assert all(text[w.offset : w.offset + len(w.text)] == w.text for w in cut)
    assert [i for w in cut for i in w.token_ids] == encode(TOKENIZER, text)[0]


@pytest.mark.parametrize("text", ["<|bos|>", "a <|pad|> b"])
def test_a_typed_special_token_is_plain_text(text: str) -> None:
    ids, _ = encode(TOKENIZER, text)
    assert not set(ids) & set(TOKENIZER.all_special_ids)


def test_a_character_in_several_tokens_is_held_by_the_first() -> None:
    _, spans = encode(TOKENIZER, "🦊")
    assert len(spans) > 1
    assert (spans[0].start, spans[0].end) == (0, 1)
    assert all(span.start == span.end == 1 for span in spans[1:])


def test_a_lone_token_is_never_empty() -> None:
    assert all(token_text(TOKENIZER, i) for i in range(len(TOKENIZER)))
    assert token_text(TOKENIZER, encode(TOKENIZER, " the")[0][0]) == " the"

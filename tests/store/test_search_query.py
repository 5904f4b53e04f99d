"""What is typed into the search box, and what it finds in one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Invalid
from app.store.search_query import matches, parse_query
from app.store.words import spaced, words


def found(q: str, text: str) -> list[str]:
    return [text[start:end] for start, end in matches(parse_query(q), text)]


@pytest.mark.parametrize(
    ("q", "text", "marked"),
    [
        ("tennis", "Tennis, and tennis-players.", ["Tennis", "tennis"]),
        ('"the court"', "The court of the other court", ["The court"]),
        ("serv*", "He serves; the service, deserved", ["serves", "service"]),
        ("cafe", "Naïve CAFÉ", ["CAFÉ"]),
        ("ﬁre", "fire", ["fire"]),
        ("日本", "今日本語です", ["日本"]),
        ("ไทย", "ภาษาไทย", ["ไทย"]),
        ("C++", "in C++ and C", ["C++"]),
        ("🎾", "a 🎾 ball", ["🎾"]),
        ("हिन्दी", "यह हिन्दी है", ["हिन्दी"]),
        ("don't", "I don't know", ["don't"]),
        ("-> x", "f -> x", ["-> x"]),
        ('"', 'a "quote"', ['"', '"']),
        ("*", "2 * 3", ["*"]),
        ("Straße", "STRASSE", ["STRASSE"]),
    ],
)
def test_what_is_looked_for_is_marked(q: str, text: str, marked: list[str]) -> None:
    assert found(q, text) == marked


def test_signs_mean_something_only_where_they_can() -> None:
    query = parse_query('net -"two words" -play well-known -- "open phrase')
    assert [term.text for term in query.wanted] == ["net", "well-known", "--", "open phrase"]
    assert [term.text for term in query.excluded] == ["two words", "play"]
    assert [term.is_prefix for term in parse_query("ten* a** * xy* x*").wanted] == [True, False, False, True, False]


@pytest.mark.parametrize("q", ["", "  ", "\t", "-tennis", '-"a b" -c'])
def test_a_search_that_looks_for_nothing_says_so(q: str) -> None:
    with pytest.raises(Invalid, match="type a word"):
        parse_query(q)


def test_far_too_many_words_are_refused() -> None:
    with pytest.raises(Invalid, match="may have 32"):
        parse_query(" ".join(f"w{i}" for i in range(60)))


@given(st.text())
def test_words_cover_all_that_is_no_space(text: str) -> None:
    made = list(words(text))
    assert spaced(text) == " ".join(word.folded for word in made)
    assert all(word.folded and not any(c.isspace() for c in word.folded) for word in made)
    kept = {i for word in made for i in range(word.start, word.end)}
    assert all(i in kept or c.isspace() or ord(c) < 32 or ord(c) == 127 for i, c in enumerate(text))


@given(st.text(min_size=1))
def test_a_text_finds_itself_in_quotes(text: str) -> None:
    inner = text.replace('"', " ")
    if spaced(inner):
        assert matches(parse_query(f'"{inner}"'), inner)

import unicodedata

import pytest
from selectolax.lexbor import LexborHTMLParser

from app.domain import Example, Group, Peak
from app.pages.escaping import escaped, escaped_each
from app.pages.filters import heat, number, visible
from app.pages.marks import heated, lone_token, sentence, topic
from app.pages.snippets import IN_LIST, ROOMS, ShownToken, View, fitting, shown, shown_in_list

NASTY = "<b>&amp;\"'</b>"


def example(text: str, lengths: list[int], firings: dict[int, float], peak: int | None) -> Example:
    ends = [sum(lengths[: n + 1]) for n in range(len(lengths))]
    found = None if peak is None else Peak(peak, "", firings.get(peak, 0.0))
    return Example(Group.TOP, 0, 7, text, found, ends, firings, {}, 0)


def test_whatever_a_token_holds_is_shown_as_text() -> None:
    tokens = [ShownToken(NASTY, 2.0, True), ShownToken(NASTY, 0.0, False), ShownToken(NASTY, 0.0, True)]
    page = LexborHTMLParser(f"<p>{heated(tokens, 4.0)}</p>").css("p")[0]
    assert page.text() == 3 * NASTY
    assert [(n.attributes["class"], n.attributes.get("data-activation")) for n in page.css("span")] == [
        ("token heat-5 peak", "2.00"),
        ("token peak", None),
    ]
    assert LexborHTMLParser(str(lone_token(NASTY))).css("code")[0].text() == NASTY


def test_a_topic_may_break_behind_its_signs_and_is_text_all_the_same() -> None:
    made = LexborHTMLParser(f"<p>{topic('dates_and_<b>units')}</p>").css("p")[0]
    assert made.text() == "dates_and_<b>units"
    assert [n.tag for n in made.css("*")] == ["p", "wbr", "wbr"]


def test_what_is_no_markup_is_escaped_and_markup_is_left() -> None:
    class Named:
        def __str__(self) -> str:
            return NASTY

    shown_text = "&lt;b&gt;&amp;amp;&#34;&#39;&lt;/b&gt;"
    assert escaped(NASTY) == escaped(Named()) == shown_text
    assert escaped(lone_token(NASTY)) == lone_token(NASTY)
    assert (escaped(3), escaped(0.5), escaped(None)) == ("3", "0.5", "None")


@pytest.mark.parametrize("sign", "&<>\"'")
def test_each_sign_of_html_is_escaped_wherever_it_stands(sign: str) -> None:
    safe = escaped(sign)
    assert (safe[0], safe[-1]) == ("&", ";")
    assert escaped_each(["a", f"b{sign}", f"{sign}c"]) == ["a", f"b{safe}", f"{safe}c"]


def test_a_lone_token_has_signs_for_its_spaces() -> None:
    assert [visible(token) for token in (" a b", "a\n", "\t\u00a0\r ")] == ["·a·b", "a↵", "⇥⍽␍·"]


def test_heat_grows_with_the_share_of_the_scale() -> None:
    levels = [heat(activation, 4.0) for activation in (-1.0, 0.0, 1e-320, 0.4, 0.41, 3.6, 3.61, 4.0, 9.0)]
    assert levels == [0, 0, 1, 1, 2, 9, 10, 10, 10]
    assert heat(1.0, 0.0) == 10


def test_numbers_have_three_digits() -> None:
    shown = {number(value): value for value in (0.00999, 0.999, 1.0, 9.994, 9.996, 10.0, 99.94, 100.0, 1234.0)}
    assert list(shown) == ["0.00999", "0.999", "1.00", "9.99", "10.00", "10.0", "99.9", "100", "1,234"]
    assert (number(-1.5), number(-42.0), number(0.0)) == ("−1.50", "−42.0", "0")


@pytest.mark.parametrize(
    ("text", "is_piled"), [("Ấn Độ, naïve, שָׁלוֹם, นี้", False), ("e" + 5 * "\u0301", True), ("ก" + 6 * "\u0e47", True)]
)
def test_only_a_sentence_with_accents_piled_up_is_clipped(text: str, is_piled: bool) -> None:
    for form in (text, unicodedata.normalize("NFD", text)):
        html = str(sentence(shown(example(form, [1] * len(form), {0: 1.0}, 0), View.FULL), 1.0))
        assert ("piled" in html) is is_piled


def test_silent_tokens_that_follow_one_another_are_one() -> None:
    found = shown(example("a bc def g", [1, 3, 4, 2], {1: 2.0}, 1), View.SNIPPET)
    assert found.tokens == [ShownToken("a", 0, False), ShownToken(" bc", 2.0, True), ShownToken(" def g", 0, False)]
    assert (found.cut_before, found.cut_after, found.n_firing) == (False, False, 1)


def test_a_piece_of_a_character_lends_its_heat_to_the_piece_that_holds_it() -> None:
    on_its_later_piece = example("a🎾b", [1, 1, 0, 0, 1], {3: 5.0}, 3)
    assert shown(on_its_later_piece, View.FULL).tokens == [
        ShownToken("a", 0, False),
        ShownToken("🎾", 5.0, True),
        ShownToken("b", 0, False),
    ]
    on_several = example("a🎾b", [1, 1, 0, 0, 1], {1: 1.0, 2: 4.0, 3: 2.0, 4: 3.0}, 2)
    assert shown(on_several, View.FULL).tokens == [
        ShownToken("a", 0, False),
        ShownToken("🎾", 4.0, True),
        ShownToken("b", 3.0, False),
    ]


def test_a_long_sentence_is_cut_around_its_peak_and_never_within_a_character() -> None:
    lengths = [0 if n % 3 == 0 and n else 1 for n in range(300)]
    long = example("x" * sum(lengths), lengths, {150: 1.0, 10: 2.0}, 150)
    found = shown(long, View.SNIPPET)
    assert found.cut_before
    assert found.cut_after
    assert found.n_firing == 2
    assert [token.is_peak for token in found.tokens] == [False, True, False]
    assert len("".join(token.text for token in found.tokens)) < 40


def test_what_is_in_view_is_bounded_in_characters_and_in_tokens_that_fire() -> None:
    words = example("wordwordword" * 60, [12] * 60, {30: 1.0}, 30)
    found = shown_in_list(words)
    assert (found.cut_before, found.cut_after) == (True, True)
    assert [token.is_peak for token in found.tokens] == [False, True, False]
    assert len("".join(token.text for token in found.tokens)) <= IN_LIST.characters
    monster = example("=" * 900, [300, 300, 300], {1: 1.0}, 1)
    assert [len(token.text) for token in shown_in_list(monster).tokens] == [300], "the peak itself is never cut"
    dense = example("a" * 900, [1] * 900, dict.fromkeys(range(900), 1.0), 2)
    full = shown(dense, View.FULL)
    assert sum(token.activation > 0 for token in full.tokens) == ROOMS[View.FULL].marks
    assert (full.cut_before, full.cut_after) == (False, True)


def test_examples_that_fit_are_the_first_and_one_at_least() -> None:
    some = [shown(example("a" * 100, [100], {}, None), View.SNIPPET)] * 5
    assert [len(fitting(some, most)) for most in (0, 100, 250, 499, 500)] == [1, 1, 2, 4, 5]


def test_line_breaks_are_signs_on_a_line_and_where_they_are_asked_for() -> None:
    broken = example("a\nb c", [1, 2, 2], {1: 1.0}, 1)
    assert [token.text for token in shown(broken, View.LINE).tokens] == ["a", "↵b", " c"]
    assert [token.text for token in shown(broken, View.FULL).tokens] == ["a", "\nb", " c"]
    assert [token.text for token in shown(broken, View.FULL, with_spaces=True).tokens] == ["a", "↵\nb", "·\u200bc"]

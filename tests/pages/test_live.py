import re
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser

from app.engine.patience import Patience
from app.main import create_app
from app.pages import live
from app.pages.live import MOST_FIRINGS, Asked, run, shading_of
from app.settings import Settings
from tests.conftest import Indexed


def test_a_text_is_shown_whole_with_its_strongest_features(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?text=The+match+and+the+serve+%F0%9F%8E%BE+%3Cb%3E")
    assert "".join(n.text() for n in page.all(".sentence.live .token")) == "The match and the serve 🎾 <b>"
    assert page.all("table.found tbody tr, table.found tr.followed")


def n_windows_run(client: TestClient) -> int:
    """By the models, as the server's measurements count them."""
    (found,) = re.findall(r"^featurescope_live_windows_total (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return int(float(found))


@pytest.mark.parametrize("asked", ["", "&by=rarity&follow=7", "&feature=3&follow=7"])
def test_a_page_runs_its_text_once(browse: Any, client: TestClient, asked: str) -> None:
    address = "/dictionaries/tiny/live?text=The+match+and+the+serve"
    browse(address)
    before = n_windows_run(client)
    page = browse(address + asked)
    assert n_windows_run(client) == before + 1
    assert page.all(".sentence.live .token")


def test_the_text_is_shaded_by_the_first_feature_as_where_it_is_asked_for(browse: Any) -> None:
    address = "/dictionaries/tiny/live?text=The+match+and+the+serve&by=sum"
    unasked = browse(address)
    asked = browse(f"{address}&feature={unasked.text('#ranked tbody .index')}")
    assert unasked.text("#result .why .index") == unasked.text("#ranked tbody .index")
    shades = [
        [token.attributes.get("data-activation") for token in page.all(".sentence.live .token")]
        for page in (unasked, asked)
    ]
    assert shades[0] == shades[1]
    assert any(shades[0])


def test_a_text_on_which_too_much_fires_to_keep_it_is_shaded_the_same(indexed: Indexed, client: TestClient) -> None:
    asked = Asked(indexed.dictionary, "The match and the serve, " * 150, follow=(7,))  # more than one piece's tokens
    state = client.app.state  # type: ignore[attr-defined]  # a FastAPI, not any ASGI app
    with state.database.read() as session:
        scales = state.scales.of(session, indexed.dictionary)
    once, again = (run(state.runtime, scales, asked, Patience(60), most) for most in (MOST_FIRINGS, 1))
    assert shading_of(again, asked).feature == shading_of(once, asked).feature
    assert list(shading_of(again, asked).activations) == pytest.approx(shading_of(once, asked).activations, abs=1e-5)
    assert any(shading_of(again, asked).activations)


def test_a_feature_can_be_followed_and_a_token_chosen(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?text=The+match+and+the+serve&feature=7&token=1")
    assert page.text("#result .why .index") == "7"
    assert page.one(".sentence.live .token[aria-current]").text() == page.all(".sentence.live .token")[1].text()


def test_followed_features_are_rows_over_the_tokens(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?text=The+match+and+the+serve&follow=7&follow=3")
    rows = page.all(".heat-rows tbody tr")
    assert [row.css_first(".index").text() for row in rows] == ["7", "3"]
    assert len(rows[0].css("td")) == len(page.all(".sentence.live .token"))
    drop = rows[0].css_first(".drop").attributes["href"]
    assert [row.css_first(".index").text() for row in browse(drop).all(".heat-rows tbody tr")] == ["3"]


def test_features_can_be_put_in_order_by_sum_and_by_rarity(browse: Any) -> None:
    text = "The match and the serve"
    for by, name in (("sum", "Largest sum"), ("rarity", "Most unusual")):
        page = browse(f"/dictionaries/tiny/live?text={text}&by={by}")
        assert page.text("#ranked .tabs [aria-current]") == name
    page = browse(f"/dictionaries/tiny/live?text={text}&by=sum")
    sums = [float(row.css("td")[3].text()) for row in page.all("#ranked tbody tr")]
    assert sums == sorted(sums, reverse=True)


def test_a_chosen_token_shows_what_the_model_expects_next(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?text=The+match+and+the+serve&token=2")
    shares = [float(row.css_first("td:last-child").text().rstrip("\u202f%")) for row in page.all(".card .shares tr")]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)


def test_a_live_text_fires_as_the_index_has_it(client: TestClient, ask: Any) -> None:
    _, examples = ask("/dictionaries/tiny/features/3/examples?limit=3")
    for example in examples["examples"]:
        if example["text"].startswith("The ") and example["text"].endswith("."):
            answer = client.post(
                "/api/v1/dictionaries/tiny/activations", json={"texts": [example["text"]], "features": [3]}
            ).json()
            live = [token["features"][0]["activation"] for token in answer["results"][0]["tokens"]]
            assert max(live) == pytest.approx(example["peak"]["activation"], rel=1e-3)


def test_too_long_a_text_is_refused(browse: Any, indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, max_text=10))) as client:
        answer = client.get("/dictionaries/tiny/live?text=more+than+ten+characters")
        assert answer.status_code == 422
        assert "at most 10" in answer.text


@pytest.mark.parametrize(
    ("address", "kept", "says"),
    [
        (f"live?text={'a' * 21_000}", "#text", "at most 20,000"),
        ("steer?prompt=The+match&feature=999&run=whole", "#prompt", "0 to 23"),
        ("steer?prompt=The+match&feature=3&strength=abc&run=stream", "#prompt", "no number"),
        ("attribute?text=The+match&target_word=several+long+words", "#text", "tokens for"),
        ("find?having=The+match&lacking=", "#having", "Both lists"),
        (f"features/3/try?text={'a' * 21_000}", "#try-it textarea", "at most 20,000"),
    ],
)
def test_what_cannot_be_run_is_said_beside_what_was_typed(browse: Any, address: str, kept: str, says: str) -> None:
    page = browse(f"/dictionaries/tiny/{address}")
    assert page.status == 422
    assert says in page.text("main [role=alert]")
    assert page.text(kept)


def test_at_a_full_model_pages_are_refused_before_anything_is_done_for_them(indexed: Indexed) -> None:
    asked = ("live?text=x", "features/3/try?text=x", "attribute?text=x", "find?having=x&lacking=y")
    steered = "prompt=x&feature=3"
    with TestClient(create_app(Settings(db=indexed.url, max_waiting=1))) as client:
        runtime = client.app.state.runtime  # type: ignore[attr-defined]  # a FastAPI, not any ASGI app
        with runtime.door.admit():
            for page in (*asked, f"steer?{steered}&run=whole", f"steer/events?{steered}"):
                answer = client.get(f"/dictionaries/tiny/{page}")
                assert answer.status_code == 503, page
                assert int(answer.headers["retry-after"]) > 0
                assert "max_waiting" in answer.text
                again = LexborHTMLParser(answer.text).css_first("main a").attributes["href"]
                assert again == f"/dictionaries/tiny/{page}"
            for form in ("live?text=", "find?having=", f"steer?{steered}"):
                assert client.get(f"/dictionaries/tiny/{form}").status_code == 200
        assert not runtime.processes.first.process.is_running


def test_without_models_the_page_says_why(indexed: Indexed) -> None:
    with TestClient(create_app(Settings(db=indexed.url, model=False))) as client:
        answer = client.get("/dictionaries/tiny/live?text=x")
        assert (answer.status_code, "--no-model" in answer.text) == (200, True)
        answer = client.post("/api/v1/dictionaries/tiny/activations", json={"texts": ["x"]})
        assert answer.status_code == 503


LONG = "The match and the serve, " * 150
SHORT = "The match and the serve"


def values(page: Any, name: str) -> list[str]:
    """Of the form's fields of a name, as it would send them."""
    fields = page.all(f"form.live [name={name}]")
    return [field.attributes.get("value") or "" for field in fields]


def test_another_text_keeps_what_is_followed_shaded_and_ordered(browse: Any) -> None:
    page = browse(
        "/dictionaries/tiny/live?" + urlencode({"text": SHORT, "feature": 7, "follow": [3, 5], "by": "sum"}, True)
    )
    assert values(page, "feature") == ["7"]
    assert values(page, "follow") == ["", "3", "5"]
    assert page.one("form.live option[selected]").attributes["value"] == "sum"


def test_a_number_that_cannot_be_stays_in_its_field(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?" + urlencode({"text": SHORT, "feature": 999, "follow": 3}))
    assert page.status == 422
    assert "999" in page.text(".notice.fault")
    assert (values(page, "feature"), values(page, "follow")) == (["999"], ["", "3"])


def test_fields_left_empty_ask_for_nothing(browse: Any) -> None:
    address = "/dictionaries/tiny/live?" + urlencode({"text": SHORT})
    asked = browse(f"{address}&feature=&follow=&follow=3&by=max")
    assert asked.text("#result .why .index") == browse(address).text("#result .why .index")
    assert [row.css_first(".index").text() for row in asked.all(".heat-rows tbody tr")] == ["3"]


@pytest.mark.parametrize("page_name", ["live", "attribute"])
def test_a_page_grows_with_its_text_and_not_with_its_square(browse: Any, page_name: str) -> None:
    sizes = [
        len(browse(f"/dictionaries/tiny/{page_name}?" + urlencode({"text": LONG * n, "follow": [3]}, True)).html)
        for n in (1, 4)
    ]
    assert sizes[1] < 4.5 * sizes[0]


def test_for_a_long_text_as_many_links_are_made_whatever_its_length(
    browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes time with the text's length: one for every token would take its square, shown or not."""
    made: list[int] = []

    def encode(state: Any, doseq: bool) -> str:
        made[-1] += 1
        return urlencode(state, doseq)

    monkeypatch.setattr(live, "urlencode", encode)
    for n in (1, 4):
        made.append(0)
        browse("/dictionaries/tiny/live?" + urlencode({"text": LONG * n}))
    assert made[0] == made[1] > 0


def test_a_long_text_is_shown_by_its_form(browse: Any) -> None:
    page = browse("/dictionaries/tiny/live?" + urlencode({"text": LONG, "feature": 7, "token": 5, "follow": 3}))
    assert not page.all(".sentence.live a, .found .acts a, .heat-rows a.drop")
    assert page.all(".sentence.live .token")[5].attributes["aria-current"] == "true"
    assert (values(page, "token"), values(page, "follow")) == (["5"], ["", "3"])

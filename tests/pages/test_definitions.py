from typing import Any

import pytest

from app.pages.glossary import definition

TEXT = "text=The+match+and+the+serve"
LISTS = "having=The+match%0AThe+racket&lacking=The+onion%0Arain"
PERCENTILE = "percentile-of-a-live-activation"
LIVE = {
    f"live?{TEXT}": {"Percentile": PERCENTILE, "Sum": "sum-over-a-live-text", "One in": "one-in"},
    f"features/7/try?{TEXT}": {"Percentile": PERCENTILE},
    "steer?prompt=The+match&feature=3&max_new_tokens=3&run=whole": {"KL": "kl"},
    f"attribute?{TEXT}": {
        "Contribution": "contribution",
        "By ablation": "by-ablation",
        "Correlation": "correlation-of-contributions",
        "The SAE's error": "error-bias-bos",
        "Its bias": "error-bias-bos",
        "BOS": "error-bias-bos",
        "Other paths, and what is not linear": "other-paths",
    },
    f"find?{LISTS}": {"AUC": "auc"},
}


def test_each_term_of_the_documentation_is_on_the_page(browse: Any) -> None:
    page = browse("/definitions")
    assert {node.attributes["id"] for node in page.all(".definitions div")} >= {"density", "histogram", "next-tokens"}
    assert page.text("#density dt") == "Density"
    assert page.all("#density em")


def test_a_name_that_is_no_term_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        definition("no-such-term")
    assert [part.text for part in definition("Words of a page.")] == ["Words of a page."]


@pytest.mark.parametrize("address", LIVE)
def test_the_names_of_live_numbers_open_their_definitions(browse: Any, address: str) -> None:
    page, defined = browse(f"/dictionaries/tiny/{address}"), browse("/definitions")
    said = {node.css_first("summary").text(): node.css_first(".said").text() for node in page.all("details.meaning")}
    for name, anchor in LIVE[address].items():
        assert said[name] == defined.one(f"#{anchor} dd").text(), name

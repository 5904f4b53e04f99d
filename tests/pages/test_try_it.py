"""The box on a feature's page that runs one's own texts."""

from typing import Any


def test_the_box_stands_on_the_features_page_and_leads_to_its_own(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/7")
    assert page.one("#try-it form").attributes["action"] == "/dictionaries/tiny/features/7/try"


def test_texts_are_shown_with_the_features_heat_the_newest_first(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/7/try?text=The+serve&text=The+match+and+rain")
    assert [node.text() for node in page.all("#try-it .sentence")] == ["The serve", "The match and rain"]
    assert page.all("#try-it .token[data-activation]")
    assert [node.attributes["value"] for node in page.all("#try-it input[type=hidden]")] == [
        "The serve",
        "The match and rain",
    ]
    assert "Percentile" in page.text("#try-it .note")


def test_a_silent_feature_says_so(browse: Any) -> None:
    page = browse("/dictionaries/tiny/features/5/try?text=The+serve")
    assert "stays silent" in page.text("#try-it .note")

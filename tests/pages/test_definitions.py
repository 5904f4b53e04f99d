from typing import Any

import pytest

from app.pages.glossary import definition


def test_each_term_of_the_documentation_is_on_the_page(browse: Any) -> None:
    page = browse("/definitions")
    assert {node.attributes["id"] for node in page.all(".definitions div")} >= {"density", "histogram", "next-tokens"}
    assert page.text("#density dt") == "Density"
    assert page.all("#density em")


def test_a_name_that_is_no_term_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        definition("no-such-term")
    assert [part.text for part in definition("Words of a page.")] == ["Words of a page."]

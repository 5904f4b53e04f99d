"""Topics: values of metadata fields that features are about, as lists filter by them. topic_index.py makes them."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary
from app.store.tables import FeatureTopicRow, TopicRow
from app.store.visible import rows_of_build
from app.store.words import spaced

OFFERED, BYTES = 100, 2000  # topics that a list names, and what they may weigh
_OFFERED = (
    select(TopicRow.value)
    .where(TopicRow.dictionary == bindparam("dictionary"))
    .order_by(TopicRow.n_features.desc(), TopicRow.number)
    .limit(OFFERED)
)
# What was read of each database: a build never changes, and another one has another key and another time.
_READ: "WeakKeyDictionary[object, dict[tuple[int, datetime], Sequence[str]]]" = WeakKeyDictionary()


def list_topics(session: Session, dictionary: Dictionary) -> Sequence[str]:
    """Their values, those that most features are about first; no more than OFFERED and BYTES allow."""
    read, build = _READ.setdefault(session.get_bind(), {}), (dictionary.key, dictionary.created_at)
    if build not in read:
        values = [value for (value,) in rows_of_build(session, _OFFERED, {"dictionary": dictionary.key})]
        ends = accumulate(len(value.encode("utf-8", "surrogatepass")) for value in values)
        read[build] = [value for value, end in zip(values, ends, strict=True) if end <= BYTES]
    return read[build]


def features_about(dictionary: Dictionary, words: str) -> Any:
    """A query for the features that are about a topic which holds these words."""
    named = select(TopicRow.number).where(
        TopicRow.dictionary == dictionary.key, TopicRow.words.contains(as_words(words), autoescape=True)
    )
    return select(FeatureTopicRow.feature).where(
        FeatureTopicRow.dictionary == dictionary.key, FeatureTopicRow.topic.in_(named)
    )


def as_words(value: str) -> str:
    """A value as filters compare it: case, accents and underscores do not count."""
    return spaced(value.replace("_", " "))

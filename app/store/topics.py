"""Topics: values of metadata fields that features are about, as lists filter by them. topic_index.py makes them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary
from app.store.tables import FeatureTopicRow, TopicRow
from app.store.visible import rows_of_build
from app.store.words import spaced

OFFERED = 100  # topics that a list names
_OFFERED = (
    select(TopicRow.value)
    .where(TopicRow.dictionary == bindparam("dictionary"))
    .order_by(TopicRow.n_features.desc(), TopicRow.number)
    .limit(OFFERED)
)
# What was read of each database: a build never changes, and another one has another key and another time.
_READ: "WeakKeyDictionary[object, dict[tuple[int, datetime], Sequence[str]]]" = WeakKeyDictionary()


def list_topics(session: Session, dictionary: Dictionary) -> Sequence[str]:
    """Their values, those that most features are about first; none beyond OFFERED."""
    read, build = _READ.setdefault(session.get_bind(), {}), (dictionary.key, dictionary.created_at)
    if build not in read:
        read[build] = [value for (value,) in rows_of_build(session, _OFFERED, {"dictionary": dictionary.key})]
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

"""Examples: a feature's chosen sentences, group by group, with its activation at every token.

The statements are built once, with named parameters: building one anew for each page takes longer than running it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.domain import Dictionary, Example, Group, Peak, Slice
from app.store.blobs import unpack_ascending, unpack_ends
from app.store.cursors import make_cursor, read_cursor
from app.store.example_blobs import PackedExample, PackedExamples
from app.store.number_lists import among
from app.store.search_index import first_place
from app.store.tables import FeatureExamplesRow, SearchedSentenceRow, SentenceRow
from app.store.visible import rows_of_build

GROUPS = tuple(Group)  # the groups of PackedExamples, in their order


def list_examples(
    session: Session, dictionary: Dictionary, index: int, group: Group, cursor: str | None, limit: int
) -> Slice[Example]:
    """One group of a feature's examples, strongest (or first drawn) first, without those whose sentence is missing."""
    return list_and_count_examples(session, dictionary, index, group, cursor, limit)[0]


def list_and_count_examples(
    session: Session, dictionary: Dictionary, index: int, group: Group, cursor: str | None, limit: int
) -> tuple[Slice[Example], dict[Group, int], int]:
    """One group of a feature's examples, how many each group has, and how many are left out here: in a damaged
    database their sentences are missing.
    """
    name = (dictionary.id, index, group)
    begin = max(0, _rank_in(name, cursor) + 1) if cursor is not None else 0
    packed = _read_packed(session, dictionary, [index]).get(index)
    if packed is None:
        return Slice([], None, 0), dict.fromkeys(GROUPS, 0), 0
    place = GROUPS.index(group)
    first, total = packed.first(place), packed.counts[place]
    begin, end = min(begin, total), min(begin + limit, total)
    chosen = packed.examples(first + begin, first + end)
    sentences = _read_sentences(session, dictionary, {found.sentence for found in chosen})
    following = make_cursor(name, (end - 1,)) if end < total else None
    there = ((begin + i, found) for i, found in enumerate(chosen) if found.sentence in sentences)
    shown = [_to_example(group, rank, found, sentences) for rank, found in there]
    examples = Slice(shown, following, total)
    return examples, dict(zip(GROUPS, packed.counts, strict=True)), len(chosen) - len(shown)


def _rank_in(name: tuple[str, int, str], cursor: str) -> int:
    (rank,) = read_cursor(name, cursor, int)
    assert isinstance(rank, int)
    return rank


def best_examples(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, Example]:
    """The strongest example of each feature, by index; a feature that never fired, or whose sentence is missing, has
    none.
    """
    every = _read_packed(session, dictionary, indices)
    fired = {index: packed for index, packed in every.items() if packed.strongest}
    sentences = _read_sentences(session, dictionary, {packed.strongest[0] for packed in fired.values()})
    there = {index: packed for index, packed in fired.items() if packed.strongest[0] in sentences}
    return {index: _to_example(GROUPS[0], 0, packed.example(0), sentences) for index, packed in there.items()}


def strongest_with(
    session: Session, dictionary: Dictionary, sentences: Mapping[int, int | None]
) -> dict[int, tuple[int, Example | None]]:
    """How many strongest examples each feature has, and which of them is the sentence asked for, if any is.

    sentences: by a feature's index the number of a sentence, or None.
    """
    every = _read_packed(session, dictionary, list(sentences))
    read = _read_sentences(session, dictionary, {number for number in sentences.values() if number is not None})
    found: dict[int, tuple[int, Example | None]] = {}
    for index, packed in every.items():
        number, example = sentences[index], None
        if number in read and number in packed.strongest:
            place = packed.strongest.index(number)
            example = _to_example(GROUPS[0], place, packed.example(place), read)
        found[index] = len(packed.strongest), example
    return found


def examples_of_sentence(
    session: Session, dictionary: Dictionary, number: int, limit: int
) -> Slice[tuple[int, Example]]:
    """The features that count a sentence among their strongest examples, the largest peak first, with the example.

    Past `limit` only counted: `next` is always None.
    """
    of_build = {"first": first_place(dictionary.key), "last": first_place(dictionary.key + 1) - 1}
    features = session.scalar(_SHOWING, {"sentence": number, **of_build})
    every = _read_packed(session, dictionary, unpack_ascending(features or b""))
    places = {index: packed.strongest.index(number) for index, packed in every.items()}
    found = {index: packed.example(places[index]) for index, packed in every.items()}
    peaks = {index: max(example.activations.values()) for index, example in found.items()}
    strongest = sorted(every, key=lambda index: (-peaks[index], index))
    sentences = _read_sentences(session, dictionary, {number})
    shown = [(index, _to_example(GROUPS[0], places[index], found[index], sentences)) for index in strongest[:limit]]
    return Slice(shown, None, len(every))


def find_example(session: Session, dictionary: Dictionary, index: int, number: int) -> Example | None:
    """A sentence as one of a feature's examples, in whichever group; None where it is none of them."""
    packed = _read_packed(session, dictionary, [index]).get(index)
    if packed is None or number not in packed.sentences:
        return None
    i = packed.sentences.index(number)
    place = packed.group_of(i)
    sentences = _read_sentences(session, dictionary, {number})
    return _to_example(GROUPS[place], i - packed.first(place), packed.example(i), sentences)


_PACKED = select(FeatureExamplesRow.feature, FeatureExamplesRow.packed).where(
    FeatureExamplesRow.dictionary == bindparam("dictionary"), among(FeatureExamplesRow.feature, "numbers")
)
_SENTENCES = select(
    *(SentenceRow.number, SentenceRow.text, SentenceRow.boundaries, SentenceRow.details, SentenceRow.offset)
).where(SentenceRow.dictionary == bindparam("dictionary"), among(SentenceRow.number, "numbers"))
_SHOWING = select(SearchedSentenceRow.features).where(
    SearchedSentenceRow.sentence == bindparam("sentence"),
    SearchedSentenceRow.id.between(bindparam("first"), bindparam("last")),
)


def _read_packed(session: Session, dictionary: Dictionary, indices: Sequence[int]) -> dict[int, PackedExamples]:
    """By index; a feature without any example has none."""
    rows = rows_of_build(session, _PACKED, {"dictionary": dictionary.key, "numbers": indices}).all()
    return {index: PackedExamples(packed) for index, packed in rows}


def _read_sentences(session: Session, dictionary: Dictionary, numbers: Collection[int]) -> dict[int, Any]:
    """Rows of _SENTENCES by number. Plain columns: a page reads dozens of rows."""
    if not numbers:
        return {}
    asked = {"dictionary": dictionary.key, "numbers": list(numbers)}
    return {row[0]: row for row in rows_of_build(session, _SENTENCES, asked).all()}


def _to_example(group: Group, rank: int, found: PackedExample, sentences: Mapping[int, Any]) -> Example:
    """sentences: of _read_sentences."""
    number, text, boundaries, details, offset = sentences[found.sentence]
    ends = unpack_ends(boundaries)
    return Example(
        group=group,
        rank=rank,
        sentence=number,
        text=text,
        peak=None if found.peak is None else _peak(found.peak, text, ends, found.activations),
        ends=ends,
        firings=found.activations,
        metadata=details,
        offset=offset,
    )


def _peak(position: int, text: str, ends: Sequence[int], firings: Mapping[int, float]) -> Peak:
    start = ends[position - 1] if position else 0
    return Peak(position, text[start : ends[position]], firings.get(position, 0.0))

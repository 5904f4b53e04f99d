from app.store.blobs import pack_lengths
from app.store.search_hits import LABEL, METADATA, TEXT, TOKEN, Found
from app.store.search_rank import joined, rank, ways_of, ways_through_sentences


def shown(*features: int) -> bytes:
    return pack_lengths(step - before for before, step in zip((0, *features), features, strict=False))


def test_what_most_examples_speak_for_comes_first_whether_they_say_it_or_are_about_it() -> None:
    found = [
        Found(TEXT, (1, 10), 0, 0, 9, 100),
        Found(TEXT, (1, 11), 0, 0, 2, 101),
        Found(METADATA, (1, 11), 0, 0, 20, 102),
        Found(METADATA, (1, 12), 0, 0, 19, 103),
    ]
    ranked = rank(ways_of(found))
    assert ranked.first(9) == [found[2], found[3], found[0]]


def test_labels_come_first_and_pieces_of_words_last() -> None:
    found = [
        Found(METADATA, (1, 1), 0, 0, 20, 5),
        Found(TEXT, (1, 2), 1, 0, 20, 6),
        Found(LABEL, (1, 3), 1, 0, 0, 7),
        Found(LABEL, (1, 4), 0, 0, 0, 8),
        Found(LABEL, (1, 5), 0, 3, 0, 9),
    ]
    assert [hit.feature[1] for hit in rank(ways_of(found)).first(9)] == [5, 4, 3, 1, 2]


def test_to_fire_on_the_word_counts_as_much_as_some_examples() -> None:
    found = [
        Found(TEXT, (1, 1), 0, 0, 12, 5),
        Found(TOKEN, (1, 2), 0, 0, 0, 0),
        Found(TEXT, (1, 2), 0, 0, 4, 6),
        Found(TOKEN, (1, 3), 0, 0, 0, 0),
        Found(METADATA, (1, 4), 0, 0, 18, 7),
    ]
    ranked = rank(ways_of(found)).first(9)
    assert [hit.feature[1] for hit in ranked] == [4, 2, 1, 3]
    assert (ranked[1].kind, ranked[1].n_examples) == (TOKEN, 4)


def test_a_page_goes_on_where_the_one_before_ended() -> None:
    ranked = rank(ways_of([Found(TEXT, (key, index), 0, 0, index % 3, 0) for key in (1, 2) for index in range(40)]))
    whole = ranked.first(100)
    assert len({hit.feature for hit in whole}) == 80
    assert ranked.builds() == {1: 40, 2: 40}
    for n in (1, 7, 79):
        assert ranked.after(int(ranked.place[n - 1]), int(ranked.ways.of[n - 1])).first(100) == whole[n:]


def test_features_are_counted_over_the_sentences_that_show_them() -> None:
    rows = [(7, shown(3, 500_000)), (2, shown(3, 4)), (9, shown(3))]
    ways = joined([ways_of([]), ways_through_sentences(TEXT, 6, 0, rows)])
    assert rank(ways).first(9) == [
        Found(TEXT, (6, 3), 0, 0, 3, 2),
        Found(TEXT, (6, 4), 0, 0, 1, 2),
        Found(TEXT, (6, 500_000), 0, 0, 1, 7),
    ]
    assert rank(ways_of([])).first(9) == []

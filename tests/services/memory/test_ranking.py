"""Numbers to numbers: what stands around counts, and nobody's score depends on the others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mimo.services.memory import ranking, relevance
from mimo.services.memory.found import Hit
from mimo.services.memory.packing import packed, shortened
from mimo.services.memory.weighing import best_by_words
from mimo.services.memory.words import extra_of, pieces_of
from mimo.storage.engrams.gather import ByWords
from mimo.storage.engrams.traits import hashed, traits_of


def test_words_are_counted_by_their_hashes() -> None:
    terms = np.array(hashed(["bowl", "tea"]), np.int64)
    counts, lengths = ranking.counted([hashed(["tea", "x", "tea"]).tobytes(), b""], terms)
    assert counts.tolist() == [[0, 2], [0, 0]]
    assert lengths.tolist() == [3, 0]


@given(st.lists(st.lists(st.sampled_from("abcdef")), max_size=6), st.sets(st.sampled_from("abcxyz")))
def test_counting_agrees_with_counting_by_hand(texts: list[list[str]], wanted: set[str]) -> None:
    terms = sorted(wanted)
    counts, _ = ranking.counted([hashed(text).tobytes() for text in texts], np.array(hashed(terms), np.int64))
    assert counts.tolist() == [[text.count(term) for term in terms] for text in texts]


@given(st.lists(st.sets(st.integers(1, 40), max_size=20), max_size=6), st.integers(1, 12))
def test_the_best_by_words_are_those_whose_words_say_most_the_newest_first(
    lists: list[set[int]], limit: int
) -> None:
    """Of ids that lie close together, and of such that lie far apart."""
    idf = np.array([0.5, 1.0, 0.5, 2.0, 0.25, 1.0], np.float32)[: len(lists)]
    worth = {id_: sum(float(idf[at]) for at, its in enumerate(lists) if id_ in its) for id_ in range(1, 41)}
    expected = sorted((id_ for id_ in worth if worth[id_]), key=lambda id_: (-worth[id_], -id_))[:limit]
    for apart in (1, 1_000_000):
        rows = tuple(np.array(sorted(its), np.int64) * apart for its in lists)
        said = ByWords((), (), rows, 40, None, None)
        assert best_by_words(said, idf, limit) == [id_ * apart for id_ in expected]


def test_a_rare_word_says_more() -> None:
    rare, common, everywhere = ranking.inverse_frequency([1, 50, 100], 100)
    assert rare > common > everywhere > 0


def test_a_cosine_with_nothing_is_the_mean_of_the_others() -> None:
    vectors = np.array([[1, 0], [0, 0], [0, 1]], np.float32)
    assert ranking.cosines(vectors, np.array([1, 0], np.float32)).tolist() == [1.0, 0.5, 0.0]


def test_no_score_leaves_the_range_from_0_to_1_whatever_the_evidence() -> None:
    table = np.full((2, len(ranking.FEATURES)), 1e9, np.float32)
    table[1] = -1e9
    weights = ranking.vector_of(ranking.Weights())
    high, low = relevance.scores(table, np.abs(weights)).tolist()
    assert 0 <= low < 0.001
    assert 0.999 < high <= 1


def test_nothing_is_said_of_nothing() -> None:
    assert relevance.says_nothing(np.zeros(0, np.float32))


def test_identifiers_fall_apart_at_humps_digits_and_underscores() -> None:
    assert pieces_of("parseHTTPRequest2 read_file plain") == ["parse", "HTTP", "Request", "readfile"]
    assert extra_of("plain words", ["tag"]) == "tag"


def test_traits_say_who_speaks_and_whether_it_asks() -> None:
    asked = traits_of("Ann Lee: did you go yesterday?", "", str.split)
    told = traits_of("10:30: no. It was far", "", str.split)
    assert (asked.speaker, asked.asks, asked.dated) == ("ann lee", True, True)
    assert (told.speaker, told.asks, told.dated) == ("", False, False)


def hit(content: str) -> Hit:
    return Hit(1, content, "fact", "home", 1.0)


def test_a_near_repeat_is_left_out() -> None:
    kept = packed([hit("the tea is green"), hit("The tea is green!"), hit("the bus is late")], None)
    assert [one.content for one in kept] == ["the tea is green", "the bus is late"]


@given(st.lists(st.text(min_size=1)), st.integers(0, 400))
def test_what_is_packed_fits(texts: list[str], budget: int) -> None:
    assert sum(len(one.content) for one in packed([hit(text) for text in texts], budget)) <= budget


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_is_short(text: str, longest: int) -> None:
    assert len(shortened(text, longest)) <= longest

"""Numbers to numbers: what stands around counts, and nobody's score depends on the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
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
        said = ByWords((), (), rows, None, 40, None, None)
        assert best_by_words(said, idf, limit) == [id_ * apart for id_ in expected]


def test_a_rare_word_says_more() -> None:
    rare, common, everywhere = ranking.inverse_frequency([1, 50, 100], 100)
    assert rare > common > everywhere > 0


def test_a_cosine_with_nothing_is_the_mean_of_the_others() -> None:
    vectors = np.array([[1, 0], [0, 0], [0, 1]], np.float32)
    assert ranking.cosines(vectors, np.array([1, 0], np.float32)).tolist() == [1.0, 0.5, 0.0]


def spoken(of_each: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """What two people say: a direction for each of them, and one for what it is about; and who says it."""
    about = np.random.default_rng(7).standard_normal((2 * of_each, 6)).astype(np.float32)
    first = np.arange(2 * of_each) < of_each
    about[first, 0] += 5
    about[~first, 1] += 5
    return about, first


def talk(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """All of it in one window."""
    return np.zeros(len(vectors), np.int64)


def test_a_name_in_the_question_makes_nothing_nearer_that_its_bearer_says() -> None:
    vectors, first = spoken(200)
    asked = np.array([1, 0, 1, 0, 0, 0], np.float32)
    left = ranking.less_names(asked, vectors, talk(vectors), [first], np.ones(len(first), bool))
    by_name = vectors[first].mean(axis=0) - vectors[~first].mean(axis=0)
    assert abs(float(left @ by_name)) < 1e-4 < float(asked @ by_name)
    assert left[2] > asked[2] / np.linalg.norm(asked)  # what it is about counts for the more
    assert left @ left == pytest.approx(1)


def test_both_names_take_out_the_same_as_one_where_two_speak() -> None:
    vectors, first = spoken(20)
    asked, anybody = np.array([1, 2, 3, 0, 0, 1], np.float32), np.ones(len(first), bool)
    both = ranking.less_names(asked, vectors, talk(vectors), [first, ~first], anybody)
    assert both == pytest.approx(
        ranking.less_names(asked, vectors, talk(vectors), [first], anybody), abs=1e-5
    )


def test_from_a_few_turns_one_cannot_tell_what_a_name_adds() -> None:
    asked = np.array([1, 0, 0, 0, 0, 0], np.float32)
    vectors, first = spoken(ranking.ENOUGH_SAID - 1)
    assert (
        ranking.less_names(asked, vectors, talk(vectors), [first], np.ones(len(first), bool)).tolist()
        == asked.tolist()
    )
    vectors, first = spoken(ranking.ENOUGH_SAID)
    vectors[-1] = 0  # not embedded yet
    assert (
        ranking.less_names(asked, vectors, talk(vectors), [first], np.ones(len(first), bool)).tolist()
        == asked.tolist()
    )
    said = np.where(np.arange(len(first)) == 0, False, True)  # one is a note that nobody says
    vectors, first = spoken(ranking.ENOUGH_SAID)
    assert ranking.less_names(asked, vectors, talk(vectors), [~first], said).tolist() == asked.tolist()


def test_what_is_said_elsewhere_does_not_tell_what_a_name_adds() -> None:
    asked = np.array([0, 0, 0, 0, 0, 1], np.float32)
    vectors, first = spoken(50)
    vectors[first, 5] += 5  # the talk of the first is about something
    alone = np.arange(len(vectors))
    anybody = np.ones(len(first), bool)
    assert ranking.less_names(asked, vectors, alone, [first], anybody).tolist() == asked.tolist()
    beside = np.vstack([vectors, vectors[~first] + vectors[first][:, 5:] * np.eye(6, dtype=np.float32)[5]])
    window = np.repeat([0, 1, 0], 50)  # the third speaks with the first, the second elsewhere
    left = ranking.less_names(asked, beside, window, [np.arange(150) < 50], np.ones(150, bool))
    assert left @ asked > 0.95


def test_a_question_that_is_nothing_but_a_name_leaves_no_nonsense() -> None:
    vectors = np.repeat(np.array([[1, 0], [-1, 0]], np.float32), 10, axis=0)
    first = vectors[:, 0] > 0
    left = ranking.less_names(
        np.array([1, 0], np.float32), vectors, talk(vectors), [first], np.ones(20, bool)
    )
    assert np.isfinite(left).all()


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

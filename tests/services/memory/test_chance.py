"""What chance looks like: a model to which everything is near abstains as well as one to which nothing is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mimo.services.memory.chance import EXPECTED, FEW, MANY, USUAL, Chance, steadied
from mimo.vector import to_blob


def about(direction: npt.NDArray[np.float32], nearness: float, count: int) -> list[bytes]:
    """Vectors of which any two have about this cosine."""
    noise = np.random.default_rng(7).standard_normal((count, len(direction))).astype(np.float32)
    noise -= np.outer(noise @ direction, direction)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return [to_blob(nearness**0.5 * direction + (1 - nearness) ** 0.5 * row) for row in noise]


@pytest.fixture
def north() -> npt.NDArray[np.float32]:
    direction = np.zeros(64, np.float32)
    direction[0] = 1
    return direction


@pytest.mark.parametrize("nearness", [0.0, 0.1, 0.4, 0.75])
def test_the_level_is_the_mean_cosine_of_any_two(nearness: float, north: npt.NDArray[np.float32]) -> None:
    chance = Chance()
    blobs = about(north, nearness, 2 * FEW)
    chance.note(blobs[:FEW], 64)
    chance.note(blobs[FEW:], 64)
    assert chance.level == pytest.approx(nearness, abs=0.02)


def test_few_that_are_about_one_thing_do_not_make_it_chance_to_ask_for_it(
    north: npt.NDArray[np.float32],
) -> None:
    chance = Chance()
    chance.note(about(north, 0.8, FEW - 1), 64)
    assert chance.level == USUAL
    chance.note(about(north, 0.8, FEW), 64)
    assert chance.level == pytest.approx(0.8, abs=0.02)


def test_the_first_notes_are_of_this_and_that_and_soon_it_is_seen_whether_they_are(
    north: npt.NDArray[np.float32],
) -> None:
    chance = Chance()
    assert chance.level == EXPECTED
    chance.note(about(north, 0.0, 1), 64)
    assert chance.level == EXPECTED
    chance.note(about(north, 0.0, 40), 64)
    assert 0 <= chance.level < EXPECTED / 3


def test_vectors_without_a_direction_do_not_count(north: npt.NDArray[np.float32]) -> None:
    chance = Chance()
    chance.note([*about(north, 0.4, 2 * FEW), *[to_blob(np.zeros(64, np.float32))] * 500], 64)
    assert chance.level == pytest.approx(0.4, abs=0.02)


def test_many_are_enough(north: npt.NDArray[np.float32]) -> None:
    chance = Chance()
    chance.note(about(north, 0.4, MANY), 64)
    chance.note(about(north, 0.9, MANY), 64)
    assert chance.level == pytest.approx(0.4, abs=0.02)


def test_what_chance_gives_becomes_the_usual_and_the_same_stays_the_same() -> None:
    cosines = np.array([0.7, 1.0, 0.85], np.float32)
    assert steadied(cosines, 0.7) == pytest.approx([USUAL, 1.0, (1 + USUAL) / 2], abs=1e-5)
    assert steadied(cosines, USUAL) == pytest.approx(cosines, abs=1e-6)

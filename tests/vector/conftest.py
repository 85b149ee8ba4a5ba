"""Vectors that cluster, as those of texts do."""

import numpy as np
import numpy.typing as npt
import pytest

from mimo.vector import Row

Floats = npt.NDArray[np.float32]


class Maker:
    """Rows with ids from 1 on, and questions near to them."""

    def __init__(self, dim: int = 32) -> None:
        self.dim = dim
        self.random = np.random.default_rng(7)

    def numbers(self, n: int) -> Floats:
        centres = self.random.standard_normal((12, self.dim))
        spread = 0.4 * self.random.standard_normal((n, self.dim))
        return (centres[self.random.integers(0, 12, n)] + spread).astype(np.float32)

    def rows(self, n: int, first: int = 1, groups: int = 1) -> list[Row]:
        numbers = self.numbers(n)
        halves = (numbers / np.linalg.norm(numbers, axis=1, keepdims=True)).astype("<f2")  # as `to_blob` does
        return [Row(first + at, row.tobytes(), at % groups) for at, row in enumerate(halves)]


@pytest.fixture
def make() -> Maker:
    return Maker()

"""Vectors that cluster, as those of texts do."""

import numpy as np
import numpy.typing as npt
import pytest

from mimo.vector import Row, to_blob

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
        return [Row(first + at, to_blob(row), at % groups) for at, row in enumerate(self.numbers(n))]


@pytest.fixture
def make() -> Maker:
    return Maker()

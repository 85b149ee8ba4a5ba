"""Vectors of different models never meet."""

import numpy as np
import pytest

from mimo.errors import InvalidArguments
from mimo.vector import Row, Segments, Space, from_blob, to_blob

pytestmark = pytest.mark.vectors


async def test_each_model_and_dimension_has_its_own_segment() -> None:
    segments = Segments()
    small, other, large = Space("a", 4), Space("b", 4), Space("a", 8)
    for space in (small, other, large):
        await segments.open(space).rebuild([Row(1, to_blob(np.ones(space.dim)))])
    await segments.open(small).put([Row(2, to_blob(np.ones(4)))])
    assert [len(segment) for _, segment in segments] == [2, 1, 1]
    assert len(segments) == 3
    assert segments.open(small) is segments.get(small)
    assert segments.stats()[small]["rows"] == 2
    segments.close(small)
    segments.close(small)
    assert segments.get(small) is None


async def test_an_impossible_dimension_is_refused() -> None:
    segments = Segments()
    with pytest.raises(InvalidArguments, match=r"1\.\.16384"):
        segments.open(Space("a", 0))
    assert len(segments) == 0


def test_a_blob_holds_the_direction_of_a_vector() -> None:
    vector = np.random.default_rng(0).standard_normal(384)
    there = from_blob(to_blob(vector))
    assert np.allclose(there, vector / np.linalg.norm(vector), atol=1e-4)
    assert to_blob(there) == to_blob(vector)
    assert len(to_blob(vector)) == 768
    with pytest.raises(ValueError, match="finite"):
        to_blob([float("nan")])

"""What is no sensible argument means the same to both twins: the same answer, or the same words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mimo_core import _numpy, _numpy_index

from .conftest import Kernels

Call = Callable[[Any, Any], Any]  # of one of the twins, and an odd argument
ROW = np.ones((1, 4), np.float32)
ODD: list[Any] = [
    *(2**70, -(2**70), 2**63, -1, 0, 1.5, float("nan"), True, None),
    *(10**400, -(10**400)),
    *("a", b"x", (), [1], np.float32(1), np.int8(1), np.uint64(2**63), np.array([1, 2]), np.array(1)),
]


def index(twin: Kernels) -> Any:
    made = twin.VectorIndex(4)
    made.add([1], ROW)
    return made


def set_and_read(one: Any, name: str, value: Any) -> Any:
    setattr(one, name, value)
    return getattr(one, name)


def searching(name: str) -> Call:
    return lambda twin, odd: index(twin).search(np.ones(4), **{"k": 1, name: odd})


CALLS: dict[str, Call] = {
    **{
        f"search {name}": searching(name)
        for name in ("k", "rescore", "threads", "groups", "allowed", "mask", "min_score", "plan")
    },
    "search query": lambda twin, odd: index(twin).search(odd, 1),
    "search_batch k": lambda twin, odd: index(twin).search_batch(ROW, odd),
    "search_batch none": lambda twin, odd: index(twin).search_batch(ROW[:0], odd),
    "search_batch queries": lambda twin, odd: index(twin).search_batch(odd, 1),
    "VectorIndex dim": lambda twin, odd: twin.VectorIndex(odd).dim,
    "VectorIndex tiers": lambda twin, odd: twin.VectorIndex(4, odd).tiers,
    "add id": lambda twin, odd: index(twin).add([odd], ROW),
    "add ids": lambda twin, odd: index(twin).add(odd, ROW),
    "add rows": lambda twin, odd: index(twin).add([2], odd),
    "add groups": lambda twin, odd: index(twin).add([2], ROW, odd),
    "replace id": lambda twin, odd: index(twin).replace([odd], ROW),
    "replace_stored ids": lambda twin, odd: index(twin).replace_stored(odd, [bytes(8)], [0]),
    "replace_stored blob": lambda twin, odd: index(twin).replace_stored([2], [odd], [0]),
    "replace_stored groups": lambda twin, odd: index(twin).replace_stored([2], [bytes(8)], odd),
    "remove id": lambda twin, odd: index(twin).remove([odd]),
    "remove ids": lambda twin, odd: index(twin).remove(odd),
    "rows id": lambda twin, odd: index(twin).rows([odd]),
    "rows ids": lambda twin, odd: index(twin).rows(odd),
    "positions_of": lambda twin, odd: index(twin).positions_of([odd]),
    "in": lambda twin, odd: odd in index(twin),
    "candidates": lambda twin, odd: set_and_read(index(twin), "candidates", odd),
    "codes_trusted": lambda twin, odd: set_and_read(index(twin), "codes_trusted", odd),
    "probe samples": lambda twin, odd: index(twin).probe(odd),
    "probe k": lambda twin, odd: index(twin).probe(4, odd),
    "top_k k": lambda twin, odd: twin.functions.top_k(np.ones(4), ROW, odd),
    "top_k live": lambda twin, odd: twin.functions.top_k(np.ones(4), ROW, 1, odd),
    "top_k query": lambda twin, odd: twin.functions.top_k(odd, ROW, 1),
    "top_k rows": lambda twin, odd: twin.functions.top_k(np.ones(4), odd, 1),
    "cosine_similarity": lambda twin, odd: twin.functions.cosine_similarity(odd, np.ones(4)),
    "batch_similarity query": lambda twin, odd: twin.functions.batch_similarity(odd, ROW),
    "batch_similarity rows": lambda twin, odd: twin.functions.batch_similarity(np.ones(4), odd),
    "normalize": lambda twin, odd: twin.functions.normalize(odd),
    "quantize_int8": lambda twin, odd: twin.functions.quantize_int8(odd),
    "binarize": lambda twin, odd: twin.functions.binarize(odd),
    "to_f16": lambda twin, odd: twin.functions.to_f16(odd),
    "from_f16": lambda twin, odd: twin.functions.from_f16(odd),
}


def told(call: Call, twin: Kernels, odd: Any) -> Any:
    try:
        answer = call(twin, odd)
    except Exception as error:
        return type(error).__name__, str(error)
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [np.asarray(part).tolist() for part in parts]


@pytest.mark.parametrize("name", CALLS)
def test_both_twins_say_the_same(kernels: Kernels, name: str) -> None:
    twin = Kernels(_numpy, _numpy_index.VectorIndex)
    for odd in ODD:
        assert told(CALLS[name], kernels, odd) == told(CALLS[name], twin, odd), repr(odd)


def test_more_than_there_can_be_is_all_there_is(kernels: Kernels) -> None:
    for many in (2**62, 2**63, 2**70):
        assert kernels.functions.top_k(np.ones(4), ROW, many)[0].tolist() == [0]
        assert index(kernels).search(np.ones(4), many, rescore=many, threads=many)[0].tolist() == [1]
        assert index(kernels).search(np.ones(4), -many)[0].tolist() == []


@pytest.mark.parametrize("name", ["k", "rescore", "threads"])
def test_what_is_no_integer_is_named(kernels: Kernels, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be an integer \(got float\)$"):
        index(kernels).search(np.ones(4), **{"k": 1, name: 1.5})
    with pytest.raises(ValueError, match=r"^dimension must be 1\.\.16384 \(got 1180591620717411303424\)$"):
        kernels.VectorIndex(2**70)
    with pytest.raises(TypeError, match=r"^min_score must be a number \(got str\)$"):
        index(kernels).search(np.ones(4), 1, min_score="0.5")

"""Every implementation and instruction set that this machine has, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mimo_core import _numpy, _numpy_index

try:
    from mimo_core import _core
except ImportError:  # not compiled: the twin is all there is
    _core = None


@dataclass(frozen=True, slots=True)
class Kernels:
    """The functions and the index of one implementation."""

    functions: ModuleType
    VectorIndex: Any

    def __str__(self) -> str:
        return str(self.functions.isa())


LEVELS = ["numpy", *(_core.isas() if _core else ())]


@pytest.fixture(params=LEVELS)
def kernels(request: pytest.FixtureRequest) -> Iterator[Kernels]:
    if request.param == "numpy":
        yield Kernels(_numpy, _numpy_index.VectorIndex)
        return
    before = _core.isa()
    _core.set_isa(request.param)
    yield Kernels(_core, _core.VectorIndex)
    _core.set_isa(before)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)

"""Vectors: similarity, exact and quantised search. Compiled where it could be, in NumPy everywhere.

One choice, made at import: the compiled module, or its twin in NumPy with the same names, answers and
errors. `MIMO_CORE=cython|numpy` insists. Within the compiled module `MIMO_ISA` or `set_isa` force an
instruction set; `isas()` are those of this machine.

- `cosine_similarity(a, b)`, `batch_similarity(query, rows)`: cosine, from -1 to 1
- `top_k(query, rows, k, live=None)`: the k largest products with rows, which `normalize` makes cosines
- `normalize(rows)`, `quantize_int8`, `dequantize_int8`, `binarize`, `hamming`, `to_f16`, `from_f16`
- `mimo_core.encoder.Encoder(folder)`: texts to vectors; a module of its own, as few programs need it
- `VectorIndex(dim, tiers)`: rows under ids, in several precisions side by side, searched while they change

What is odd has one answer everywhere:

| given | answer |
|---|---|
| no rows, k of 0 or less | empty arrays |
| k above the number of rows | all rows, best first |
| equal scores | the lower id (in `top_k`: the lower row) first |
| a zero vector | similarity 0 to everything; normalised it stays zero |
| float16 or float64, lists of floats, read-only or strided arrays | accepted, copied where needed |
| integers, booleans, strings instead of floats | TypeError that names the dtype |
| another number of dimensions, or of numbers in a vector; a vector of none | ValueError with both numbers |
| NaN, infinity, a number beyond float32 | ValueError |
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

_wanted = os.environ.get("MIMO_CORE", "")
if _wanted not in ("", "cython", "numpy"):
    raise ImportError(f"MIMO_CORE must be cython or numpy (got {_wanted!r})")

_compiled = _wanted != "numpy"
if _compiled and not TYPE_CHECKING:
    try:
        import mimo_core._core  # noqa: F401
    except ImportError:
        if _wanted == "cython":
            raise
        _compiled = False

if TYPE_CHECKING or _compiled:
    from mimo_core import _core as _functions
    from mimo_core._core import VectorIndex
else:
    from mimo_core import _numpy as _functions
    from mimo_core._numpy_index import VectorIndex

cosine_similarity = _functions.cosine_similarity
batch_similarity = _functions.batch_similarity
top_k = _functions.top_k
normalize = _functions.normalize
quantize_int8 = _functions.quantize_int8
dequantize_int8 = _functions.dequantize_int8
binarize = _functions.binarize
hamming = _functions.hamming
to_f16 = _functions.to_f16
from_f16 = _functions.from_f16
isa = _functions.isa
isas = _functions.isas


def implementation() -> Literal["cython", "numpy"]:
    """Which of the two runs."""
    return "cython" if _compiled else "numpy"


def set_isa(name: str) -> None:
    """Use this instruction set from now on, in every compiled part.

    Raises:
        ValueError: this machine does not have it.
    """
    _functions.set_isa(name)


if os.environ.get("MIMO_ISA"):
    set_isa(os.environ["MIMO_ISA"])

__all__ = [
    "VectorIndex",
    "batch_similarity",
    "binarize",
    "cosine_similarity",
    "dequantize_int8",
    "from_f16",
    "hamming",
    "implementation",
    "isa",
    "isas",
    "normalize",
    "quantize_int8",
    "set_isa",
    "to_f16",
    "top_k",
]

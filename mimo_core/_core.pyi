"""The types of the compiled kernels; the twin has the same. `mimo_core` has the table of odd cases."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.floating[Any]] | Sequence[float]
Matrix: TypeAlias = npt.NDArray[np.floating[Any]] | Sequence[Sequence[float]]
Integers: TypeAlias = npt.NDArray[np.integer[Any]] | Sequence[int]
Flags: TypeAlias = npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | Sequence[bool]
Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int64]

def isa() -> str:
    """The instruction set in use."""

def isas() -> tuple[str, ...]:
    """The instruction sets of this machine, slowest first."""

def set_isa(name: str) -> None: ...
def cosine_similarity(a: Vector, b: Vector) -> float:
    """The cosine of the angle between two vectors."""

def batch_similarity(query: Vector, rows: Matrix) -> Floats:
    """The cosine of the query with each row."""

def top_k(query: Vector, rows: Matrix, k: int, live: Flags | None = None) -> tuple[Ids, Floats]:
    """The k rows with the largest products with the query, best first, and those products.

    `live` has a flag a row; rows without it are not looked at.
    """

def normalize(rows: Matrix) -> Floats:
    """The rows at length 1; zero rows stay zero."""

def quantize_int8(rows: Matrix) -> tuple[npt.NDArray[np.int8], Floats]:
    """Codes within +-127, and for each row the scale that turns them back."""

def dequantize_int8(codes: npt.NDArray[np.int8], scales: Vector) -> Floats:
    """What the codes stand for."""

def binarize(rows: Matrix) -> npt.NDArray[np.uint64]:
    """A bit a number, set where it is above zero; words of 64, filled from the lowest bit."""

def hamming(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> int:
    """In how many bits two codes differ."""

def to_f16(rows: Matrix) -> npt.NDArray[np.float16]:
    """Rounded to nearest; what does not fit float16 is a ValueError."""

def from_f16(halves: npt.NDArray[np.float16]) -> Floats: ...

class VectorIndex:
    """Vectors under integer ids, normalised, in the tiers asked for.

    Tiers: `bits` (one bit a number), `int8`, `f16`, `f32`. A search scans one and settles the order
    with the best there is. With `bits` alone a row costs 48 bytes at 384 numbers, and scores are
    estimates, of the query's numbers and the rows' signs: settle the order elsewhere.

    Searches and changes may come from any thread; changes wait for one another. A search sees each
    change wholly or not at all, and never waits for one.
    """

    codes_trusted: bool
    """May plan "auto" use the codes? Vectors whose signs say little lose recall; `probe` tells."""
    candidates: int
    """How many rows the nearest codes hand on to rescoring; 0: as many as the plan thinks right."""

    def __init__(self, dim: int, tiers: Sequence[str] = ("bits", "int8", "f16")) -> None: ...
    @property
    def dim(self) -> int: ...
    @property
    def tiers(self) -> tuple[str, ...]: ...
    @property
    def generation(self) -> int:
        """Grows with every `compact`: positions of another generation mean other rows."""

    def __len__(self) -> int: ...
    def __contains__(self, one: int) -> bool: ...
    def add(self, ids: Integers, rows: Matrix, groups: Integers | None = None) -> None:
        """New rows, each with a small number by which searches may choose (default 0).

        Raises:
            ValueError: an id is already there, or comes twice; nothing was added.
        """

    def replace(self, ids: Integers, rows: Matrix, groups: Integers | None = None) -> None:
        """Rows for these ids, whether or not they had some."""

    def replace_stored(
        self, ids: Integers, blobs: Sequence[bytes], groups: Integers | None = None
    ) -> list[int]:
        """As `replace`, of rows as they are stored: float16, little-endian.

        Gives which of them were passed over, because their blobs are of another length, or hold NaN
        or infinity.
        """

    def remove(self, ids: Integers) -> int:
        """Forget these ids; gives how many were there. The room comes back with `compact`."""

    def compact(self) -> None:
        """Give back the room of the removed. Positions change."""

    def ids(self) -> Ids:
        """All ids, in the order of their positions."""

    def positions_of(self, ids: Integers) -> Ids:
        """Where these ids lie, -1 for those that do not: what `mask` counts by, until `compact`."""

    def rows(self, ids: Integers) -> Floats:
        """The rows of these ids, as the best tier has them.

        Raises:
            KeyError: an id is not there.
        """

    def search(
        self,
        query: Vector,
        k: int,
        *,
        plan: str = "auto",
        rescore: int = 0,
        threads: int = 1,
        groups: Integers | None = None,
        allowed: Integers | None = None,
        mask: Flags | None = None,
        min_score: float | None = None,
    ) -> tuple[Ids, Floats]:
        """The ids of the k nearest rows, best first, and their cosines.

        `groups`, `allowed` (ids) and `mask` (a flag a position; what lies beyond its end is not
        meant) narrow the search before it counts; given together, all must hold. `plan` "exact"
        scans floats, "int8" and "bits" codes, of which the best `rescore` rows are settled by the
        better tiers. With `threads` above 1 that many parts are scanned at once (the twin scans them
        one after the other); the answer is the same, and below some 50,000 rows it takes longer.
        """

    def search_batch(
        self,
        queries: Matrix,
        k: int,
        *,
        plan: str = "auto",
        rescore: int = 0,
        threads: int = 1,
        groups: Integers | None = None,
        allowed: Integers | None = None,
        mask: Flags | None = None,
        min_score: float | None = None,
    ) -> tuple[Ids, Floats]:
        """A row of answers a query; where there are fewer, ids are -1 and scores -inf."""

    def probe(self, samples: int = 16, k: int = 10) -> float:
        """The share of true neighbours that the codes find, with stored rows as queries."""

    def stats(self) -> dict[str, int]: ...

"""The encoder's forward pass in NumPy alone, for where the compiled one is not.

Tokens lie in columns: a matrix product with the weights on the left is up to 1.8 times faster for
the few tokens of a question than one with the tokens on the left.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mimo_core._weights import EPSILON, HEADS, LAYERS, WIDTH, Weights

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
HEAD = WIDTH // HEADS
# erf to 1.5e-7 (Abramowitz and Stegun 7.1.26), which is a float's precision.
ERF = tuple(np.float32(c) for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))
ERF_T = np.float32(0.3275911)
ROOT_HALF = np.float32(math.sqrt(0.5))
SCALE = np.float32(1 / math.sqrt(HEAD))


class Forward:
    """The model, ready to run. Safe to use from several threads at once."""

    def __init__(self, weights: Weights) -> None:
        _one_blas_thread()
        self._words = weights["words"]
        self._positions: Floats = weights["positions"]
        self._norm = _column(weights["norm.weight"]), _column(weights["norm.bias"])
        self._layers = [_Layer(weights, f"layers.{number}.") for number in range(LAYERS)]
        weights.release()

    def run(self, pieces: Ints, starts: Ints) -> Floats:
        """One vector of length 1 for each text; text i has the pieces `starts[i]` to `starts[i + 1]`."""
        lengths = np.diff(starts)
        places = np.arange(len(pieces)) - np.repeat(starts[:-1], lengths)
        x = self._words[pieces].astype(np.float32)
        x += self._positions[places]
        x = _normed(np.ascontiguousarray(x.T), *self._norm)
        blocks = list(_equal_runs(lengths))
        for layer in self._layers:
            x = layer.run(x, blocks)
        means = np.add.reduceat(x, starts[:-1], axis=1).T
        return np.ascontiguousarray(means / np.sqrt(np.einsum("ij,ij->i", means, means))[:, None])


class _Layer:
    def __init__(self, weights: Weights, name: str) -> None:
        self._qkv, self._qkv_bias = _matrix(weights, name + "qkv")
        self._mix, self._mix_bias = _matrix(weights, name + "mix")
        self._up, self._up_bias = _matrix(weights, name + "up")
        self._down, self._down_bias = _matrix(weights, name + "down")
        self._mix_norm = _column(weights[name + "mix.norm.weight"]), _column(weights[name + "mix.norm.bias"])
        self._down_norm = (
            _column(weights[name + "down.norm.weight"]),
            _column(weights[name + "down.norm.bias"]),
        )

    def run(self, x: Floats, blocks: list[tuple[int, int, int]]) -> Floats:
        qkv = self._qkv @ x
        qkv += self._qkv_bias
        seen = np.empty_like(x)
        for first, texts, length in blocks:
            part = slice(first, first + texts * length)
            heads = qkv[:, part].reshape(3, HEADS, HEAD, texts, length).transpose(0, 3, 1, 2, 4)
            seen[:, part] = _attended(*heads).transpose(1, 2, 0, 3).reshape(WIDTH, -1)
        y = self._mix @ seen
        y += self._mix_bias
        y += x
        y = _normed(y, *self._mix_norm)
        inner = self._up @ y
        inner += self._up_bias
        x = self._down @ _gelu(inner)
        x += self._down_bias
        x += y
        return _normed(x, *self._down_norm)


def _attended(queries: Floats, keys: Floats, values: Floats) -> Floats:
    """Each token's mix of the values, by how well its query meets the keys. Shapes: texts, heads, HEAD, tokens."""
    weights = np.matmul((queries * SCALE).transpose(0, 1, 3, 2), keys)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    return np.matmul(values, weights.transpose(0, 1, 3, 2))


def _normed(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Layer norm of every column, in place."""
    x -= x.mean(0)
    x *= 1 / np.sqrt(np.einsum("ij,ij->j", x, x) / np.float32(WIDTH) + np.float32(EPSILON))
    x *= weight
    x += bias
    return x


def _gelu(x: Floats) -> Floats:
    """x * (1 + erf(x / sqrt 2)) / 2, in place, a few rows at a time so that they stay in the cache."""
    rows = max(1, 16_384 // x.shape[1])
    for first in range(0, x.shape[0], rows):
        part = x[first : first + rows]
        size = np.abs(part)
        size *= ROOT_HALF
        t = 1 / (size * ERF_T + 1)
        tail = ERF[0] * t
        for factor in ERF[1:]:
            tail += factor
            tail *= t
        np.multiply(size, size, out=t)
        np.negative(t, out=t)
        tail *= np.exp(t, out=t)  # now erfc(|x| / sqrt 2)
        size *= ROOT_HALF  # |x| / 2
        tail *= size
        np.maximum(part, 0, out=part)
        part -= tail
    return x


def _equal_runs(lengths: npt.NDArray[np.int32]) -> Iterator[tuple[int, int, int]]:
    """Neighbours of one length go through attention together: (first token, texts, length)."""
    first = 0
    for length, run in groupby(lengths.tolist()):
        texts = len(list(run))
        yield first, texts, length
        first += texts * length


def _matrix(weights: Weights, name: str) -> tuple[Floats, Floats]:
    """A matrix, from its panels of halves, and its bias.

    Inputs become rows, and the matrix their transpose: so panels stay in pieces of 16 and are converted at once,
    which halves what a cold start costs.
    """
    panels = weights[name + ".weight"]
    rows = panels.transpose(1, 0, 2).astype(np.float32, order="C").reshape(panels.shape[1], -1)
    return rows.T, _column(weights[name + ".bias"])


def _column(vector: Floats) -> Floats:
    return vector[:, None]


@functools.cache
def _one_blas_thread() -> None:
    """Tell the OpenBLAS that came with NumPy to stay on the calling thread.

    Threads are ours to give out, and two BLAS threads on a busy machine are many times slower than
    one. A NumPy built against another BLAS is left as its environment says.
    """
    for library in Path(np.__file__).parent.with_name("numpy.libs").glob("libscipy_openblas64_*"):
        set_threads = getattr(ctypes.CDLL(str(library)), "scipy_openblas_set_num_threads64_", None)
        if set_threads is not None:
            set_threads(ctypes.c_int(1))

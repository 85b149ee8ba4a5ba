"""The file that holds the encoder's weights, mapped into memory: safetensors, each tensor on a cache line."""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
KINDS = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
ALIGN = 64
LARGEST_HEADER = 1 << 20

LAYERS, WIDTH, HEADS, INNER, PANEL = 6, 384, 12, 1536, 16
SHORTEST, LONGEST = 3, 512  # windows: a token between the marks, and what the kernels have room for
EPSILON = 1e-12  # what the layer norms add to the variance


class BadWeights(ValueError):
    """The file is not what ops/convert-model writes: cut short, or another model's."""


class Weights:
    """The tensors by name, as read-only views of the mapped file. Nothing is read before it is used."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise BadWeights(f"{path} is empty") from None
        try:
            about, entries, start = self._header()
            self.id = str(about["id"])
            self.window = int(about["window"])
            self._tensors = {name: self._view(start, entry) for name, entry in entries.items()}
            self._check_shapes()
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            struct.error,
        ) as error:
            raise BadWeights(f"{path} holds no weights that this encoder knows ({error})") from error

    def __getitem__(self, name: str) -> Array:
        return self._tensors[name]

    def release(self, name: str = "") -> None:
        """Let the system take back the pages of one tensor, or of all, read so far; they come again when needed."""
        if not name:
            self._map.madvise(mmap.MADV_DONTNEED)
            return
        tensor = self._tensors[name]
        inside = tensor.ctypes.data - np.frombuffer(self._map, np.uint8, 1).ctypes.data
        first = inside // mmap.PAGESIZE * mmap.PAGESIZE  # the map begins with a page
        self._map.madvise(mmap.MADV_DONTNEED, first, inside + tensor.nbytes - first)

    def _header(self) -> tuple[dict[str, Any], dict[str, Any], int]:
        (size,) = struct.unpack_from("<Q", self._map)
        if size > LARGEST_HEADER or (size + 8) % ALIGN:
            raise ValueError("no header")
        entries = json.loads(self._map[8 : 8 + size])
        return entries.pop("__metadata__"), entries, 8 + size

    def _view(self, start: int, entry: dict[str, Any]) -> Array:
        first, last = entry["data_offsets"]
        kind, shape = KINDS[entry["dtype"]], tuple(entry["shape"])
        count = int(np.prod(shape))
        if first % ALIGN or count * kind.itemsize != last - first:
            raise ValueError("offsets and shapes disagree")
        return np.frombuffer(self._map, kind, count, start + first).reshape(shape)

    def _check_shapes(self) -> None:
        words = self["words"]
        if not SHORTEST <= self.window <= LONGEST:
            raise ValueError(f"a window of {self.window} tokens")
        expected = {
            "words": (words.shape[0], WIDTH),
            "positions": (self.window, WIDTH),
            **_norm("norm"),
        }
        for number in range(LAYERS):
            layer = f"layers.{number}."
            expected |= _matrix(layer + "qkv", 3 * WIDTH, WIDTH) | _matrix(layer + "mix", WIDTH, WIDTH)
            expected |= _matrix(layer + "up", INNER, WIDTH) | _matrix(layer + "down", WIDTH, INNER)
            expected |= _norm(layer + "mix.norm") | _norm(layer + "down.norm")
        for name, shape in expected.items():
            halves = name == "words" or len(shape) == 3
            if self[name].shape != shape or self[name].dtype != KINDS["F16" if halves else "F32"]:
                raise ValueError(f"{name} is {self[name].dtype} {self[name].shape}")
            if not halves and not np.isfinite(self[name]).all():
                raise ValueError(f"{name} holds numbers that are not finite")


def _matrix(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs // PANEL, inputs, PANEL), f"{name}.bias": (outputs,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}

"""The encoder's forward pass, compiled: one source, once per instruction set."""

from threading import Lock

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.stdlib cimport free

from mimo_core import _core
from mimo_core._weights import LAYERS, WIDTH


cdef extern from "encoder.h" nogil:
    ctypedef struct mimo_matrix:
        const uint16_t *panels
        const uint16_t *tiles
        const float *bias
        int64_t outputs, inputs

    ctypedef struct mimo_norm:
        const float *weight
        const float *bias

    ctypedef struct mimo_layer:
        mimo_matrix qkv, mix, up, down
        mimo_norm mix_norm, down_norm

    ctypedef struct mimo_model:
        const uint16_t *words
        const float *positions
        mimo_norm norm
        mimo_layer layers[6]

    const char *mimo_level_name(int)
    int mimo_forward(const mimo_model *, int, const int32_t *, const int32_t *, int64_t, float *)
    void *mimo_lay_tiles(mimo_model *)
    int mimo_highest_level()
    int MIMO_AMX


cdef int highest = mimo_highest_level()


cdef class Forward:
    """The model, ready to run. Safe to use from several threads at once."""

    cdef mimo_model model
    cdef object weights  # keeps the file mapped, in which the pointers point
    cdef int64_t words, window
    cdef void *tiles  # the matrices as AMX takes them, laid when it is first used
    cdef object laying

    def __init__(self, weights):
        cdef const uint16_t[:, ::1] words = weights["words"].view(np.uint16)
        cdef const float[:, ::1] positions = weights["positions"]
        self.weights, self.laying = weights, Lock()
        self.words, self.window = words.shape[0], positions.shape[0]
        self.model.words, self.model.positions = &words[0, 0], &positions[0, 0]
        self.model.norm = norm(weights, "norm")
        for number in range(LAYERS):
            name = f"layers.{number}."
            layer = &self.model.layers[<int>number]
            layer.qkv = matrix(weights, name + "qkv")
            layer.mix = matrix(weights, name + "mix")
            layer.up = matrix(weights, name + "up")
            layer.down = matrix(weights, name + "down")
            layer.mix_norm = norm(weights, name + "mix.norm")
            layer.down_norm = norm(weights, name + "down.norm")

    def __dealloc__(self):
        free(self.tiles)

    def run(self, const int32_t[::1] pieces, const int32_t[::1] starts):
        """One vector of length 1 for each text; text i has the pieces `starts[i]` to `starts[i + 1]`."""
        cdef int64_t i, texts = starts.shape[0] - 1
        cdef int done, level = level_now()
        out = np.empty((max(texts, 0), WIDTH), np.float32)
        if texts < 1:
            return out
        cdef float[:, ::1] vectors = out
        # The kernels take every number on trust, so it is looked at here.
        if starts[0] != 0 or starts[texts] != pieces.shape[0]:
            raise ValueError("starts must begin with 0 and end with the number of pieces")
        for i in range(texts):
            if not 0 < starts[i + 1] - starts[i] <= self.window:
                raise ValueError(f"a text must have 1 to {self.window} pieces (got {starts[i + 1] - starts[i]})")
        for i in range(pieces.shape[0]):
            if not 0 <= pieces[i] < self.words:
                raise ValueError(f"a piece must be 0 to {self.words - 1} (got {pieces[i]})")
        if level == MIMO_AMX:
            self.lay_tiles()
        with nogil:
            done = mimo_forward(&self.model, level, &pieces[0], &starts[0], texts, &vectors[0, 0])
        if not done:
            raise MemoryError(f"no memory for {pieces.shape[0]} tokens")
        return out

    cdef int lay_tiles(self) except -1:
        with self.laying:
            if self.tiles == NULL:
                with nogil:
                    self.tiles = mimo_lay_tiles(&self.model)
                if self.tiles == NULL:
                    raise MemoryError("no memory for the weights in bfloat16")
                self.weights.release()
        return 0


cdef int level_now() except -1:
    """The instruction set that the vectors' kernels use: there is one choice for all."""
    wanted = _core.isa()
    for level in range(highest + 1):
        if mimo_level_name(level).decode() == wanted:
            return level
    raise ValueError(f"the encoder has no instruction set {wanted!r} on this machine")


cdef mimo_matrix matrix(weights, str name) except *:
    cdef const uint16_t[:, :, ::1] panels = weights[name + ".weight"].view(np.uint16)
    cdef const float[::1] bias = weights[name + ".bias"]
    cdef mimo_matrix made
    made.panels, made.tiles, made.bias = &panels[0, 0, 0], NULL, &bias[0]
    made.outputs, made.inputs = bias.shape[0], panels.shape[1]
    return made


cdef mimo_norm norm(weights, str name) except *:
    cdef const float[::1] weight = weights[name + ".weight"]
    cdef const float[::1] bias = weights[name + ".bias"]
    cdef mimo_norm made
    made.weight, made.bias = &weight[0], &bias[0]
    return made

# VectorIndex: the store of store.h with its two locks, and arrays at the door.

import sys
from threading import Lock

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock, WAIT_LOCK,
)

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *)

# Numbers that are scanned in less time than it takes to get the GIL back from a thread that took it
# meanwhile: that one is asked for it after 5 ms only. To write a number takes as long as to scan 64.
cdef enum:
    BRIEF = 1 << 19
    WRITING = 64


cdef bint LITTLE = sys.byteorder == "little"


@cython.final
cdef class _Store:
    """Owns a store; a search holds a reference, so that compaction frees it only behind the last reader."""

    cdef mimo_store *it

    def __cinit__(self, int64_t dim, unsigned tiers):
        self.it = store_new(dim, tiers)
        if self.it is NULL:
            raise MemoryError

    def __dealloc__(self):
        store_free(self.it)


cdef class VectorIndex:
    # Whoever holds `lock` does not give up the GIL before it is free again: it is never waited for
    # under a GIL, and is what guards without one. `writing` is waited for like any Python lock.
    cdef _Store store
    cdef PyThread_type_lock lock
    cdef object writing
    cdef float[::1] scratch  # of who writes
    cdef readonly int dim
    cdef readonly int generation
    cdef public bint codes_trusted
    cdef Py_ssize_t of_codes

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock is NULL:
            raise MemoryError
        self.store = _Store(1, 1)  # until __init__, which a subclass may forget
        self.writing = Lock()
        self.scratch = np.empty(self.store.it.padded, np.float32)
        self.dim = 1

    def __dealloc__(self):
        if self.lock is not NULL:
            PyThread_free_lock(self.lock)

    def __init__(self, dim, tiers=("bits", "int8", "f16")):
        dim = _checks.some_dim(dim)
        self.store = _Store(dim, _checks.tier_bits(tiers))
        self.scratch = np.empty(self.store.it.padded, np.float32)
        self.dim = dim
        self.codes_trusted = True

    @property
    def candidates(self) -> int:
        return self.of_codes

    @candidates.setter
    def candidates(self, value):
        self.of_codes = max(0, whole(value, "candidates"))

    @property
    def tiers(self) -> tuple[str, ...]:
        return tuple(name for name, bit in _checks.TIERS.items() if self.store.it.tiers & bit)

    def __len__(self):
        return self.store.it.alive

    def __contains__(self, one):
        return bool(self.positions_of([one])[0] >= 0)

    def positions_of(self, ids):
        wanted = _checks.integers(ids, "ids", np.int64)
        out = np.empty(wanted.size, np.int64)
        self._find(wanted, out)
        return out

    cdef _Store _find(self, const int64_t[::1] ids, int64_t[::1] rows):
        """Fill in the row of each id (-1: not there); gives the store in which they lie."""
        cdef Py_ssize_t i
        cdef unsigned row
        cdef _Store store
        PyThread_acquire_lock(self.lock, WAIT_LOCK)
        store = self.store
        for i in range(ids.shape[0]):
            row = store_find(store.it, ids[i])
            rows[i] = -1 if row == NOWHERE else <int64_t>row
        PyThread_release_lock(self.lock)
        return store

    def add(self, ids, rows, groups=None) -> None:
        self._put(ids, rows, groups, False)

    def replace(self, ids, rows, groups=None) -> None:
        self._put(ids, rows, groups, True)

    def replace_stored(self, ids, blobs, groups=None):
        cdef const int64_t[::1] given = integers1(ids, "ids")
        cdef Py_ssize_t i, sound = 0, n = given.shape[0], size = 2 * self.dim
        cdef const int[::1] group = groups_of(groups, n)
        distinct(given)
        if len(blobs) != n:
            raise ValueError(f"blobs must be as many as ids, {n} (got {len(blobs)})")
        if n == 0:
            return []
        cdef tuple held = tuple(blobs) if LITTLE else turned(blobs)
        cdef int64_t[::1] id = np.empty(n, np.int64)
        cdef int[::1] its_group = np.zeros(n, np.int32)
        cdef const uint16_t **halves = <const uint16_t **>malloc(n * sizeof(void *))
        if halves is NULL:
            raise MemoryError
        refused = []
        try:
            for i in range(n):
                if type(held[i]) is not bytes:
                    raise TypeError(f"blobs must be bytes (got {type(held[i]).__name__})")
                halves[sound] = <const uint16_t *>PyBytes_AS_STRING(held[i])
                if PyBytes_GET_SIZE(held[i]) != size or not halves_finite(halves[sound], self.dim):
                    refused.append(i)
                    continue
                id[sound] = given[i]
                if group is not None:
                    its_group[sound] = group[i]
                sound += 1
            if sound:
                self._write(id[:sound], &its_group[0], NULL, halves, True)
        finally:
            free(halves)
        return refused

    def _put(self, ids, rows, groups, bint over):
        cdef const int64_t[::1] id = integers1(ids, "ids")
        cdef const float[:, ::1] x = floats2(rows, "rows")
        cdef Py_ssize_t n = id.shape[0]
        cdef const int[::1] group
        cdef const int *group_at = NULL
        if x.shape[0] != n:
            raise ValueError(f"rows must be as many as ids, {n} (got {x.shape[0]})")
        if x.shape[1] != self.dim:
            _checks.same_dim(x.shape[1], self.dim, "rows")
        group = groups_of(groups, n)
        distinct(id)
        if n == 0:
            return
        if not finite(&x[0, 0], n * self.dim):
            raise _checks.not_finite("rows")
        if group is not None:
            group_at = &group[0]
        self._write(id, group_at, &x[0, 0], NULL, over)

    cdef _write(self, const int64_t[::1] id, const int *groups, const float *numbers, const uint16_t **halves, bint over):
        """Rows of numbers or of halves under these ids; `over` what may be there already."""
        cdef Py_ssize_t i, n = id.shape[0]
        cdef bint ok
        cdef unsigned one
        cdef unsigned *dead = &one
        cdef float[::1] scratch = self.scratch
        cdef mimo_store *store
        cdef PyThreadState *others
        if n > 1:
            dead = <unsigned *>malloc(n * sizeof(unsigned))
            if dead is NULL:
                raise MemoryError
        self.writing.acquire()
        try:
            store = self.store.it
            if store.rows + n >= NOWHERE:
                raise MemoryError("an index holds 2^32 rows; compact it")
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            ok = store_reserve(store, n)
            for i in range(n):
                dead[i] = store_find(store, id[i])
            PyThread_release_lock(self.lock)
            if not ok:
                raise MemoryError
            for i in range(n):
                if dead[i] != NOWHERE and not over:
                    raise ValueError(f"id {id[i]} is already there; replace it")
            if not store_reserve_deaths(store, dead, n):
                raise MemoryError
            others = NULL if WRITING * n * self.dim <= BRIEF else PyEval_SaveThread()
            if halves is NULL:
                store_fill(store, kernels, &id[0], groups, numbers, n, &scratch[0])
            else:
                store_fill_halves(store, kernels, &id[0], groups, halves, n, &scratch[0])
            if others is not NULL:
                PyEval_RestoreThread(others)
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            store_publish(store, dead, n, n)
            PyThread_release_lock(self.lock)
        finally:
            self.writing.release()
            if dead is not &one:
                free(dead)

    def remove(self, ids) -> int:
        unique = np.unique(_checks.integers(ids, "ids", np.int64))
        cdef Py_ssize_t n = unique.size
        if n == 0:
            return 0
        cdef const unsigned[::1] dead
        with self.writing:
            rows = self.positions_of(unique)
            dead = rows[rows >= 0].astype(np.uint32)
            n = dead.shape[0]
            if n == 0:
                return 0
            if not store_reserve_deaths(self.store.it, &dead[0], n):
                raise MemoryError
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            store_publish(self.store.it, &dead[0], n, 0)
            PyThread_release_lock(self.lock)
        return n

    def compact(self) -> None:
        cdef _Store old, new
        cdef const unsigned[::1] rows
        cdef Py_ssize_t i, n
        cdef bint ok = True
        with self.writing:
            old = self.store
            new = _Store(self.dim, old.it.tiers)
            rows = np.sort(self.positions_of(self.ids())).astype(np.uint32)
            n = rows.shape[0]
            with nogil:
                ok = store_reserve(new.it, n)
                if ok:
                    for i in range(n):
                        store_copy(new.it, <unsigned>i, old.it, rows[i])
                    store_publish(new.it, NULL, 0, n)
            if not ok:
                raise MemoryError
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            self.store = new
            self.generation += 1
            PyThread_release_lock(self.lock)

    def ids(self):
        cdef Py_ssize_t row, n = 0
        cdef mimo_store *store
        cdef int64_t id
        out = np.empty(self.store.it.alive, np.int64)
        cdef int64_t[::1] found = out
        PyThread_acquire_lock(self.lock, WAIT_LOCK)
        store = self.store.it
        for row in range(store.rows):
            id = store.blocks[row // BLOCK_ROWS].ids[row % BLOCK_ROWS]
            if n < found.shape[0] and store_find(store, id) == <unsigned>row:
                found[n] = id
                n += 1
        PyThread_release_lock(self.lock)
        return out[:n]

    def rows(self, ids):
        cdef mimo_block *block
        wanted = _checks.integers(ids, "ids", np.int64)
        positions = np.empty(wanted.size, np.int64)
        cdef _Store store = self._find(wanted, positions)
        if (positions < 0).any():
            raise KeyError(int(wanted[positions < 0][0]))
        if not store.it.tiers & 14:
            raise ValueError("codes cannot be turned back into rows")
        cdef const int64_t[::1] at = positions
        out = np.empty((at.shape[0], self.dim), np.float32)
        cdef float[:, ::1] y = out
        cdef Py_ssize_t i, j, start
        for i in range(at.shape[0]):
            block = store.it.blocks[at[i] // BLOCK_ROWS]
            start = at[i] % BLOCK_ROWS * store.it.padded
            if block.floats is not NULL:
                memcpy(&y[i, 0], block.floats + start, self.dim * sizeof(float))
            elif block.halves is not NULL:
                kernels.widen(block.halves + start, self.dim, &y[i, 0])
            else:
                for j in range(self.dim):
                    y[i, j] = block.codes[start + j] * block.scales[at[i] % BLOCK_ROWS]
        return out

    def search(self, query, k, *, plan="auto", rescore=0, threads=1, groups=None, allowed=None, mask=None, min_score=None):
        cdef Py_ssize_t most = whole(k, "k"), candidates = whole(rescore, "rescore"), shards = whole(threads, "threads")
        cdef const float[::1] q = floats1(query, "query")
        cdef int number = 0
        cdef const int[::1] group
        cdef const int *group_at = NULL
        cdef int64_t groups_n = -1, found
        cdef const uint64_t *allowed_at = NULL
        cdef uint64_t[::1] words
        cdef _Store store
        cdef mimo_snapshot shot
        cdef int64_t capacity
        if q.shape[0] != self.dim:
            _checks.same_dim(q.shape[0], self.dim, "query")
        if not finite(&q[0], self.dim):
            raise _checks.not_finite("query")
        if shards < 1:
            raise _checks.too_few_threads(threads)
        if min_score is not None:
            min_score = _checks.least(min_score)
        if not isinstance(plan, str) or plan != "auto":
            number = _checks.plan_number(plan, self.store.it.tiers)
        if groups is not None:
            group = _checks.integers(groups, "groups", np.int32)
            groups_n = group.shape[0]
            if groups_n:
                group_at = &group[0]
        cdef const int64_t[::1] wanted = None
        cdef int64_t[::1] rows = None
        cdef Py_ssize_t i
        cdef unsigned row
        if allowed is not None:
            wanted = integers1(allowed, "allowed")
            allowed_rows = np.empty(wanted.shape[0], np.int64)
            rows = allowed_rows
        flags = None if mask is None else _checks.flags(mask, "mask")

        PyThread_acquire_lock(self.lock, WAIT_LOCK)
        store = self.store
        shot = store_enter(store.it)
        if wanted is not None:
            for i in range(wanted.shape[0]):
                row = store_find(store.it, wanted[i])
                rows[i] = -1 if row == NOWHERE else <int64_t>row
        PyThread_release_lock(self.lock)
        try:
            most = max(0, min(most, shot.rows))
            ids = np.empty(most, np.int64)
            scores = np.empty(most, np.float32)
            if most == 0:
                return ids, scores
            if flags is not None or wanted is not None:
                words = words_of(shot.rows, rows, flags)
                allowed_at = &words[0]
            found = self._search(store, &shot, &q[0], most, number, candidates, shards, allowed_at, group_at, groups_n, ids, scores)
        finally:
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            store_leave(store.it, shot)
            PyThread_release_lock(self.lock)
        if found < 0:
            raise MemoryError
        if min_score is not None:
            found = int(np.count_nonzero(scores[:found] >= min_score))
        if found < most:
            return ids[:found], scores[:found]
        return ids, scores

    cdef int64_t _search(self, _Store store, const mimo_snapshot *shot, const float *query, Py_ssize_t k, int plan, Py_ssize_t rescore,
                         Py_ssize_t threads, const uint64_t *allowed, const int *groups, int64_t groups_n, int64_t[::1] ids, float[::1] scores):
        cdef int64_t found
        cdef int trusted = self.codes_trusted
        cdef Py_ssize_t of_codes = self.of_codes
        cdef const mimo_kernels *table = kernels
        cdef PyThreadState *others = NULL if <int64_t>store.it.alive * self.dim <= BRIEF else PyEval_SaveThread()
        found = store_search(store.it, shot, table, query, k, plan, trusted, rescore, of_codes, threads, allowed, groups, groups_n, &ids[0], &scores[0])
        if others is not NULL:
            PyEval_RestoreThread(others)
        return found

    def search_batch(self, queries, k, **options):
        return _alike.batch(self, _checks.floats(queries, "queries", 2), k, options)

    def probe(self, samples=16, k=10) -> float:
        _checks.plan_number("bits", self.store.it.tiers)
        return _alike.recall(self, samples, k)

    def stats(self) -> dict:
        cdef mimo_store *store = self.store.it
        cdef unsigned tiers = store.tiers
        each = 12 + (store.padded // 8 if tiers & 1 else 0) + (store.padded + 4 if tiers & 2 else 0)
        each += (store.padded * 2 if tiers & 4 else 0) + (store.padded * 4 if tiers & 8 else 0)
        return {
            "rows": store.alive,
            "dead": store.rows - store.alive,
            "blocks": store.allocated,
            "bytes": store.rows * each + store.slots_n * 4,
            "version": store.version,
            "generation": self.generation,
        }

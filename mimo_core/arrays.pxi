# What is given to a VectorIndex beside its rows, as the store wants it.

cdef tuple turned(blobs):
    """Halves in the order of bytes of a machine that has them the other way round; what is none stays."""
    return tuple([
        np.frombuffer(blob, np.uint16).byteswap().tobytes() if type(blob) is bytes and len(blob) % 2 == 0 else blob
        for blob in blobs
    ])


cdef Py_ssize_t whole(value, str name) except? -1:
    """What `_checks.whole` says, without a call of Python for a plain number."""
    cdef long long number
    cdef int beyond = 0
    if type(value) is int:
        number = PyLong_AsLongLongAndOverflow(value, &beyond)
        if not beyond and -LARGEST <= number <= LARGEST:
            return number
    return _checks.whole(value, name)


cdef const int[::1] groups_of(groups, Py_ssize_t n):
    """A group for each of n rows; None: all are of group 0."""
    cdef const int[::1] group
    if groups is None:
        return None
    plain = integers_of(groups)
    group = _checks.integers(groups if plain is None else plain, "groups", np.int32)
    if group.shape[0] != n:
        raise ValueError(f"groups must be as many as ids, {n} (got {group.shape[0]})")
    return group


cdef distinct(const int64_t[::1] ids):
    """Raises ValueError where an id comes twice; ascending ones, as they come from a store, need no sorting."""
    cdef Py_ssize_t i
    for i in range(1, ids.shape[0]):
        if ids[i] <= ids[i - 1]:
            return _checks.distinct(np.asarray(ids))


cdef uint64_t[::1] words_of(int64_t n, const int64_t[::1] rows, flags):
    """A bit for each of n rows that is one of `rows` (None: all) and has its flag set (None: all)."""
    cdef Py_ssize_t i
    cdef uint64_t[::1] words
    cdef int64_t most = (n + 63) // 64
    chosen = np.zeros(most, np.uint64)
    if rows is not None:
        words = chosen
        for i in range(rows.shape[0]):
            if rows[i] >= 0:
                words[rows[i] // 64] |= <uint64_t>1 << (rows[i] % 64)
    if flags is not None:
        padded = np.zeros(most * 64, np.uint8)
        padded[:min(n, flags.size)] = flags[:n]
        flagged = np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)
        chosen = flagged if rows is None else chosen & flagged
    return chosen

# What the C headers offer to Cython.

cdef extern from "search.h" nogil:
    ctypedef struct mimo_best:
        int64_t kept
        float poison

    ctypedef struct mimo_query8:
        pass

    ctypedef struct mimo_kernels:
        void (*cosine_parts)(const float *, const float *, int64_t, double *) noexcept nogil
        void (*scan_f32)(const float *, int64_t, const int *, int64_t, const float *, const int64_t *, int64_t, mimo_best *) noexcept nogil
        void (*unit)(const float *, int64_t, float *) noexcept nogil
        void (*widen)(const uint16_t *, int64_t, float *) noexcept nogil
        void (*halve)(const float *, int64_t, uint16_t *) noexcept nogil
        float (*quantize)(const float *, int64_t, int8_t *) noexcept nogil
        void (*pack)(const float *, int64_t, uint64_t *, int64_t) noexcept nogil

    const char *mimo_level_name(int)
    int mimo_best_level()
    int mimo_highest_level()
    int mimo_amx_refusal()
    const char *mimo_amx_refusal_text(int)
    const mimo_kernels *mimo_kernels_of(int)
    int popcount "__builtin_popcountll"(uint64_t)
    int all_finite(const float *, int64_t)
    void best_init(mimo_best *, int64_t, float *, int64_t *)
    void best_sort(mimo_best *)

    ctypedef struct mimo_block:
        int64_t *ids
        int8_t *codes
        float *scales
        uint16_t *halves
        float *floats

    ctypedef struct mimo_store:
        int64_t dim, padded
        unsigned tiers
        mimo_block **blocks
        int64_t allocated, rows, alive
        uint64_t version
        int64_t slots_n

    ctypedef struct mimo_snapshot:
        int64_t rows
        uint64_t version

    mimo_store *store_new(int64_t, unsigned)
    void store_free(mimo_store *)
    unsigned store_find(const mimo_store *, int64_t)
    int store_reserve(mimo_store *, int64_t)
    int store_reserve_deaths(mimo_store *, const unsigned *, int64_t)
    void store_fill(mimo_store *, const mimo_kernels *, const int64_t *, const int *, const float *, int64_t, float *)
    void store_fill_halves(mimo_store *, const mimo_kernels *, const int64_t *, const int *, const uint16_t *const *, int64_t, float *)
    void store_copy(mimo_store *, unsigned, const mimo_store *, unsigned)
    void store_publish(mimo_store *, const unsigned *, int64_t, int64_t)
    mimo_snapshot store_enter(mimo_store *)
    void store_leave(mimo_store *, mimo_snapshot)
    int64_t store_search(const mimo_store *, const mimo_snapshot *, const mimo_kernels *, const float *, int64_t, int, int, int64_t, int64_t, int64_t,
                         const uint64_t *, const int *, int64_t, int64_t *, float *)
    unsigned NOWHERE
    int BLOCK_ROWS

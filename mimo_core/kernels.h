/* The kernels of every level, and the table by which they are called.
 *
 * `kernels.inc` is compiled once per level with GCC's vector extensions, which need neither -march
 * nor -ffast-math. Rows are summed in the same order whether they come alone or four at a time, so
 * equal rows have equal scores and ties are real ties.
 */
#ifndef MIMO_KERNELS_H
#define MIMO_KERNELS_H

#include "amx.h"
#include "isa.h"
#include "topk.h"
#include <string.h>

#if MIMO_X86
#include <immintrin.h>
#ifdef MIMO_EMULATE
#include "emulated.h"
#endif
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* An int8 code times its scale gives the number back; the codes of a query as the kernels want them. */
typedef struct {
    const int8_t *codes; /* padded with zeros to a multiple of 64 */
    int32_t sum;         /* of the codes: VNNI wants one side unsigned, 128 * sum takes the bias out */
} mimo_query8;

/* Scans offer every row to `best`. Row i of a scan is row `at[i]` of the block (`at` NULL: row i);
 * its id is `ids[row]` (`ids` NULL: first + row). `dim` of f16 and int8 rows is a multiple of 64. */
typedef struct {
    void (*cosine_parts)(const float *a, const float *b, int64_t dim, double out[3]);
    void (*scan_f32)(const float *rows, int64_t dim, const int32_t *at, int64_t n, const float *query,
                     const int64_t *ids, int64_t first, mimo_best *best);
    void (*scan_f16)(const uint16_t *rows, int64_t dim, const int32_t *at, int64_t n, const float *query,
                     const int64_t *ids, int64_t first, mimo_best *best);
    void (*scan_int8)(const int8_t *rows, const float *scales, int64_t dim, const int32_t *at, int64_t n,
                      const mimo_query8 *query, const int64_t *ids, int64_t first, mimo_best *best);
    /* Codes lie in groups of eight rows, [group][word][lane]; bit r of `mask` says whether row r counts. */
    void (*scan_bits)(const uint64_t *codes, int64_t words, const uint64_t *mask, int64_t rows,
                      const uint64_t *query, uint32_t first, mimo_nearest *near);
    /* Scores of rows that lie anywhere. */
    void (*scores_f32)(const float *const *rows, int64_t n, int64_t dim, const float *query, float *out);
    void (*scores_f16)(const uint16_t *const *rows, int64_t n, int64_t dim, const float *query, float *out);
    void (*scores_int8)(const int8_t *const *rows, int64_t n, int64_t dim, const mimo_query8 *query, int32_t *out);
    int32_t (*dot_int8)(const int8_t *row, int64_t dim, const mimo_query8 *query);
    void (*unit)(const float *row, int64_t dim, float *out);
    void (*widen)(const uint16_t *halves, int64_t n, float *out);
    void (*halve)(const float *row, int64_t n, uint16_t *out);
    float (*quantize)(const float *row, int64_t n, int8_t *out); /* gives the scale */
    void (*pack)(const float *row, int64_t n, uint64_t *out, int64_t stride);
    /* Take out of `mask` the rows whose label is none of those wanted. */
    void (*match)(const int32_t *labels, int64_t rows, const int32_t *wanted, int64_t n, uint64_t *mask);
} mimo_kernels;

#define MIMO_CAT_(a, b) a##_##b
#define MIMO_CAT(a, b) MIMO_CAT_(a, b)

#define LEVEL generic
#define LEVEL_NUMBER 0
#define TARGET
#define LANES 4
#include "kernels.inc"

#if MIMO_X86
#define LEVEL avx2
#define LEVEL_NUMBER 1
#define TARGET __attribute__((target("avx2,fma,f16c,popcnt")))
#define LANES 8
#include "kernels.inc"

#define LEVEL avx512
#define LEVEL_NUMBER 2
#ifdef MIMO_EMULATE
#define TARGET __attribute__((target("avx2,fma,f16c,popcnt")))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq,fma,f16c,popcnt")))
#endif
#define LANES 16
#include "kernels.inc"
#endif

static const mimo_kernels *mimo_kernels_of(int level) {
    switch (level) {
#if MIMO_X86
    case MIMO_AMX: /* its tiles are for matrices */
    case MIMO_AVX512: return &mimo_table_avx512;
    case MIMO_AVX2: return &mimo_table_avx2;
#endif
    default: return &mimo_table_generic;
    }
}

#endif

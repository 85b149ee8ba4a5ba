/* The best of a stream: a bounded heap of scores, and a bounded set of nearest codes.
 *
 * Everything here is inlined into the kernel that uses it: calling out of AVX code into code for
 * the base instruction set costs more than the whole insertion.
 */
#ifndef MIMO_TOPK_H
#define MIMO_TOPK_H

#include <limits.h>
#include <math.h>
#include <stdint.h>

#define MIMO_INLINE static inline __attribute__((always_inline))

/* Ask for the lines of a row that will be summed soon: chosen rows lie where no hardware foresees them. */
MIMO_INLINE void row_ahead(const void *row, int64_t bytes) {
    for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch((const char *)row + byte);
}

/* What is read in order is asked for so many bytes before: no hardware looks that far, nor across the border of a page,
 * and alone it gets two thirds of what memory gives. Nearer is too late, and more would push out what is in use. */
#define AHEAD 12288

/* Is none of them infinite or NaN? Those have all bits of the exponent set, and no other has more. */
static inline int all_finite(const float *numbers, int64_t n) {
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        union { float value; int32_t bits; } u = {numbers[i]};
        u.bits &= 0x7f800000;
        most = u.bits > most ? u.bits : most;
    }
    return most < 0x7f800000;
}

/* The `size` best of all offered (score, id): higher score first, then lower id. A binary heap with
 * the worst at its root. */
typedef struct {
    int64_t size, kept;
    float worst;  /* nothing below it is of interest: -inf until the heap is full */
    float poison; /* 0 while every offered score was finite, else NaN */
    float *score;
    int64_t *id;
} mimo_best;

MIMO_INLINE void best_init(mimo_best *best, int64_t size, float *score, int64_t *id) {
    best->size = size;
    best->kept = 0;
    best->worst = -INFINITY;
    best->poison = 0;
    best->score = score;
    best->id = id;
}

MIMO_INLINE int best_is_worse(const mimo_best *best, int64_t at, float score, int64_t id) {
    return best->score[at] < score || (best->score[at] == score && best->id[at] > id);
}

/* Put (score, id) where the root was, and let it sink. */
MIMO_INLINE void best_sink(mimo_best *best, int64_t kept, float score, int64_t id) {
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= kept) break;
        if (child + 1 < kept && best_is_worse(best, child + 1, best->score[child], best->id[child])) child++;
        if (!best_is_worse(best, child, score, id)) break;
        best->score[at] = best->score[child];
        best->id[at] = best->id[child];
        at = child;
    }
    best->score[at] = score;
    best->id[at] = id;
}

/* The caller has seen that score >= best->worst. */
MIMO_INLINE void best_offer(mimo_best *best, float score, int64_t id) {
    if (best->kept < best->size) {
        int64_t at = best->kept++;
        while (at) {
            int64_t parent = (at - 1) / 2;
            if (best->score[parent] < score || (best->score[parent] == score && best->id[parent] >= id)) break;
            best->score[at] = best->score[parent];
            best->id[at] = best->id[parent];
            at = parent;
        }
        best->score[at] = score;
        best->id[at] = id;
        if (best->kept == best->size) best->worst = best->score[0];
    } else if (best_is_worse(best, 0, score, id)) {
        best_sink(best, best->kept, score, id);
        best->worst = best->score[0];
    }
}

/* Sort, best first: take the worst out again and again. */
static inline void best_sort(mimo_best *best) {
    for (int64_t left = best->kept - 1; left > 0; left--) {
        float score = best->score[0];
        int64_t id = best->id[0];
        best_sink(best, left, best->score[left], best->id[left]);
        best->score[left] = score;
        best->id[left] = id;
    }
}

/* The `size` nearest codes of a stream of ascending rows: smaller distance first, then lower row.
 *
 * A histogram of the distances tells, without a sort, the largest distance that can still matter
 * (`worst`). Rows come in ascending order, so that once `size` rows are at or below `worst`, another
 * at `worst` itself comes too late. */
typedef struct {
    int64_t size, kept, room; /* room >= 2 * size; what fell out of use is swept when it is full */
    int64_t below;            /* how many kept have distance <= worst */
    int worst;                /* INT_MAX until `size` are there */
    int top;                  /* no distance is larger */
    int32_t *count;           /* of kept rows by distance, top + 1 of them */
    uint32_t *row;
    uint16_t *distance;
} mimo_nearest;

MIMO_INLINE void nearest_sweep(mimo_nearest *near) {
    if (near->worst == INT_MAX) return;
    int64_t ties = near->size - (near->below - near->count[near->worst]), kept = 0;
    for (int64_t i = 0; i < near->kept; i++) {
        int distance = near->distance[i];
        if (distance > near->worst || (distance == near->worst && ties-- <= 0)) continue;
        near->row[kept] = near->row[i];
        near->distance[kept++] = near->distance[i];
    }
    near->count[near->worst] -= (int32_t)(near->below - kept);
    near->kept = near->below = kept;
}

/* The caller has seen that distance < near->worst. */
MIMO_INLINE void nearest_offer(mimo_nearest *near, int distance, uint32_t row) {
    if (near->kept == near->room) nearest_sweep(near);
    near->row[near->kept] = row;
    near->distance[near->kept++] = (uint16_t)distance;
    near->count[distance]++;
    near->below++;
    if (near->below < near->size) return;
    if (near->worst == INT_MAX) near->worst = near->top;
    while (near->below - near->count[near->worst] >= near->size) near->below -= near->count[near->worst--];
}

#endif

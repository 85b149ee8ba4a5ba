/* One search over a snapshot: which rows count, by which plan they are scanned, and the last rescoring. */
#ifndef MIMO_SEARCH_H
#define MIMO_SEARCH_H

#include "store.h"

enum { PLAN_AUTO = 0, PLAN_EXACT = 1, PLAN_INT8 = 2, PLAN_BITS = 3 };

/* Up to here floats are scanned, because it is exact and short; up to there int8, which loses nothing
 * once rescored; codes beyond. The twin has the same numbers, so that both choose alike. */
#define EXACT_ROWS 4096
#define INT8_ROWS 200000

typedef struct {
    const float *numbers; /* normalised and padded */
    mimo_query8 small;
    float scale;
    const uint64_t *code;
    void *memory;
} mimo_query;

static int query_prepare(mimo_query *query, const mimo_store *store, const mimo_kernels *kernels, const float *numbers) {
    size_t padded = (size_t)store->padded;
    query->memory = calloc(padded * 4 + padded + padded / 8 + 64, 1);
    if (!query->memory) return 0;
    float *floats = (float *)(((uintptr_t)query->memory + 63) & ~(uintptr_t)63);
    int8_t *codes = (int8_t *)(floats + padded);
    uint64_t *code = (uint64_t *)(void *)(codes + padded);
    kernels->unit(numbers, store->dim, floats);
    query->scale = kernels->quantize(floats, store->padded, codes);
    query->small.codes = codes;
    query->small.sum = 0;
    for (size_t i = 0; i < padded; i++) query->small.sum += codes[i];
    kernels->pack(floats, store->padded, code, 1);
    query->numbers = floats;
    query->code = code;
    return 1;
}

static int plan_for(unsigned tiers, int64_t rows, int codes_trusted) {
    if (tiers & TIER_FLOAT && (rows <= EXACT_ROWS || !(tiers & (TIER_INT8 | TIER_BITS)))) return PLAN_EXACT;
    if (tiers & TIER_INT8 && (rows <= INT8_ROWS || !codes_trusted || !(tiers & TIER_BITS))) return PLAN_INT8;
    if (tiers & TIER_BITS && (codes_trusted || !(tiers & TIER_FLOAT))) return PLAN_BITS;
    return PLAN_EXACT;
}

static int64_t rescored(int plan, int64_t k) {
    int64_t floor = plan == PLAN_BITS ? 400 : 32, times = plan == PLAN_BITS ? 40 : 4;
    return times * k > floor ? times * k : floor;
}

/* Floats (or int8 codes) of every wanted row of every block. */
static void scan_blocks(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const mimo_query *query,
                        int plan, int by_row, const uint64_t *mask, int32_t *at, mimo_best *best) {
    for (int64_t first = 0; first < shot->rows; first += BLOCK_ROWS) {
        const mimo_block *block = shot->blocks[first / BLOCK_ROWS];
        const int64_t *ids = by_row ? NULL : block->ids;
        int64_t n = rows_of_mask(mask + first / 64, at), rows = shot->rows - first;
        const int32_t *chosen = n == (rows < BLOCK_ROWS ? rows : BLOCK_ROWS) ? NULL : at;
        if (plan == PLAN_INT8)
            kernels->scan_int8(block->codes, block->scales, store->padded, chosen, n, &query->small, ids, first, best);
        else if (block->floats)
            kernels->scan_f32(block->floats, store->padded, chosen, n, query->numbers, ids, first, best);
        else
            kernels->scan_f16(block->halves, store->padded, chosen, n, query->numbers, ids, first, best);
    }
}

/* Scores of these rows by the best tier there is, offered by id. 0 when memory is short. */
static int rescore(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const mimo_query *query,
                   const int64_t *rows, const uint16_t *distances, int64_t n, mimo_best *best) {
    const void **start = malloc((size_t)(n + 1) * sizeof *start);
    float *score = malloc((size_t)(n + 1) * sizeof *score);
    if (start && score) {
        for (int64_t i = 0; i < n; i++) {
            const mimo_block *block = shot->blocks[rows[i] / BLOCK_ROWS];
            int64_t at = rows[i] % BLOCK_ROWS * store->padded;
            start[i] = block->floats ? (const void *)(block->floats + at)
                     : block->halves ? (const void *)(block->halves + at)
                                     : (const void *)(block->codes + at);
        }
        if (store->tiers & TIER_F32)
            kernels->scores_f32((const float *const *)start, n, store->padded, query->numbers, score);
        else if (store->tiers & TIER_F16)
            kernels->scores_f16((const uint16_t *const *)start, n, store->padded, query->numbers, score);
        else if (store->tiers & TIER_INT8)
            for (int64_t i = 0; i < n; i++)
                score[i] = (float)kernels->dot_int8(start[i], store->padded, &query->small)
                         * shot->blocks[rows[i] / BLOCK_ROWS]->scales[rows[i] % BLOCK_ROWS] * query->scale;
        else
            for (int64_t i = 0; i < n; i++) /* the angle that so many differing signs stand for */
                score[i] = (float)cos(3.14159265358979323846 * distances[i] / (double)store->dim);
        for (int64_t i = 0; i < n; i++) {
            int64_t id = shot->blocks[rows[i] / BLOCK_ROWS]->ids[rows[i] % BLOCK_ROWS];
            if (score[i] >= best->worst) best_offer(best, score[i], id);
        }
    }
    int ok = start && score;
    free(start);
    free(score);
    return ok;
}

/* `candidates` nearest codes, as rows and distances; gives their number, -1 when memory is short. */
static int64_t nearest_codes(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels,
                             const mimo_query *query, const uint64_t *mask, int64_t candidates, int64_t *rows, uint16_t *distances) {
    int64_t room = 2 * candidates + 256;
    mimo_nearest near = {.size = candidates, .room = room, .worst = INT_MAX, .top = (int)store->padded};
    near.count = calloc((size_t)store->padded + 1, sizeof *near.count);
    near.row = malloc((size_t)room * sizeof *near.row);
    near.distance = malloc((size_t)room * sizeof *near.distance);
    if (near.count && near.row && near.distance) {
        for (int64_t first = 0; first < shot->rows; first += BLOCK_ROWS)
            kernels->scan_bits(shot->blocks[first / BLOCK_ROWS]->bits, store->words, mask + first / 64, BLOCK_ROWS,
                               query->code, (uint32_t)first, &near);
        nearest_sweep(&near);
        for (int64_t i = 0; i < near.kept; i++) {
            rows[i] = near.row[i];
            distances[i] = near.distance[i];
        }
    } else {
        near.kept = -1;
    }
    free(near.count);
    free(near.row);
    free(near.distance);
    return near.kept;
}

/* The k best rows, best first, in `ids` and `scores` (room for k). Gives how many, -1 when memory is short.
 * `plan` must fit the tiers; `candidates` 0 takes the plan's own number. */
static int64_t store_search(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const float *numbers,
                            int64_t k, int plan, int codes_trusted, int64_t candidates, const uint64_t *allowed,
                            const int32_t *groups, int64_t groups_n, int64_t *ids, float *scores) {
    int64_t blocks = (shot->rows + BLOCK_ROWS - 1) / BLOCK_ROWS, found = -1;
    uint64_t *mask = malloc((size_t)(blocks * BLOCK_WORDS + 1) * sizeof *mask);
    int32_t *at = malloc(BLOCK_ROWS * sizeof *at);
    int64_t *rows = NULL;
    uint16_t *distances = NULL;
    float *rough = NULL;
    mimo_query query = {0};
    mimo_best best;
    if (!mask || !at || !query_prepare(&query, store, kernels, numbers)) goto end;
    int64_t wanted = snapshot_mask(shot, kernels, allowed, groups, groups_n, mask);
    if (k > wanted) k = wanted;
    found = 0;
    if (k <= 0) goto end;
    best_init(&best, k, scores, ids);
    if (plan == PLAN_AUTO) plan = plan_for(store->tiers, wanted, codes_trusted);
    if (plan == PLAN_EXACT) {
        scan_blocks(store, shot, kernels, &query, plan, 0, mask, at, &best);
    } else {
        found = -1;
        if (candidates <= 0) candidates = rescored(plan, k);
        if (candidates < k) candidates = k;
        if (candidates > wanted) candidates = wanted;
        int64_t kept;
        if (!(rows = malloc((size_t)candidates * sizeof *rows)) || !(distances = malloc((size_t)candidates * sizeof *distances)))
            goto end;
        if (plan == PLAN_INT8) {
            mimo_best near;
            if (!(rough = malloc((size_t)candidates * sizeof *rough))) goto end;
            best_init(&near, candidates, rough, rows);
            scan_blocks(store, shot, kernels, &query, plan, 1, mask, at, &near);
            kept = near.kept;
        } else if ((kept = nearest_codes(store, shot, kernels, &query, mask, candidates, rows, distances)) < 0) {
            goto end;
        }
        if (!rescore(store, shot, kernels, &query, rows, distances, kept, &best)) goto end;
    }
    best_sort(&best);
    found = best.kept;
end:
    free(mask);
    free(at);
    free(rows);
    free(distances);
    free(rough);
    free(query.memory);
    return found;
}

#endif

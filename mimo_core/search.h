/* One search over a snapshot: which rows count, by which plan they are scanned, and the last rescoring. */
#ifndef MIMO_SEARCH_H
#define MIMO_SEARCH_H

#include "store.h"

#if defined(__unix__) || defined(__APPLE__)
#define MIMO_PTHREADS 1
#include <pthread.h>
#include <signal.h>
#else
#define MIMO_PTHREADS 0
#endif

enum { PLAN_AUTO = 0, PLAN_EXACT = 1, PLAN_INT8 = 2, PLAN_BITS = 3 };

/* Up to here floats are scanned, because it is exact and short; up to there int8, which loses nothing
 * once rescored; codes beyond. The twin has the same numbers, so that both choose alike. */
#define EXACT_ROWS 4096
#define INT8_ROWS 200000
#define MOST_SHARDS 16
#define CROWDED 16 /* so many times the candidates where the best of them are equal to what was left out */

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
    int64_t floor = plan == PLAN_BITS ? 800 : 32, times = plan == PLAN_BITS ? 40 : 4;
    return times * k > floor ? times * k : floor;
}

/* What a stage of a search hands on to the next, more exact one. Those at its edge are no better than what was left
 * out: where that is the same vector, it was left out for its place alone. */
typedef struct {
    int64_t row;
    int edge;
} mimo_candidate;

/* A part of the rows, scanned by one thread: it keeps what it would keep of all of them. */
typedef struct {
    const mimo_store *store;
    const mimo_snapshot *shot;
    const mimo_kernels *kernels;
    const mimo_query *query;
    const uint64_t *mask;
    int64_t first, end;   /* rows; whole blocks but for the last */
    int plan;
    int32_t *at;
    mimo_best best;       /* of floats by id, of int8 codes by row */
    mimo_nearest nearest; /* of codes */
    void *memory;
} mimo_shard;

/* Room to keep `size`; 0 when memory is short. */
static int shard_open(mimo_shard *shard, int64_t size) {
    size_t n = (size_t)size, room = 2 * n + 256, top = (size_t)shard->store->padded;
    int codes = shard->plan == PLAN_BITS;
    size_t each = codes ? (top + 1) * sizeof(int32_t) + room * (sizeof(uint32_t) + sizeof(uint16_t))
                        : BLOCK_ROWS * sizeof(int32_t) + n * (sizeof(int64_t) + sizeof(float));
    char *next = shard->memory = malloc(each);
    if (!next) return 0;
    if (codes) {
        mimo_nearest *near = &shard->nearest;
        *near = (mimo_nearest){.size = size, .room = (int64_t)room, .worst = INT_MAX, .top = (int)top};
        near->count = memset(next, 0, (top + 1) * sizeof(int32_t));
        near->row = (uint32_t *)(void *)(near->count + top + 1);
        near->distance = (uint16_t *)(void *)(near->row + room);
    } else {
        int64_t *ids = (int64_t *)(void *)next;
        float *scores = (float *)(void *)(ids + n);
        best_init(&shard->best, size, scores, ids);
        shard->at = (int32_t *)(void *)(scores + n);
    }
    return 1;
}

static void *shard_scan(void *given) {
    mimo_shard *shard = given;
    const mimo_kernels *kernels = shard->kernels;
    const mimo_query *query = shard->query;
    int64_t dim = shard->store->padded;
    for (int64_t first = shard->first; first < shard->end; first += BLOCK_ROWS) {
        const mimo_block *block = shard->shot->blocks[first / BLOCK_ROWS];
        const uint64_t *mask = shard->mask + first / 64;
        if (shard->plan == PLAN_BITS) {
            kernels->scan_bits(block->bits, shard->store->words, mask, BLOCK_ROWS, query->code, (uint32_t)first, &shard->nearest);
            continue;
        }
        int64_t n = rows_of_mask(mask, shard->at), rows = shard->end - first;
        const int32_t *chosen = n == (rows < BLOCK_ROWS ? rows : BLOCK_ROWS) ? NULL : shard->at;
        if (shard->plan == PLAN_INT8)
            kernels->scan_int8(block->codes, block->scales, dim, chosen, n, &query->small, NULL, first, &shard->best);
        else if (block->floats)
            kernels->scan_f32(block->floats, dim, chosen, n, query->numbers, block->ids, first, &shard->best);
        else
            kernels->scan_f16(block->halves, dim, chosen, n, query->numbers, block->ids, first, &shard->best);
    }
    return NULL;
}

/* What another shard kept, of rows behind ours. */
static void shard_join(mimo_shard *shard, const mimo_shard *next) {
    if (shard->plan != PLAN_BITS) {
        for (int64_t i = 0; i < next->best.kept; i++)
            if (next->best.score[i] >= shard->best.worst) best_offer(&shard->best, next->best.score[i], next->best.id[i]);
        return;
    }
    for (int64_t i = 0; i < next->nearest.kept; i++)
        if (next->nearest.distance[i] < shard->nearest.worst)
            nearest_offer(&shard->nearest, next->nearest.distance[i], next->nearest.row[i]);
}

/* All shards at once, each but the first in a thread of its own; where none can be had, one after the
 * other. Signals are for the threads of the program. The first has what all of them found. */
static void shards_scan(mimo_shard *shards, int n) {
#if MIMO_PTHREADS
    pthread_t thread[MOST_SHARDS];
    int started[MOST_SHARDS] = {0};
    if (n > 1) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        for (int i = 1; i < n; i++) started[i] = !pthread_create(&thread[i], NULL, shard_scan, &shards[i]);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    shard_scan(&shards[0]);
    for (int i = 1; i < n; i++) {
        if (started[i]) pthread_join(thread[i], NULL);
        else shard_scan(&shards[i]);
    }
#else
    for (int i = 0; i < n; i++) shard_scan(&shards[i]);
#endif
    for (int i = 1; i < n; i++) shard_join(&shards[0], &shards[i]);
}

/* The codes of the eight rows that lie with this one. */
static const uint64_t *group_of(const mimo_store *store, const mimo_snapshot *shot, int64_t row) {
    return shot->blocks[row / BLOCK_ROWS]->bits + row % BLOCK_ROWS / 8 * 8 * store->words;
}

/* What codes alone tell of the cosine. Codes give up the numbers of the rows; those of the query are here, and with
 * them the same codes tell much better who is near than by how many signs differ: the query's int8 codes are summed,
 * each with the sign of the row, eight signs looked up at a time. 1 is where all signs agree. 0 when memory is short. */
static int estimate(const mimo_store *store, const mimo_snapshot *shot, const mimo_query *query, const mimo_candidate *near, int64_t n,
                    float *score) {
    int16_t(*sums)[256] = malloc((size_t)store->padded / 8 * sizeof *sums);
    if (!sums) return 0;
    int32_t most = 0;
    for (int64_t byte = 0; byte < store->padded / 8; byte++) {
        const int8_t *its = query->small.codes + byte * 8;
        sums[byte][0] = 0;
        for (int i = 0; i < 8; i++) {
            sums[byte][0] -= its[i];
            most += its[i] < 0 ? -its[i] : its[i];
        }
        for (int signs = 1; signs < 256; signs++) {
            int i = 0;
            while (!(signs >> i & 1)) i++;
            sums[byte][signs] = (int16_t)(sums[byte][signs & (signs - 1)] + 2 * its[i]);
        }
    }
    for (int64_t i = 0; i < n; i++) {
        const uint64_t *code = group_of(store, shot, near[i].row) + near[i].row % 8;
        if (i + 8 < n) row_ahead(group_of(store, shot, near[i + 8].row), 64 * store->words);
        int32_t sum = 0;
        for (int64_t word = 0; word < store->words; word++)
            for (int byte = 0; byte < 8; byte++) sum += sums[word * 8 + byte][code[word * 8] >> byte * 8 & 255];
        score[i] = most ? (float)sum / (float)most : 0;
    }
    free(sums);
    return 1;
}

/* Scores of these rows by the best tier that holds their numbers. 0 when memory is short. */
static int score_rows(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const mimo_query *query,
                      const mimo_candidate *near, int64_t n, float *score) {
    const void **start = malloc((size_t)(n + 1) * sizeof *start);
    if (!start) return 0;
    for (int64_t i = 0; i < n; i++) {
        const mimo_block *block = shot->blocks[near[i].row / BLOCK_ROWS];
        int64_t at = near[i].row % BLOCK_ROWS * store->padded;
        start[i] = block->floats ? (const void *)(block->floats + at)
                 : block->halves ? (const void *)(block->halves + at)
                                 : (const void *)(block->codes + at);
    }
    if (store->tiers & TIER_F32)
        kernels->scores_f32((const float *const *)start, n, store->padded, query->numbers, score);
    else if (store->tiers & TIER_F16)
        kernels->scores_f16((const uint16_t *const *)start, n, store->padded, query->numbers, score);
    else
        for (int64_t i = 0; i < n; i++)
            score[i] = (float)kernels->dot_int8(start[i], store->padded, &query->small)
                     * shot->blocks[near[i].row / BLOCK_ROWS]->scales[near[i].row % BLOCK_ROWS] * query->scale;
    free(start);
    return 1;
}

/* The best of these rows, offered by id. 0 when memory is short. `crowded`: the last of the best is at the edge of a
 * stage, so that equal ones with lower ids may have been left out. */
static int rescore(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const mimo_query *query,
                   const mimo_candidate *near, int64_t n, mimo_best *best, int *crowded) {
    float *score = malloc((size_t)(n + 1) * sizeof *score);
    int ok = score && (store->tiers == TIER_BITS ? estimate(store, shot, query, near, n, score)
                                                 : score_rows(store, shot, kernels, query, near, n, score));
    for (int64_t i = 0; ok && i < n; i++) {
        int64_t id = shot->blocks[near[i].row / BLOCK_ROWS]->ids[near[i].row % BLOCK_ROWS];
        if (score[i] >= best->worst) best_offer(best, score[i], id);
    }
    *crowded = 0;
    for (int64_t i = 0; ok && i < n; i++) *crowded |= near[i].edge && score[i] == best->worst;
    free(score);
    return ok;
}

/* Of the rows with the nearest codes those whose int8 codes score best: half the bytes of float16, read
 * from all over memory, and nothing that counts is lost. Gives how many, -1
 * when memory is short. */
static int64_t settled(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const mimo_query *query,
                       mimo_candidate *near, int64_t n, int64_t wanted) {
    int64_t size = wanted < n ? wanted : n;
    char *memory = malloc((size_t)n * (sizeof(void *) + sizeof(int32_t))
                          + (size_t)size * (sizeof *near + sizeof(int64_t) + sizeof(float)) + 1);
    if (!memory) return -1;
    const int8_t **start = (const int8_t **)(void *)memory;
    mimo_candidate *kept = (mimo_candidate *)(void *)(start + n);
    int64_t *at = (int64_t *)(void *)(kept + size);
    int32_t *sum = (int32_t *)(void *)(at + size);
    float *score = (float *)(void *)(sum + n);
    mimo_best best;
    best_init(&best, size, score, at);
    for (int64_t i = 0; i < n; i++)
        start[i] = shot->blocks[near[i].row / BLOCK_ROWS]->codes + near[i].row % BLOCK_ROWS * store->padded;
    kernels->scores_int8(start, n, store->padded, &query->small, sum);
    for (int64_t i = 0; i < n; i++) {
        float its = (float)sum[i] * shot->blocks[near[i].row / BLOCK_ROWS]->scales[near[i].row % BLOCK_ROWS];
        if (its >= best.worst) best_offer(&best, its, i);
    }
    for (int64_t i = 0; i < best.kept; i++) {
        kept[i] = near[at[i]];
        kept[i].edge |= size < n && score[i] == best.worst;
    }
    memcpy(near, kept, (size_t)best.kept * sizeof *near);
    free(memory);
    return best.kept;
}

/* The candidates that a scan of codes or of int8 found among `wanted` rows. */
static int64_t scanned(mimo_shard *shard, int64_t wanted, mimo_candidate *near) {
    const mimo_best *best = &shard->best;
    const mimo_nearest *nearest = &shard->nearest;
    if (shard->plan == PLAN_BITS) {
        nearest_sweep(&shard->nearest);
        for (int64_t i = 0; i < nearest->kept; i++)
            near[i] = (mimo_candidate){nearest->row[i], nearest->kept < wanted && nearest->distance[i] == nearest->worst};
        return nearest->kept;
    }
    for (int64_t i = 0; i < best->kept; i++)
        near[i] = (mimo_candidate){best->id[i], best->kept < wanted && best->score[i] == best->worst};
    return best->kept;
}

/* One round: the rows of the mask scanned by `plan`, and the best of so many candidates. 0 when memory is short. */
static int search_round(mimo_shard of, int64_t threads, int64_t wanted, int64_t candidates, int64_t settling,
                        mimo_best *best, int *crowded) {
    int64_t rows = of.end, blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    mimo_candidate *near = NULL;
    mimo_shard shards[MOST_SHARDS] = {0};
    int n = (int)(threads < blocks ? threads : blocks), done = 0;
    if (n > MOST_SHARDS) n = MOST_SHARDS;
    for (int i = 0; i < n; i++) {
        int64_t end = blocks * (i + 1) / n * BLOCK_ROWS;
        shards[i] = of;
        shards[i].first = blocks * i / n * BLOCK_ROWS;
        shards[i].end = end < rows ? end : rows;
        if (!shard_open(&shards[i], candidates)) goto end;
    }
    shards_scan(shards, n);
    *crowded = 0;
    if (of.plan == PLAN_EXACT) {
        const mimo_best *all = &shards[0].best;
        for (int64_t i = 0; i < all->kept; i++) best_offer(best, all->score[i], all->id[i]);
        done = 1;
    } else if ((near = malloc((size_t)(candidates + 1) * sizeof *near))) {
        int64_t kept = scanned(&shards[0], wanted, near);
        if (of.plan == PLAN_BITS && of.store->tiers & TIER_INT8 && of.store->tiers & TIER_FLOAT)
            kept = settled(of.store, of.shot, of.kernels, of.query, near, kept, settling);
        done = kept >= 0 && rescore(of.store, of.shot, of.kernels, of.query, near, kept, best, crowded);
    }
end:
    for (int i = 0; i < n; i++) free(shards[i].memory);
    free(near);
    return done;
}

/* The k best rows, best first, in `ids` and `scores` (room for k). Gives how many, -1 when memory is short.
 * `plan` must fit the tiers; `candidates` 0 takes the plan's own number, which for codes is `of_codes` if that is not
 * 0. The answer does not depend on the number of `threads`. */
static int64_t store_search(const mimo_store *store, const mimo_snapshot *shot, const mimo_kernels *kernels, const float *numbers,
                            int64_t k, int plan, int codes_trusted, int64_t candidates, int64_t of_codes, int64_t threads, const uint64_t *allowed,
                            const int32_t *groups, int64_t groups_n, int64_t *ids, float *scores) {
    int64_t blocks = (shot->rows + BLOCK_ROWS - 1) / BLOCK_ROWS, found = -1;
    uint64_t *mask = malloc((size_t)(blocks * BLOCK_WORDS + 1) * sizeof *mask);
    mimo_query query = {0};
    mimo_best best;
    if (!mask || !query_prepare(&query, store, kernels, numbers)) goto end;
    int64_t wanted = snapshot_mask(shot, kernels, allowed, groups, groups_n, mask);
    if (k > wanted) k = wanted;
    found = 0;
    if (k <= 0) goto end;
    if (plan == PLAN_AUTO) plan = plan_for(store->tiers, wanted, codes_trusted);
    if (candidates <= 0 && plan == PLAN_BITS) candidates = of_codes;
    if (candidates <= 0) candidates = rescored(plan, k);
    if (candidates < k || plan == PLAN_EXACT) candidates = k;
    if (candidates > wanted) candidates = wanted;

    found = -1;
    mimo_shard all = {.store = store, .shot = shot, .kernels = kernels, .query = &query, .mask = mask, .plan = plan, .end = shot->rows};
    int64_t settling = rescored(PLAN_INT8, k);
    for (int crowded = 1; crowded;) {
        best_init(&best, k, scores, ids);
        if (!search_round(all, threads, wanted, candidates, settling, &best, &crowded)) goto end;
        /* More vectors are equal than there are candidates: take more, until the lowest ids are among them. */
        candidates = candidates < wanted / CROWDED ? candidates * CROWDED : wanted;
        settling *= CROWDED;
    }
    best_sort(&best);
    found = best.kept;
end:
    free(mask);
    free(query.memory);
    return found;
}

#endif

/* One search over a snapshot: which rows count, by which plan they are scanned, and the last rescoring. */
#ifndef MIMO_SEARCH_H
#define MIMO_SEARCH_H

#include "scan.h"

/* Up to here floats are scanned, because it is exact and short; up to there int8, which loses nothing
 * once rescored; codes beyond. The twin has the same numbers, so that both choose alike. */
#define EXACT_ROWS 4096
#define INT8_ROWS 200000
#define CROWDED 16 /* so many times the candidates where the best of them are equal to what was left out */

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

/* What codes alone tell of the cosine. Codes give up the numbers of the rows; those of the query are here, and with
 * them the same codes tell much better who is near than by how many signs differ: the query's int8 codes are summed,
 * each with the sign of the row, eight signs looked up at a time. 1 is where all signs agree. 0 when memory is short. */
static int estimate(const mimo_store *store, const mimo_snapshot *shot, const mimo_query *query, const mimo_candidate *near, int64_t n,
                    float *score) {
    int16_t(*sums)[256] = malloc((size_t)store->padded / 8 * sizeof *sums);
    if (!sums) return 0;
    int32_t most = 0;
    int64_t front = front_of(store->words);
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
        const mimo_block *block = shot->blocks[near[i].row / BLOCK_ROWS];
        const uint64_t *code = code_of(block, store->words, near[i].row % BLOCK_ROWS);
        const uint64_t *rest = rest_of(block, store->words, near[i].row % BLOCK_ROWS);
        int32_t sum = 0;
        for (int64_t word = 0; word < store->words; word++) {
            uint64_t signs = word < front ? code[word * 8] : rest[word - front];
            for (int byte = 0; byte < 8; byte++) sum += sums[word * 8 + byte][signs >> byte * 8 & 255];
        }
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

/* One round: the rows of the mask scanned by the plan, and the best of so many candidates. 0 when memory is short. */
static int search_round(mimo_shard of, int64_t threads, int64_t wanted, int64_t candidates, int64_t settling,
                        mimo_best *best, int *crowded) {
    int64_t blocks = (of.end + BLOCK_ROWS - 1) / BLOCK_ROWS;
    mimo_candidate *near = NULL;
    mimo_shard shards[MOST_SHARDS] = {0};
    int n = (int)(threads < blocks ? threads : blocks), done = 0;
    if (n > MOST_SHARDS) n = MOST_SHARDS;
    if (!scan_wanted(of, shards, n, wanted, candidates)) goto end;
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
    mimo_shard all = {.store = store, .shot = shot, .kernels = kernels, .query = &query, .mask = mask, .plan = plan, .cut = INT_MAX, .end = shot->rows};
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

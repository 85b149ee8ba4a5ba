/* The first stage of a search: all rows that count, in shards, by one of their sizes; and what it hands on. */
#ifndef MIMO_SCAN_H
#define MIMO_SCAN_H

#include "store.h"

#if defined(__unix__) || defined(__APPLE__)
#define MIMO_PTHREADS 1
#include <pthread.h>
#include <signal.h>
#else
#define MIMO_PTHREADS 0
#endif

enum { PLAN_AUTO = 0, PLAN_EXACT = 1, PLAN_INT8 = 2, PLAN_BITS = 3 };

#define MOST_SHARDS 16
/* First words of all codes are compared, and all words only of so many of the nearest by these: half the bytes of most
 * rows are never read, and of the ten nearest of a million texts 0.997 are among them. By how many bits those differ at
 * most, every so many'th 64 rows tell. */
#define BY_FRONT(candidates) (8 * (candidates) + 8000)
#define SAMPLE 64

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
    int front_only;       /* of codes, for a sample */
    int cut;              /* rows that differ by more in the first words do not count */
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

/* Ask for what a sample will read of this block, which lies too far apart for the scan to ask. */
static void sample_ahead(const mimo_block *block, int64_t front) {
    for (int64_t row = 0; row < BLOCK_ROWS; row += 64 * SAMPLE) row_ahead(block->bits + row * front, 64 * front * 8);
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
            int64_t front = front_of(shard->store->words), more = shard->front_only ? 0 : shard->store->words - front;
            if (shard->front_only && first + BLOCK_ROWS < shard->end) sample_ahead(shard->shot->blocks[first / BLOCK_ROWS + 1], front);
            kernels->scan_bits(block->bits, front, block->bits + BLOCK_ROWS * front, more, shard->cut, mask, BLOCK_ROWS,
                               query->code, (uint32_t)first, &shard->nearest);
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
    shard->nearest.passed += next->nearest.passed;
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

/* The rows of the mask scanned by the plan, in as many shards as threads; the first has what all of them found. 0 when
 * memory is short. */
static int scan_all(mimo_shard of, mimo_shard shards[MOST_SHARDS], int n, int64_t size) {
    int64_t blocks = (of.end + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (int i = 0; i < n; i++) {
        int64_t end = blocks * (i + 1) / n * BLOCK_ROWS;
        free(shards[i].memory);
        shards[i] = of;
        shards[i].first = blocks * i / n * BLOCK_ROWS;
        shards[i].end = end < of.end ? end : of.end;
        if (!shard_open(&shards[i], size)) return 0;
    }
    shards_scan(shards, n);
    return 1;
}

/* By how many bits of the first words about `size` of the `wanted` rows differ at most, if those of a sample are like
 * all of them. -1 when memory is short. */
static int sampled_cut(mimo_shard of, int64_t wanted, int64_t size) {
    int64_t words = (of.end + BLOCK_ROWS - 1) / BLOCK_ROWS * BLOCK_WORDS, there = 0;
    if (front_of(of.store->words) == of.store->words || size >= wanted) return INT_MAX;
    uint64_t *mask = calloc((size_t)words, sizeof *mask);
    if (!mask) return -1;
    for (int64_t word = 0; word < words; word += SAMPLE) there += __builtin_popcountll(mask[word] = of.mask[word]);
    int cut = INT_MAX;
    size = size * there / wanted;
    if (size) {
        of.mask = mask;
        of.front_only = 1;
        cut = -1;
        if (shard_open(&of, size)) {
            shard_scan(&of);
            cut = of.nearest.worst;
        }
        free(of.memory);
    }
    free(mask);
    return cut;
}

/* As many of the rows of the mask as the shards keep: of codes, those near by their first words. 0 when memory is short. */
static int scan_wanted(mimo_shard of, mimo_shard shards[MOST_SHARDS], int n, int64_t wanted, int64_t size) {
    if (of.plan == PLAN_BITS && (of.cut = sampled_cut(of, wanted, BY_FRONT(size))) < 0) return 0;
    if (!scan_all(of, shards, n, size)) return 0;
    if (of.cut == INT_MAX || 4 * shards[0].nearest.passed >= BY_FRONT(size)) return 1;
    of.cut = INT_MAX; /* the sample was not like the others */
    return scan_all(of, shards, n, size);
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

#endif

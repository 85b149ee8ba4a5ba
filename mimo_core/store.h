/* Rows in blocks that never move: one writer appends and marks the dead, readers scan a snapshot.
 *
 * A snapshot is (table of blocks, number of rows, version). Appended rows lie behind every older
 * snapshot. A removed row keeps its bit in `live` and gets the version of its death in `died`, until
 * no reader is left that could still see it; a replaced row is a new row and a death in one version.
 * So a reader sees every change wholly or not at all, and takes no lock while it scans.
 *
 * The caller holds one lock for store_enter, store_leave and the functions that say so ("under the
 * lock"), and a second one for all that writes.
 */
#ifndef MIMO_STORE_H
#define MIMO_STORE_H

#include "blocks.h"

typedef struct {
    uint32_t *row;
    int64_t n, room;
} mimo_rows;

typedef struct {
    int64_t dim, padded, words; /* padded: dim rounded up to a multiple of 64 */
    unsigned tiers;
    mimo_block **blocks;
    int64_t allocated, room;    /* blocks there are, places in the table */
    mimo_memory memory;
    mimo_block ***outgrown;     /* tables that readers may still hold, one per doubling */
    int64_t outgrown_n;
    int64_t rows, alive;
    uint64_t version;
    uint32_t *slots; /* from id to row: open addressing, linear probing */
    int64_t slots_n;
    int64_t readers[2]; /* by parity of the epoch in which they entered */
    int epoch;
    mimo_rows older, newer; /* the dead of the epoch before, and of this one */
} mimo_store;

typedef struct {
    mimo_block *const *blocks;
    int64_t rows;
    uint64_t version;
    int epoch;
} mimo_snapshot;

static mimo_store *store_new(int64_t dim, unsigned tiers) {
    mimo_store *store = calloc(1, sizeof *store);
    if (!store) return NULL;
    store->dim = dim;
    store->padded = (dim + 63) / 64 * 64;
    store->words = store->padded / 64;
    store->tiers = tiers;
    return store;
}

static void store_free(mimo_store *store) {
    if (!store) return;
    for (int64_t i = 0; i < store->allocated; i++) {
        free(store->blocks[i]->died);
        free(store->blocks[i]);
    }
    memory_free(&store->memory);
    for (int64_t i = 0; i < store->outgrown_n; i++) free(store->outgrown[i]);
    free(store->outgrown);
    free(store->blocks);
    free(store->slots);
    free(store->older.row);
    free(store->newer.row);
    free(store);
}

/* ---- from id to row */

static inline int64_t store_id(const mimo_store *store, uint32_t row) {
    return store->blocks[row / BLOCK_ROWS]->ids[row % BLOCK_ROWS];
}

static inline int64_t slot_of(const mimo_store *store, int64_t id) {
    return (int64_t)(((uint64_t)id * 0x9e3779b97f4a7c15u) >> 20) & (store->slots_n - 1);
}

static uint32_t store_find(const mimo_store *store, int64_t id) {
    if (!store->slots_n) return NOWHERE;
    for (int64_t slot = slot_of(store, id);; slot = (slot + 1) & (store->slots_n - 1)) {
        uint32_t row = store->slots[slot];
        if (row == NOWHERE || store_id(store, row) == id) return row;
    }
}

static void store_point(mimo_store *store, int64_t id, uint32_t row) {
    int64_t slot = slot_of(store, id);
    while (store->slots[slot] != NOWHERE && store_id(store, store->slots[slot]) != id)
        slot = (slot + 1) & (store->slots_n - 1);
    store->slots[slot] = row;
}

/* Close the gap, so that probing needs no tombstones. */
static void store_unpoint(mimo_store *store, int64_t id) {
    int64_t most = store->slots_n - 1, gap = slot_of(store, id);
    while (store_id(store, store->slots[gap]) != id) gap = (gap + 1) & most;
    for (int64_t slot = (gap + 1) & most; store->slots[slot] != NOWHERE; slot = (slot + 1) & most) {
        int64_t home = slot_of(store, store_id(store, store->slots[slot]));
        if (((slot - home) & most) < ((slot - gap) & most)) continue; /* its home lies behind the gap */
        store->slots[gap] = store->slots[slot];
        gap = slot;
    }
    store->slots[gap] = NOWHERE;
}

/* ---- writing */

static int rows_reserve(mimo_rows *rows, int64_t more) {
    if (rows->n + more <= rows->room) return 1;
    int64_t room = 2 * (rows->n + more);
    uint32_t *grown = realloc(rows->row, (size_t)room * sizeof *grown);
    if (!grown) return 0;
    rows->row = grown;
    rows->room = room;
    return 1;
}

/* Room for `more` rows and their ids; 0 when memory is short, and nothing has changed. Under the lock:
 * `store_find` of other threads reads the slots. */
static int store_reserve(mimo_store *store, int64_t more) {
    int64_t blocks = (store->rows + more + BLOCK_ROWS - 1) / BLOCK_ROWS;
    if (blocks > store->room) {
        int64_t room = store->room ? store->room : 4;
        while (room < blocks) room *= 2;
        mimo_block **table = calloc((size_t)room, sizeof *table);
        mimo_block ***outgrown = realloc(store->outgrown, (size_t)(store->outgrown_n + 1) * sizeof *outgrown);
        if (outgrown) store->outgrown = outgrown;
        if (!table || !outgrown) {
            free(table);
            return 0;
        }
        if (store->blocks) {
            memcpy(table, store->blocks, (size_t)store->allocated * sizeof *table);
            store->outgrown[store->outgrown_n++] = store->blocks;
        }
        store->blocks = table;
        store->room = room;
    }
    while (store->allocated < blocks) {
        mimo_block *block = block_new(&store->memory, store->tiers, store->padded, store->allocated);
        if (!block) return 0;
        store->blocks[store->allocated++] = block;
    }
    if (4 * (store->alive + more) > 3 * store->slots_n) {
        int64_t n = store->slots_n ? store->slots_n : 64;
        while (4 * (store->alive + more) > 3 * n) n *= 2;
        uint32_t *old = store->slots, *slots = malloc((size_t)n * sizeof *slots);
        int64_t old_n = store->slots_n;
        if (!slots) return 0;
        memset(slots, 255, (size_t)n * sizeof *slots);
        store->slots = slots;
        store->slots_n = n;
        for (int64_t i = 0; i < old_n; i++)
            if (old[i] != NOWHERE) store_point(store, store_id(store, old[i]), old[i]);
        free(old);
    }
    return 1;
}

/* Room for the deaths of these rows (NOWHERE: none); 0 when memory is short. */
static int store_reserve_deaths(mimo_store *store, const uint32_t *rows, int64_t n) {
    if (!rows_reserve(&store->newer, n)) return 0;
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] == NOWHERE) continue;
        mimo_block *block = store->blocks[rows[i] / BLOCK_ROWS];
        if (!block->died && !(block->died = calloc(BLOCK_ROWS, sizeof *block->died))) return 0;
    }
    return 1;
}

/* Write row number `row`, which no snapshot contains yet. `scratch` holds `padded` floats, and may
 * be where the numbers are. */
static void store_write(mimo_store *store, const mimo_kernels *kernels, uint32_t row, int64_t id, int32_t group,
                        const float *numbers, float *scratch) {
    mimo_block *block = store->blocks[row / BLOCK_ROWS];
    int64_t at = row % BLOCK_ROWS, dim = store->dim, padded = store->padded;
    kernels->unit(numbers, dim, scratch);
    for (int64_t i = dim; i < padded; i++) scratch[i] = 0;
    block->ids[at] = id;
    block->groups[at] = group;
    if (block->bits) kernels->pack(scratch, padded, block->bits + at / 8 * 8 * store->words + at % 8, 8);
    if (block->codes) block->scales[at] = kernels->quantize(scratch, padded, block->codes + at * padded);
    if (block->halves) kernels->halve(scratch, padded, block->halves + at * padded);
    if (block->floats) memcpy(block->floats + at * padded, scratch, (size_t)padded * sizeof(float));
}

/* Write rows behind all that snapshots contain; `groups` NULL: of group 0. They are there once published. */
static void store_fill(mimo_store *store, const mimo_kernels *kernels, const int64_t *ids, const int32_t *groups,
                       const float *numbers, int64_t n, float *scratch) {
    for (int64_t i = 0; i < n; i++)
        store_write(store, kernels, (uint32_t)(store->rows + i), ids[i], groups ? groups[i] : 0, numbers + i * store->dim, scratch);
}

/* The same of rows as they are stored elsewhere, in float16, each at a place of its own. */
static void store_fill_halves(mimo_store *store, const mimo_kernels *kernels, const int64_t *ids, const int32_t *groups,
                              const uint16_t *const *halves, int64_t n, float *scratch) {
    for (int64_t i = 0; i < n; i++) {
        kernels->widen(halves[i], store->dim, scratch);
        store_write(store, kernels, (uint32_t)(store->rows + i), ids[i], groups ? groups[i] : 0, scratch, scratch);
    }
}

/* Row `to` becomes what row `from` of another store is. */
static void store_copy(mimo_store *store, uint32_t to, const mimo_store *other, uint32_t from) {
    mimo_block *mine = store->blocks[to / BLOCK_ROWS];
    const mimo_block *theirs = other->blocks[from / BLOCK_ROWS];
    size_t padded = (size_t)store->padded, a = to % BLOCK_ROWS, b = from % BLOCK_ROWS, words = (size_t)store->words;
    mine->ids[a] = theirs->ids[b];
    mine->groups[a] = theirs->groups[b];
    if (mine->bits)
        for (size_t w = 0; w < words; w++)
            mine->bits[(a / 8 * words + w) * 8 + a % 8] = theirs->bits[(b / 8 * words + w) * 8 + b % 8];
    if (mine->codes) {
        memcpy(mine->codes + a * padded, theirs->codes + b * padded, padded);
        mine->scales[a] = theirs->scales[b];
    }
    if (mine->halves) memcpy(mine->halves + a * padded, theirs->halves + b * padded, padded * 2);
    if (mine->floats) memcpy(mine->floats + a * padded, theirs->floats + b * padded, padded * 4);
}

static inline void live_set(mimo_block *block, int64_t at, int alive) {
    uint64_t word = block->live[at / 64], bit = (uint64_t)1 << (at % 64);
    __atomic_store_n(&block->live[at / 64], alive ? word | bit : word & ~bit, __ATOMIC_RELAXED);
}

/* Once no reader of the epoch before is left, nobody needs the rows that had died before it ended. */
static void store_bury(mimo_store *store) {
    for (int turn = 0; turn < 2 && !store->readers[1 - store->epoch]; turn++) {
        for (int64_t i = 0; i < store->older.n; i++) {
            mimo_block *block = store->blocks[store->older.row[i] / BLOCK_ROWS];
            live_set(block, store->older.row[i] % BLOCK_ROWS, 0);
            __atomic_sub_fetch(&block->pending, 1, __ATOMIC_RELEASE);
        }
        store->older.n = 0;
        mimo_rows empty = store->older;
        store->older = store->newer;
        store->newer = empty;
        store->epoch = 1 - store->epoch;
    }
}

/* `dead` rows die (NOWHERE: none), `more` written rows appear, in one version. Under the lock. */
static void store_publish(mimo_store *store, const uint32_t *dead, int64_t dead_n, int64_t more) {
    uint64_t version = store->version + 1;
    for (int64_t i = 0; i < dead_n; i++) {
        if (dead[i] == NOWHERE) continue;
        mimo_block *block = store->blocks[dead[i] / BLOCK_ROWS];
        store_unpoint(store, block->ids[dead[i] % BLOCK_ROWS]);
        __atomic_store_n(&block->died[dead[i] % BLOCK_ROWS], version, __ATOMIC_RELAXED);
        __atomic_add_fetch(&block->pending, 1, __ATOMIC_RELEASE);
        store->newer.row[store->newer.n++] = dead[i];
        store->alive--;
    }
    for (int64_t i = 0; i < more; i++) {
        uint32_t row = (uint32_t)(store->rows + i);
        live_set(store->blocks[row / BLOCK_ROWS], row % BLOCK_ROWS, 1);
        store_point(store, store_id(store, row), row);
    }
    store->rows += more;
    store->alive += more;
    store->version = version;
    store_bury(store);
}

/* ---- reading */

/* Under the lock. */
static mimo_snapshot store_enter(mimo_store *store) {
    mimo_snapshot shot = {store->blocks, store->rows, store->version, store->epoch};
    store->readers[store->epoch]++;
    return shot;
}

/* Under the lock. */
static void store_leave(mimo_store *store, mimo_snapshot shot) {
    store->readers[shot.epoch]--;
}

/* Which rows of a snapshot are there, are allowed (a bit a row; NULL: all) and are of one of these
 * groups (n < 0: any): a bit a row in `mask`, whole blocks long. Gives their number. */
static int64_t snapshot_mask(const mimo_snapshot *shot, const mimo_kernels *kernels, const uint64_t *allowed,
                             const int32_t *groups, int64_t groups_n, uint64_t *mask) {
    int64_t count = 0;
    for (int64_t first = 0; first < shot->rows; first += BLOCK_ROWS, mask += BLOCK_WORDS) {
        const mimo_block *block = shot->blocks[first / BLOCK_ROWS];
        int64_t rows = shot->rows - first < BLOCK_ROWS ? shot->rows - first : BLOCK_ROWS;
        int64_t pending = __atomic_load_n(&block->pending, __ATOMIC_ACQUIRE);
        for (int64_t w = 0; w < BLOCK_WORDS; w++) {
            int64_t there = rows - 64 * w;
            mask[w] = there <= 0 ? 0 : __atomic_load_n(&block->live[w], __ATOMIC_RELAXED);
            if (there > 0 && there < 64) mask[w] &= ((uint64_t)1 << there) - 1;
            if (allowed && there > 0) mask[w] &= allowed[first / 64 + w];
        }
        if (pending)
            for (int64_t row = 0; row < rows; row++) {
                uint64_t died = __atomic_load_n(&block->died[row], __ATOMIC_RELAXED);
                if (died && died <= shot->version) mask[row / 64] &= ~((uint64_t)1 << (row % 64));
            }
        if (groups_n >= 0) kernels->match(block->groups, BLOCK_ROWS, groups, groups_n, mask);
        for (int64_t w = 0; w < BLOCK_WORDS; w++) count += mask[w] == UINT64_MAX ? 64 : __builtin_popcountll(mask[w]);
    }
    return count;
}

/* The rows whose bits are set, in order; gives their number. */
static int64_t rows_of_mask(const uint64_t *mask, int32_t *at) {
    int64_t n = 0;
    for (int32_t w = 0; w < BLOCK_WORDS; w++)
        for (uint64_t left = mask[w]; left; left &= left - 1) at[n++] = 64 * w + __builtin_ctzll(left);
    return n;
}

#endif

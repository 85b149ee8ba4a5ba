/* Blocks of rows, and the memory in which they lie: it grows, and never moves. */
#ifndef MIMO_BLOCKS_H
#define MIMO_BLOCKS_H

#include "kernels.h"
#include <stdlib.h>

/* Under a sanitizer memory comes from where it can watch it. */
#if (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_ADDRESS__)
#define MIMO_MMAP 1
#include <sys/mman.h>
#else
#define MIMO_MMAP 0
#endif

#define BLOCK_ROWS 4096
#define BLOCK_WORDS (BLOCK_ROWS / 64)
#define NOWHERE UINT32_MAX

enum { TIER_BITS = 1, TIER_INT8 = 2, TIER_F16 = 4, TIER_F32 = 8, TIER_FLOAT = TIER_F16 | TIER_F32 };

#define SPANS 7

/* Memory for the blocks next to come, each tier's side by side. */
typedef struct {
    void *start; /* as the system gave it */
    size_t bytes;
} mimo_run;

typedef struct {
    uint64_t live[BLOCK_WORDS];
    int64_t pending; /* dead rows whose bit in `live` is still set; read before `live` */
    uint64_t *died;  /* version of death by row, 0 for none; NULL while nobody has died here */
    int64_t *ids;
    int32_t *groups;
    uint64_t *bits; /* [group of 8 rows][word][lane] */
    int8_t *codes;
    float *scales;
    uint16_t *halves;
    float *floats;
} mimo_block;

typedef struct {
    mimo_run *runs;
    int64_t runs_n;
    char *next[SPANS]; /* where the next block of the last run lies, by tier */
    int64_t ahead;     /* how many blocks are left in it */
} mimo_memory;

/* Codes of a million rows are read in two thirds of the time where pages are huge: no hardware looks
 * ahead across the border of a page. For its first blocks they would cost an index more than it holds. */
#define HUGE_PAGE ((size_t)1 << 21)
#define SMALL_PAGES 4
#define MOST_OF_A_RUN 32

static void run_free(mimo_run run) {
#if MIMO_MMAP
    munmap(run.start, run.bytes);
#else
    free(run.start);
#endif
}

/* Zeros of its own, which the system lends page by page as they are written: an index of ten rows costs
 * ten rows. calloc does not promise that; it clears what it has had before. Gives the aligned start. */
static char *run_new(mimo_run *run, size_t bytes, int huge) {
    size_t align = huge ? HUGE_PAGE : 64;
    run->bytes = bytes + align;
#if MIMO_MMAP
    run->start = mmap(NULL, run->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (run->start == MAP_FAILED) return NULL;
#else
    run->start = calloc(run->bytes, 1);
    if (!run->start) return NULL;
#endif
    char *start = (char *)(((uintptr_t)run->start + align - 1) & ~(uintptr_t)(align - 1));
#if MIMO_MMAP && defined(MADV_HUGEPAGE)
    if (align == HUGE_PAGE) madvise(start, bytes, MADV_HUGEPAGE); /* a wish: no harm where it is not granted */
#endif
    return start;
}

static void bytes_of_tiers(unsigned tiers, int64_t padded, size_t bytes[SPANS]) {
    size_t numbers = (size_t)BLOCK_ROWS * (size_t)padded;
    bytes[0] = BLOCK_ROWS * sizeof(int64_t);
    bytes[1] = BLOCK_ROWS * sizeof(int32_t);
    bytes[2] = tiers & TIER_BITS ? numbers / 8 : 0;
    bytes[3] = tiers & TIER_INT8 ? numbers : 0;
    bytes[4] = tiers & TIER_INT8 ? BLOCK_ROWS * sizeof(float) : 0;
    bytes[5] = tiers & TIER_F16 ? numbers * 2 : 0;
    bytes[6] = tiers & TIER_F32 ? numbers * 4 : 0;
}

/* Room for as many blocks as there are, up to a limit: addresses, not yet memory. */
static int memory_run(mimo_memory *memory, const size_t bytes[SPANS], int64_t there) {
    size_t blocks = there < 1 || !MIMO_MMAP ? 1 : (size_t)there, all = 0;
    if (blocks > MOST_OF_A_RUN) blocks = MOST_OF_A_RUN;
    for (int i = 0; i < SPANS; i++) all += blocks * bytes[i];
    mimo_run *runs = realloc(memory->runs, (size_t)(memory->runs_n + 1) * sizeof *runs);
    if (!runs) return 0;
    memory->runs = runs;
    char *next = run_new(&runs[memory->runs_n], all, MIMO_MMAP && there >= SMALL_PAGES);
    if (!next) return 0;
    memory->runs_n++;
    for (int i = 0; i < SPANS; i++) {
        memory->next[i] = next;
        next += blocks * bytes[i];
    }
    memory->ahead = (int64_t)blocks;
    return 1;
}

/* A block of these tiers; `there` are as many as there are already. NULL when memory is short. */
static mimo_block *block_new(mimo_memory *memory, unsigned tiers, int64_t padded, int64_t there) {
    size_t bytes[SPANS];
    bytes_of_tiers(tiers, padded, bytes);
    if (!memory->ahead && !memory_run(memory, bytes, there)) return NULL;
    mimo_block *block = calloc(1, sizeof *block);
    if (!block) return NULL;
    void *tier[SPANS];
    for (int i = 0; i < SPANS; i++) {
        tier[i] = bytes[i] ? memory->next[i] : NULL;
        memory->next[i] += bytes[i];
    }
    memory->ahead--;
    block->ids = tier[0];
    block->groups = tier[1];
    block->bits = tier[2];
    block->codes = tier[3];
    block->scales = tier[4];
    block->halves = tier[5];
    block->floats = tier[6];
    return block;
}

static void memory_free(mimo_memory *memory) {
    for (int64_t i = 0; i < memory->runs_n; i++) run_free(memory->runs[i]);
    free(memory->runs);
}

#endif

/* AMX's tile instructions in plain C, for tests on machines without them (MIMO_EMULATE).
 *
 * As the manual has them: shapes are checked, subnormals count as zero, even and odd products are summed
 * apart and rounded at each step. Whatever would be a fault of the processor aborts, and so does a shape
 * loaded while tiles are still in use: each product must let go of them.
 */
#ifndef MIMO_EMULATED_TILES_H
#define MIMO_EMULATED_TILES_H

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int rows, bytes;
    union { uint16_t halves[16][32]; float floats[16][16]; uint8_t raw[16][64]; } at;
} emulated_tile;

static _Thread_local struct {
    int in_use;
    emulated_tile tiles[8];
} emulated;

static void emulated_fault(const char *what) {
    fprintf(stderr, "emulated tiles: %s\n", what);
    abort();
}

static void emulated_load_shapes(const void *shapes) {
    const uint8_t *at = shapes;
    if (emulated.in_use) emulated_fault("shapes loaded before the last ones were released");
    if (at[0] != 1) emulated_fault("no such palette");
    for (int i = 1; i < 16; i++)
        if (at[i]) emulated_fault("a reserved byte is set");
    for (int t = 0; t < 16; t++) {
        uint16_t bytes;
        memcpy(&bytes, at + 16 + 2 * t, 2);
        uint8_t rows = at[48 + t];
        if (t >= 8 ? bytes || rows : bytes > 64 || rows > 16 || !bytes != !rows) emulated_fault("no such shape");
        if (t < 8) emulated.tiles[t] = (emulated_tile){.rows = rows, .bytes = bytes};
    }
    emulated.in_use = 1;
}

static void emulated_release(void) { memset(&emulated, 0, sizeof emulated); }

static emulated_tile *emulated_tile_of(int number) {
    if (!emulated.in_use) emulated_fault("no shapes are loaded");
    if (number < 0 || number > 7 || !emulated.tiles[number].rows) emulated_fault("no such tile");
    return &emulated.tiles[number];
}

static void emulated_load(int number, const void *from, int64_t stride) {
    emulated_tile *tile = emulated_tile_of(number);
    memset(&tile->at, 0, sizeof tile->at);
    for (int r = 0; r < tile->rows; r++)
        memcpy(tile->at.raw[r], (const uint8_t *)from + r * stride, (size_t)tile->bytes);
}

static void emulated_store(int number, void *to, int64_t stride) {
    const emulated_tile *tile = emulated_tile_of(number);
    for (int r = 0; r < tile->rows; r++)
        memcpy((uint8_t *)to + r * stride, tile->at.raw[r], (size_t)tile->bytes);
}

#define EMULATED_FAST __attribute__((always_inline, target("avx2,fma"))) static inline

EMULATED_FAST float emulated_wide(uint16_t half) {
    union { uint32_t bits; float value; } u = {half & 0x7f80 ? (uint32_t)half << 16 : (uint32_t)(half & 0x8000) << 16};
    return u.value;
}

EMULATED_FAST float emulated_flushed(float x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0, x) : x; }

/* The arithmetic touches the tiles alone, so it need not be watched, and without that it is fast enough. */
__attribute__((optimize("O3"), target("avx2,fma"), no_sanitize("address", "undefined")))
static void emulated_products(emulated_tile *sum, const emulated_tile *a, const emulated_tile *b) {
    for (int m = 0; m < sum->rows; m++) {
        float even[16] = {0}, odd[16] = {0};
        for (int k = 0; k < a->bytes / 4; k++) {
            float first = emulated_wide(a->at.halves[m][2 * k]), second = emulated_wide(a->at.halves[m][2 * k + 1]);
            for (int n = 0; n < 16; n++) {
                even[n] = emulated_flushed(__builtin_fmaf(first, emulated_wide(b->at.halves[k][2 * n]), even[n]));
                odd[n] = emulated_flushed(__builtin_fmaf(second, emulated_wide(b->at.halves[k][2 * n + 1]), odd[n]));
            }
        }
        for (int n = 0; n < sum->bytes / 4; n++) {
            float both = emulated_flushed(even[n] + odd[n]);
            sum->at.floats[m][n] = emulated_flushed(emulated_flushed(sum->at.floats[m][n]) + both);
        }
    }
}

static void emulated_dpbf16ps(int to, int left, int right) {
    emulated_tile *sum = emulated_tile_of(to);
    const emulated_tile *a = emulated_tile_of(left), *b = emulated_tile_of(right);
    if (to == left || to == right || left == right) emulated_fault("a tile is used twice");
    if (sum->bytes % 4 || a->bytes % 4 || b->bytes % 4) emulated_fault("a row is no whole number of pairs");
    if (sum->rows != a->rows || sum->bytes != b->bytes || a->bytes / 4 != b->rows) emulated_fault("shapes do not fit");
    emulated_products(sum, a, b);
#if defined(MIMO_EMULATE_WRONG) /* as a broken processor would, for the test of the self check */
    sum->at.floats[sum->rows - 1][0] += 1;
#endif
}

#undef EMULATED_FAST
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated_load_shapes
#define _tile_release emulated_release
#define _tile_loadd emulated_load
#define _tile_stored emulated_store
#define _tile_dpbf16ps emulated_dpbf16ps

#endif

/* Matrix products by AMX: bfloat16 in tiles, sums in float32.
 *
 * The level is offered where the CPU has the instructions, the system saves the tiles and lets this process
 * use them (Linux asks to be asked), and one small product comes out right. The permission is the process's
 * and goes to all its threads and forks; what the tiles look like is a thread's, so each product says it
 * anew and lets go of the tiles at its end.
 */
#ifndef MIMO_AMX_H
#define MIMO_AMX_H

#include "isa.h"
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Why a process has no AMX. */
enum mimo_refusal {
    MIMO_GRANTED, MIMO_NOT_BUILT, MIMO_NOT_IN_CPU, MIMO_NOT_SAVED, MIMO_NOT_PERMITTED, MIMO_NOT_SOUND
};

static inline const char *mimo_amx_refusal_text(int refusal) {
    switch (refusal) {
    case MIMO_GRANTED: return "it is granted";
    case MIMO_NOT_BUILT: return "the compiler of this build did not know it, or the system is not Linux";
    case MIMO_NOT_IN_CPU: return "the processor lacks AMX-BF16 or AVX-512";
    case MIMO_NOT_SAVED: return "the system does not save tiles";
    case MIMO_NOT_PERMITTED: return "the system does not let this process use tiles";
    default: return "its products were wrong";
    }
}

#if MIMO_X86 && defined(MIMO_EMULATE)
#define MIMO_HAS_AMX 1
#define MIMO_TILES __attribute__((target("avx2,fma")))
#include "emulated_tiles.h"
#elif MIMO_X86 && defined(__linux__) && defined(__clang__) && __clang_major__ >= 12
#define MIMO_HAS_AMX 1
#elif MIMO_X86 && defined(__linux__) && !defined(__clang__) && __GNUC__ >= 11
#define MIMO_HAS_AMX 1
#else
#define MIMO_HAS_AMX 0
#if MIMO_X86 && defined(__linux__)
#pragma message("mimo_core is built without AMX, which takes GCC 11 or Clang 12")
#endif
#endif

#if MIMO_HAS_AMX
#if !defined(MIMO_EMULATE)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#define MIMO_TILES __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq")))
#endif

enum { MIMO_TILE = 16, MIMO_TILE_DEPTH = 32, MIMO_TILE_BYTES = 64 };

/* What LDTILECFG reads: eight tiles of 16 rows of 64 bytes. Constant, because GCC 12 takes the instruction
 * to read its first eight bytes alone, and would not store the others. */
typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} mimo_tile_shapes;

static const mimo_tile_shapes mimo_whole_tiles = {
    .palette = 1,
    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Round to nearest, ties to even. `n` is a multiple of 16; infinity and NaN do not occur. */
MIMO_TILES static inline void mimo_to_bf16(const float *from, int64_t n, uint16_t *to) {
    typedef uint32_t words __attribute__((vector_size(64), aligned(4), may_alias));
    typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));
    for (int64_t i = 0; i < n; i += 16) {
        words bits = *(const words *)(const void *)(from + i);
        bits += 0x7fff + ((bits >> 16) & 1);
        *(halves *)(void *)(to + i) = __builtin_convertvector(bits >> 16, halves);
    }
}

/* A few rows of a panel, [rows][16] floats, as AMX takes them: [rows / 2][16][2] in bfloat16. */
MIMO_TILES static inline void mimo_lay_tile(const float *panel, int64_t rows, uint16_t *tiles) {
    for (int64_t i = 0; i < rows; i++) {
        uint16_t row[MIMO_TILE];
        mimo_to_bf16(panel + i * MIMO_TILE, MIMO_TILE, row);
        for (int j = 0; j < MIMO_TILE; j++) tiles[i / 2 * 2 * MIMO_TILE + 2 * j + i % 2] = row[j];
    }
}

/* How many halves `mimo_amx_product` needs for that many rows: it works on 32 at once. */
static inline int64_t mimo_amx_halves(int64_t rows, int64_t inputs) { return (rows + 31) / 32 * 32 * inputs; }

/* out[rows, outputs] = a[rows, inputs] * weights + bias. `tiles` holds the weights as panels of 16 outputs
 * that `mimo_lay_tile` laid; inputs and outputs are multiples of 32. */
MIMO_TILES static void mimo_amx_product(const float *a, int64_t rows, const uint16_t *tiles, const float *bias,
                                        int64_t outputs, int64_t inputs, uint16_t *halves, float *out) {
    enum { AT_ONCE = 2 * MIMO_TILE };
    float rest[AT_ONCE * AT_ONCE] __attribute__((aligned(64))); /* of the last rows, fewer than 32 */
    mimo_to_bf16(a, rows * inputs, halves);
    memset(halves + rows * inputs, 0, (size_t)(mimo_amx_halves(rows, inputs) - rows * inputs) * sizeof *halves);
    __asm__ volatile("" ::: "memory"); /* GCC does not know that loading a tile reads memory */
    _tile_loadconfig(&mimo_whole_tiles);
    for (int64_t column = 0; column < outputs; column += AT_ONCE) {
        const uint16_t *left = tiles + column * inputs, *right = left + MIMO_TILE * inputs;
        for (int64_t row = 0; row < rows; row += AT_ONCE) {
            const uint16_t *upper = halves + row * inputs, *lower = upper + MIMO_TILE * inputs;
            int whole = row + AT_ONCE <= rows;
            float *sums = whole ? out + row * outputs + column : rest;
            int64_t width = whole ? outputs : AT_ONCE, stride = width * (int64_t)sizeof(float);
            _tile_loadd(0, bias + column, 0); /* a stride of 0: the same sixteen numbers in every row */
            _tile_loadd(1, bias + column + MIMO_TILE, 0);
            _tile_loadd(2, bias + column, 0);
            _tile_loadd(3, bias + column + MIMO_TILE, 0);
            for (int64_t i = 0; i < inputs; i += MIMO_TILE_DEPTH) {
                _tile_loadd(4, upper + i, inputs * 2);
                _tile_loadd(5, lower + i, inputs * 2);
                _tile_loadd(6, left + i * MIMO_TILE, MIMO_TILE_BYTES);
                _tile_loadd(7, right + i * MIMO_TILE, MIMO_TILE_BYTES);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(2, 5, 6);
                _tile_dpbf16ps(3, 5, 7);
            }
            _tile_stored(0, sums, stride);
            _tile_stored(1, sums + MIMO_TILE, stride);
            _tile_stored(2, sums + MIMO_TILE * width, stride);
            _tile_stored(3, sums + MIMO_TILE * width + MIMO_TILE, stride);
            if (!whole)
                for (int64_t r = row; r < rows; r++)
                    memcpy(out + r * outputs + column, rest + (r - row) * AT_ONCE, sizeof(float) * AT_ONCE);
        }
    }
    _tile_release();
}

/* One product of odd size, beside the same in float32: they may differ by what bfloat16 rounds off. */
static int mimo_amx_is_sound(void) {
    enum { ROWS = 33, INPUTS = 64, OUTPUTS = 32 };
    static const float step = 1.0f / 64;
    float a[ROWS * INPUTS], weights[OUTPUTS * INPUTS], bias[OUTPUTS], out[ROWS * OUTPUTS];
    uint16_t tiles[OUTPUTS * INPUTS], halves[2 * 32 * INPUTS];
    for (int i = 0; i < ROWS * INPUTS; i++) a[i] = step * (float)(i * 37 % 129 - 64);
    for (int i = 0; i < OUTPUTS * INPUTS; i++) weights[i] = step * (float)(i * 53 % 127 - 63) / 3;
    for (int i = 0; i < OUTPUTS; i++) bias[i] = step * (float)i;
    for (int i = 0; i < OUTPUTS * INPUTS; i += MIMO_TILE * INPUTS) mimo_lay_tile(weights + i, INPUTS, tiles + i);
    mimo_amx_product(a, ROWS, tiles, bias, OUTPUTS, INPUTS, halves, out);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < OUTPUTS; c++) {
            float sum = bias[c], size = fabsf(bias[c]);
            for (int i = 0; i < INPUTS; i++) {
                float term = a[r * INPUTS + i] * weights[(c / MIMO_TILE * INPUTS + i) * MIMO_TILE + c % MIMO_TILE];
                sum += term;
                size += fabsf(term);
            }
            if (!(fabsf(out[r * OUTPUTS + c] - sum) <= size / 128)) return 0; /* NaN fails, too */
        }
    return 1;
}
#endif

/* May this process use AMX? Asking Linux for it cannot be taken back, and costs nothing until it is used. */
static int mimo_amx_refusal(void) {
#if !MIMO_HAS_AMX
    return MIMO_NOT_BUILT;
#else
#if !defined(MIMO_EMULATE)
    const unsigned tiles_saved = 0x60000, tile_data = 18, ask = 0x1023; /* ARCH_REQ_XCOMP_PERM */
    const unsigned bf16 = 1u << 22, tile = 1u << 24;
    unsigned a, b, c, d;
    if (mimo_vector_level() < MIMO_AVX512 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & bf16) || !(d & tile))
        return MIMO_NOT_IN_CPU;
    /* Palette 1: bytes in a row, how many tiles, rows. */
    if (!__get_cpuid_count(0x1d, 1, &a, &b, &c, &d) || (b & 0xffff) < 64 || b >> 16 < 8 || (c & 0xffff) < 16)
        return MIMO_NOT_IN_CPU;
    if ((mimo_saved_registers() & tiles_saved) != tiles_saved) return MIMO_NOT_SAVED;
    if (syscall(SYS_arch_prctl, ask, tile_data)) return MIMO_NOT_PERMITTED;
#endif
    return mimo_amx_is_sound() ? MIMO_GRANTED : MIMO_NOT_SOUND;
#endif
}

/* The level to begin with. */
static inline int mimo_best_level(void) {
#if defined(MIMO_EMULATE)
    return mimo_vector_level() < MIMO_AVX2 ? MIMO_GENERIC : MIMO_AVX2; /* what is emulated is slow */
#else
    int level = mimo_vector_level();
    return level == MIMO_AVX512 && mimo_amx_refusal() == MIMO_GRANTED ? MIMO_AMX : level;
#endif
}

/* The highest level that may be set. */
static inline int mimo_highest_level(void) {
#if defined(MIMO_EMULATE)
    if (mimo_vector_level() < MIMO_AVX2) return MIMO_GENERIC;
    return mimo_amx_refusal() == MIMO_GRANTED ? MIMO_AMX : MIMO_AVX512;
#else
    return mimo_best_level();
#endif
}

#endif

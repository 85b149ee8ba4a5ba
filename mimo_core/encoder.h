/* The forward pass of MiniLM: packed tokens without padding, weights used in place from the mapped file.
 *
 * `encoder.inc` is compiled once per level (isa.h), with GCC's vector extensions; `mimo_forward` calls
 * the kernels of the level that it is given. Nothing is kept between calls, so threads may share a model.
 * AMX takes the weights in another order and precision: `mimo_lay_tiles` lays them once.
 */
#ifndef MIMO_ENCODER_H
#define MIMO_ENCODER_H

#include "amx.h"
#include "isa.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#if MIMO_X86
#include <immintrin.h>
#endif

enum { MIMO_LAYERS = 6, MIMO_WIDTH = 384, MIMO_HEADS = 12, MIMO_HEAD = 32, MIMO_INNER = 1536, MIMO_PANEL = 16 };
/* Keys and four rows of weights of the longest text, padded. */
enum { MIMO_LONGEST = 512, MIMO_ROOM = (MIMO_HEAD + 4) * (MIMO_LONGEST + 32) };
#define MIMO_SCALE 0.17677669529663687f /* 1 / sqrt(32) */
#define MIMO_EPSILON 1e-12f

/* A matrix as [outputs / 16][inputs][16] halves: a product reads it from the first number to the last. */
typedef struct {
    const uint16_t *panels;
    const uint16_t *tiles; /* the same for AMX, or NULL */
    const float *bias;
    int64_t outputs, inputs;
} mimo_matrix;

typedef struct {
    const float *weight, *bias;
} mimo_norm;

typedef struct {
    mimo_matrix qkv, mix, up, down;
    mimo_norm mix_norm, down_norm;
} mimo_layer;

typedef struct {
    const uint16_t *words;
    const float *positions;
    mimo_norm norm;
    mimo_layer layers[MIMO_LAYERS];
} mimo_model;

typedef struct {
    /* AMX alone uses the `halves`, as many as `mimo_amx_halves` says. */
    void (*product)(const float *a, int64_t rows, const mimo_matrix *m, float *out, uint16_t *halves);
    void (*attend)(const float *qkv, int64_t tokens, float *seen, float *room);
    void (*gelu)(float *x, int64_t n);
    void (*add_norm)(float *y, const float *x, const mimo_norm *norm, int64_t rows);
    void (*widen)(const uint16_t *halves, float *out);
} mimo_encoder_kernels;

#define MIMO_CAT_(a, b) a##_##b
#define MIMO_CAT(a, b) MIMO_CAT_(a, b)
#define MIMO_INLINE static inline __attribute__((always_inline))

#define LEVEL generic
#define LEVEL_NUMBER 0
#define TARGET
#define LANES 4
#define COLUMNS 16
#if defined(__aarch64__)
#define ROWS 6 /* 32 registers */
#else
#define ROWS 2
#endif
#define TILES_OF_HALVES 2
#include "encoder.inc"

#if MIMO_X86
#define LEVEL avx2
#define LEVEL_NUMBER 1
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define LANES 8
#define COLUMNS 16
#define ROWS 6
#define TILES_OF_HALVES 16
#include "encoder.inc"

#define LEVEL avx512
#define LEVEL_NUMBER 2
#ifdef MIMO_EMULATE /* the same source in halves of its width, for tests on machines without it */
#define TARGET __attribute__((target("avx2,fma")))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#endif
#define LANES 16
#define COLUMNS 32
#define ROWS 12
#define TILES_OF_HALVES 2
#include "encoder.inc"
#endif

#if MIMO_HAS_AMX
static void mimo_product_amx(const float *a, int64_t rows, const mimo_matrix *m, float *out, uint16_t *halves) {
    mimo_amx_product(a, rows, m->tiles, m->bias, m->outputs, m->inputs, halves, out);
}

static const mimo_encoder_kernels encoder_kernels_amx = {
    mimo_product_amx, attend_avx512, gelu_avx512, add_norm_avx512, widen_avx512,
};
#endif

static const mimo_encoder_kernels *mimo_encoder_kernels_of(int level) {
#if MIMO_HAS_AMX
    if (level == MIMO_AMX) return &encoder_kernels_amx;
#endif
#if MIMO_X86
    if (level == MIMO_AVX512) return &encoder_kernels_avx512;
    if (level == MIMO_AVX2) return &encoder_kernels_avx2;
#endif
    (void)level;
    return &encoder_kernels_generic;
}

#if MIMO_HAS_AMX
static uint16_t *mimo_lay_matrix(const mimo_encoder_kernels *k, mimo_matrix *m, uint16_t *tiles) {
    float some[MIMO_WIDTH] __attribute__((aligned(64))); /* an even number of rows, and whole panels have many */
    for (int64_t i = 0; i < m->outputs * m->inputs; i += MIMO_WIDTH) {
        k->widen(m->panels + i, some);
        mimo_lay_tile(some, MIMO_WIDTH / MIMO_PANEL, tiles + i);
    }
    m->tiles = tiles;
    return tiles + m->outputs * m->inputs;
}
#endif

/* Lays the weights for AMX: half as much again as the file has. Gives what to free, NULL where memory is lacking. */
static void *mimo_lay_tiles(mimo_model *model) {
    void *memory = NULL;
#if MIMO_HAS_AMX
    size_t layer = MIMO_WIDTH * (4 * MIMO_WIDTH + 2 * MIMO_INNER);
    if (posix_memalign(&memory, 64, MIMO_LAYERS * layer * sizeof(uint16_t))) return NULL;
    const mimo_encoder_kernels *k = mimo_encoder_kernels_of(MIMO_AMX);
    uint16_t *tiles = memory;
    for (int l = 0; l < MIMO_LAYERS; l++) {
        tiles = mimo_lay_matrix(k, &model->layers[l].qkv, tiles);
        tiles = mimo_lay_matrix(k, &model->layers[l].mix, tiles);
        tiles = mimo_lay_matrix(k, &model->layers[l].up, tiles);
        tiles = mimo_lay_matrix(k, &model->layers[l].down, tiles);
    }
#else
    (void)model;
#endif
    return memory;
}

/* Text t has the pieces starts[t] to starts[t + 1]: at least one, at most MIMO_LONGEST, every number a
 * word's. Writes one vector of length 1 for each text. Gives 0 where memory is lacking. The level AMX
 * needs the tiles. */
static int mimo_forward(const mimo_model *model, int level, const int32_t *pieces, const int32_t *starts,
                        int64_t texts, float *out) {
    const mimo_encoder_kernels *k = mimo_encoder_kernels_of(level);
    int64_t tokens = starts[texts];
    size_t floats = (size_t)tokens * (2 * MIMO_WIDTH + MIMO_INNER) + MIMO_ROOM;
#if MIMO_HAS_AMX
    if (level == MIMO_AMX) floats += (size_t)mimo_amx_halves(tokens, MIMO_INNER) / 2;
#endif
    void *memory = NULL;
    if (posix_memalign(&memory, 64, floats * sizeof(float))) return 0;
    float *x = memory, *y = x + tokens * MIMO_WIDTH;
    /* qkv and what is seen are used up before the inner activations come: they share their place. */
    float *inner = y + tokens * MIMO_WIDTH, *qkv = inner, *seen = qkv + tokens * 3 * MIMO_WIDTH;
    float *room = inner + tokens * MIMO_INNER;
    uint16_t *halves = (uint16_t *)(void *)(room + MIMO_ROOM);

    for (int64_t t = 0; t < texts; t++)
        for (int64_t i = starts[t]; i < starts[t + 1]; i++) {
            k->widen(model->words + (int64_t)pieces[i] * MIMO_WIDTH, x + i * MIMO_WIDTH);
            k->add_norm(x + i * MIMO_WIDTH, model->positions + (i - starts[t]) * MIMO_WIDTH, &model->norm, 1);
        }
    for (int l = 0; l < MIMO_LAYERS; l++) {
        const mimo_layer *layer = &model->layers[l];
        k->product(x, tokens, &layer->qkv, qkv, halves);
        for (int64_t t = 0; t < texts; t++)
            k->attend(qkv + (int64_t)starts[t] * 3 * MIMO_WIDTH, starts[t + 1] - starts[t],
                      seen + (int64_t)starts[t] * MIMO_WIDTH, room);
        k->product(seen, tokens, &layer->mix, y, halves);
        k->add_norm(y, x, &layer->mix_norm, tokens);
        k->product(y, tokens, &layer->up, inner, halves);
        k->gelu(inner, tokens * MIMO_INNER);
        k->product(inner, tokens, &layer->down, x, halves);
        k->add_norm(x, y, &layer->down_norm, tokens);
    }
    for (int64_t t = 0; t < texts; t++) {
        float *vector = out + t * MIMO_WIDTH, square = 0;
        for (int d = 0; d < MIMO_WIDTH; d++) vector[d] = 0;
        for (int64_t i = starts[t]; i < starts[t + 1]; i++)
            for (int d = 0; d < MIMO_WIDTH; d++) vector[d] += x[i * MIMO_WIDTH + d];
        for (int d = 0; d < MIMO_WIDTH; d++) square += vector[d] * vector[d];
        float scale = 1 / sqrtf(square);
        for (int d = 0; d < MIMO_WIDTH; d++) vector[d] *= scale;
    }
    free(memory);
    return 1;
}

#endif

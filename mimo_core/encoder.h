/* The forward pass of MiniLM: packed tokens without padding, weights used in place from the mapped file.
 *
 * `encoder.inc` is compiled once per level (isa.h), with GCC's vector extensions; `mimo_forward` calls
 * the kernels of the level that it is given. Nothing is kept between calls, so threads may share a model.
 */
#ifndef MIMO_ENCODER_H
#define MIMO_ENCODER_H

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
    void (*product)(const float *a, int64_t rows, const mimo_matrix *m, float *out);
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
#include "encoder.inc"

#if MIMO_X86
#define LEVEL avx2
#define LEVEL_NUMBER 1
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define LANES 8
#define COLUMNS 16
#define ROWS 6
#include "encoder.inc"

#define LEVEL avx512
#define LEVEL_NUMBER 2
#ifdef MIMO_EMULATE_AVX512 /* the same source in halves of its width, for tests on machines without it */
#define TARGET __attribute__((target("avx2,fma")))
#else
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))
#endif
#define LANES 16
#define COLUMNS 32
#define ROWS 12
#include "encoder.inc"
#endif

static const mimo_encoder_kernels *mimo_encoder_kernels_of(int level) {
#if MIMO_X86
    if (level == MIMO_AVX512) return &encoder_kernels_avx512;
    if (level == MIMO_AVX2) return &encoder_kernels_avx2;
#endif
    (void)level;
    return &encoder_kernels_generic;
}

static int mimo_encoder_runs(int level) {
#ifdef MIMO_EMULATE_AVX512
    if (level == MIMO_AVX512) return mimo_best_level() >= MIMO_AVX2;
#endif
    return level <= mimo_best_level();
}

/* Text t has the pieces starts[t] to starts[t + 1]: at least one, at most MIMO_LONGEST, every number a
 * word's. Writes one vector of length 1 for each text. Gives 0 where memory is lacking. */
static int mimo_forward(const mimo_model *model, int level, const int32_t *pieces, const int32_t *starts,
                        int64_t texts, float *out) {
    const mimo_encoder_kernels *k = mimo_encoder_kernels_of(level);
    int64_t tokens = starts[texts];
    size_t floats = (size_t)tokens * (2 * MIMO_WIDTH + MIMO_INNER) + MIMO_ROOM;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, floats * sizeof(float))) return 0;
    float *x = memory, *y = x + tokens * MIMO_WIDTH;
    /* qkv and what is seen are used up before the inner activations come: they share their place. */
    float *inner = y + tokens * MIMO_WIDTH, *qkv = inner, *seen = qkv + tokens * 3 * MIMO_WIDTH;
    float *room = inner + tokens * MIMO_INNER;

    for (int64_t t = 0; t < texts; t++)
        for (int64_t i = starts[t]; i < starts[t + 1]; i++) {
            k->widen(model->words + (int64_t)pieces[i] * MIMO_WIDTH, x + i * MIMO_WIDTH);
            k->add_norm(x + i * MIMO_WIDTH, model->positions + (i - starts[t]) * MIMO_WIDTH, &model->norm, 1);
        }
    for (int l = 0; l < MIMO_LAYERS; l++) {
        const mimo_layer *layer = &model->layers[l];
        k->product(x, tokens, &layer->qkv, qkv);
        for (int64_t t = 0; t < texts; t++)
            k->attend(qkv + (int64_t)starts[t] * 3 * MIMO_WIDTH, starts[t + 1] - starts[t],
                      seen + (int64_t)starts[t] * MIMO_WIDTH, room);
        k->product(seen, tokens, &layer->mix, y);
        k->add_norm(y, x, &layer->mix_norm, tokens);
        k->product(y, tokens, &layer->up, inner);
        k->gelu(inner, tokens * MIMO_INNER);
        k->product(inner, tokens, &layer->down, x);
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

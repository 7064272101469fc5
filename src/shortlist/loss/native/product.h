/* A tile of a matrix product in registers, for the softmax and for ranks. */
#include <stdint.h>
#include <stdlib.h>

#if defined(__AVX512F__)
enum { LANES = 16, TILE = 12 };
#elif defined(__AVX2__)
enum { LANES = 8, TILE = 6 };
#else
enum { LANES = 4, TILE = 6 };
#endif
enum { PANEL = 2 * LANES, LINE = 64 };
enum { NO_MEMORY = 1, OUTSIDE = 2 }; /* what a function answers; 0 where all is well */

typedef float vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline vec load(const float *from) { return *(const vec *)from; }

static inline void store(float *to, vec value) { *(vec *)to = value; }

static inline vec all(float value) { return value - (vec){0}; }

static inline int64_t up(int64_t n, int64_t of) { return (n + of - 1) / of * of; }

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static __attribute__((noinline, unused)) void *memory(int64_t bytes) { return aligned_alloc(LINE, (size_t)up(bytes ? bytes : 1, LINE)); }

/* out[TILE, lanes] (+)= left[TILE, inner] right[inner, lanes]; left's rows are `row` apart, its columns `step`. */
static inline __attribute__((always_inline)) void tile(const int vectors, const int add, const float *restrict left,
                                                       int64_t row, int64_t step, const float *restrict right,
                                                       int64_t inner, float *restrict out, int64_t stride) {
    vec sum[TILE][2];
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < vectors; v++) sum[i][v] = (vec){0};
    for (int64_t k = 0; k < inner; k++, left += step, right += vectors * LANES) {
        vec of_right[2];
        for (int v = 0; v < vectors; v++) of_right[v] = load(right + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < TILE; i++) {
            vec of_left = all(left[i * row]);
            for (int v = 0; v < vectors; v++) sum[i][v] += of_left * of_right[v];
        }
    }
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < vectors; v++) {
            float *to = out + i * stride + v * LANES;
            if (add) sum[i][v] += load(to); /* a block's sum at once: fewer roundings than row by row */
            store(to, sum[i][v]);
        }
}

/* The vectors `first` .. `last` of [vectors, dim] as panels of their dimensions, [dim][PANEL], padded with zeros. */
static inline void pack_panels(const float *vectors, int64_t count, int64_t dim, int64_t first, int64_t last, float *panels) {
    for (int64_t k = first; k < last; k += PANEL) {
        float *to = panels + k * dim;
        int64_t n = k < count ? least(PANEL, count - k) : 0;
        if (n < PANEL)
            for (int64_t d = 0; d < PANEL * dim; d++) to[d] = 0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t d = 0; d < dim; d++) to[d * PANEL + j] = vectors[(k + j) * dim + d];
    }
}

/* A rough product, an exact one, scores in order, and places in what is sorted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT = 12 /* keys sorted by insertion */, DEPTH = 64 };
enum { AHEAD = 24 /* rows fetched before they are needed */, LINE = 64 };
enum { TOO_FEW = 1, OUTSIDE = 2, NO_MEMORY = 4 }; /* what a function answers; 0 where all is well */

typedef double two __attribute__((vector_size(16)));
typedef float sixteen __attribute__((vector_size(64), aligned(4), may_alias));
typedef float eight __attribute__((vector_size(32)));
typedef float four __attribute__((vector_size(16)));

/* The first lines of a row that is needed soon. */
static inline void fetch(const float *vectors, int64_t row, int64_t dim) {
    const char *from = (const char *)(vectors + row * dim);
    for (int64_t byte = 0; byte < dim * 4 && byte < 4 * LINE; byte += LINE) __builtin_prefetch(from + byte);
}

/* Where a value stands among rising ones; -1 where it does not. */
static inline int64_t place_of(const int64_t *rising, int64_t count, int64_t value) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (rising[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && rising[low] == value ? low : -1;
}

/* Sixteen numbers added up to four. */
static inline four quarter(sixteen numbers) {
    union {
        sixteen all;
        eight half[2];
    } sum = {.all = numbers};
    union {
        eight all;
        four half[2];
    } folded = {.all = sum.half[0] + sum.half[1]};
    return folded.half[0] + folded.half[1];
}

static inline float rough(const float *row, const float *query, int64_t dim) {
    sixteen sum = {0};
    int64_t d = 0;
    for (; d + 16 <= dim; d += 16) sum += *(const sixteen *)(row + d) * *(const sixteen *)(query + d);
    four last = quarter(sum);
    float score = (last[0] + last[1]) + (last[2] + last[3]);
    for (; d < dim; d++) score += row[d] * query[d];
    return score;
}

/* Products of two float32 are exact in float64, so a score depends on the order of its additions alone. It is that of numpy's
 * einsum, two lanes wide: with and without this library an index reports the same numbers. */
static inline two pair(const float *from) { return (two){from[0], from[1]}; }

static inline float exact(const float *row, const float *query, int64_t dim) {
    two sum = {0, 0};
    int64_t d = 0;
    for (; d + 8 <= dim; d += 8)
        for (int64_t i = d + 6; i >= d; i -= 2) sum += pair(row + i) * pair(query + i);
    for (; d + 2 <= dim; d += 2) sum += pair(row + d) * pair(query + d);
    if (d < dim) sum[0] += (double)row[d] * query[d];
    return (float)(sum[0] + sum[1]);
}

/* Keys rise as scores fall, then with the lower half; what is not a number comes last. */
static inline uint64_t key_of(float score, uint64_t lower) {
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    bits = score != score ? UINT32_MAX : bits >> 31 ? bits : ~bits & INT32_MAX;
    return (uint64_t)bits << 32 | lower;
}

static inline float score_of(uint64_t key) {
    uint32_t bits = (uint32_t)(key >> 32);
    float score;
    bits = bits >> 31 ? bits : ~bits & INT32_MAX;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static int by_key(const void *one, const void *other) {
    uint64_t first = *(const uint64_t *)one, second = *(const uint64_t *)other;
    return (first > second) - (first < second);
}

/* The `wanted` smallest of distinct keys first, in order. */
static inline void put_in_order(uint64_t *keys, int64_t count, int64_t wanted, int depth) {
    while (wanted > 0 && count > SHORT) {
        if (depth-- == 0) {
            qsort(keys, (size_t)count, sizeof *keys, by_key);
            return;
        }
        uint64_t a = keys[0], b = keys[count / 2], c = keys[count - 1];
        uint64_t low = a < b ? a : b, high = a < b ? b : a, pivot = c < low ? low : c < high ? c : high;
        int64_t left = 0, right = count - 1;
        while (left <= right) {
            while (keys[left] < pivot) left++;
            while (keys[right] > pivot) right--;
            if (left > right) break;
            uint64_t key = keys[left];
            keys[left++] = keys[right];
            keys[right--] = key;
        }
        if (wanted > left) put_in_order(keys + left, count - left, wanted - left, depth);
        count = right + 1;
    }
    for (int64_t i = 1; wanted > 0 && i < count; i++) {
        uint64_t key = keys[i];
        int64_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

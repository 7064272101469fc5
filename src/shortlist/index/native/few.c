/* The best of a few thousand candidates for each of several queries; `top.py` has the same in numpy.
 *
 * 1. Float32 products of all candidates, for `TOGETHER` queries at a time: a row is read once for all of them.
 * 2. The k-th best of the largest of every few products is at most the k-th best of all: it rules out those that rounding
 *    cannot bring among the k best.
 * 3. The others are scored in float64 and rounded once.
 * 4. The k best, equal scores by rising place.
 *
 * No Python, no memory that is kept. */
#include <float.h>
#include <math.h>

#include "scores.h"

enum { TOGETHER = 4, GROUP = 16 /* products of which the largest alone is compared */, MANY = 8 /* groups for each of the k */ };

typedef struct {
    int64_t n, dim;
    int64_t queries, k;
    double error;            /* twice the most by which a product can miss, for a query of length 1 */
    double shortest, longest; /* shorter queries count as `shortest`; longer ones than `longest` are not answered */
    const float *vectors;    /* [n, dim] */
    const float *query;      /* [queries, dim] */
    const int64_t *offsets;  /* [queries + 1] */
    const int64_t *excluded; /* [offsets[queries]], in any order; numbers that are no places are ignored */
    int64_t *found;          /* [queries * k], list after list */
    float *scores;           /* the same */
    int64_t *ends;           /* [queries + 1], where lists begin and end */
} few;

typedef struct {
    float *scores, *largest; /* [TOGETHER, n], [n] */
    int64_t *left;           /* [n] */
    uint64_t *keys;          /* [n] */
} room;

/* The sums of four times sixteen numbers. */
static inline four totals(const sixteen *of) {
    four a = quarter(of[0]), b = quarter(of[1]), c = quarter(of[2]), d = quarter(of[3]);
    four first = {a[0], b[0], c[0], d[0]}, second = {a[1], b[1], c[1], d[1]};
    four third = {a[2], b[2], c[2], d[2]}, fourth = {a[3], b[3], c[3], d[3]};
    return (first + second) + (third + fourth);
}

/* Products of every row with `TOGETHER` queries, `[TOGETHER, n]`. */
static void products(const few *f, const float *query, float *scores) {
    int64_t n = f->n, dim = f->dim;
    for (int64_t i = 0; i < n; i++) {
        const float *row = f->vectors + i * dim;
        sixteen sum[TOGETHER] = {{0}};
        int64_t d = 0;
        for (; d + 16 <= dim; d += 16) {
            sixteen part = *(const sixteen *)(row + d);
#pragma GCC unroll 4
            for (int q = 0; q < TOGETHER; q++) sum[q] += part * *(const sixteen *)(query + q * dim + d);
        }
        four found = totals(sum);
        for (; d < dim; d++) found += row[d] * (four){query[d], query[dim + d], query[2 * dim + d], query[3 * dim + d]};
#pragma GCC unroll 4
        for (int q = 0; q < TOGETHER; q++) scores[q * n + i] = found[q];
    }
}

/* A score that none of the k best is below; minus infinity where there are no more than k. */
static float floor_of(const few *f, const float *scores, double slack, const room *r) {
    int64_t n = f->n, group = 1;
    if (f->k >= n) return -INFINITY;
    while (group < GROUP && n / (2 * group) >= MANY * f->k) group *= 2;
    int64_t width = n / group;
    memcpy(r->largest, scores, (size_t)width * sizeof *scores);
    for (int64_t g = 1; g < group; g++)
        for (int64_t i = 0; i < width; i++) {
            float score = scores[g * width + i];
            r->largest[i] = r->largest[i] > score ? r->largest[i] : score;
        }
    for (int64_t i = 0; i < width; i++) r->keys[i] = key_of(r->largest[i], (uint64_t)i);
    put_in_order(r->keys, width, f->k, DEPTH);
    return nextafterf((float)(score_of(r->keys[f->k - 1]) - slack), -INFINITY);
}

/* Appends the list of one query, whose products are `scores`, behind `end`; gives its length. */
static int64_t list(const few *f, const float *query, const float *scores, double slack, int64_t end, const room *r) {
    float least = fmaxf(floor_of(f, scores, slack, r), -FLT_MAX); /* what is excluded is below it */
    int64_t count = 0;
    for (int64_t first = 0; first < f->n; first += GROUP) {
        int64_t last = first + GROUP < f->n ? first + GROUP : f->n;
        int any = 0;
        for (int64_t i = first; i < last; i++) any |= scores[i] >= least;
        for (int64_t i = first; any && i < last; i++)
            if (scores[i] >= least) r->left[count++] = i;
    }
    for (int64_t i = 0; i < count; i++)
        r->keys[i] = key_of(exact(f->vectors + r->left[i] * f->dim, query, f->dim), (uint64_t)r->left[i]);
    int64_t size = count < f->k ? count : f->k;
    put_in_order(r->keys, count, size, DEPTH);
    for (int64_t i = 0; i < size; i++) {
        f->found[end + i] = (int64_t)(uint32_t)r->keys[i];
        f->scores[end + i] = score_of(r->keys[i]);
    }
    return size;
}

static int lists(const few *f, const room *r) {
    f->ends[0] = 0;
    for (int64_t first = 0; first < f->queries; first += TOGETHER) {
        const float *query = f->query + first * f->dim;
        int64_t some = f->queries - first < TOGETHER ? f->queries - first : TOGETHER;
        if (some == TOGETHER)
            products(f, query, r->scores);
        else
            for (int64_t q = 0; q < some; q++)
                for (int64_t i = 0; i < f->n; i++)
                    r->scores[q * f->n + i] = rough(f->vectors + i * f->dim, query + q * f->dim, f->dim);
        for (int64_t q = 0; q < some; q++) {
            int64_t at = first + q;
            const float *own = query + q * f->dim;
            float *scores = r->scores + q * f->n;
            double length = 0;
            for (int64_t d = 0; d < f->dim; d++) length += (double)own[d] * own[d];
            length = sqrt(length);
            if (!(length <= f->longest)) return OUTSIDE;
            for (int64_t i = f->offsets[at]; i < f->offsets[at + 1]; i++)
                if (f->excluded[i] >= 0 && f->excluded[i] < f->n) scores[f->excluded[i]] = -INFINITY;
            double slack = f->error * (length > f->shortest ? length : f->shortest);
            f->ends[at + 1] = f->ends[at] + list(f, own, scores, slack, f->ends[at], r);
        }
    }
    return 0;
}

/* 0; OUTSIDE for a query that is too long or not finite; or NO_MEMORY. `n` is at most 2^32. */
int shortlist_few(few *f) {
    size_t n = (size_t)f->n + 1;
    room r = {malloc(TOGETHER * n * sizeof(float)), malloc(n * sizeof(float)), malloc(n * sizeof(int64_t)), malloc(n * sizeof(uint64_t))};
    int status = r.scores && r.largest && r.left && r.keys ? lists(f, &r) : NO_MEMORY;
    free(r.scores);
    free(r.largest);
    free(r.left);
    free(r.keys);
    return status;
}

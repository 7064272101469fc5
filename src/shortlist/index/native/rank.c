/* Candidates of one query, ranked again by their vectors; `ranking.py` has the same in numpy.
 *
 * 1. Places below 0, which are none, and those excluded are left out.
 * 2. Float32 products rule out those that rounding cannot bring among the k best.
 * 3. The others are scored in float64 and rounded once.
 * 4. The k best, equal scores by rising place.
 *
 * No Python, no memory that is kept. */
#include "scores.h"

#define ABI 3 /* `library.py` has the same number: change both with any argument, here or in another file of this folder */

typedef struct {
    int64_t n, dim;
    int64_t count, taken, k;
    int64_t least, bearable; /* places that must be left, and that may be excluded; else nothing is ranked */
    int64_t all;             /* up to so many are scored in float64 at once */
    double slack;            /* twice the most by which a float32 product can miss */
    const float *vectors;    /* [n, dim] */
    const float *query;      /* [dim] */
    const int64_t *places;   /* [count], distinct; below 0 for none */
    const int64_t *excluded; /* [taken], rising */
    int64_t *found;          /* [k] */
    float *scores;           /* [k] */
    int64_t size, lost;      /* how many were found, how many were excluded */
} ranking;

int shortlist_abi(void) { return ABI; }

static int rank(ranking *r, int64_t *left, uint64_t *keys) {
    int64_t count = 0;
    for (int64_t i = 0; i < r->count; i++) {
        int64_t place = r->places[i];
        if (place >= r->n) return OUTSIDE;
        if (place < 0) continue;
        if (r->taken && place_of(r->excluded, r->taken, place) >= 0)
            r->lost++;
        else
            left[count++] = place;
    }
    if (count < r->least || r->lost > r->bearable) return TOO_FEW;
    for (int64_t i = 0; i < count && i < AHEAD; i++) fetch(r->vectors, left[i], r->dim);
    if (r->k > 0 && count > r->all && count > r->k) {
        for (int64_t i = 0; i < count; i++) {
            if (i + AHEAD < count) fetch(r->vectors, left[i + AHEAD], r->dim);
            keys[i] = key_of(rough(r->vectors + left[i] * r->dim, r->query, r->dim), (uint64_t)left[i]);
        }
        put_in_order(keys, count, r->k, DEPTH);
        double kth = score_of(keys[r->k - 1]);
        int64_t near = r->k;
        for (int64_t i = r->k; i < count; i++)
            if (!(score_of(keys[i]) < kth - r->slack)) keys[near++] = keys[i];
        for (int64_t i = 0; i < near; i++) left[i] = (int64_t)(uint32_t)keys[i];
        count = near;
    }
    for (int64_t i = 0; i < count; i++)
        keys[i] = key_of(exact(r->vectors + left[i] * r->dim, r->query, r->dim), (uint64_t)left[i]);
    r->size = count < r->k ? count : r->k;
    put_in_order(keys, count, r->size, DEPTH);
    for (int64_t i = 0; i < r->size; i++) {
        r->found[i] = (int64_t)(uint32_t)keys[i];
        r->scores[i] = score_of(keys[i]);
    }
    return 0;
}

/* 0, or why nothing was ranked. `n` is at most 2^32. */
int shortlist_rank(ranking *r) {
    r->size = r->lost = 0;
    int64_t *left = malloc((size_t)(r->count + 1) * sizeof *left);
    uint64_t *keys = malloc((size_t)(r->count + 1) * sizeof *keys);
    int status = left && keys ? rank(r, left, keys) : NO_MEMORY;
    free(left);
    free(keys);
    return status;
}

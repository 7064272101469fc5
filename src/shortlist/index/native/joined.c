/* Candidates that an index found for one query and those of another source, together; `sources/compared.py` has the same in numpy.
 *
 * 1. What the index found, with the scores that the other source has for them, 0 for none.
 * 2. What only the other source found, scored for the query: by its best head, in float64 and rounded once, as the index scores.
 * No Python, no memory that is kept. */
#include "scores.h"

typedef struct {
    int64_t n, dim, heads;
    int64_t count, more;
    const float *vectors; /* [n, dim] */
    const float *query;   /* [heads * dim] */
    const int64_t *found; /* [count] */
    const float *scores;  /* [count] */
    const int64_t *near;  /* [more], rising */
    const float *weights; /* [more] */
    int64_t *rows;        /* [count + more] */
    float *of_index;      /* [count + more] */
    float *of_near;       /* [count + more] */
    int64_t size;
} joining;

/* 0, or OUTSIDE for a row beyond the vectors, or NO_MEMORY. */
int shortlist_join(joining *j) {
    for (int64_t i = 0; i < j->more; i++)
        if (j->near[i] < 0 || j->near[i] >= j->n) return OUTSIDE;
    char *known = calloc((size_t)(j->more + 1), 1);
    if (!known) return NO_MEMORY;
    for (int64_t i = 0; i < j->more && i < AHEAD; i++) fetch(j->vectors, j->near[i], j->dim);
    for (int64_t i = 0; i < j->count; i++) {
        int64_t place = place_of(j->near, j->more, j->found[i]);
        if (place >= 0) known[place] = 1;
        j->rows[i] = j->found[i];
        j->of_index[i] = j->scores[i];
        j->of_near[i] = place >= 0 ? j->weights[place] : 0;
    }
    j->size = j->count;
    for (int64_t i = 0; i < j->more; i++) {
        if (i + AHEAD < j->more) fetch(j->vectors, j->near[i + AHEAD], j->dim);
        if (known[i]) continue;
        const float *row = j->vectors + j->near[i] * j->dim;
        float best = exact(row, j->query, j->dim);
        for (int64_t head = 1; head < j->heads; head++) {
            float score = exact(row, j->query + head * j->dim, j->dim);
            best = score > best ? score : best;
        }
        j->rows[j->size] = j->near[i];
        j->of_index[j->size] = best;
        j->of_near[j->size++] = j->weights[i];
    }
    free(known);
    return 0;
}

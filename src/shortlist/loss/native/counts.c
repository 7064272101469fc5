/* What an exact rank takes: the score from which a candidate counts against a pair, and how many scores of a tile do. */
#include "counts.h"

enum { OUTSIDE = 2 };     /* as in softmax.c */

typedef struct {
    const float *query;     /* [queries, dim] */
    const float *candidate; /* [candidates, dim] */
    int64_t queries, candidates, dim;
    const int64_t *row, *column; /* [pairs] */
    int64_t pairs, threads;
    float margin;     /* of the products' sizes, which is taken off */
    float *threshold; /* [pairs] */
} margins;

typedef struct {
    const float *scores;    /* [rows, columns] */
    int64_t rows, columns;
    const int64_t *row;     /* [pairs] */
    const int64_t *own;     /* [pairs], the column that does not count; none where it is outside of the columns */
    const float *threshold; /* [pairs] */
    int64_t pairs, threads;
    int64_t higher;         /* only what is higher counts, not what is as high */
    int64_t *count;         /* [pairs], added to */
} comparison;

void shortlist_in_parallel(void (*work)(void *), void *given, int64_t threads);
int64_t shortlist_thread(int64_t threads);

static void thresholds_of_thread(void *given) {
    const margins *m = given;
    int64_t me = shortlist_thread(m->threads), last = m->pairs * (me + 1) / m->threads;
    for (int64_t p = m->pairs * me / m->threads; p < last; p++)
        m->threshold[p] =
            threshold_of(m->query + m->row[p] * m->dim, m->candidate + m->column[p] * m->dim, m->dim, m->margin);
}

/* Returns 0, or OUTSIDE before anything is written. */
int shortlist_thresholds(margins *m) {
    for (int64_t p = 0; p < m->pairs; p++)
        if (m->row[p] < 0 || m->row[p] >= m->queries || m->column[p] < 0 || m->column[p] >= m->candidates) return OUTSIDE;
    if (m->pairs * m->dim < ALONE) m->threads = 1;
    shortlist_in_parallel(thresholds_of_thread, m, m->threads);
    return 0;
}

static int64_t as_high(const float *score, int64_t columns, float threshold) {
    int32_t count = 0;
    for (int64_t j = 0; j < columns; j++) count += score[j] >= threshold;
    return count;
}

static int64_t higher(const float *score, int64_t columns, float threshold) {
    int32_t count = 0;
    for (int64_t j = 0; j < columns; j++) count += score[j] > threshold;
    return count;
}

static void of_thread(void *given) {
    const comparison *c = given;
    int64_t me = shortlist_thread(c->threads), last = c->pairs * (me + 1) / c->threads;
    for (int64_t p = c->pairs * me / c->threads; p < last; p++) {
        const float *score = c->scores + c->row[p] * c->columns;
        float threshold = c->threshold[p];
        int64_t own = c->own[p];
        c->count[p] += (c->higher ? higher : as_high)(score, c->columns, threshold);
        if (own >= 0 && own < c->columns) c->count[p] -= c->higher ? score[own] > threshold : score[own] >= threshold;
    }
}

/* Returns 0, or OUTSIDE before anything is written. */
int shortlist_count(comparison *c) {
    if (c->columns > INT32_MAX) return OUTSIDE;
    for (int64_t p = 0; p < c->pairs; p++)
        if (c->row[p] < 0 || c->row[p] >= c->rows) return OUTSIDE;
    if (c->pairs * c->columns < ALONE) c->threads = 1;
    shortlist_in_parallel(of_thread, c, c->threads);
    return 0;
}

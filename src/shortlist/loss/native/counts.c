/* How many scores of a tile reach each pair's: what an exact rank counts. */
#include <stdint.h>

enum { ALONE = 1 << 18 }; /* comparisons below which a second thread costs more than it saves */
enum { OUTSIDE = 2 };     /* as in softmax.c */

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

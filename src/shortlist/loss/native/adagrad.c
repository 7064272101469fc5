/* Adagrad of the touched rows of a table, in place: the operations of `Adagrad.update`, in its order. */
#include <math.h>
#include <stdint.h>

enum { ALONE = 1 << 16 }; /* numbers below which a second thread costs more than it saves */

typedef struct {
    float *table, *sums;     /* [rows of the table, dim] */
    const int64_t *codes;    /* [count], distinct */
    const float *gradient;   /* [count, dim] */
    int64_t rows, count, dim, threads;
    float rate, epsilon;
} update;

void shortlist_in_parallel(void (*work)(void *), void *given, int64_t threads);
int64_t shortlist_thread(int64_t threads);

static void of_thread(void *given) {
    const update *u = given;
    int64_t me = shortlist_thread(u->threads), last = u->count * (me + 1) / u->threads;
    for (int64_t n = u->count * me / u->threads; n < last; n++) {
        float *restrict row = u->table + u->codes[n] * u->dim, *restrict sum = u->sums + u->codes[n] * u->dim;
        const float *restrict g = u->gradient + n * u->dim;
        for (int64_t d = 0; d < u->dim; d++) {
            sum[d] += g[d] * g[d];
            row[d] += -u->rate * g[d] / (sqrtf(sum[d]) + u->epsilon);
        }
    }
}

/* Whether the rows were updated; nothing is written where a code is none of the table's. */
int shortlist_adagrad(update *u) {
    for (int64_t n = 0; n < u->count; n++)
        if (u->codes[n] < 0 || u->codes[n] >= u->rows) return 0;
    if (u->count * u->dim < ALONE) u->threads = 1;
    shortlist_in_parallel(of_thread, u, u->threads);
    return 1;
}

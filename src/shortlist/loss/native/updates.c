/* Adagrad, Adam and AdamW of rows of tables, in place: the operations of `optimizers.py`, in their order. */
#include <math.h>
#include <stdint.h>

enum { ALONE = 1 << 16 }; /* numbers below which a second thread costs more than it saves */
enum { OUTSIDE = 2 };     /* as in softmax.c */

typedef struct { /* some rows of one table, or all */
    float *table;          /* [rows, dim] */
    float *first, *second; /* [rows, dim]: Adagrad's sums; Adam's means and mean squares */
    float *steps;          /* [rows], of Adam: how often each was updated */
    const int64_t *codes;  /* [count], distinct; null: every row */
    const float *gradient; /* [count, dim] */
    int64_t rows, count, dim;
} part;

typedef struct {
    const part *parts;
    int64_t number, threads;
    int64_t adam; /* or else Adagrad */
    float rate, epsilon;
    float kept;                                   /* of a row: one less its decay */
    float beta_1, beta_2, of_gradient, of_square; /* the last two: one less each beta */
} updates;

void shortlist_in_parallel(void (*work)(void *), void *given, int64_t threads);
int64_t shortlist_thread(int64_t threads);

static void adagrad(const updates *u, float *restrict row, float *restrict sum, const float *restrict g, int64_t dim) {
    for (int64_t d = 0; d < dim; d++) {
        sum[d] += g[d] * g[d];
        row[d] += -u->rate * g[d] / (sqrtf(sum[d]) + u->epsilon);
    }
}

static void adam(const updates *u, float *restrict row, float *restrict mean, float *restrict square,
                 float *restrict steps, const float *restrict g, int64_t dim) {
    float step = *steps += 1;
    float rate = u->rate / (1 - powf(u->beta_1, step)), corrected = 1 / (1 - powf(u->beta_2, step));
    int nearer = u->of_gradient < 0.5f; /* torch's `lerp_` counts from the nearer end */
    float base = nearer ? u->of_gradient : u->of_gradient - 1;
    for (int64_t d = 0; d < dim; d++) {
        mean[d] = (nearer ? mean[d] : g[d]) + base * (g[d] - mean[d]);
        square[d] = square[d] * u->beta_2 + u->of_square * g[d] * g[d];
        row[d] = row[d] * u->kept - rate * mean[d] / (sqrtf(square[d] * corrected) + u->epsilon);
    }
}

static void of_thread(void *given) {
    const updates *u = given;
    int64_t me = shortlist_thread(u->threads);
    for (const part *p = u->parts; p < u->parts + u->number; p++) {
        int64_t last = p->count * (me + 1) / u->threads;
        for (int64_t n = p->count * me / u->threads; n < last; n++) {
            int64_t at = p->codes ? p->codes[n] : n, from = at * p->dim;
            const float *g = p->gradient + n * p->dim;
            if (u->adam)
                adam(u, p->table + from, p->first + from, p->second + from, p->steps + at, g, p->dim);
            else
                adagrad(u, p->table + from, p->first + from, g, p->dim);
        }
    }
}

/* Returns 0, or OUTSIDE before anything is written. */
int shortlist_update(updates *u) {
    int64_t numbers = 0;
    for (const part *p = u->parts; p < u->parts + u->number; p++) {
        if (!p->codes && p->count && p->count != p->rows) return OUTSIDE; /* no codes have no address */
        for (int64_t n = 0; p->codes && n < p->count; n++)
            if (p->codes[n] < 0 || p->codes[n] >= p->rows) return OUTSIDE;
        numbers += p->count * p->dim;
    }
    if (numbers < ALONE) u->threads = 1;
    shortlist_in_parallel(of_thread, u, u->threads);
    return 0;
}

/* Softmax loss of a batch and its gradients in one pass over blocks of query rows; `columns.py` has the derivation.
 *
 * For each block of rows: the scores (a matrix product), their exponentials and sums, the pairs of each row, and two
 * more products for the gradients, while the block is in the processor's cache. A row whose exponents may be
 * large is shifted by the largest, so nothing overflows. Scores are float32; everything that is kept per row or per pair is float64. Each thread has a fixed
 * part of the rows and its own sum of the candidates' gradient, so a run with as many threads repeats bit for bit.
 *
 * Compiled once for each instruction set; `LANES` and `TILE` follow from it. No Python, no allocation that is kept. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"

#define ABI 6 /* `kernel.py` has the same number: change both with any argument */

enum { COLUMNS = 96 /* a multiple of PANEL and TILE */ };
enum { AT_ONCE = 24 * COLUMNS /* columns summed in float32 before their sum is added: rounding does not grow with a catalogue */ };

#define SAFE 30.0 /* exponents so close to 0 need no shift: nothing overflows, underflows or loses precision */

typedef int32_t ints __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

typedef struct {
    int64_t rows, columns, dim;
    int64_t pairs;
    int64_t hidden, explicit; /* places that never compete; places that compete though not drawn */
    int64_t block;            /* rows at a time, a multiple of TILE */
    int64_t threads;
    int64_t correct_positive, negatives_only;
    double exponent;
    double scale; /* of a query: one over the temperature */
    const float *query;                         /* [rows, dim] */
    const float *candidate;                     /* [columns, dim] */
    const float *log_mass;                      /* [columns], -inf where not drawn */
    const float *log_q;                         /* [columns], or null: all 0 */
    const double *kept;                         /* [columns], the share of a pair's own column that competes with it */
    const int64_t *pair_row, *pair_column;      /* [pairs] */
    const double *weight;                       /* [pairs], or null: all 1 */
    const int64_t *hidden_row, *hidden_column;  /* [hidden] */
    const int64_t *explicit_row, *explicit_column;
    double *loss;       /* [1], the sum */
    float *d_query;     /* [rows, dim] */
    float *d_candidate; /* [columns, dim] */
} batch;

typedef struct { /* places sorted by row: those of row i are first[i] .. first[i + 1] */
    int64_t *first;
    const int64_t *column;
    int64_t *sorted; /* the memory of `column`, or null where that is the caller's */
    double *weight;  /* null where weights are not wanted */
} places;

typedef struct {
    const batch *b;
    int64_t width;  /* columns, padded */
    int64_t panels; /* of the dimensions */
    float *by_dim;  /* candidates, panels of columns: [width / PANEL][dim][PANEL] */
    float *by_row;  /* candidates, panels of dimensions: [panels][width][lanes of the panel] */
    float *log_mass;
    double *ratio;  /* [columns]: what a positive counts for, over the mass of its column */
    float longest;  /* of the candidates' lengths, and the largest finite |log_mass| */
    float heaviest;
    places pairs, hidden, explicit;
    int64_t most;  /* pairs of a row */
    float **sums;  /* of each thread: the candidates' gradient, like by_row */
    double *losses; /* of each thread, a cache line apart */
    int failed;
} pass;

/* The parallel loop of the OpenMP runtime that torch has loaded: a second pool of threads would compete with its own. */
typedef void (*parallel_loop)(void (*)(void *), void *, unsigned, unsigned);
static parallel_loop in_parallel;

typedef struct {
    void (*work)(void *);
    void *given;
    int64_t parts, next;
} team;

static _Thread_local int64_t part; /* the one that this thread is at */

int shortlist_abi(void) { return ABI; }

int shortlist_tile(void) { return TILE; }

void shortlist_threads(void *loop) { in_parallel = (parallel_loop)loop; }

static void of_team(void *given) {
    team *t = given;
    while ((part = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED)) < t->parts) t->work(t->given);
}

/* `work` once for each part, whichever thread does it: a runtime may start fewer threads than it is asked for (OMP_DYNAMIC,
 * OMP_THREAD_LIMIT, a call from within another parallel loop). What a part computes does not depend on its thread. */
void shortlist_in_parallel(void (*work)(void *), void *given, int64_t threads) {
    team t = {work, given, threads, 0};
    if (threads > 1)
        in_parallel(of_team, &t, (unsigned)threads, 0);
    else
        work(given);
}

int64_t shortlist_thread(int64_t threads) { return threads > 1 ? part : 0; }

static int64_t lanes_of(const pass *p, int64_t panel) { return p->b->dim - panel * PANEL > LANES ? PANEL : LANES; }

static void write_tile(int64_t lanes, const float *left, int64_t row, const float *right, int64_t inner, float *out,
                       int64_t stride) {
    if (lanes == PANEL)
        tile(2, 0, left, row, 1, right, inner, out, stride);
    else
        tile(1, 0, left, row, 1, right, inner, out, stride);
}

/* The same, `AT_ONCE` of the inner numbers at a time. */
static void write_long_tile(int64_t lanes, const float *left, int64_t row, const float *right, int64_t inner, float *out,
                            int64_t stride) {
    write_tile(lanes, left, row, right, least(inner, AT_ONCE), out, stride);
    for (int64_t k = AT_ONCE; k < inner; k += AT_ONCE) {
        int64_t n = least(AT_ONCE, inner - k);
        if (lanes == PANEL)
            tile(2, 1, left + k, row, 1, right + k * lanes, n, out, stride);
        else
            tile(1, 1, left + k, row, 1, right + k * lanes, n, out, stride);
    }
}

static void add_tile(int64_t lanes, const float *left, int64_t step, const float *right, int64_t inner, float *out) {
    if (lanes == PANEL)
        tile(2, 1, left, 1, step, right, inner, out, lanes);
    else
        tile(1, 1, left, 1, step, right, inner, out, lanes);
}

/* exp of numbers up to 88, to about one unit in the last place; 0 below -87. Cody and Waite's reduction, Cephes' polynomial. */
static inline vec exponential(vec x) {
    const float shifter = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    ints below = x < -87.0f;
    x = (vec)(((ints)x & ~below) | ((ints)all(-87.0f) & below));
    vec shifted = x * 1.44269504f + shifter;
    vec n = shifted - shifter;
    vec r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return (vec)(((ints)p + ((ints)shifted << 23)) & ~below);
}

static inline double total(vec value) {
    double sum = 0;
    for (int v = 0; v < LANES; v++) sum += value[v];
    return sum;
}

static inline float largest(vec value) {
    float most = value[0];
    for (int v = 1; v < LANES; v++) most = value[v] > most ? value[v] : most;
    return most;
}

static float dot(const float *left, const float *right, int64_t dim) {
    double sum = 0;
    for (int64_t d = 0; d < dim; d++) sum += (double)left[d] * right[d];
    return (float)sum;
}

/* Adds `by` times a vector to row `at` of panels of `rows` rows. The vector is row `from_at` of panels of `from_rows`. */
static inline void add_row(const pass *p, float *to, int64_t rows, int64_t at, float by, const float *from,
                           int64_t from_rows, int64_t from_at) {
    for (int64_t panel = 0; panel < p->panels; panel++, to += PANEL * rows, from += PANEL * from_rows) {
        int64_t lanes = lanes_of(p, panel);
        for (int64_t d = 0; d < lanes; d += LANES)
            store(to + at * lanes + d, load(to + at * lanes + d) + all(by) * load(from + from_at * lanes + d));
    }
}

/* The pairs of row i, one of each place with the sum of its weights; returns how many. `marks` [columns] is 0 before and after. */
static int64_t merge(const places *at, int64_t i, int32_t *marks, int64_t *column, double *weight) {
    int64_t n = 0;
    for (int64_t p = at->first[i]; p < at->first[i + 1]; p++) {
        int64_t j = at->column[p];
        if (marks[j]) {
            weight[marks[j] - 1] += at->weight[p];
            continue;
        }
        column[n] = j;
        weight[n++] = at->weight[p];
        marks[j] = (int32_t)n;
    }
    for (int64_t p = 0; p < n; p++) marks[column[p]] = 0;
    return n;
}

typedef struct { /* what a thread needs, all for one block of rows */
    float *scores;  /* [block, width] */
    float *query;   /* [block, dim], scaled */
    float *padded;  /* [panels][block][lanes]: the same */
    float *shared;  /* the same, times the a of their rows */
    float *summed;  /* the same: the exponentials times the candidates */
    float *d_query; /* the same: what pairs and explicit places add */
    double *a;      /* [block] */
    int32_t *marks; /* [columns] */
    int64_t *column;
    double *weight, *own, *mass, *others, *added; /* of one row */
} scratch;

/* The exponentials of a row, in its place, where pairs and hidden places are -inf; their sum, and what they were shifted by. */
static double exponentials(const pass *p, float *x, const float *q, double least_shift, double *shift) {
    float length = 0;
    for (int64_t d = 0; d < p->b->dim; d++) length += q[d] * q[d];
    double sum = 0;
    if (sqrtf(length) * p->longest + p->heaviest < SAFE && least_shift < SAFE) {
        *shift = 0; /* no exponent is far from 0 */
        for (int64_t from = 0; from < p->width; from += AT_ONCE) {
            vec sums = {0};
            for (int64_t k = from; k < least(p->width, from + AT_ONCE); k += LANES) {
                vec value = exponential(load(x + k) + load(p->log_mass + k));
                store(x + k, value);
                sums += value;
            }
            sum += total(sums);
        }
        return sum;
    }
    vec tops = all(-INFINITY);
    ints unordered = {0};
    for (int64_t k = 0; k < p->width; k += LANES) {
        vec value = load(x + k) + load(p->log_mass + k);
        store(x + k, value);
        ints larger = value > tops;
        unordered |= value != value;
        tops = (vec)(((ints)value & larger) | ((ints)tops & ~larger));
    }
    double top = largest(tops);
    *shift = top > least_shift ? top : least_shift;
    for (int v = 0; v < LANES; v++)
        if (unordered[v] || *shift == INFINITY) *shift = NAN; /* not finite: so is the loss */
    if (*shift == -INFINITY) *shift = 0;                      /* nothing competes */
    for (int64_t from = 0; from < p->width; from += AT_ONCE) {
        vec sums = {0};
        for (int64_t k = from; k < least(p->width, from + AT_ONCE); k += LANES) {
            vec value = exponential(load(x + k) - all((float)*shift));
            store(x + k, value);
            sums += value;
        }
        sum += total(sums);
    }
    return sum;
}

/* 1. The loss of row i, and a = the sum of w / Z over its pairs. Leaves in `x` the exponentials of what competes with every
 * pair; adds to the gradients what pairs and explicit places have of their own. */
static double of_row(const pass *p, scratch *m, int64_t i, float *x, const float *q, float *d_candidate, int64_t within) {
    const batch *b = p->b;
    int64_t count = merge(&p->pairs, i, m->marks, m->column, m->weight);
    int64_t e0 = p->explicit.first[i], extra = p->explicit.first[i + 1] - e0;
    double least_shift = -INFINITY, shift, whole = 0, a = 0, loss = 0;
    for (int64_t n = 0; n < count; n++) m->own[n] = x[m->column[n]];
    for (int64_t n = p->hidden.first[i]; n < p->hidden.first[i + 1]; n++) x[p->hidden.column[n]] = -INFINITY;
    for (int64_t n = 0; n < count; n++) { /* the exponent of its mass: -inf where hidden or not drawn */
        int64_t j = m->column[n];
        m->mass[n] = (double)x[j] + b->log_mass[j];
        x[j] = -INFINITY;
        if (m->mass[n] > least_shift || m->own[n] != m->own[n]) least_shift = m->mass[n];
    }
    for (int64_t n = 0; n < extra; n++) {
        int64_t k = p->explicit.column[e0 + n];
        m->added[n] = dot(q, b->candidate + k * b->dim, b->dim) - (b->log_q ? b->log_q[k] : 0);
        if (m->added[n] > least_shift) least_shift = m->added[n];
    }
    double rest = exponentials(p, x, q, least_shift, &shift);
    for (int64_t n = 0; n < extra; n++) rest += m->added[n] = exp(m->added[n] - shift);
    for (int64_t n = 0; n < count; n++) whole += m->mass[n] = exp(m->mass[n] - shift);
    whole += rest;

    for (int64_t n = 0; n < count; n++) {
        int64_t j = m->column[n];
        double w = m->weight[n], mass = m->mass[n], others = whole - mass;
        if (mass > 0.5 * whole) { /* at most one of a row: its own mass is left out, not subtracted */
            others = rest;
            for (int64_t o = 0; o < count; o++) others += o == n ? 0 : m->mass[o];
        }
        double competing = others + mass * b->kept[j], share;
        double positive = m->own[n] - (b->correct_positive && b->log_q ? b->log_q[j] : 0);
        double own = mass * p->ratio[j];
        if (b->negatives_only) {
            int nothing = competing == 0; /* NaN is something: it shows in the loss */
            loss += w * ((nothing ? 0 : b->exponent * (log(competing) + shift)) - positive);
            share = nothing ? 0 : b->exponent * w / competing;
        } else if (own > 1e-280 && own < 1e280) {
            double above = log1p(competing / own); /* log Z minus the positive */
            loss += w * (b->exponent * above + (b->exponent - 1) * positive);
            share = b->exponent * w / (competing + own);
        } else { /* too small for exp, or a column that was not drawn */
            double above = log(competing) + shift - positive;
            above = above > 0 ? above + log1p(exp(-above)) : log1p(exp(above));
            loss += w * (b->exponent * above + (b->exponent - 1) * positive);
            share = b->exponent * w * exp(shift - positive - above);
        }
        m->others[n] = others;
        m->own[n] = share;
        a += share;
    }
    m->a[within] = a;
    for (int64_t n = 0; n < count; n++) {
        int64_t j = m->column[n];
        double w = m->weight[n], mass = m->mass[n], share = m->own[n], gradient = (a - share) * mass;
        if (b->negatives_only)
            gradient += share * mass * b->kept[j] - w;
        else
            gradient += (b->exponent - 1) * w - share * m->others[n];
        add_row(p, m->d_query, b->block, within, (float)gradient, p->by_row, p->width, j);
        add_row(p, d_candidate, p->width, j, (float)gradient, m->padded, b->block, within);
    }
    for (int64_t n = 0; n < extra; n++) {
        int64_t k = p->explicit.column[e0 + n];
        add_row(p, m->d_query, b->block, within, (float)(a * m->added[n]), p->by_row, p->width, k);
        add_row(p, d_candidate, p->width, k, (float)(a * m->added[n]), m->padded, b->block, within);
    }
    add_row(p, m->shared, b->block, within, (float)a, m->padded, b->block, within);
    return loss;
}

static int make(const pass *p, scratch *m) {
    const batch *b = p->b;
    int64_t wide = p->panels * PANEL;
    m->scores = memory(b->block * p->width * 4);
    m->query = memory(b->block * b->dim * 4);
    m->padded = memory(b->block * wide * 4);
    m->shared = memory(b->block * wide * 4);
    m->summed = memory(b->block * wide * 4);
    m->d_query = memory(b->block * wide * 4);
    m->a = memory(b->block * 8);
    m->marks = calloc((size_t)b->columns, 4);
    m->column = memory(p->most * 8);
    m->weight = memory(p->most * 8);
    m->own = memory(p->most * 8);
    m->mass = memory(p->most * 8);
    m->others = memory(p->most * 8);
    m->added = memory(b->explicit * 8);
    return m->scores && m->query && m->padded && m->shared && m->summed && m->d_query && m->a && m->marks && m->column && m->weight && m->own &&
           m->mass && m->others && m->added;
}

static void release(scratch *m) {
    void *parts[] = {m->scores, m->query,  m->padded, m->shared, m->summed, m->d_query, m->a,    m->marks,
                     m->column, m->weight, m->own,    m->mass,   m->others,  m->added};
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++) free(parts[n]);
}

/* 2. One block of rows: from `start`, `real` of them. */
static double of_block(const pass *p, scratch *m, int64_t start, int64_t real, float *d_candidate) {
    const batch *b = p->b;
    int64_t n = up(real, TILE), dim = b->dim, width = p->width, wide = p->panels * PANEL;
    float scale = (float)b->scale;
    for (int64_t k = 0; k < real * dim; k++) m->query[k] = b->query[start * dim + k] * scale;
    memset(m->query + real * dim, 0, (size_t)((n - real) * dim) * 4);
    memset(m->padded, 0, (size_t)(b->block * wide) * 4);
    memset(m->d_query, 0, (size_t)(b->block * wide) * 4);
    memset(m->shared, 0, (size_t)(b->block * wide) * 4);
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t lanes = lanes_of(p, panel), from = panel * PANEL, within = least(lanes, dim - from);
        for (int64_t i = 0; i < real; i++)
            memcpy(m->padded + from * b->block + i * lanes, m->query + i * dim + from, (size_t)within * 4);
    }
    for (int64_t k = 0; k < width; k += PANEL)
        for (int64_t i = 0; i < n; i += TILE)
            write_tile(PANEL, m->query + i * dim, dim, p->by_dim + k * dim, dim, m->scores + i * width + k, width);

    double loss = 0;
    for (int64_t i = 0; i < real; i++)
        loss += of_row(p, m, start + i, m->scores + i * width, m->query + i * dim, d_candidate, i);
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t lanes = lanes_of(p, panel), from = panel * PANEL, within = least(lanes, dim - from);
        float *summed = m->summed + from * b->block;
        for (int64_t i = 0; i < n; i += TILE)
            write_long_tile(lanes, m->scores + i * width, width, p->by_row + from * width, b->columns, summed + i * lanes, lanes);
        for (int64_t k = 0; k < width; k += TILE)
            add_tile(lanes, m->scores + k, width, m->shared + from * b->block, n, d_candidate + from * width + k * lanes);
        for (int64_t i = 0; i < real; i++) {
            const float *own = m->d_query + from * b->block + i * lanes;
            float *to = b->d_query + (start + i) * dim + from, a = (float)m->a[i];
            for (int64_t d = 0; d < within; d++) to[d] = (a * summed[i * lanes + d] + own[d]) * scale;
        }
    }
    return loss;
}

/* 3. The rows of one thread. */
static void of_thread(void *given) {
    pass *p = given;
    const batch *b = p->b;
    int64_t me = shortlist_thread(b->threads), groups = up(b->rows, TILE) / TILE;
    int64_t first = groups * me / b->threads * TILE, last = least(groups * (me + 1) / b->threads * TILE, b->rows);
    scratch m;
    if (!make(p, &m)) {
        p->failed = 1;
    } else {
        memset(p->sums[me], 0, (size_t)(p->width * p->panels * PANEL) * 4);
        double loss = 0;
        for (int64_t start = first; start < last; start += b->block)
            loss += of_block(p, &m, start, least(b->block, last - start), p->sums[me]);
        p->losses[me * LINE] = loss;
    }
    release(&m);
}

/* The places sorted by row; 0, or why not. Those that are given so, as known choices are, stay where they are.
 *
 * `weighed`: whether their weights are wanted, 1 each without `weight`. */
static int sort(const batch *b, int64_t n, const int64_t *row, const int64_t *column, int weighed, const double *weight,
                places *to) {
    int64_t rows = b->rows, outside = 0, falling = 0;
    for (int64_t p = 0; p < n; p++)
        outside |= (row[p] < 0) | (row[p] >= rows) | (column[p] < 0) | (column[p] >= b->columns);
    for (int64_t p = 1; p < n; p++) falling |= row[p] < row[p - 1];
    if (outside) return OUTSIDE;
    to->first = calloc((size_t)rows + 2, 8);
    if (!to->first) return NO_MEMORY;
    if (!falling && !weighed) {
        for (int64_t p = 0, i = 0; i <= rows; i++) {
            while (p < n && row[p] < i) p++;
            to->first[i] = p;
        }
        to->column = column;
        return 0;
    }
    to->sorted = memory(n * 8);
    to->weight = weighed ? memory(n * 8) : NULL;
    to->column = to->sorted;
    if (!to->sorted || (weighed && !to->weight)) return NO_MEMORY;
    for (int64_t p = 0; p < n; p++) to->first[row[p] + 2]++;
    for (int64_t i = 0; i < rows; i++) to->first[i + 2] += to->first[i + 1];
    for (int64_t p = 0; p < n; p++) {
        int64_t at = to->first[row[p] + 1]++;
        to->sorted[at] = column[p];
        if (weighed) to->weight[at] = weight ? weight[p] : 1;
    }
    return 0;
}

/* Candidates in both layouts, padded with zeros whose mass is 0; what follows from a column alone. */
static void pack(pass *p) {
    const batch *b = p->b;
    int64_t dim = b->dim;
    pack_panels(b->candidate, b->columns, dim, 0, p->width, p->by_dim);
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t lanes = lanes_of(p, panel), from = panel * PANEL, n = least(lanes, dim - from);
        float *to = p->by_row + from * p->width;
        if (n < lanes) memset(to, 0, (size_t)(p->width * lanes) * 4);
        for (int64_t j = 0; j < b->columns; j++) memcpy(to + j * lanes, b->candidate + j * dim + from, (size_t)n * 4);
    }
    for (int64_t k = 0; k < p->width; k++) p->log_mass[k] = k < b->columns ? b->log_mass[k] : -INFINITY;
    float longest = 0;
    for (int64_t k = 0; k < b->columns; k++) {
        float length = 0, mass = fabsf(b->log_mass[k]), log_q = b->log_q && b->correct_positive ? b->log_q[k] : 0;
        for (int64_t d = 0; d < dim; d++) length += b->candidate[k * dim + d] * b->candidate[k * dim + d];
        if (longest == longest && !(length <= longest)) longest = length; /* NaN stays: then no row is safe */
        if (mass < INFINITY && mass > p->heaviest) p->heaviest = mass;
        p->ratio[k] = exp(-(double)b->log_mass[k] - log_q);
    }
    p->longest = sqrtf(longest);
}

static void add_threads(const pass *p) {
    const batch *b = p->b;
    for (int64_t t = 0; t < b->threads; t++) *b->loss += p->losses[t * LINE];
    for (int64_t panel = 0; panel < p->panels; panel++) {
        int64_t lanes = lanes_of(p, panel), from = panel * PANEL, n = least(lanes, b->dim - from);
        for (int64_t j = 0; j < b->columns; j++)
            for (int64_t d = 0; d < n; d++) {
                float sum = 0;
                for (int64_t t = 0; t < b->threads; t++) sum += p->sums[t][from * p->width + j * lanes + d];
                b->d_candidate[j * b->dim + from + d] = sum;
            }
    }
}

/* Writes loss, d_query and d_candidate. Returns 0, or NO_MEMORY and OUTSIDE. */
int shortlist_softmax(const batch *b) {
    pass p = {.b = b, .width = up(b->columns, COLUMNS), .panels = up(b->dim, PANEL) / PANEL};
    p.by_dim = memory(p.width * b->dim * 4);
    p.by_row = memory(p.width * p.panels * PANEL * 4);
    p.log_mass = memory(p.width * 4);
    p.ratio = memory(b->columns * 8);
    p.losses = calloc((size_t)(b->threads * LINE), 8);
    p.sums = calloc((size_t)b->threads, sizeof(float *));
    p.failed = !p.by_dim || !p.by_row || !p.log_mass || !p.ratio || !p.losses || !p.sums;
    p.failed |= sort(b, b->pairs, b->pair_row, b->pair_column, 1, b->weight, &p.pairs);
    p.failed |= sort(b, b->hidden, b->hidden_row, b->hidden_column, 0, NULL, &p.hidden);
    p.failed |= sort(b, b->explicit, b->explicit_row, b->explicit_column, 0, NULL, &p.explicit);
    for (int64_t t = 0; t < b->threads && !p.failed; t++)
        p.failed |= !(p.sums[t] = memory(p.width * p.panels * PANEL * 4));
    *b->loss = 0;
    if (!p.failed) {
        for (int64_t i = 0; i < b->rows; i++)
            if (p.pairs.first[i + 1] - p.pairs.first[i] > p.most) p.most = p.pairs.first[i + 1] - p.pairs.first[i];
        pack(&p);
        shortlist_in_parallel(of_thread, &p, b->threads);
    }
    if (!p.failed) add_threads(&p);
    for (int64_t t = 0; t < b->threads && p.sums; t++) free(p.sums[t]);
    void *parts[] = {p.by_dim,      p.by_row,       p.log_mass,     p.ratio,        p.losses,        p.sums,          p.pairs.first,
                     p.pairs.sorted, p.pairs.weight, p.hidden.first, p.hidden.sorted, p.explicit.first, p.explicit.sorted};
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++) free(parts[n]);
    return p.failed;
}

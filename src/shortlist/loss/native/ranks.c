/* Exact ranks of pairs: for each, how many candidates score as high as its own, or higher.
 *
 * Pairs are sorted by query. For some columns at a time the candidates are packed, and each block of rows that have pairs is
 * multiplied with them; its scores stay in the processor's cache while those that reach each pair are counted. A score is summed in
 * the order of the dimensions wherever it stands, and counts are whole: a run with other threads gives the same. */
#include <string.h>

#include "counts.h"
#include "product.h"

#if defined(__AVX512F__)
#define COUNTING __attribute__((target("no-avx512f"), noinline)) /* AMD's comparisons of 32 bytes take half the time of those of 64 */
#else
#define COUNTING __attribute__((noinline))
#endif

enum { ROWS = 24 /* of a block, a multiple of TILE */, EIGHT = 8, AT_ONCE = 4 /* pairs compared with a score that is loaded */ };
enum { STEP = AT_ONCE * EIGHT /* columns of a row are a multiple */ };

typedef float eight __attribute__((vector_size(EIGHT * 4), aligned(4), may_alias));
typedef int32_t eights __attribute__((vector_size(EIGHT * 4)));

typedef struct {
    const float *query;     /* [queries, dim] */
    const float *candidate; /* [candidates, dim] */
    int64_t queries, candidates, dim;
    const int64_t *row;     /* [pairs] */
    const int64_t *own;     /* [pairs], below 0 for one that is no candidate */
    int64_t pairs;
    const int64_t *hidden_row, *hidden_column; /* [hidden], rows rising: candidates that do not compete */
    int64_t hidden;
    int64_t columns; /* at a time */
    int64_t threads;
    int64_t higher;  /* only what is higher counts, not what is as high */
    float margin;    /* of the products' sizes, which is taken off a pair's own score */
    int64_t *rank;   /* [pairs] */
    int64_t unclear; /* pairs whose score is not finite: nothing is written then */
} ranking;

typedef struct {
    ranking *r;
    int64_t *first;   /* [queries + 1]: the sorted pairs of a row are first[i] .. first[i + 1] */
    int64_t *order;   /* [pairs], the place of each sorted pair */
    int64_t *asked;   /* rows that have pairs */
    int64_t rows;     /* of these */
    int64_t *hidden;  /* [queries + 1], or null */
    float *threshold; /* [pairs], sorted */
    int64_t *count;   /* [pairs], sorted: others that reach it so far */
    uint8_t *lost;    /* [pairs], sorted: its own candidate is hidden, or none */
    float *packed;    /* [width / PANEL][dim][PANEL] */
    int64_t start, real, width; /* the columns at hand: from where, how many, padded */
    int64_t next;     /* block of rows */
    int failed;
} pass;

void shortlist_in_parallel(void (*work)(void *), void *given, int64_t threads);
int64_t shortlist_thread(int64_t threads);

/* Adds what is true (-1) of `AT_ONCE` comparisons: of one score with as many thresholds, or of as many scores with one. */
#define COMPARE(reaches, step, score_at)                                          \
    for (int64_t j = 0; j < width; j += (step)) {                                 \
        _Pragma("GCC unroll 4") for (int n = 0; n < AT_ONCE; n++) {               \
            eight score = *(const eight *)(scores + j + (score_at));              \
            reached[n] += score reaches limit[n];                                 \
        }                                                                         \
    }

/* How many scores reach each of `AT_ONCE` thresholds; with `same` they are one threshold, and the first count is the sum of all. */
COUNTING static void reaching(const float *scores, int64_t width, const float *threshold, int higher, int same, int64_t *count) {
    eight limit[AT_ONCE];
    eights reached[AT_ONCE];
    for (int n = 0; n < AT_ONCE; n++) {
        limit[n] = threshold[n] - (eight){0};
        reached[n] = (eights){0};
    }
    if (same && higher)
        COMPARE(>, AT_ONCE * EIGHT, n * EIGHT)
    else if (same)
        COMPARE(>=, AT_ONCE * EIGHT, n * EIGHT)
    else if (higher)
        COMPARE(>, EIGHT, 0)
    else
        COMPARE(>=, EIGHT, 0)
    for (int n = 0; n < AT_ONCE; n++) {
        count[n] = 0;
        for (int v = 0; v < EIGHT; v++) count[n] -= reached[n][v];
    }
    for (int n = 1; n < AT_ONCE && same; n++) count[0] += count[n];
}

/* Panels of the columns at hand, and at first the thresholds. */
static void prepare(void *given) {
    pass *p = given;
    ranking *r = p->r;
    int64_t me = shortlist_thread(r->threads), panels = p->width / PANEL;
    pack_panels(r->candidate + p->start * r->dim, p->real, r->dim, panels * me / r->threads * PANEL,
                panels * (me + 1) / r->threads * PANEL, p->packed);
    if (p->start) return;
    int64_t unclear = 0;
    for (int64_t i = p->rows * me / r->threads; i < p->rows * (me + 1) / r->threads; i++) {
        int64_t row = p->asked[i];
        for (int64_t n = p->first[row]; n < p->first[row + 1]; n++) {
            int64_t own = r->own[p->order[n]];
            p->threshold[n] = threshold_of(r->query + row * r->dim, r->candidate + (own < 0 ? 0 : own) * r->dim, r->dim, r->margin);
            p->lost[n] = own < 0;
            unclear += !isfinite(p->threshold[n]);
        }
    }
    __atomic_fetch_add(&r->unclear, unclear, __ATOMIC_RELAXED);
}

static int is_hidden(const pass *p, int64_t row, int64_t column) {
    for (int64_t n = p->hidden[row]; n < p->hidden[row + 1]; n++)
        if (p->r->hidden_column[n] == column) return 1;
    return 0;
}

/* Counts for the pairs of one row, whose scores are at hand. */
static void of_row(pass *p, int64_t row, float *scores) {
    ranking *r = p->r;
    int64_t n = p->first[row], last = p->first[row + 1];
    for (int64_t j = p->real; j < p->width; j++) scores[j] = -INFINITY;
    if (p->hidden)
        for (int64_t h = p->hidden[row]; h < p->hidden[row + 1]; h++) {
            int64_t column = r->hidden_column[h] - p->start;
            if (column >= 0 && column < p->real) scores[column] = -INFINITY;
        }
    for (int64_t m = n; m < last; m++) {
        int64_t own = r->own[p->order[m]] - p->start;
        if (own < 0 || own >= p->real) continue;
        float score = scores[own], threshold = p->threshold[m];
        p->count[m] -= r->higher ? score > threshold : score >= threshold;
        if (score == -INFINITY && p->hidden) p->lost[m] |= is_hidden(p, row, own + p->start);
    }
    for (; n < last; n += AT_ONCE) {
        int64_t left = least(last - n, AT_ONCE), counts[AT_ONCE];
        float limits[AT_ONCE];
        for (int64_t m = 0; m < AT_ONCE; m++) limits[m] = p->threshold[m < left ? n + m : n];
        reaching(scores, p->width, limits, r->higher != 0, left == 1, counts);
        for (int64_t m = 0; m < left; m++) p->count[n + m] += counts[m];
    }
    if (p->start + p->real < r->candidates) return;
    for (n = p->first[row]; n < last; n++) r->rank[p->order[n]] = 1 + (p->lost[n] ? r->candidates : p->count[n]);
}

/* Blocks of rows, one after the other, whichever are left. */
static void of_thread(void *given) {
    pass *p = given;
    ranking *r = p->r;
    int64_t dim = r->dim, block;
    float *query = memory(ROWS * dim * 4), *scores = memory(ROWS * p->width * 4);
    if (!query || !scores) p->failed = NO_MEMORY;
    while (!p->failed && (block = __atomic_fetch_add(&p->next, ROWS, __ATOMIC_RELAXED)) < p->rows) {
        int64_t real = least(ROWS, p->rows - block), n = up(real, TILE);
        for (int64_t i = 0; i < real; i++) memcpy(query + i * dim, r->query + p->asked[block + i] * dim, (size_t)dim * 4);
        memset(query + real * dim, 0, (size_t)((n - real) * dim) * 4);
        for (int64_t k = 0; k < p->width; k += PANEL)
            for (int64_t i = 0; i < n; i += TILE)
                tile(2, 0, query + i * dim, dim, 1, p->packed + k * dim, dim, scores + i * p->width + k, p->width);
        for (int64_t i = 0; i < real; i++) of_row(p, p->asked[block + i], scores + i * p->width);
    }
    free(query);
    free(scores);
}

/* The pairs by row, those of one row as they were. Returns 0, or OUTSIDE for rows and columns that there are not, or hidden ones in no order. */
static int sort(pass *p) {
    const ranking *r = p->r;
    int64_t *first = p->first, before = 0;
    for (int64_t n = 0; n < r->pairs; n++) {
        if (r->row[n] < 0 || r->row[n] >= r->queries || r->own[n] >= r->candidates) return OUTSIDE;
        first[r->row[n] + 2]++;
    }
    for (int64_t n = 0; n < r->hidden; n++) {
        int64_t row = r->hidden_row[n], column = r->hidden_column[n];
        if (row < before || row >= r->queries || column < 0 || column >= r->candidates) return OUTSIDE;
        p->hidden[row + 1]++;
        before = row;
    }
    for (int64_t i = 0; i < r->queries; i++) {
        if (first[i + 2]) p->asked[p->rows++] = i;
        first[i + 2] += first[i + 1];
        if (p->hidden) p->hidden[i + 1] += p->hidden[i];
    }
    for (int64_t n = 0; n < r->pairs; n++) p->order[first[r->row[n] + 1]++] = n;
    return 0;
}

/* Writes the ranks. Returns 0, or NO_MEMORY, or OUTSIDE before anything is written. */
int shortlist_ranks(ranking *r) {
    pass p = {.r = r};
    int64_t most = up(least(r->columns, r->candidates), up(PANEL, STEP));
    if (r->pairs * r->candidates < ALONE) r->threads = 1;
    p.first = calloc((size_t)r->queries + 2, 8);
    p.order = memory(r->pairs * 8);
    p.asked = memory(least(r->queries, r->pairs) * 8);
    p.hidden = r->hidden ? calloc((size_t)r->queries + 1, 8) : NULL;
    p.threshold = memory(r->pairs * 4);
    p.count = calloc((size_t)r->pairs + 1, 8);
    p.lost = memory(r->pairs);
    p.packed = memory(most * r->dim * 4);
    int there = p.first && p.order && p.asked && (p.hidden || !r->hidden) && p.threshold && p.count && p.lost && p.packed;
    p.failed = there ? sort(&p) : NO_MEMORY;
    for (; p.start < r->candidates && !p.failed && !r->unclear; p.start += p.real) {
        p.real = least(r->columns, r->candidates - p.start);
        p.width = up(p.real, up(PANEL, STEP));
        p.next = 0;
        shortlist_in_parallel(prepare, &p, r->threads);
        if (!r->unclear) shortlist_in_parallel(of_thread, &p, r->threads);
    }
    void *parts[] = {p.first, p.order, p.asked, p.hidden, p.threshold, p.count, p.lost, p.packed};
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++) free(parts[n]);
    return p.failed;
}

/* The candidates that weigh most among the neighbours of one history; `sources/heaviest.py` has the same in numpy.
 *
 * 1. Each item of the history once, at its latest place; the oldest first.
 * 2. Where there are many weights, they are added up in buckets by the last bits of their candidates. A bucket's sum is at least
 *    the score of each of its candidates, so that those of low buckets are left out.
 * 3. The weights of the others are added up by candidate, in float64 and in the order of the items, and rounded once.
 *
 * Sums have one order of additions, numpy's: with and without this library a table reports the same numbers.
 * No Python, no memory that is kept. */
#include <math.h>

#include "scores.h"

enum { NEXT = 3 /* items whose weights are fetched before they are needed */, WEIGHTS = 16 /* in a line of the cache */ };

typedef struct {
    int64_t size;           /* candidates of the table */
    int64_t length;         /* items that count */
    int64_t brief;          /* so many weights are all added up by candidate */
    int64_t every, sampled; /* one in so many weights is looked at; so many of these are above the least that is kept */
    int64_t count, also_count, room;
    const int64_t *offsets; /* [size + 1] */
    const int32_t *columns; /* from 0 to size - 1 */
    const float *weights;   /* above 0 */
    const double *ages;     /* [at least as many as items can count], by items that are later */
    const int64_t *history; /* [count], the oldest first */
    const int64_t *also;    /* [also_count], candidates whose buckets are kept in any case; at least 0 */
    int64_t *rows;          /* [room] */
    float *scores;          /* [room] */
    int64_t found;
    double least; /* no other candidate has more; 0 where there is no other */
} heaviest;

typedef struct {
    int64_t first, last;
    double age;
} item;

static int64_t power_above(int64_t number) {
    int64_t power = 1;
    while (power <= number) power *= 2;
    return power;
}

static inline void fetch_weights(const heaviest *h, const item *one) {
    for (int64_t place = one->first; place < one->last + WEIGHTS - 1; place += WEIGHTS) {
        __builtin_prefetch(h->columns + place);
        __builtin_prefetch(h->weights + place);
    }
}

/* The items that count and have a row, the oldest first; how many, or -1 without memory. */
static int64_t items_of(const heaviest *h, item *items) {
    int64_t slots = power_above(2 * h->count), distinct = 0, inside = 0;
    int64_t *seen = malloc((size_t)slots * sizeof *seen);
    if (!seen) return -1;
    for (int64_t i = 0; i < slots; i++) seen[i] = -1; /* places in the history */
    for (int64_t i = h->count - 1; i >= 0 && distinct < h->length; i--) {
        uint64_t row = (uint64_t)h->history[i];
        int64_t slot = (int64_t)(row * 0x9E3779B97F4A7C15u >> 32) & (slots - 1);
        while (seen[slot] >= 0 && h->history[seen[slot]] != h->history[i]) slot = (slot + 1) & (slots - 1);
        if (seen[slot] >= 0) continue;
        seen[slot] = i;
        if (row < (uint64_t)h->size) {
            __builtin_prefetch(h->offsets + row);
            items[inside++] = (item){(int64_t)row, 0, h->ages[distinct]};
        }
        distinct++;
    }
    free(seen);
    for (int64_t i = 0; i < inside / 2; i++) {
        item other = items[i];
        items[i] = items[inside - 1 - i];
        items[inside - 1 - i] = other;
    }
    for (int64_t i = 0; i < inside; i++) {
        int64_t row = items[i].first;
        items[i].first = h->offsets[row], items[i].last = h->offsets[row + 1];
    }
    return inside;
}

/* One weight, rounded before it is added, as numpy's are. */
static inline double aged(const heaviest *h, const item *of, int64_t place) {
    double value = of->age * (double)h->weights[place];
    __asm__("" : "+x"(value)); /* else product and sum are one instruction, which rounds once */
    return value;
}

/* Adds up in buckets and finds the least sum that is kept. */
static void in_buckets(heaviest *h, const item *items, int64_t count, double *sums, int64_t mask, uint64_t *sample, int64_t sampled) {
    for (int64_t i = 0; i < count && i < NEXT; i++) fetch_weights(h, items + i);
    for (int64_t i = 0; i < count; i++) {
        if (i + NEXT < count) fetch_weights(h, items + i + NEXT);
        for (int64_t place = items[i].first; place < items[i].last; place++)
            sums[h->columns[place] & mask] += aged(h, items + i, place);
    }
    for (int64_t i = 0; i < h->also_count; i++) sums[h->also[i] & mask] = INFINITY;
    int64_t at = 0, before = 0; /* weights of the items before */
    for (int64_t i = 0; i < count; i++) {
        int64_t many = items[i].last - items[i].first;
        for (; at * h->every < before + many; at++) {
            double sum = sums[h->columns[items[i].first + at * h->every - before] & mask];
            uint64_t bits;
            memcpy(&bits, &sum, sizeof bits); /* sums are above 0: their bits rise with them */
            sample[at] = ~bits;
        }
        before += many;
    }
    put_in_order(sample, sampled, h->sampled + 1, DEPTH);
    uint64_t bits = ~sample[h->sampled];
    memcpy(&h->least, &bits, sizeof bits);
}

/* The weights whose buckets are kept: of each its candidate and its place among them, and its value; how many, at most one too many. */
static int64_t kept(const heaviest *h, const item *items, int64_t count, const double *sums, int64_t mask, uint64_t *keys, double *values) {
    int64_t many = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t place = items[i].first; place < items[i].last; place++) {
            int32_t column = h->columns[place];
            if (sums && !(sums[column & mask] >= h->least)) continue;
            if (many == h->room) return many + 1;
            keys[many] = (uint64_t)column << 32 | (uint64_t)many;
            values[many++] = aged(h, items + i, place);
        }
    return many;
}

static int add_up(heaviest *h, item *items, uint64_t *keys, double *values) {
    int64_t count = items_of(h, items), total = 0;
    if (count < 0) return NO_MEMORY;
    for (int64_t i = 0; i < count; i++) total += items[i].last - items[i].first;
    double *sums = NULL;
    int64_t mask = 0;
    h->least = 0;
    if (total > h->brief) {
        int64_t buckets = power_above(total), sampled = (total + h->every - 1) / h->every;
        uint64_t *sample = malloc((size_t)sampled * sizeof *sample);
        sums = calloc((size_t)buckets, sizeof *sums);
        mask = buckets - 1;
        int there = sums && sample;
        if (there) in_buckets(h, items, count, sums, mask, sample, sampled);
        free(sample);
        if (!there) {
            free(sums);
            return NO_MEMORY;
        }
    }
    int64_t many = kept(h, items, count, sums, mask, keys, values);
    free(sums);
    if (many > h->room) return TOO_FEW; /* places */
    put_in_order(keys, many, many, DEPTH);
    h->found = 0;
    for (int64_t i = 0; i < many;) {
        uint64_t row = keys[i] >> 32;
        double sum = 0;
        for (; i < many && keys[i] >> 32 == row; i++) sum += values[(uint32_t)keys[i]];
        h->rows[h->found] = (int64_t)row;
        h->scores[h->found++] = (float)sum;
    }
    return 0;
}

/* 0, or why nothing was added up; TOO_FEW where there is no room. */
int shortlist_heaviest(heaviest *h) {
    h->found = 0;
    item *items = malloc((size_t)(h->count + 1) * sizeof *items);
    uint64_t *keys = malloc((size_t)(h->room + 1) * sizeof *keys);
    double *values = malloc((size_t)(h->room + 1) * sizeof *values);
    int status = items && keys && values ? add_up(h, items, keys, values) : NO_MEMORY;
    free(items);
    free(keys);
    free(values);
    return status;
}

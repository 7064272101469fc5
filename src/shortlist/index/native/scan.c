/* A scan of the codes of a query's nearest partitions, and the form in which codes are scanned; `partitions.py` calls it.
 *
 * A code names one of 16 values that a few coordinates of a vector have beyond its partition's centre.
 *
 * 1. Centres are scored; the best partitions are chosen.
 * 2. A query's products with the 16 values of each code are rounded to bytes, with one step for all. In these steps a candidate's score
 *    is a whole number: that of its centre, and a byte for each code.
 * 3. Codes lie in blocks of 32 candidates: 16 bytes for each code, the first 16 candidates in their lower halves. A shuffle looks
 *    up the bytes of 32 or 64 codes.
 * 4. Candidates kept are counted by score, so that the least score worth keeping is known at any time. A partition that cannot
 *    reach it is left out.
 * No Python, no memory that is kept. */
#include <float.h>
#include <immintrin.h>

#include "scores.h"

enum { BLOCK = 32, VALUES = 16, LANE = 16, PUSHED = 1 << 12, FINEST = UINT16_MAX, WIDEST = 256 };

#if defined(__AVX512BW__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif

typedef struct {
    int64_t n, places, leaves;  /* candidates, codes of each (a multiple of 4, at most WIDEST), partitions */
    int64_t width;              /* of them used */
    const int64_t *first;       /* [leaves + 1], blocks */
    const int64_t *count;       /* [leaves], candidates */
    const uint32_t *candidates; /* [blocks, 32] */
    const uint8_t *codes;       /* [blocks, places, 16] */
} lists;

typedef struct {
    lists from;
    int64_t dim, per_place;  /* coordinates, and those of a code */
    int64_t chosen, wanted;  /* partitions and candidates */
    const float *centres;    /* [leaves, dim] */
    const float *book;       /* [dim, 16] */
    const float *query;      /* [dim] */
    int64_t *found;          /* [wanted] */
    int64_t size;            /* how many were found */
} scan;

typedef struct {
    lists to;                            /* codes are zeros at first */
    int64_t low, high;                   /* the partitions low to high are packed */
    const int32_t *leaf;                 /* [n] */
    const uint8_t *values;               /* [n, width] */
    int64_t *done;                       /* [leaves], zeros */
} packing;

/* Where candidate i of a block is: the byte, and whether in its upper half. Scores come out in the order 0 .. 31. */
static inline int64_t byte_of(int64_t i) { return (i & 7) * 2 + (i >> 3 & 1); }

static inline int upper(int64_t i) { return (int)(i >> 4); }

int shortlist_pack(packing *p) {
    const lists *l = &p->to;
    for (int64_t row = 0; row < l->n; row++) {
        int64_t leaf = p->leaf[row];
        if (leaf < 0 || leaf >= l->leaves) return OUTSIDE;
        if (leaf < p->low || leaf >= p->high) continue;
        int64_t at = p->done[leaf]++;
        if (at >= l->count[leaf]) return OUTSIDE;
        int64_t block = l->first[leaf] + at / BLOCK, i = at % BLOCK, shift = upper(i) * 4;
        uint8_t *code = (uint8_t *)l->codes + block * l->places * LANE + byte_of(i), all = 0;
        const uint8_t *value = p->values + row * l->width;
        for (int64_t place = 0; place < l->width; place++, code += LANE) {
            all |= value[place];
            *code |= (uint8_t)(value[place] << shift);
        }
        if (all >= VALUES) return OUTSIDE;
        ((uint32_t *)l->candidates)[block * BLOCK + i] = (uint32_t)row;
    }
    return 0;
}

/* What was packed: leaf_of [n], values [n, width]. */
void shortlist_unpack(const lists *l, int32_t *leaf_of, uint8_t *values) {
    for (int64_t leaf = 0; leaf < l->leaves; leaf++)
        for (int64_t at = 0; at < l->count[leaf]; at++) {
            int64_t block = l->first[leaf] + at / BLOCK, i = at % BLOCK, row = l->candidates[block * BLOCK + i];
            const uint8_t *code = l->codes + block * l->places * LANE + byte_of(i);
            leaf_of[row] = (int32_t)leaf;
            for (int64_t place = 0; place < l->width; place++)
                values[row * l->width + place] = code[place * LANE] >> upper(i) * 4 & 15;
        }
}

#if defined(__AVX512BW__)
typedef __m512i reg;
static inline reg load(const uint8_t *from) { return _mm512_loadu_si512(from); }
static inline reg same(uint16_t value) { return _mm512_set1_epi16((short)value); }
static inline reg both(reg a, reg b) { return _mm512_and_si512(a, b); }
static inline reg plus(reg a, reg b) { return _mm512_add_epi16(a, b); }
static inline reg down(reg a, int by) { return _mm512_srli_epi16(a, (unsigned)by); }
static inline reg look(reg table, reg at) { return _mm512_shuffle_epi8(table, at); }
static inline __m128i folded(reg a) {
    __m256i half = _mm256_add_epi16(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
#else
typedef __m256i reg;
static inline reg load(const uint8_t *from) { return _mm256_loadu_si256((const __m256i *)from); }
static inline reg same(uint16_t value) { return _mm256_set1_epi16((short)value); }
static inline reg both(reg a, reg b) { return _mm256_and_si256(a, b); }
static inline reg plus(reg a, reg b) { return _mm256_add_epi16(a, b); }
static inline reg down(reg a, int by) { return _mm256_srli_epi16(a, by); }
static inline reg look(reg table, reg at) { return _mm256_shuffle_epi8(table, at); }
static inline __m128i folded(reg a) { return _mm_add_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)); }
#endif

/* The sums of a block, [32], and which of them are `least` or more. */
static inline uint32_t sums_of(const uint8_t *codes, const uint8_t *products, int64_t places, int64_t least,
                               uint16_t *sums) {
    const reg nibble = same(0x0f0f);
    reg even_low = same(0), odd_low = same(0), even_high = same(0), odd_high = same(0);
    for (int64_t at = 0; at < places * LANE; at += LANES * LANE) {
        reg code = load(codes + at), table = load(products + at);
        reg low = look(table, both(code, nibble)), high = look(table, both(down(code, 4), nibble));
        even_low = plus(even_low, low); /* the odd bytes come with it, times 256: taken out below */
        odd_low = plus(odd_low, down(low, 8));
        even_high = plus(even_high, high);
        odd_high = plus(odd_high, down(high, 8));
    }
    __m128i odd[2] = {folded(odd_low), folded(odd_high)};
    __m128i even[2] = {_mm_sub_epi16(folded(even_low), _mm_slli_epi16(odd[0], 8)),
                       _mm_sub_epi16(folded(even_high), _mm_slli_epi16(odd[1], 8))};
    __m128i floor = _mm_set1_epi16((short)(uint16_t)least);
    uint32_t found = 0;
    for (int half = 0; half < 2; half++) {
        __m128i first = _mm_cmpeq_epi16(_mm_max_epu16(even[half], floor), even[half]);
        __m128i second = _mm_cmpeq_epi16(_mm_max_epu16(odd[half], floor), odd[half]);
        found |= (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second)) << half * 16;
        _mm_storeu_si128((__m128i *)(sums + half * 16), even[half]);
        _mm_storeu_si128((__m128i *)(sums + half * 16 + 8), odd[half]);
    }
    return found;
}

typedef struct {
    uint32_t *counts; /* how many of each score were kept */
    uint64_t *kept;   /* score in the upper half, candidate in the lower */
    int64_t size, room, above, least, wanted; /* `above` of the scores from `least` on */
} best;

/* Whether a block more can be kept. What is below the least score goes first. */
static int has_room(best *b) {
    if (b->size + BLOCK <= b->room) return 1;
    int64_t size = 0;
    for (int64_t i = 0; i < b->size; i++)
        if ((int64_t)(b->kept[i] >> 32) >= b->least) b->kept[size++] = b->kept[i];
    b->size = size;
    if (size * 2 <= b->room) return 1;
    uint64_t *more = realloc(b->kept, (size_t)(b->room * 2) * sizeof *more);
    if (!more) return 0;
    b->kept = more;
    b->room *= 2;
    return 1;
}

/* The chosen partitions, the best first: keys whose lower half is the partition. */
static void choose(const scan *s, uint64_t *leaves) {
    for (int64_t leaf = 0; leaf < s->from.leaves; leaf++)
        leaves[leaf] = key_of(rough(s->centres + leaf * s->dim, s->query, s->dim), (uint64_t)leaf);
    put_in_order(leaves, s->from.leaves, s->chosen, DEPTH);
}

/* Products in steps, [places, 16]; the step, and in `most` the largest sum. */
static float tabulate(const scan *s, float spread, uint8_t *steps, int64_t *most) {
    float products[WIDEST][VALUES] = {{0}}, widest = 0;
    for (int64_t d = 0; d < s->dim; d++)
        for (int64_t value = 0; value < VALUES; value++)
            products[d / s->per_place][value] += s->query[d] * s->book[d * VALUES + value];
    for (int64_t place = 0; place < s->from.width; place++) {
        float low = products[place][0], high = low;
        for (int64_t value = 1; value < VALUES; value++) {
            low = products[place][value] < low ? products[place][value] : low;
            high = products[place][value] > high ? products[place][value] : high;
        }
        for (int64_t value = 0; value < VALUES; value++) products[place][value] -= low;
        widest = high - low > widest ? high - low : widest;
    }
    float step = widest / UINT8_MAX;
    step = spread / FINEST > step ? spread / FINEST : step;
    step = step > FLT_MIN ? step : FLT_MIN;
    *most = 0;
    for (int64_t place = 0; place < s->from.places; place++) {
        int64_t largest = 0;
        for (int64_t value = 0; value < VALUES; value++) {
            float in_steps = products[place][value] / step + 0.5f;
            uint8_t rounded = in_steps < UINT8_MAX ? (uint8_t)in_steps : UINT8_MAX;
            steps[place * VALUES + value] = rounded;
            largest = rounded > largest ? rounded : largest;
        }
        *most += largest;
    }
    return step;
}

static int scanned(scan *s, uint64_t *leaves, best *b) {
    const lists *l = &s->from;
    uint8_t steps[WIDEST * VALUES];
    uint16_t sums[BLOCK];
    int64_t most;
    choose(s, leaves);
    float lowest = score_of(leaves[s->chosen - 1]);
    float step = tabulate(s, score_of(leaves[0]) - lowest, steps, &most);
    for (int64_t i = 0; i < s->chosen; i++) {
        int64_t leaf = (int64_t)(uint32_t)leaves[i];
        float in_steps = (score_of(leaves[i]) - lowest) / step + 0.5f;
        int64_t centre = in_steps < FINEST ? (int64_t)in_steps : FINEST, left = l->count[leaf];
        for (int64_t block = l->first[leaf]; block < l->first[leaf + 1]; block++, left -= BLOCK) {
            int64_t least = b->least > centre ? b->least - centre : 0;
            if (least > most) break;
            uint32_t found = sums_of(l->codes + block * l->places * LANE, steps, l->places, least, sums);
            if (left < BLOCK) found &= (1u << left) - 1;
            if (!found) continue;
            if (!has_room(b)) return NO_MEMORY;
            for (; found; found &= found - 1) {
                int at = __builtin_ctz(found);
                int64_t score = centre + sums[at];
                if (score < b->least) continue;
                b->counts[score]++;
                b->above++;
                b->kept[b->size++] = (uint64_t)score << 32 | l->candidates[block * BLOCK + at];
                while (b->above - b->counts[b->least] >= b->wanted) b->above -= b->counts[b->least++];
            }
        }
    }
    int64_t spare = b->above > b->wanted ? b->above - b->wanted : 0; /* so many of the least score are left out */
    for (int64_t i = 0; i < b->size; i++) {
        int64_t score = (int64_t)(b->kept[i] >> 32);
        if (score < b->least || (score == b->least && spare-- > 0)) continue;
        s->found[s->size++] = (int64_t)(uint32_t)b->kept[i];
    }
    return 0;
}

int shortlist_scan(scan *s) {
    best b = {.room = s->wanted * 4 + PUSHED, .wanted = s->wanted};
    s->size = 0;
    uint64_t *leaves = malloc((size_t)s->from.leaves * sizeof *leaves);
    b.counts = calloc(FINEST + 1 + UINT8_MAX * s->from.places, sizeof *b.counts);
    b.kept = malloc((size_t)b.room * sizeof *b.kept);
    int status = leaves && b.counts && b.kept ? scanned(s, leaves, &b) : NO_MEMORY;
    free(leaves);
    free(b.counts);
    free(b.kept);
    return status;
}

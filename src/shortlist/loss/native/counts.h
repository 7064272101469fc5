/* What counts as high as a pair, and how much of a row does. */
#include <math.h>
#include <stdint.h>

enum { ALONE = 1 << 18 }; /* comparisons, or products, below which a second thread costs more than it saves */
enum { SUMS = 16 };       /* of a product, made next to each other */

/* The product of two vectors, less `margin` times the sum of its products' sizes. */
static inline float threshold_of(const float *q, const float *c, int64_t dim, float margin) {
    float sums[SUMS] = {0}, sizes[SUMS] = {0}, sum = 0, size = 0;
    int64_t whole = dim / SUMS * SUMS;
    for (int64_t d = 0; d < whole; d += SUMS)
        for (int64_t at = 0; at < SUMS; at++) {
            float product = q[d + at] * c[d + at];
            sums[at] += product;
            sizes[at] += fabsf(product);
        }
    for (int64_t d = whole; d < dim; d++) {
        sum += q[d] * c[d];
        size += fabsf(q[d] * c[d]);
    }
#pragma GCC unroll 4
    for (int64_t half = SUMS / 2; half; half /= 2)
        for (int64_t at = 0; at < half; at++) {
            sums[at] += sums[at + half];
            sizes[at] += sizes[at + half];
        }
    return sum + sums[0] - margin * (size + sizes[0]);
}

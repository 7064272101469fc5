/* Where the lists of some rows meet the columns of a batch: what its queries chose elsewhere. */
#include <stdint.h>

enum { OUTSIDE = 2 }; /* as in softmax.c */

typedef struct {
    const int64_t *offsets;    /* [lists + 1]: list r is values[offsets[r] .. offsets[r + 1]] */
    const int64_t *values;     /* or null: they are in `narrow` */
    const int32_t *narrow;
    int64_t lists, number;     /* of values */
    const int64_t *lists_read; /* [count] */
    int64_t count;
    const int64_t *column_of;  /* [values there are], below 0 where a value has no column */
    int64_t most;              /* of the values there are */
    int64_t room;              /* of both results */
    int64_t *row, *column;     /* the place of a list in `lists_read`, and the column of a value of it, in order */
    int64_t found;
} meeting;

/* Returns 0, or OUTSIDE: nothing is read or written outside of what was given. */
int shortlist_places(meeting *m) {
    int64_t found = 0;
    for (int64_t n = 0; n < m->count; n++) {
        int64_t list = m->lists_read[n];
        if (list < 0 || list >= m->lists) return OUTSIDE;
        int64_t first = m->offsets[list], last = m->offsets[list + 1];
        if (first < 0 || last < first || last > m->number || last - first > m->room - found) return OUTSIDE;
        for (int64_t p = first; p < last; p++) {
            int64_t value = m->values ? m->values[p] : m->narrow[p];
            if (value < 0 || value >= m->most) return OUTSIDE;
            int64_t column = m->column_of[value];
            m->row[found] = n; /* of the next one that is found: a branch less */
            m->column[found] = column;
            found += column >= 0;
        }
    }
    m->found = found;
    return 0;
}

"""Changes folded into one state: a log that was shortened says the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shortlist.serve.changes import Changes
from shortlist.serve.events import Events

STEP = st.one_of(
    st.builds(lambda one, stock: ("upsert", one, stock), st.sampled_from("abz"), st.integers(0, 3)),
    st.builds(lambda one: ("delete", one, 0), st.sampled_from("abz")),
    st.builds(lambda one, at: ("expire", one, at), st.sampled_from("abz"), st.integers(0, 30)),
)


@given(st.lists(STEP, max_size=14))
def test_a_shortened_log_says_the_same(steps: list[tuple[str, str, int]]) -> None:
    long = Changes(Events(None))
    long.id_column = "what"
    for now, (kind, one, value) in enumerate(steps):
        made = {"op": "change", "at": float(now), "upsert": [], "delete": [], "expire": []}
        made[kind] = {
            "upsert": [{"what": one, "stock": value}],
            "delete": [one],
            "expire": [{"id": one, "at": float(value)}],
        }[kind]
        long.apply(made)
    short = Changes(Events(None))
    short.id_column = "what"
    for made in long.records():
        short.apply(made)
    for now in (10.0, 40.0):
        long.expired(now)
        short.expired(now)
        assert (short._rows, set(short._gone)) == (long._rows, set(long._gone))

"""What several sources cost: the benchmark's own code still runs."""

from __future__ import annotations

from benchmarks import sources


def test_a_diverse_list_is_measured() -> None:
    found = sources.rules({**sources.QUICK, "rounds": 1})
    assert {name.split(" by ")[0] for name in found} == {"milliseconds of 10 out of 200"}
    assert min(found.values()) > 0

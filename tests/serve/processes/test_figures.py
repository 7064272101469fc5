"""Figures of several processes as one's, worked by hand."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from shortlist.serve.metrics import Figures
from shortlist.serve.processes.figures import families_of, kept, merged, text


def registry(asked: int, slow: int, candidates: int, bundle: str) -> CollectorRegistry:
    made = CollectorRegistry()
    counter = Counter("shortlist_requests", "Replies.", ["route"], registry=made)
    counter.labels("/a").inc(asked)
    if slow:
        counter.labels("/b").inc(slow)
    seconds = Histogram("shortlist_seconds", "Time.", buckets=(0.1, 1.0), registry=made)
    for _ in range(asked):
        seconds.observe(0.05)
    for _ in range(slow):
        seconds.observe(5.0)
    Gauge("shortlist_candidates", "Candidates.", registry=made).set(candidates)
    Gauge("shortlist_requests_under_way", "Now.", registry=made).set(asked)
    Gauge("shortlist_bundle", "It.", ["id"], registry=made).labels(bundle).set(1)
    return made


def test_counts_are_added_and_what_is_the_same_is_not() -> None:
    one, two = registry(2, 0, 7, "x"), registry(3, 4, 9, "y")
    lines = text(merged([families_of(one), families_of(two)])).decode().splitlines()
    assert 'shortlist_requests_total{route="/a"} 5.0' in lines
    assert 'shortlist_requests_total{route="/b"} 4.0' in lines
    assert 'shortlist_seconds_bucket{le="0.1"} 5.0' in lines
    assert 'shortlist_seconds_bucket{le="+Inf"} 9.0' in lines
    assert "shortlist_seconds_count 9.0" in lines
    assert "shortlist_candidates 9.0" in lines
    assert "shortlist_requests_under_way 5.0" in lines
    assert 'shortlist_bundle{id="x"} 1.0' in lines
    assert 'shortlist_bundle{id="y"} 1.0' in lines
    assert lines.count("# TYPE shortlist_requests_total counter") == 1
    assert "# HELP shortlist_seconds Time." in lines


def test_of_a_process_that_has_ended_counts_stay_and_states_go() -> None:
    past = kept(families_of(registry(2, 1, 7, "old")))
    lines = text(merged([past, families_of(registry(3, 0, 9, "new"))])).decode().splitlines()
    assert 'shortlist_requests_total{route="/a"} 5.0' in lines
    assert "shortlist_seconds_count 6.0" in lines
    assert "shortlist_requests_under_way 3.0" in lines
    assert not any("old" in line for line in lines)


def test_one_process_reads_as_its_registry_does() -> None:
    """Less the times at which its figures began."""
    one = registry(2, 1, 7, "x")
    content = text(merged([families_of(one)]))
    assert content == generate_latest(Figures(one))
    assert b"_created" not in content


def test_open_files_are_those_of_the_process_that_has_most_next_to_the_limit_of_each() -> None:
    """Added up, four workers at a quarter of their limit would look like one at the end of it; memory and time are added up."""

    def process(held: int, seconds: float) -> CollectorRegistry:
        made = CollectorRegistry()
        Gauge("process_open_fds", "Files.", registry=made).set(held)
        Gauge("process_max_fds", "The most.", registry=made).set(1024)
        Gauge("process_resident_memory_bytes", "Memory.", registry=made).set(1000 * held)
        Counter("process_cpu_seconds", "Time.", registry=made).inc(seconds)
        return made

    several = [families_of(process(held, 0.5)) for held in (250, 256, 240, 9)]
    lines = text(merged(several)).decode().splitlines()
    assert "process_open_fds 256.0" in lines
    assert "process_max_fds 1024.0" in lines
    assert "process_resident_memory_bytes 755000.0" in lines
    assert "process_cpu_seconds_total 2.0" in lines

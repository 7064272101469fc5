"""Counts and times in plain numbers: what a scraper reads is what Prometheus' own counters and histograms would say."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from shortlist.serve import tally
from shortlist.serve.tally import Count, Histograms, Observations, Replies

BOUNDS = (0.001, 0.25, 1.0)
VALUES = (0.001, 0.0011, 0.25, 0.5, 7.0)


def test_values_are_counted_up_to_each_bound() -> None:
    seen = Observations(BOUNDS)
    for value in VALUES:
        seen.observe(value)
    assert seen.buckets() == ([("0.001", 1.0), ("0.25", 3.0), ("1.0", 4.0), ("+Inf", 5.0)], pytest.approx(7.7521))
    seen.observe(0.002)
    assert [number for _, number in seen.buckets()[0]] == [1.0, 4.0, 5.0, 6.0]


def test_the_text_is_that_of_prometheus() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    stages, sizes, replies = (
        {name: Observations(BOUNDS) for name in ("a", "b")},
        Observations(BOUNDS),
        Replies("r", "R."),
    )
    for one in (Histograms("s", "S.", stages, "stage"), Histograms("z", "Z.", {"": sizes}), replies, Count("n", "N.")):
        ours.register(one)
    staged = Histogram("s", "S.", ["stage"], buckets=BOUNDS, registry=theirs)
    for name in stages:
        staged.labels(name)
    sized = Histogram("z", "Z.", buckets=BOUNDS, registry=theirs)
    replied = Counter("r", "R.", ["route", "status"], registry=theirs)
    Counter("n", "N.", registry=theirs)
    for value in (0.5, 0.25):  # sums that are exact
        stages["b"].observe(value)
        staged.labels("b").observe(value)
        sizes.observe(value)
        sized.observe(value)
    for status in (200, 503, 200):
        replies.add("/v1/recommend", status)
        replied.labels("/v1/recommend", str(status)).inc()
    expected = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == expected


def test_few_values_are_held_and_none_is_lost_between_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MANY", 8)
    seen, most = Observations(BOUNDS), []

    def observe() -> None:
        for _ in range(2000):
            seen.observe(0.5)
            most.append(len(seen._new))

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen.buckets() == ([("0.001", 0.0), ("0.25", 0.0), ("1.0", 8000.0), ("+Inf", 8000.0)], 4000.0)
    assert max(most) < 8 + 4

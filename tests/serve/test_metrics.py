"""What the metrics count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shortlist.serve import Settings
from shortlist.serve.settings import Limits


def test_metrics_count(client: Any) -> None:
    client.post("/v1/recommend", {"queries": [{"id": "ann"}, {"id": "eve"}]})
    client.post("/v1/recommend", {"queries": []})
    text = client.get("/metrics").text
    assert 'shortlist_requests_total{route="/v1/recommend",status="200"} 1.0' in text
    assert 'shortlist_requests_total{route="/v1/recommend",status="422"} 1.0' in text
    assert "shortlist_queries_total 2.0" in text
    assert "shortlist_unknown_queries_total 1.0" in text
    assert "shortlist_candidates 4.0" in text
    assert f'shortlist_bundle{{id="{client.app.service.loaded.bundle}"}} 1.0' in text


def test_what_an_alert_needs_is_there_before_it_happens(client: Any) -> None:
    """``increase()`` sees nothing of a series that begins above 0."""
    text = client.get("/metrics").text
    for series in (
        *(f'requests_total{{route="/v1/recommend",status="{status}"}}' for status in (200, 422, 500, 503)),
        'requests_total{route="none",status="503"}',
        *(f'swaps_total{{outcome="{outcome}"}}' for outcome in ("done", "refused")),
        *(f'changes_total{{kind="{kind}"}}' for kind in ("upsert", "delete", "event", "impression")),
        *(f'connections_cut_total{{reason="{reason}"}}' for reason in ("slow", "unread", "room", "idle")),
        *(f'refused_total{{reason="{reason}"}}' for reason in ("queue", "wait", "room", "disk", "changes", "late")),
        "log_failures_total",
        "log_bytes",
        "changes_kept_bytes",
        "changes_limit_bytes",
        "unsent_bytes",
        'stage_seconds_count{stage="queue"}',
        'stage_seconds_count{stage="total"}',
    ):
        assert f"\nshortlist_{series} 0.0\n" in text, series
    assert "_created" not in text
    for series in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
        assert f"\nprocess_{series} " in text


def test_probes_are_in_no_latency(client: Any) -> None:
    for _ in range(3):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert client.get(path).status_code == 200
    client.post("/v1/recommend", {"queries": [{"id": "ann"}]})
    text = client.get("/metrics").text
    assert 'shortlist_stage_seconds_count{stage="total"} 1.0' in text
    assert 'shortlist_requests_total{route="/healthz",status="200"} 3.0' in text


def test_refusals_have_a_reason(clients: Callable[..., Any]) -> None:
    client = clients(Settings(limits=Limits(under_way=5)))
    replies = client.together([("/v1/recommend", {"queries": [{"id": "ann"}]})] * 40)
    refused = sum(reply.status_code == 503 for reply in replies)
    assert refused
    assert f'shortlist_refused_total{{reason="queue"}} {refused}.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        (893_286_638, "8.93286638e+08"),
        (893_286_638_000, "8.93286638e+08"),
        ("1970-01-02T00:00:00", "86400.0"),
        ("1970-01-02", "86400.0"),
        ("1970-01-02T00:00:00+01:00", "82800.0"),
        (None, "NaN"),
        ("yesterday", "NaN"),
        ([], "NaN"),
    ],
)
def test_the_age_of_the_data(client: Any, until: Any, seconds: str) -> None:
    service = client.app.service
    served = service.loaded.served
    service.activate(service.loaded.changed(replace(served, metadata={"run": {"data": {"until": until}}})))
    assert f"shortlist_data_timestamp_seconds {seconds}\n" in client.get("/metrics").text
    service.activate(service.loaded.changed(replace(served, metadata={"run": "once"})))
    assert "shortlist_data_timestamp_seconds NaN\n" in client.get("/metrics").text


def test_the_age_of_the_model(client: Any) -> None:
    service = client.app.service
    served = replace(service.loaded.served, origin={"created": "1970-01-02T00:00:00+00:00"})
    service.activate(service.loaded.changed(served))
    assert "shortlist_model_timestamp_seconds 86400.0\n" in client.get("/metrics").text

"""What the metrics count."""

from __future__ import annotations

from typing import Any


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

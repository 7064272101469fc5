"""A span of each request: in its caller's trace, with the route and the outcome, and nothing that the request brought."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import Running

from shortlist.errors import MissingExtraError
from shortlist.serve import Settings
from shortlist.serve.tracing import Traces, require

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans(
    clients: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Callable[[], list[Any]]]]:
    """A client of a server with traces, and what gives the spans that ended."""
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    monkeypatch.setattr("shortlist.serve.app.Traces", lambda: Traces(kept))
    client = clients(Settings(traces=True))

    def ended() -> list[Any]:
        client.app._traces._provider.force_flush()
        return list(kept.get_finished_spans())

    yield client, ended
    client.app._traces.close()


def test_a_span_is_in_its_callers_trace_and_comes_back(spans: Any) -> None:
    client, ended = spans
    given = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "other=1"}
    reply = client.post("/v1/recommend", {"queries": [{"id": "ann"}]}, headers=given)
    (span,) = ended()
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert reply.headers["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert span.context.trace_state.get("other") == "1"
    assert (span.name, span.kind.name) == ("POST /v1/recommend", "SERVER")
    assert span.start_time < span.end_time
    facts = dict(span.attributes)
    assert facts.pop("shortlist.queue_seconds") >= 0
    assert facts == {
        "http.request.method": "POST",
        "http.route": "/v1/recommend",
        "http.response.status_code": 200,
        "shortlist.bundle": client.app.service.loaded.bundle,
    }


def test_without_a_caller_a_trace_begins_here_and_an_unsampled_one_is_left_out(spans: Any) -> None:
    client, ended = spans
    first = client.post("/v1/recommend", {"queries": [{"id": "ann"}]})
    second = client.post("/v1/embed", {"queries": 1}, headers={"traceparent": "nonsense"})
    third = client.post("/v1/embed", {"queries": 1}, headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    found = ended()
    assert [span.attributes["http.response.status_code"] for span in found] == [200, 422]
    assert [span.parent for span in found] == [None, None]
    for reply, span in zip((first, second), found, strict=True):
        *ids, flags = reply.headers["traceparent"].split("-")
        assert ids == ["00", f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]
        assert int(flags, 16) & 1  # sampled
    assert third.headers["traceparent"].startswith(f"00-{TRACE}-")
    assert third.headers["traceparent"].endswith("-00")


def test_errors_are_marked_and_nothing_of_a_request_is_told(spans: Any) -> None:
    client, ended = spans
    client.ask("SECRET", "/secret", headers={"user-agent": "secret"})
    client.app.service.batcher._answer = lambda *_: 1 / 0
    assert client.post("/v1/recommend", {"queries": [{"id": "secret"}]}).status_code == 500
    unknown, failed = ended()
    assert (unknown.name, unknown.status.is_ok) == ("_OTHER none", True)
    assert (failed.status.status_code.name, failed.attributes["error.type"]) == ("ERROR", "500")
    assert "secret" not in (unknown.to_json() + failed.to_json()).lower()


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingExtraError) as missing:
        require()
    assert missing.value.hint == 'pip install "shortlist[otel]"'


@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_sends_its_spans(bundles: Path, workers: int) -> None:
    """By OTLP over HTTP, where the environment says, at its end at the latest; workers do too."""
    if workers > 1 and not sys.platform.startswith("linux"):
        pytest.skip("several processes are tested on Linux")
    came: list[tuple[str, bytes]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
        server = Running(bundles / "one", "--traces", "--no-log", "--workers", workers, **environment)
        given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        body = {"queries": [{"id": "ann"}]}
        assert httpx.post(f"{server.url}/v1/recommend", json=body, headers=given, timeout=120).status_code == 200
        server.stop()
        collector.shutdown()
        thread.join()
    assert {path for path, _ in came} == {"/v1/traces"}
    sent = b"".join(content for _, content in came)
    assert bytes.fromhex(TRACE) in sent
    assert b"shortlist" in sent
    assert b"POST /v1/recommend" in sent


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("other=1", {"other": "1"}),
        (" other=a b ,, x@y=2\t", {"other": "a b", "x@y": "2"}),
        ("a canary", {}),
        ("canary=1,canary=2", {}),
        ("CANARY=1", {}),
        ("canary=1=2", {}),
        (",".join(f"canary{number}=1" for number in range(33)), {}),
        ("canary=" + "x" * 600, {}),
        ("canary" + " " * 60_000 + "=1", {}),
        ("canary=\u00e9".encode("latin-1"), {}),
    ],
    ids=range(10),
)
def test_a_state_of_another_form_is_left_out_and_in_no_log(
    spans: Any, caplog: pytest.LogCaptureFixture, state: str | bytes, kept: dict[str, str]
) -> None:
    client, ended = spans
    given = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": state}
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}, headers=given).status_code == 200
    (span,) = ended()
    assert f"{span.context.trace_id:032x}" == TRACE
    assert dict(span.context.trace_state) == kept
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


@pytest.mark.parametrize("parent", ["canary", "00-" + "x" * 600, f"00-{TRACE}-{PARENT}-01-canary", ""])
def test_a_parent_of_another_form_begins_a_trace_here(
    spans: Any, caplog: pytest.LogCaptureFixture, parent: str
) -> None:
    client, ended = spans
    given = {"traceparent": parent, "tracestate": "a canary"}
    assert client.post("/v1/recommend", {"queries": [{"id": "ann"}]}, headers=given).status_code == 200
    (span,) = ended()
    assert span.parent is None
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]

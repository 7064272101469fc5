"""OpenTelemetry spans of requests, each in its caller's trace; sent by the kept library, which the extra ``otel`` brings."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from shortlist._public import __version__
from shortlist.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Span", "Traces", "require"]

LONGEST = 512  # characters of either header
PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(_KEY + r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
MEMBERS = 32  # of a tracestate, at most
SERVICE = "shortlist"  # what the server is called, unless OTEL_SERVICE_NAME says otherwise
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others may be anything
LEAVE = 2.0  # seconds that what was not sent yet has at the end


def require() -> None:
    """Check that the packages that send spans are installed.

    Raises:
        MissingExtraError: when one is not.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ModuleNotFoundError as missing:
        raise MissingExtraError(missing.name or "opentelemetry", "otel", "--traces") from missing


class Span(NamedTuple):
    """The span of one request.

    Attributes:
        span: OpenTelemetry's.
        traceparent: of the reply, in W3C's form.
    """

    span: Any
    traceparent: str


class Traces:
    """Makes a span of each request and hands it to the library, whose thread sends many at once.

    Where to, and which share of new traces, is set by OpenTelemetry's own variables of the environment
    (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``); a caller's choice for its trace is kept. It is made in the
    process that answers, since threads do not outlive a fork. Spans hold no ids, bodies or addresses.

    Args:
        exporter: sends the spans; by default OTLP over HTTP.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {"service.name": SERVICE, "service.version": __version__}
        resource = Resource(named).merge(Resource.create({}))
        if resource.attributes.get("service.name", "").startswith("unknown_service"):  # type: ignore[union-attr]
            resource = resource.merge(Resource(named))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("shortlist.serve", __version__)
        self._contexts = TraceContextTextMapPropagator()
        self._server, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def begin(self, method: str, headers: Mapping[bytes, bytes], since: float) -> Span:
        """The span of a request in its caller's trace, or in one of its own.

        Args:
            method: of the request.
            headers: of the request.
            since: when its last byte was read, by ``time.perf_counter``.
        """
        given = _context(headers)
        began = time.time_ns() - int((time.perf_counter() - since) * 1e9)
        context = self._contexts.extract(given)
        span = self._tracer.start_span(_known(method), context, self._server, start_time=began)
        of = span.get_span_context()
        return Span(span, f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}")

    def end(self, one: Span, method: str, route: str, status: int, **facts: str | float) -> None:
        """End the span of a request.

        Args:
            one: the span.
            method: of the request.
            route: as metrics name it.
            status: of the reply.
            facts: attributes of our own.
        """
        span, method = one.span, _known(method)
        span.update_name(f"{method} {route}")
        span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
            | {f"shortlist.{name}": value for name, value in facts.items()}
        )
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(self._failed)
        span.end()

    def close(self) -> None:
        """Send the spans that are left, for ``LEAVE`` seconds at most."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(LEAVE)


def _context(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The trace context of a caller, in W3C's form; without what has another form, which the library would log."""
    parent, state = (headers.get(name, b"").decode("latin-1") for name in (b"traceparent", b"tracestate"))
    if len(parent) > LONGEST or not PARENT.fullmatch(parent):
        return {}
    members = state.split(",", MEMBERS) if len(state) <= LONGEST else []
    stripped = [member for member in (one.strip(" \t") for one in members) if member]
    keys = {member.partition("=")[0] for member in stripped}
    fits = len(members) <= MEMBERS and len(keys) == len(stripped) and all(map(_MEMBER.fullmatch, stripped))
    return {"traceparent": parent} | ({"tracestate": ",".join(stripped)} if fits and stripped else {})


def _known(method: str) -> str:
    return method if method in METHODS else "_OTHER"

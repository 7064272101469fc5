"""``shortlist serve``: a bundle over HTTP, with its page."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.core import ParameterSource

from shortlist.cli import console
from shortlist.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from shortlist.serve import Settings
    from shortlist.serve.listening import Place
    from shortlist.serve.processes import Plan

__all__ = ["command"]

MEMORY = "background_thread:false,dirty_decay_ms:0,muzzy_decay_ms:0,narenas:1,lg_tcache_max:12"  # of Polars' jemalloc
KEYS, WRITE_KEYS = "SHORTLIST_API_KEYS", "SHORTLIST_WRITE_KEYS"


class _Finite(click.FloatRange):
    """A finite number in a range; "nan" is in every range of click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number. Fails for others."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


@click.command("serve")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--unix",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Listen on a Unix socket at PATH instead of --host and --port.",
)
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes that answer. Two or more share one copy of the vectors, and a process that fails is replaced.",
)
@click.option(
    "--worker-timeout",
    default=10.0,
    show_default=True,
    type=_Finite(1, 3600),
    help="Seconds without a sign of life after which a process is replaced; with --workers 2 or more.",
)
@click.option(
    "--max-memory",
    type=click.IntRange(1),
    metavar="MIB",
    help="Replace a worker that holds more memory of its own than this (MiB, files not counted); with --workers 2 or more.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Also answer requests for this host name (repeatable; * for any). Without read keys, a server on loopback "
    "answers only localhost and its address.",
)
@click.option("--no-page", is_flag=True, help="Serve only the API: no page, no look-ups of people and histories.")
@click.option("--items", metavar="WORD", help="The page's word for candidates: films, articles (default: items).")
@click.option("--people", metavar="WORD", help="The page's word for queries: users, shoppers (default: people).")
@click.option("--log/--no-log", "log_requests", default=True, show_default=True, help="Log a JSON line per request.")
@click.option("--max-k", default=1000, show_default=True, type=click.IntRange(1), help="Maximum length of a list.")
@click.option(
    "--max-body", default=1 << 20, show_default=True, type=click.IntRange(1), help="Maximum bytes of a request body."
)
@click.option(
    "--max-under-way",
    default=4096,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum number of requests at once.",
)
@click.option(
    "--max-wait",
    default=0.1,
    show_default=True,
    type=_Finite(0, min_open=True),
    help="Seconds that a request may wait for its turn; after that 503.",
)
@click.option(
    "--receive-seconds",
    default=10.0,
    show_default=True,
    type=_Finite(0, min_open=True),
    help="Maximum seconds from the first byte of a request to its last.",
)
@click.option(
    "--send-seconds",
    default=10.0,
    show_default=True,
    type=_Finite(0, min_open=True),
    help="Seconds in which a client has to take some of its reply; after that it is cut off.",
)
@click.option(
    "--max-unsent",
    default=32 << 20,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum bytes of one reply, and of all replies that wait for their readers.",
)
@click.option(
    "--drain-seconds",
    default=0.0,
    show_default=True,
    type=_Finite(0),
    help="After SIGTERM, seconds in which the server is not ready but still answers; then it takes no more connections.",
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder for the log of live changes; required for changes."
)
@click.option(
    "--seen-days", type=_Finite(0), help="Days that an event excludes its candidate from lists (default: for ever)."
)
@click.option(
    "--max-impressions",
    default=1024,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum megabytes of the log of impressions; the oldest are deleted.",
)
@click.option(
    "--max-changes",
    default=1024,
    show_default=True,
    type=click.IntRange(1),
    metavar="MIB",
    help="Maximum memory for changes of candidates (MiB, in each process); beyond it further ones are refused.",
)
@click.option(
    "--watch/--no-watch", default=True, show_default=True, help="Reload when another bundle is placed at BUNDLE."
)
@click.option(
    "--untrusted",
    is_flag=True,
    help="Build the index from its vectors, and read no native file of it: for bundles from someone else.",
)
@click.option(
    "--other-data",
    is_flag=True,
    help="Also reload a bundle that has nearly none of the ids served until then: one of other data.",
)
@click.option(
    "--string-ids",
    is_flag=True,
    help="Give integer ids as strings, and take them so: for clients that round integers beyond 2^53 (JavaScript).",
)
@click.option(
    "--traces",
    is_flag=True,
    help="Send a span of each request by OpenTelemetry (extra otel), to OTEL_EXPORTER_OTLP_ENDPOINT.",
)
@click.option(
    "--require-signature",
    type=click.Path(path_type=Path),
    metavar="KEYFILE",
    help="Refuse bundles without a signature made with this key (shortlist export --sign).",
)
@click.option("--guard", is_flag=True, hidden=True, help="The old name of --untrusted.")
@click.option(
    "--cold-start",
    type=click.Choice(["auto", "unknown", "popularity", "refuse"]),
    help="Answer for unknown queries (default: as saved in the bundle).",
)
def command(
    bundle: Path,
    unix: Path | None,
    workers: int,
    worker_timeout: float,
    max_memory: int | None,
    host: str,
    allow_host: tuple[str, ...],
    port: int,
    no_page: bool,
    items: str | None,
    people: str | None,
    log_requests: bool,
    max_k: int,
    max_body: int,
    max_under_way: int,
    max_wait: float,
    receive_seconds: float,
    send_seconds: float,
    max_unsent: int,
    drain_seconds: float,
    state: Path | None,
    seen_days: float | None,
    max_impressions: int,
    max_changes: int,
    watch: bool,
    untrusted: bool,
    other_data: bool,
    string_ids: bool,
    traces: bool,
    require_signature: Path | None,
    guard: bool,
    cold_start: str | None,
) -> None:
    """Serve recommendations from BUNDLE over HTTP, with a web page.

    API keys are read from the environment, comma-separated: SHORTLIST_API_KEYS to read, SHORTLIST_WRITE_KEYS to change
    candidates and record events. Changes need a write key and --state.
    """
    _have_standard_files()
    if unix is not None and any(_typed(name) for name in ("host", "port")):
        raise ConfigError("--unix was given with --host or --port.", hint="give one of them")
    if workers == 1 and (max_memory is not None or _typed("worker_timeout")):
        raise ConfigError("--max-memory and --worker-timeout are about several processes.", hint="give --workers 2")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # conditions are computed in pieces too short for several threads
    if workers > 1:
        _prepare(workers)
    import shortlist.index  # noqa: F401 - while nothing else runs

    try:
        from shortlist.serve.listening import Place
    except ModuleNotFoundError as missing:
        raise MissingExtraError(missing.name or "uvicorn", "serve", "shortlist serve") from missing
    from shortlist.recommender.signing import read_key
    from shortlist.serve import Settings
    from shortlist.serve.connection_limit import check_limit, raise_limit
    from shortlist.serve.settings import Limits

    raise_limit()  # before anything is opened
    check_limit(workers)
    if traces:
        from shortlist.serve.tracing import require

        require()
    if guard:
        say("--guard is now --untrusted: the index is built from its vectors")
    limits = Limits(
        k=max_k,
        body=max_body,
        under_way=max_under_way,
        receive_seconds=receive_seconds,
        wait_seconds=max_wait,
        send_seconds=send_seconds,
        unsent=max_unsent,
    )
    keys = _keys(KEYS)
    settings = Settings(
        keys=keys,
        write_keys=_keys(WRITE_KEYS),
        state=state,
        seen_seconds=None if seen_days is None else seen_days * 86_400,
        impression_bytes=max_impressions << 20,
        change_bytes=max_changes << 20,
        page=not no_page,
        items=items,
        people=people,
        trusted=not (untrusted or guard),
        cold_start=cold_start,
        signature=None if require_signature is None else read_key(require_signature),
        hosts=None if unix is not None else _hosts(host, allow_host, keys),
        other_data=other_data,
        string_ids=string_ids,
        traces=traces,
        drain_seconds=drain_seconds,
        limits=limits,
    )
    if unix is None and not keys and not _loopback(host):
        say(f"warning: anyone who can reach this machine can read from the server; set {KEYS} to require a key")
    _warn_of_few_addresses()
    place = Place(host, port, unix)
    _ignore_others_signals()
    if workers > 1:
        from shortlist.serve.processes import Plan

        memory = None if max_memory is None else max_memory << 20
        plan = Plan(bundle, workers, settings, watch, memory, worker_timeout, log_requests)
        with _listening(place) as taken:
            if taken is not None:
                _supervised(plan, place, taken)
    else:
        _alone(bundle, settings, place, watch, log_requests)


def say(message: str) -> None:
    """A message on stderr; where it cannot be written, as on a full disk, the server works without it."""
    with contextlib.suppress(OSError):
        console.say(message)


def _have_standard_files() -> None:
    """Open those of descriptors 0, 1 and 2 that are closed (``2>&-``): the next file or connection would get the number, and what
    is written to stderr.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    if sys.stderr is None:
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process


class _StoppedError(BaseException):
    """SIGTERM has arrived."""


@contextlib.contextmanager
def _listening(place: Place) -> Iterator[socket.socket | None]:
    """A socket that listens there; None where SIGTERM has arrived meanwhile.

    SIGTERM ends what is inside, in order, until the server handles it itself: by default it ends the process, and a Unix
    socket's file stays.

    Raises:
        ConfigError: see ``listening``.
    """
    from shortlist.serve.listening import listening

    came = inside = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        if inside:
            raise _StoppedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with contextlib.suppress(_StoppedError), listening(place) as taken:
            try:
                inside = True  # while the socket is made or closed, nothing is raised
                yield None if came else taken
            finally:
                inside = False
    finally:
        signal.signal(signal.SIGTERM, before)


def _ignore_others_signals() -> None:
    """SIGUSR1 and SIGUSR2, by which other servers open their logs again, do nothing from now on, here and in processes that this
    one starts: they would end them at once. SIGHUP, which asks for another look at the bundle, does nothing until the server
    handles it, unless it says that a terminal was closed.
    """
    names = ("SIGUSR1", "SIGUSR2") if os.isatty(2) else ("SIGUSR1", "SIGUSR2", "SIGHUP")
    for name in names:
        number = getattr(signal, name, None)  # Windows has neither
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.SIG_IGN)


def _typed(option: str) -> bool:
    """Whether an option was given, rather than left at its default."""
    context = click.get_current_context()
    assert context is not None
    return context.get_parameter_source(option) is ParameterSource.COMMANDLINE


def _alone(bundle: Path, settings: Settings, place: Place, watch: bool, log_requests: bool) -> None:
    """Serve from this process."""
    from shortlist.serve import App, Service
    from shortlist.serve.loaded import Loaded
    from shortlist.serve.logs import Log
    from shortlist.serve.server import run
    from shortlist.serve.shortage import with_threads
    from shortlist.serve.swap import Swapper, signature
    from shortlist.store.allocation import give_back

    before = signature(bundle)
    loaded = Loaded.read(bundle, settings.trusted, cold_start=settings.cold_start, key=settings.signature)
    _warn_of_long_ids(loaded.long_ids, settings)
    service = with_threads(partial(Service, loaded, settings, Log(requests=log_requests)))
    service.warm(service.loaded, lambda: None)
    give_back()
    swapper = Swapper(service, bundle, before) if watch else None
    description, first = str(loaded.served), loaded.bundle
    del loaded  # else it would stay in memory when another bundle has taken its place
    with _listening(place) as taken:
        if taken is not None:
            _announce(bundle, description, place.address(_port(taken)), settings)
            service.log.event("started", port=_port(taken), bundle=first)
            run(App(service), [taken], swapper=swapper)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    os._exit(0)  # not after a thread that still loads another bundle


def _supervised(plan: Plan, place: Place, taken: socket.socket) -> None:
    """Serve from several processes."""
    from shortlist.serve.logs import Log
    from shortlist.serve.processes import Ready, Supervisor
    from shortlist.serve.processes.system import Lines

    log = Log(Lines())

    def announce(ready: Ready) -> None:
        _warn_of_long_ids(ready.long_ids, plan.settings)
        _announce(plan.bundle, ready.description, place.address(_port(taken)), plan.settings)
        log.event("started", port=_port(taken), bundle=ready.bundle, workers=plan.workers)

    Supervisor(plan, taken, log).run(announce)


def _warn_of_long_ids(long: str | None, settings: Settings) -> None:
    """Say so where clients in JavaScript would round ids."""
    if long and not settings.string_ids:
        say(
            f"warning: {long} of this model are beyond 2^53, which clients in JavaScript round to other ids; "
            "--string-ids gives them as strings"
        )


def _warn_of_few_addresses() -> None:
    """Say so where libraries may end the process for want of addresses, which no code here can prevent."""
    from shortlist.serve.shortage import ADDRESSES, address_space

    allowed = address_space()
    if allowed is not None and allowed < ADDRESSES:
        say(
            f"warning: this process may use {allowed >> 20:,} MiB of addresses (ulimit -v); with less than {ADDRESSES >> 20:,} MiB "
            "changes may fail, and libraries may end the server; limit its memory by a cgroup instead"
        )


def _announce(bundle: Path, description: str, address: str, settings: Settings) -> None:
    say(f"serving {bundle} (Recommender({description}))")
    say(f"  {address}  {'the page' if settings.page else 'the API'}; Ctrl-C stops")


def _port(taken: socket.socket) -> int | None:
    """Where a socket listens; None for a Unix socket."""
    name = taken.getsockname()
    return int(name[1]) if isinstance(name, tuple) else None


def _prepare(workers: int) -> None:
    """Set what numpy, Polars and turbovec look for when they are imported.

    Threads: those of all workers together are as many as there are processors; Polars has one everywhere. Memory: Polars gives back at once what it frees,
    since the thread that would do it later does not outlive a fork. It takes memory from one place and keeps little for each
    thread: what is spread over several stays in each worker.
    """
    if not hasattr(os, "fork"):
        raise ConfigError("--workers needs a system that can fork: Linux or macOS.", hint="leave --workers out")
    each = max(1, (os.cpu_count() or 1) // workers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(name, str(each))
    os.environ.setdefault("_RJEM_MALLOC_CONF", MEMORY)


def _keys(variable: str) -> tuple[str, ...]:
    value = os.environ.get(variable)
    if value is None:
        return ()
    keys = tuple(key.strip() for key in value.split(",") if key.strip())
    if not keys:
        raise ConfigError(f"{variable} is set but holds no key.", hint=f"put a key into it, or unset {variable}")
    return keys


def _loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _hosts(host: str, allowed: tuple[str, ...], keys: tuple[str, ...]) -> tuple[str, ...] | None:
    """Host names that the server accepts; None for any.

    A server without keys on loopback must not be reachable from outside. A web page in a browser on the same machine could
    reach it if the page's own name resolves to 127.0.0.1 (DNS rebinding).
    """
    if "*" in allowed or (not allowed and (keys or not _loopback(host))):
        return None
    own = ("localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host)
    return tuple({one.lower() for one in (*own, *allowed)})

"""``shortlist serve``: a bundle over HTTP, with its page."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from shortlist.cli.console import say
from shortlist.errors import ConfigError, MissingExtraError

__all__ = ["command"]

KEYS, WRITE_KEYS = "SHORTLIST_API_KEYS", "SHORTLIST_WRITE_KEYS"


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
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Also answer requests for this host name (repeatable; * for any). Without read keys, a server on loopback "
    "answers only localhost and its address.",
)
@click.option("--no-page", is_flag=True, help="Serve only the API: no page, no look-ups of people and histories.")
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
    "--max-wait", default=0.1, show_default=True, help="Seconds that a request may wait for its turn; after that 503."
)
@click.option(
    "--receive-seconds",
    default=10.0,
    show_default=True,
    help="Maximum seconds from the first byte of a request to its last.",
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder for the log of live changes; required for changes."
)
@click.option(
    "--seen-days", type=float, help="Days that an event excludes its candidate from lists (default: for ever)."
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
@click.option("--guard", is_flag=True, hidden=True, help="The old name of --untrusted.")
@click.option(
    "--cold-start",
    type=click.Choice(["auto", "unknown", "popularity", "refuse"]),
    help="Answer for unknown queries (default: as saved in the bundle).",
)
def command(
    bundle: Path,
    host: str,
    allow_host: tuple[str, ...],
    port: int,
    no_page: bool,
    log_requests: bool,
    max_k: int,
    max_body: int,
    max_under_way: int,
    max_wait: float,
    receive_seconds: float,
    state: Path | None,
    seen_days: float | None,
    watch: bool,
    untrusted: bool,
    other_data: bool,
    string_ids: bool,
    guard: bool,
    cold_start: str | None,
) -> None:
    """Serve recommendations from BUNDLE over HTTP, with a web page.

    API keys are read from the environment, comma-separated: SHORTLIST_API_KEYS to read, SHORTLIST_WRITE_KEYS to change
    candidates and record events. Changes need a write key and --state.
    """
    import shortlist.index  # noqa: F401 - while nothing else runs

    try:
        from shortlist.serve.server import serve
    except ModuleNotFoundError as missing:
        raise MissingExtraError(missing.name or "uvicorn", "serve", "shortlist serve") from missing
    from shortlist.serve import App, Service, Settings
    from shortlist.serve.loaded import Loaded
    from shortlist.serve.logs import Log
    from shortlist.serve.settings import Limits
    from shortlist.serve.swap import Swapper, signature

    if guard:
        say("--guard is now --untrusted: the index is built from its vectors")
    trusted = not (untrusted or guard)
    limits = Limits(
        k=max_k, body=max_body, under_way=max_under_way, receive_seconds=receive_seconds, wait_seconds=max_wait
    )
    keys = _keys(KEYS)
    settings = Settings(
        keys=keys,
        write_keys=_keys(WRITE_KEYS),
        state=state,
        seen_seconds=None if seen_days is None else seen_days * 86_400,
        page=not no_page,
        trusted=trusted,
        cold_start=cold_start,
        hosts=_hosts(host, allow_host, keys),
        other_data=other_data,
        string_ids=string_ids,
        limits=limits,
    )
    if not keys and not _loopback(host):
        say(f"warning: anyone who can reach this machine can read from the server; set {KEYS} to require a key")
    before = signature(bundle)
    loaded = Loaded.read(bundle, trusted, cold_start=cold_start)
    if loaded.long_ids and not string_ids:
        say(
            f"warning: {loaded.long_ids} of this model are beyond 2^53, which clients in JavaScript round to other ids; "
            "--string-ids gives them as strings"
        )
    service = Service(loaded, settings, Log(requests=log_requests))
    swapper = Swapper(service, bundle, before) if watch else None

    def announce(actual: int) -> None:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        say(f"serving {bundle} (Recommender({loaded.served}))")
        say(f"  http://{shown}:{actual}/  {'the page' if not no_page else 'the API'}; Ctrl-C stops")
        service.log.event("started", port=actual, bundle=loaded.bundle)

    try:
        serve(App(service), host, port, announce=announce, swapper=swapper)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}.", hint="choose another --port") from None


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
    """Names under which the server is asked; None for any.

    Who listens on loopback alone and asks for no key counts on that nobody else reaches it; a page in the same machine's
    browser does, when its own name resolves to 127.0.0.1 (DNS rebinding).
    """
    if "*" in allowed or (not allowed and (keys or not _loopback(host))):
        return None
    own = ("localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host)
    return tuple({one.lower() for one in (*own, *allowed)})

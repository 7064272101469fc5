"""A system that gives the server no memory or no thread: at the start the server refuses, later a request gets a 503."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from shortlist.errors import ConfigError
from shortlist.serve.problems import Problem
from shortlist.serve.service import Service

__all__ = ["ADDRESSES", "address_space", "shortage", "with_threads"]

NO_THREAD = "can't start new thread"  # as Python says it
NO_LIBRARY = ("failed to map segment", "cannot allocate memory")  # as the system's loader says it
CODES = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)
ADDRESSES = 2 << 30  # bytes of addresses that a small bundle needs: libraries reserve far more than they use


def with_threads(make: Callable[[], Service]) -> Service:
    """The service that ``make`` makes, with every thread that it will need.

    A pool of threads keeps work for which it could not start one, and does it when it can: a change would be refused, and made
    later.

    Raises:
        ConfigError: when the system starts no more threads.
    """
    try:
        service = make()
        for pool in _pools(service):
            pool.submit(int).result()
        return service
    except RuntimeError as error:
        if not _no_thread(error):
            raise
    raise ConfigError(
        "the system starts no more threads for the server.",
        hint="allow it more memory (ulimit -v) and more tasks (ulimit -u, TasksMax= in systemd, pids of a container)",
    )


def _pools(service: Service) -> Iterable[Executor]:
    return service.background, service.preparing, service.writer.thread, service.impressions.thread


def shortage(error: BaseException, writes: bool) -> Problem | None:
    """The reply where the system had no memory, thread or file for a request; None for any other error, a bug of ours.

    Args:
        error: that ended the request.
        writes: whether it asked for a change.
    """
    if not (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno in CODES)
        or (isinstance(error, RuntimeError) and _no_thread(error))
        or (isinstance(error, ImportError) and any(one in str(error).lower() for one in NO_LIBRARY))
    ):
        return None
    return Problem(
        503,
        "the server has no memory, thread or file left for this request.",
        retry_after=5,
        reason="room",
        hint="a change may still be made; send it again" if writes else "send it again later",
    )


def address_space() -> int | None:
    """The bytes of addresses that the system allows the process; None where it does not limit them."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        return None if soft == resource.RLIM_INFINITY else soft
    return None


def _no_thread(error: RuntimeError) -> bool:
    return str(error).startswith(NO_THREAD)

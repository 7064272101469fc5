"""The proxy that stands for a balancer: bytes there and back, and nothing left of it when it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket

import pytest
from benchmarks.serving.steady import _Proxy


def listening() -> socket.socket:
    """A server's socket; connections to it are accepted by hand."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(10)
    return server


def through(proxy: _Proxy, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A connection through the proxy, by both ends."""
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    return client, server.accept()[0]


def test_bytes_pass_both_ways_and_new_connections_go_where_it_points() -> None:
    first, second = listening(), listening()
    proxy = _Proxy(first.getsockname()[1])
    client, there = through(proxy, first)
    proxy.to = second.getsockname()[1]
    other, elsewhere = through(proxy, second)
    for one, far in ((client, there), (other, elsewhere)):
        one.sendall(b"ask")
        assert far.recv(3) == b"ask"
        far.sendall(b"answer")
        assert one.recv(6) == b"answer"
    there.close()  # as a server that ends: the client sees it
    assert client.recv(1) == b""
    proxy.stop()
    for one in (client, other, elsewhere, first, second):
        one.close()


@pytest.mark.parametrize("connections", [0, 1, 5])
def test_it_stops_with_its_connections(connections: int, caplog: pytest.LogCaptureFixture) -> None:
    """No task is left behind, which asyncio would say at its end, and both ends of each connection are closed."""
    server = listening()
    proxy = _Proxy(server.getsockname()[1])
    ends = [through(proxy, server) for _ in range(connections)]
    with caplog.at_level(logging.WARNING, "asyncio"):
        proxy.stop()
        assert proxy._loop.is_closed()
        assert not asyncio.all_tasks(proxy._loop)
        assert not proxy._thread.is_alive()
        for client, there in ends:
            there.settimeout(10)
            assert client.recv(1) == b""
            assert there.recv(1) == b""
            client.close()
            there.close()
        server.close()
        del proxy
        gc.collect()
    assert caplog.text == ""

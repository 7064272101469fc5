"""What the system knows of the other side of a connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shortlist.serve.sockets import Peer, closed_by_peer, peer_of, send_now, unsent_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="as Linux tells it")


class Transport:
    """A transport of which only the socket is looked at, and how much waits to be sent."""

    def __init__(self, taken: socket.socket | None, waiting: int = 0) -> None:
        self.taken, self.waiting = taken, waiting

    def get_extra_info(self, name: str) -> Any:
        return self.taken

    def get_write_buffer_size(self) -> int:
        return self.waiting


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection over TCP: the server's and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=60)
        ours, _ = listening.accept()
    yield ours, client
    for one in (ours, client):
        with contextlib.suppress(OSError):
            one.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize(
    ("leave", "before", "after"),
    [
        (lambda client: None, Peer.OPEN, Peer.OPEN),
        (lambda client: client.shutdown(socket.SHUT_WR), Peer.SENDS_NO_MORE, Peer.SENDS_NO_MORE),
        (lambda client: client.close(), Peer.SENDS_NO_MORE, Peer.GONE),
        (reset, Peer.GONE, Peer.GONE),
    ],
    ids=["open", "half closed", "closed", "reset"],
)
@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_one_byte_tells_a_client_that_has_left_from_one_that_has_sent_everything(
    pair: tuple[socket.socket, socket.socket],
    leave: Callable[[socket.socket], None],
    before: Peer,
    after: Peer,
    content: bytes,
) -> None:
    ours, client = pair
    client.sendall(content)
    leave(client)
    assert peer_of(ours) is before
    send_now(Transport(ours), b"H")
    assert peer_of(ours) is after
    assert closed_by_peer(Transport(ours)) == (after is Peer.GONE)
    if after is not Peer.GONE:
        assert client.recv(10) == b"H"


def test_nothing_is_sent_in_front_of_what_waits(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, client = pair
    assert send_now(Transport(ours, waiting=1), b"H") == 0
    assert send_now(Transport(None), b"H") == 0
    assert send_now(Transport(ours), b"HT") == 2
    assert client.recv(10) == b"HT"
    assert unsent_bytes(Transport(ours)) == 0


def test_what_has_no_socket_is_taken_for_open(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    ours.close()
    assert peer_of(None) is peer_of(ours) is Peer.OPEN
    assert unsent_bytes(Transport(None)) == 0

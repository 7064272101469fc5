"""Messages between two ends, whole and in order, whatever their length, with descriptors."""

from __future__ import annotations

import asyncio
import os

import pytest

from shortlist.serve.processes.channel import Channel, pair
from shortlist.serve.processes.messages import (
    Applied,
    Beat,
    Change,
    Family,
    NewFollower,
    Outcome,
    Published,
    Records,
    Sample,
)


def ends() -> tuple[Channel, Channel]:
    one, two = pair()
    return Channel(one), Channel(two)


def test_messages_come_whole_and_in_order() -> None:
    one, two = ends()
    big = "x" * 3_000_000  # far more than a socket holds
    sent = [
        Beat(),
        Change({"op": "change", "upsert": [{"what": 2**63, "text": big}]}),
        Records(3, [{"name": "a"}]),
        Outcome("a", (1, 0, 4, 1)),
        Outcome("b", problem=(422, "no.", "$", None, None, "wait")),
        Published(1, [Family("x", "", "counter", [Sample("x_total", {"a": "b"}, 1.5)])]),
    ]
    for message in sent:
        one.send(message)
    assert one.pending
    came = []
    while len(came) < len(sent):
        one.flush()
        came += [message for message, _ in two.read()]
    assert not one.pending
    assert came[1] == sent[1]
    assert [type(message) for message in came] == [type(message) for message in sent]
    assert came[3].value == [1, 0, 4, 1]
    assert came[4] == sent[4]
    one.close()
    with pytest.raises(EOFError):
        two.read()
    two.close()
    two.send(Beat())  # nobody hears it


def test_descriptors_come_with_their_message() -> None:
    """Each can be read from, also where the sender has closed its own by then."""
    one, two = ends()
    for number in range(3):
        reading, writing = os.pipe()
        os.write(writing, bytes([number]))
        os.close(writing)
        one.send(Applied(number))
        one.send(NewFollower(number), [reading])
        os.close(reading)
    came = two.wait()
    assert [message for message, _ in came[::2]] == [Applied(0), Applied(1), Applied(2)]
    for number, (message, fds) in enumerate(came[1::2]):
        assert message == NewFollower(number)
        (fd,) = fds
        assert os.read(fd, 10) == bytes([number])
        os.close(fd)
    one.close()
    two.close()


def test_a_message_that_was_not_taken_goes_with_the_channel() -> None:
    one, two = ends()
    reading, writing = os.pipe()
    os.close(writing)
    one.send(NewFollower(1), [reading])
    one.send(Beat())
    two.socket.close()
    one.send(Beat())
    one.close()
    os.close(reading)


def test_an_event_loop_hears_and_sends_in_both_directions() -> None:
    async def talk() -> tuple[list[object], bool]:
        one, two = ends()
        heard: list[object] = []
        gone = asyncio.get_running_loop().create_future()
        two.attach(lambda message, _: heard.append(message), lambda: gone.set_result(True))
        one.attach(lambda message, _: None, lambda: None)
        for number in range(3):
            one.send(Change({"op": "x" * 1_000_000, "number": number}))
        while len(heard) < 3:
            await asyncio.sleep(0)
        one.close()
        return heard, await gone

    heard, gone = asyncio.run(talk())
    assert [message.record["number"] for message in heard] == [0, 1, 2]  # type: ignore[attr-defined]
    assert gone


def test_waiting_has_an_end() -> None:
    one, two = ends()
    assert one.wait(0) == []
    two.close()
    with pytest.raises(EOFError):
        one.wait(10)
    one.close()


def test_a_channel_whose_descriptor_was_lost_is_at_its_end() -> None:
    """A process without room for another descriptor: it gets the message alone, and could not do what that says."""
    import resource

    one, two = ends()
    reading, writing = os.pipe()
    one.send(NewFollower(1), [reading])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for _ in range(2):
            with pytest.raises(EOFError):
                two.read()
            one.send(Beat())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for end in (reading, writing):
        os.close(end)
    one.close()
    two.close()

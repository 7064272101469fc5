"""Log lines: written, or dropped and counted."""

from __future__ import annotations

import errno
import io
import json
import os

import pytest

from shortlist.serve import logs
from shortlist.serve.logs import Log


class Disk(io.StringIO):
    """Full for as long as it is said to be."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(text)


def test_lines_that_cannot_be_written_are_counted_in_the_next_that_can() -> None:
    disk = Disk()
    log = Log(disk)
    log.event("started")
    for _ in range(2000):  # each thousandth flushes
        log.request("id", "/v1/recommend", 200, 0.001, "bundle")
    log.event("swapped")
    disk.full = False
    log.event("again")
    log.event("more")
    lines = [json.loads(line) for line in disk.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["log_lost", "again", "more"]
    assert lines[0]["lines"] == 2002


def test_a_closed_stream_ends_nothing() -> None:
    out = io.StringIO()
    log = Log(out)
    out.close()
    log.event("started")


def test_a_reader_that_is_behind_holds_up_nobody_and_loses_nothing() -> None:
    """A pipe takes 64 KiB; 10,000 lines are a megabyte and more."""
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "w", encoding="utf-8") as out:
        log = Log(out)
        for number in range(10_000):
            log.request(str(number), "/v1/recommend", 200, 0.001, "bundle")
        log.flush()
        assert log._held
        content = b""
        while log._held:
            content += reader.read(1 << 20)
            log.flush()
        content += reader.read(1 << 20)
        assert [json.loads(line)["id"] for line in content.splitlines()] == [str(number) for number in range(10_000)]


def test_a_reader_that_stands_still_costs_lines_and_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT", 2000)
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader, open(writing, "w", encoding="utf-8") as out:
        log = Log(out)
        for _ in range(10_000):
            log.request("id", "/v1/recommend", 200, 0.001, "bundle")
        log.event("swapped")
        assert len(log._held) == 2000
        content = b""
        while log._held:
            content += reader.read(1 << 20)
            log.flush()
        log.event("again")
        content += reader.read(1 << 20)
        lines = [json.loads(line) for line in content.splitlines()]
        counted = [line["lines"] for line in lines if line["event"] == "log_lost"]
        assert sum(counted) + sum(line["event"] in ("request", "swapped") for line in lines) == 10_001
        assert lines[-1]["event"] == "again"

"""Log lines: written, or dropped and counted."""

from __future__ import annotations

import errno
import io
import json

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

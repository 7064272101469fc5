"""What is asked of the operating system."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shortlist.serve.processes import system

LINES = """
import threading
from shortlist.serve.processes.system import Lines
out = Lines()
def write(letter):
    for _ in range(50):
        out.write("".join(letter * 300 + "\\n" for _ in range(40)))
threads = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
[one.start() for one in threads]
[one.join() for one in threads]
"""


def test_lines_of_several_writers_stay_whole() -> None:
    """Each letter's lines come through a pipe as they were written: pieces of whole lines, none longer than a pipe takes at once."""
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 3 * 50 * 40
    assert set(lines) == {letter * 300 for letter in "abc"}


CUT = """
import os, resource, signal, sys
from shortlist.serve.processes.system import Lines
out, limit = Lines(), resource.getrlimit(resource.RLIMIT_FSIZE)
out.write("first\\n")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for room in (10, 10, 16):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limit[1]))
    try:
        out.write("lost and found\\n")
    except OSError:
        print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
out.write("last\\n")
out.write("very last\\n")
"""


def test_a_line_that_the_disk_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    """Readers of the log find each line that was written whole."""
    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run([sys.executable, "-c", CUT], stdout=subprocess.PIPE, stderr=log, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 3
    assert (tmp_path / "log").read_text().splitlines() == ["first", "lost", "lost ", "last", "very last"]


def test_exit_codes() -> None:
    for how, code in ((lambda: os._exit(7), 7), (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL)):
        pid = os.fork()
        if pid == 0:
            how()
        assert system.reaped(pid) == code
    assert system.reaped(pid) == 0  # there is none any more
    system.kill(pid)
    system.end(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_own_memory_is_what_no_file_holds(tmp_path: Path) -> None:
    size = 64 << 20
    file = tmp_path / "file"
    file.write_bytes(b"x" * size)
    before = system.own_memory(os.getpid())
    with file.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        assert all(mapped[at] == ord("x") for at in range(0, size, 4096))  # all of its pages are here
    after_mapping = system.own_memory(os.getpid())
    held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # whatever the allocator has left over
    for at in range(0, size, 4096):
        held[at] = 1
    assert abs(after_mapping - before) < size // 2
    assert system.own_memory(os.getpid()) - after_mapping > size // 2
    del held
    mapped.close()
    assert system.own_memory(2**22 + 1) == 0

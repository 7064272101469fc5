"""How long work takes, whatever else the machine does meanwhile."""

from __future__ import annotations

import time
from typing import NamedTuple

__all__ = ["Moment"]


class Moment(NamedTuple):
    """A point in time, by the wall clock and by the processor time of this process.

    What passes between two is the lesser of both. While the process is stopped, or throttled, its processor time stands still:
    a pause says nothing of how long requests take. While several threads work, processor time runs faster than the clock.
    """

    wall: float
    processor: float

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, earlier: Moment) -> float:
        """Seconds of work from an earlier moment to this one."""
        return max(0.0, min(self.wall - earlier.wall, self.processor - earlier.processor))

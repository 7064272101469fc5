"""Memory and disk of each phase of a run, from the sizes of its parts: the sums of ``shortlist plan`` and of the check before a run."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHECKPOINTS", "PROCESS", "SERVED", "PhaseForecast", "Sizes"]

PROCESS = 300_000_000  # bytes that Python, torch and Polars use themselves
CHECKPOINTS = 3  # the two that are kept, and the one that is being written
SERVED = ("serving", "swap")  # phases of a server


@dataclass(frozen=True)
class PhaseForecast:
    """A phase on the way from data to a server: the most memory that it takes, and the bytes that it adds on the disk."""

    name: str
    memory: int
    disk: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of the parts of a run.

    Attributes:
        weights: of all tables.
        optimizer: the optimizer's state of these tables.
        dense: layers, and the optimizer's state of these.
        ids: memory of ids, vocabularies and codes.
        interactions: in memory, of those read at a time where they are in shards.
        shards: on the disk, and files of rows by query; 0 for interactions in memory.
        vectors: of both sides, as files.
        stored: what a bundle takes on the disk.
        index: of the candidates, with their vectors.
        serving: a recommender with it, without the process itself.
        processes: that share tables and optimizer state.
        elsewhere: weights and state that are not in memory while training: in files (``table_folder``), or on a GPU.
    """

    weights: int
    optimizer: int
    dense: int
    ids: int
    interactions: int
    shards: int
    vectors: int
    stored: int
    index: int
    serving: int
    processes: int = 1
    elsewhere: int = 0

    @property
    def learned(self) -> int:
        """Weights and optimizer state, those of dense layers included."""
        return self.weights + self.optimizer + self.dense

    @property
    def model(self) -> int:
        """Memory of a process while it trains, without interactions."""
        return PROCESS + (self.weights + self.optimizer - self.elsewhere) // self.processes + self.dense + self.ids

    @property
    def phases(self) -> tuple[PhaseForecast, ...]:
        """The phases in their order: the memory of the first process, and what all of them write.

        Of several processes the first gets the whole model at the end, in files, and makes index and bundle alone. A checkpoint
        and a bundle are written from where the numbers are, and large vectors are kept in files, so neither takes memory of its own.
        The bundle is opened and compared before it counts as saved. A swap has two models in memory.
        """
        steps = self.model + self.interactions
        gathered = [PhaseForecast("end", steps, self.weights + self.optimizer)] if self.processes > 1 else []
        return (
            PhaseForecast("build", steps - self.dense, self.shards),
            PhaseForecast("steps", steps, 0),
            PhaseForecast("checkpoint", steps, CHECKPOINTS * self.learned),
            *gathered,
            PhaseForecast("index", steps + self.index, self.vectors),
            PhaseForecast("save", steps + 2 * self.index + self.ids, self.stored),
            PhaseForecast("serving", PROCESS + self.serving, 0),
            PhaseForecast("swap", PROCESS + 2 * self.serving, 0),
        )

    @property
    def peak(self) -> PhaseForecast:
        """The phase of a training, its index and its bundle that takes the most memory."""
        return max((one for one in self.phases if one.name not in SERVED), key=lambda phase: phase.memory)

"""The interface between the loop and the processes that train together, and the case of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError, ShortlistError, TrainingError
from shortlist.loss import Retrieval
from shortlist.model import Tower, TowerInputs, TwoTower
from shortlist.model.embedding import Division
from shortlist.model.storage import Part

__all__ = ["Alone", "Processes", "StoppedTrainingError", "check_divisible"]


T = TypeVar("T")


class StoppedTrainingError(TrainingError):
    """A process that stops because another one did; that one's error is the one to show."""


class Processes(Protocol):
    """The processes of a run. Every method but the properties is called by all of them, in the same order."""

    @property
    def rank(self) -> int:
        """The number of this one, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    @property
    def first(self) -> bool:
        """Whether this is the process that prints and writes."""

    def agree(self, facts: Mapping[str, object]) -> None:
        """TrainingError where the processes differ in one of the facts, by its name."""

    def of_first(self, decide: Callable[[], bool]) -> bool:
        """The decision of the first process."""

    def first_then_others(self, work: Callable[[], T]) -> T:
        """The work is done by the first process, then on every machine by one process after another; each finds on the disk
        what was made there before."""

    def concatenated(self, values: Tensor) -> Tensor:
        """``values [n]`` of every process one after another; n may differ."""

    def gathered(self, value: Any) -> list[Any]:
        """A JSON value of every process, by rank."""

    def vectors(self, tower: Tower, inputs: TowerInputs, rows: Tensor) -> Tensor:
        """The tower's vectors of ``rows``, the same on every process, each made by one of them."""

    def add(self, *values: Tensor) -> None:
        """Sums each value over the processes, in place."""

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums the gradients of dense parameters over the processes, in place."""

    @property
    def part(self) -> Part:
        """The rows of every table that this process holds."""

    @property
    def division(self) -> Division | None:
        """How tables are divided; None for one process."""

    def divide(self, model: TwoTower) -> None:
        """Leaves to each process its part of every embedding table that was made whole."""

    def unite(self, model: TwoTower) -> None:
        """Gives the first process every table whole."""

    def united(self, part: Tensor, rows: int, folder: str | None = None) -> Tensor | None:
        """On the first process all ``rows`` of an array that is divided like tables, else None."""

    def raised_elsewhere(self, error: ShortlistError) -> bool:
        """Whether another process has stopped with the same error."""

    def stopped_before(self, error: ShortlistError) -> bool:
        """Whether another process had stopped, for whatever reason, before this one did with ``error``."""

    def __enter__(self) -> Processes: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Lets the other processes know why this one stops, if it stops with an error."""


class Alone:
    """One process, without others."""

    rank, size, first, part, division = 0, 1, True, Part(), None

    def agree(self, facts: Mapping[str, object]) -> None:
        """There is no other process to differ from."""

    def of_first(self, decide: Callable[[], bool]) -> bool:
        """The decision of this process."""
        return decide()

    def first_then_others(self, work: Callable[[], T]) -> T:
        """The work of this process."""
        return work()

    def concatenated(self, values: Tensor) -> Tensor:
        """``values``."""
        return values

    def gathered(self, value: Any) -> list[Any]:
        """``value``."""
        return [value]

    def vectors(self, tower: Tower, inputs: TowerInputs, rows: Tensor) -> Tensor:
        """The tower's vectors of ``rows``."""
        vectors: Tensor = tower(inputs.take(rows))
        return vectors

    def add(self, *values: Tensor) -> None:
        """Each value is the sum."""

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Each gradient is the sum."""

    def divide(self, model: TwoTower) -> None:
        """The tables stay whole."""

    def unite(self, model: TwoTower) -> None:
        """The tables are whole already."""

    def united(self, part: Tensor, rows: int, folder: str | None = None) -> Tensor | None:
        """The part is the whole."""
        return part

    def raised_elsewhere(self, error: ShortlistError) -> bool:
        """There is no other process."""
        return False

    def stopped_before(self, error: ShortlistError) -> bool:
        """There is no other process."""
        return False

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """There is no other process to inform."""


def check_divisible(task: Retrieval, model: TwoTower, impressions: object) -> None:
    """ConfigError for a model that several processes cannot train exactly like one."""
    of_one_query = {
        "mined": task.mined > 0,
        "negative_column": task.negative_column is not None,
        "impressions": impressions is not None,
    }
    for name, given in of_one_query.items():
        if given:
            raise ConfigError(
                f"{name}= cannot be used with several processes: it needs negatives of single queries.",
                hint="train in one process, or use negatives=Mixed() or WholeCatalogue()",
            )
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            raise ConfigError(
                f"{type(part).__name__} needs the whole batch, but each process has only a part.",
                hint="use LayerNorm, which needs one row at a time",
            )

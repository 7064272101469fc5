"""Optimizers whose update of an embedding table touches only the rows of the batch.

Each optimizer is a frozen setting with two functions: ``slots`` says which extra numbers a parameter carries, and
``update`` turns rows, their gradient and their slots into new rows. A dense layer is the case in which every row is
touched. Rows that are not touched stay bit-identical, weights and slots alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from shortlist._forks import refuse_after_fork
from shortlist.errors import ConfigError
from shortlist.loss.kernel import AdamSettings, RowUpdate, is_table, kernel_for_rows
from shortlist.model import EmbeddingTable
from shortlist.train.processes import Processes

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RowwiseAdagrad", "Updater", "with_rate"]


class Optimizer(Protocol):
    """The interface that ``fit`` expects of an optimizer."""

    @property
    def learning_rate(self) -> float:
        """The step size, for messages."""

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The initial extra numbers of ``rows``, each with as many rows, the same for every row."""

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        """New rows; ``slots`` are updated in place."""


@dataclass(frozen=True)
class Adagrad:
    """``a += g²``, then ``w -= learning_rate · g / (√a + epsilon)`` (Duchi et al. 2011). Defaults are Keras'.

    Args:
        learning_rate: the size of the first steps.
        initial_accumulator: where ``a`` begins, for every number of a row.
        epsilon: keeps the division finite.
    """

    learning_rate: float = 0.1
    initial_accumulator: float = 0.1
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        _check_positive(self, learning_rate=self.learning_rate, epsilon=self.epsilon)
        _check_positive(self, or_zero=True, initial_accumulator=self.initial_accumulator)

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (torch.full_like(rows, self.initial_accumulator),)

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        refuse_after_fork("an update by an optimizer")
        (accumulator,) = slots
        accumulator.addcmul_(gradient, gradient)
        return rows.addcdiv(gradient, accumulator.sqrt().add_(self.epsilon), value=-self.learning_rate)


@dataclass(frozen=True)
class RowwiseAdagrad(Adagrad):
    """Adagrad with one accumulator a row: ``a += mean(g²)``, then ``w -= learning_rate · g / (√a + epsilon)``.

    For a table of dim 32 it needs 1/32 of the memory that Adagrad needs. The step of a row is one for all its numbers.

    Source: Gupta et al. 2014, "Training highly multiclass classifiers"; Mudigere et al. 2022.

    Args:
        learning_rate: the size of the first steps.
        initial_accumulator: where ``a`` begins.
        epsilon: keeps the division finite.
    """

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        return (rows.new_full([len(rows), *[1] * (rows.ndim - 1)], self.initial_accumulator),)

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        refuse_after_fork("an update by an optimizer")
        (accumulator,) = slots
        square = gradient * gradient
        accumulator += square.mean(dim=tuple(range(1, square.ndim)), keepdim=True) if square.ndim > 1 else square
        return rows - self.learning_rate * gradient / (accumulator.sqrt() + self.epsilon)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba 2015), with the bias correction counted per row: how often that row was touched.

    Args:
        learning_rate: about the size of a step.
        beta_1: how much of the mean of gradients stays with each step.
        beta_2: how much of the mean of squared gradients stays with each step.
        epsilon: keeps the division finite.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _check_positive(self, learning_rate=self.learning_rate, epsilon=self.epsilon)
        _check_betas(self, self.beta_1, self.beta_2)

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        steps = rows.new_zeros([len(rows), *[1] * (rows.ndim - 1)])
        return (torch.zeros_like(rows), torch.zeros_like(rows), steps)

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        refuse_after_fork("an update by an optimizer")
        mean, square, steps = slots
        steps += 1
        mean.lerp_(gradient, 1 - self.beta_1)
        square.mul_(self.beta_2).addcmul_(gradient, gradient, value=1 - self.beta_2)
        mean_hat = mean / (1 - self.beta_1**steps)
        square_hat = square / (1 - self.beta_2**steps)
        return rows - self.learning_rate * mean_hat / (square_hat.sqrt_() + self.epsilon)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled decay (Loshchilov and Hutter 2019): ``w *= 1 − learning_rate · decay``.

    Only touched rows decay, so a row decays as often as it occurs: an L2 penalty scaled by frequency.

    Args:
        learning_rate: as in ``Adam``.
        beta_1: as in ``Adam``.
        beta_2: as in ``Adam``.
        epsilon: as in ``Adam``.
        weight_decay: the decay.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        _check_positive(self, or_zero=True, weight_decay=self.weight_decay)
        self._adam()

    def _adam(self) -> Adam:
        return Adam(self.learning_rate, self.beta_1, self.beta_2, self.epsilon)

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        return self._adam().slots(rows)

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        refuse_after_fork("an update by an optimizer")
        decayed = rows * (1 - self.learning_rate * self.weight_decay)
        return self._adam().update(decayed, gradient, slots)


@dataclass(frozen=True)
class SGD:
    """``w -= learning_rate · g``.

    Args:
        learning_rate: the size of a step.
    """

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        _check_positive(self, learning_rate=self.learning_rate)

    def slots(self, rows: Tensor) -> tuple[Tensor, ...]:
        return ()

    def update(self, rows: Tensor, gradient: Tensor, slots: Sequence[Tensor]) -> Tensor:
        refuse_after_fork("an update by an optimizer")
        return rows - self.learning_rate * gradient


class Updater:
    """Applies an optimizer to a module after each backward pass: tables by touched rows, the rest densely."""

    def __init__(self, optimizer: Optimizer, module: torch.nn.Module, processes: Processes | None = None) -> None:
        self.optimizer, self.processes = optimizer, processes
        named = {name: part for name, part in module.named_modules() if isinstance(part, EmbeddingTable)}
        learned = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self.tables, self.dense = list(named.values()), list(learned.values())
        self._names = ([*named], [*learned])
        self.table_slots = [_table_slots(optimizer, table) for table in self.tables]
        self.dense_slots = [optimizer.slots(_as_rows(parameter)) for parameter in self.dense]

    def slots(self) -> Iterator[tuple[str, Tensor, EmbeddingTable | None]]:
        """Each slot with a stable name, and the table whose rows it belongs to (None: a dense parameter's)."""
        tables, dense = self._names
        for name, table, slots in zip(tables, self.tables, self.table_slots, strict=True):
            yield from ((f"{name}.weight.{number}", slot, table) for number, slot in enumerate(slots))
        for name, slots in zip(dense, self.dense_slots, strict=True):
            yield from ((f"{name}.{number}", slot, None) for number, slot in enumerate(slots))

    @torch.no_grad()
    def step(self, rate: float = 1.0) -> None:
        """Update every touched row and every dense parameter that has a gradient, and clear the gradients.

        Args:
            rate: times the optimizer's learning rate.
        """
        step = _Step(self.optimizer, rate)
        for table, slots in zip(self.tables, self.table_slots, strict=True):
            for codes, rows, gradient in _gradients(table):
                if step.compiles(table.weight, slots, codes, gradient):
                    continue
                touched = [slot.index_select(0, codes) for slot in slots]
                table.write(codes, step.optimizer.update(rows, gradient, touched))
                for slot, new in zip(slots, touched, strict=True):
                    slot.index_copy_(0, codes, new)
            table.touched.clear()
        if self.processes is not None:
            self.processes.add_gradients(self.dense)
        for parameter, slots in zip(self.dense, self.dense_slots, strict=True):
            if parameter.grad is not None:
                rows, gradient = _as_rows(parameter.detach()), _as_rows(parameter.grad)
                if not step.compiles(rows, slots, None, gradient):
                    rows.copy_(step.optimizer.update(rows, gradient, slots))
                parameter.grad = None
        step.end()


class _Step:
    """A step: what the compiled kernel updates, all in one call at its end, and the optimizer for the rest.

    Args:
        rate: times the optimizer's learning rate.
    """

    def __init__(self, optimizer: Optimizer, rate: float) -> None:
        self._given: Any = optimizer
        self._rate = rate
        self._kernel = kernel_for_rows() if type(optimizer) in (Adagrad, Adam, AdamW) else None
        self._updates: list[RowUpdate] = []

    @cached_property
    def optimizer(self) -> Optimizer:
        """The optimizer at the learning rate of this step."""
        return self._given if self._rate == 1.0 else with_rate(self._given, self._rate)

    def compiles(self, table: Tensor, slots: Sequence[Tensor], codes: Tensor | None, gradient: Tensor) -> bool:
        """Whether ``end`` updates these rows, or all where ``codes`` is None: the same numbers to rounding."""
        if self._kernel is None:
            return False
        table, gradient, *slots = [_as_table(one) for one in (table, gradient, *slots)]
        if not all(map(is_table, (table, gradient, *slots))):
            return False
        self._updates.append(RowUpdate(table, slots, codes, gradient))
        return True

    def end(self) -> None:
        """Updates what was taken."""
        if self._kernel is None or not self._updates:
            return
        given, rate, adam = self._given, self._given.learning_rate * self._rate, None
        if type(given) is not Adagrad:
            decay = given.weight_decay if type(given) is AdamW else 0.0
            adam = AdamSettings(given.beta_1, given.beta_2, 1 - rate * decay)
        self._kernel.update(self._updates, rate, given.epsilon, adam)


def with_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    """The same optimizer with ``rate`` times its learning rate.

    Raises:
        ConfigError: for an optimizer that is not a dataclass with a ``learning_rate``.
    """
    given: Any = optimizer
    if not is_dataclass(given) or "learning_rate" not in {field.name for field in fields(given)}:
        raise ConfigError(
            f"the learning rate of {type(optimizer).__name__} cannot change during training; a dataclass with a field "
            "learning_rate was expected.",
            hint='schedule="constant"',
        )
    settings = {field.name: getattr(optimizer, field.name) for field in fields(given)}
    settings["learning_rate"] *= rate
    return type(optimizer)(**settings)


def _gradients(table: EmbeddingTable) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Distinct codes, rows and gradients of a table; reads of the same table in one step are added up.

    For a table that is divided over processes: those of this process's part, as codes of the part.
    """
    if table.remote is not None:
        here = table.remote.gradients((read.route, read.rows.grad, read.rows.detach()) for read in table.touched)
        return [] if here is None else [(here[0], table.rows(here[0]), here[1])]
    read = [(codes, rows.detach(), rows.grad) for codes, rows, _ in table.touched if rows.grad is not None]
    if len(read) <= 1:
        return read
    codes, inverse = torch.unique(torch.cat([part[0] for part in read]), return_inverse=True)
    gradient = read[0][2].new_zeros(len(codes), table.dim)
    gradient.index_add_(0, inverse, torch.cat([part[2] for part in read]))
    return [(codes, table.rows(codes), gradient)]


def _table_slots(optimizer: Optimizer, table: EmbeddingTable) -> tuple[Tensor, ...]:
    """The extra numbers of every row of a table, in the form of the table; those of one row give the initial values."""
    dtype = torch.float32 if table.weight.dtype == torch.bfloat16 else table.weight.dtype
    row = table.weight.new_zeros(1, table.dim, dtype=dtype)
    return tuple(table.storage.repeated(slot, len(table.weight)) for slot in optimizer.slots(row))


def _as_rows(parameter: Tensor) -> Tensor:
    """A dense parameter as rows; a scalar is one row."""
    return parameter if parameter.ndim else parameter.reshape(1)


def _as_table(rows: Tensor) -> Tensor:
    """The same memory as ``[rows, numbers]``, where it is in one piece."""
    if rows.ndim == 1:
        return rows.unsqueeze(1)
    if rows.ndim == 2 or not rows.is_contiguous():
        return rows
    return rows.view(len(rows), rows.numel() // max(1, len(rows)))


def _check_positive(optimizer: object, *, or_zero: bool = False, **values: float) -> None:
    for name, value in values.items():
        if not (value > 0 or (or_zero and value == 0)) or value == float("inf"):
            bound = "zero or more" if or_zero else "more than zero"
            raise ConfigError(f"{type(optimizer).__name__} got {name}={value}; it must be {bound}, and finite.")


def _check_betas(optimizer: object, *betas: float) -> None:
    if not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"{type(optimizer).__name__} got betas {betas}; each must be in [0, 1).")

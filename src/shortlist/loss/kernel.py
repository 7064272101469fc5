"""Compiled forms of the softmax over columns, of updates of rows by Adagrad, Adam and AdamW, and of the places where lists meet
the columns of a batch (``native/*.c``), where the package has them for this processor; ``counts.py`` calls the same library.

The build makes one for each instruction set of x86-64 that pays, on Linux with a C compiler; wheels for that platform contain
them. Everywhere else, on GPUs, in lower precision and for several vectors a query the losses are computed by torch.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.compiled import best_instructions, library_for, turned_off
from shortlist.errors import ConfigError, TrainingError
from shortlist.language import counted
from shortlist.loss.places import exact

__all__ = [
    "AdamSettings",
    "Kernel",
    "Mass",
    "RowUpdate",
    "is_table",
    "kernel_for",
    "kernel_for_lists",
    "kernel_for_rows",
    "kernel_trouble",
]

ABI = 6  # that of softmax.c
OUTSIDE = 2  # of softmax.c
NO_NUMBERS = (torch.bool, torch.complex32, torch.complex64, torch.complex128)
FOLDER = Path(__file__).parent / "native"
INSTRUCTIONS = {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3"}  # torch's name of what this processor has: gcc's

BLOCK_BYTES = 1 << 20
"""Scores of a thread that are in memory at a time: they stay in the cache between the products."""

PARTS_BYTES = 1 << 31
"""Each part of a batch sums the candidates' gradient on its own; more parts than fit into this are not made, whatever the threads."""

MOST_BYTES = 1 << 24
"""Where a few rows of scores take more, torch's way over blocks of another shape is used."""


class Mass(NamedTuple):
    """How much each column competes.

    Attributes:
        log_mass: ``[columns]``, log of draws over probability; −inf where a column was not drawn.
        log_q: ``[columns]``, log of the probability, for positives; None without a correction.
        kept: float64 ``[columns]``, the share of a pair's own column that competes with it.
    """

    log_mass: Tensor
    log_q: Tensor | None
    kept: Tensor


class _Batch(ctypes.Structure):
    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("rows", "columns", "dim", "pairs", "hidden", "explicit", "block", "threads")
        ),
        *((name, ctypes.c_int64) for name in ("correct_positive", "negatives_only")),
        *((name, ctypes.c_double) for name in ("exponent", "scale")),
        *((name, ctypes.c_void_p) for name in ("query", "candidate", "log_mass", "log_q", "kept")),
        *((name, ctypes.c_void_p) for name in ("pair_row", "pair_column", "weight")),
        *((name, ctypes.c_void_p) for name in ("hidden_row", "hidden_column", "explicit_row", "explicit_column")),
        *((name, ctypes.c_void_p) for name in ("loss", "d_query", "d_candidate")),
    )


class RowUpdate(NamedTuple):
    """Rows of a table and what an optimizer makes of them.

    Attributes:
        table: ``[rows, ...]``.
        slots: the optimizer's extra numbers of all rows: those of ``Adagrad.slots`` or ``Adam.slots``.
        codes: int64 ``[touched]``, distinct rows of the table; None for all.
        gradient: ``[touched, ...]``, of these rows.
    """

    table: Tensor
    slots: Sequence[Tensor]
    codes: Tensor | None
    gradient: Tensor


class AdamSettings(NamedTuple):
    """The numbers of ``Adam``; ``kept`` of a row is one less its decay."""

    beta_1: float
    beta_2: float
    kept: float = 1.0


class _Part(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("table", "first", "second", "steps", "codes", "gradient")),
        *((name, ctypes.c_int64) for name in ("rows", "count", "dim")),
    )


class _Updates(ctypes.Structure):
    _fields_ = (
        ("parts", ctypes.POINTER(_Part)),
        *((name, ctypes.c_int64) for name in ("number", "threads", "adam")),
        *((name, ctypes.c_float) for name in ("rate", "epsilon", "kept")),
        *((name, ctypes.c_float) for name in ("beta_1", "beta_2", "of_gradient", "of_square")),
    )


class _Meeting(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("offsets", "values", "narrow")),
        *((name, ctypes.c_int64) for name in ("lists", "number")),
        ("lists_read", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("column_of", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("most", "room")),
        *((name, ctypes.c_void_p) for name in ("row", "column")),
        ("found", ctypes.c_int64),
    )


class Kernel:
    """A compiled library. One call takes a whole batch; it is deterministic for a number of threads.

    Args:
        library: a build of ``native/*.c``.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._tile: int = self.library.shortlist_tile()
        self.library.shortlist_softmax.argtypes = [ctypes.POINTER(_Batch)]
        self.library.shortlist_update.argtypes = [ctypes.POINTER(_Updates)]
        self.library.shortlist_places.argtypes = [ctypes.POINTER(_Meeting)]
        self._parallel = self._share_threads()
        self._process = os.getpid()

    def takes(self, query: Tensor, candidate: Tensor, lower: torch.dtype | None) -> bool:
        """Whether a loss over these vectors is computed here."""
        return (
            lower is None
            and query.device.type == "cpu"
            and query.dtype == candidate.dtype == torch.float32
            and query.ndim == candidate.ndim == 2
            and query.shape[1] == candidate.shape[1]
            and len(candidate) * self._tile * 4 <= MOST_BYTES
        )

    def softmax(
        self,
        query: Tensor,
        candidate: Tensor,
        pairs: tuple[Tensor, Tensor, Tensor | None],
        mass: Mass,
        *,
        temperature: float = 1.0,
        correct_positive: bool = True,
        negatives_only: bool = False,
        exponent: float = 1.0,
        hidden: tuple[Tensor, Tensor] | None = None,
        explicit: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The summed loss and the gradients with respect to both sides; steps as in ``columns``.

        Args:
            query: float32 ``[queries, dim]``.
            candidate: float32 ``[columns, dim]``.
            pairs: int64 rows and columns ``[B]``, and weights ``[B]`` or None.
            hidden: places that never compete.
            explicit: places that compete though not drawn.

        Raises:
            ConfigError: for places outside of the rows and columns, and weights or masses of another number.
            TrainingError: where there is no memory for the blocks.
        """
        query, candidate = query.contiguous(), candidate.contiguous()
        queries, columns = query.shape[0], candidate.shape[0]
        width = -(-columns // 96) * 96
        rows = BLOCK_BYTES // max(1, width * 4) // self._tile * self._tile
        tiles = -(-queries // self._tile)
        weights = None if pairs[2] is None else pairs[2].to(exact(query)).contiguous()
        nowhere = (pairs[0][:0], pairs[1][:0])
        places = [one.to(torch.int64).contiguous() for both in (hidden or nowhere, explicit or nowhere) for one in both]
        given = [
            query,
            candidate,
            mass.log_mass.to(torch.float32).contiguous(),
            None if mass.log_q is None else mass.log_q.to(torch.float32).contiguous(),
            mass.kept.to(torch.float64).contiguous(),
            *(side.to(torch.int64).contiguous() for side in pairs[:2]),
            weights,
            *places,
        ]
        loss = query.new_empty((), dtype=torch.float64)
        d_query, d_candidate = torch.empty_like(query), torch.empty_like(candidate)
        pairs_shape, counts = pairs[0].shape[:1], (places[0].shape[:1], places[2].shape[:1])
        shapes = [*[(columns,)] * 3, *[pairs_shape] * 3, *[counts[0]] * 2, *[counts[1]] * 2]
        fits = all(
            one is None or (one.shape == shape and one.is_cpu) for one, shape in zip(given[2:], shapes, strict=True)
        )
        numbers = (*pairs[:2], *(hidden or ()), *(explicit or ()))
        fits = fits and not any(one.dtype.is_floating_point or one.dtype in NO_NUMBERS for one in numbers)
        addresses = [None if one is None else one.data_ptr() for one in (*given, loss, d_query, d_candidate)]
        written = zip(addresses[-3:], (loss, d_query, d_candidate), strict=True)
        fits = fits and all(address or not one.numel() for address, one in written)  # fake tensors have no memory
        batch = _Batch(
            queries,
            columns,
            query.shape[1],
            pairs[0].numel(),
            places[0].numel(),
            places[2].numel(),
            max(self._tile, min(rows, 8 * self._tile)),
            max(1, min(self.threads, tiles, PARTS_BYTES // (4 * max(1, width) * max(1, query.shape[1])))),
            correct_positive,
            negatives_only,
            exponent,
            1 / temperature if temperature else math.inf,
            *addresses,
        )
        status = self.library.shortlist_softmax(ctypes.byref(batch)) if fits else OUTSIDE
        if status & OUTSIDE:
            raise ConfigError(
                f"the pairs, weights or masses of a loss do not fit its {counted(queries, 'query')} and {counted(columns, 'candidate')}.",
                hint="rows are whole numbers from 0; one weight a pair, one count a candidate, all on the same device",
            )
        if status:
            raise TrainingError(
                f"there is no memory for the scores of {counted(queries, 'query')} and {counted(columns, 'candidate')}.",
                hint="a smaller batch_size, or fewer threads",
            )
        return loss.to(query.dtype), d_query, d_candidate

    def update(
        self, updates: Sequence[RowUpdate], rate: float, epsilon: float, adam: AdamSettings | None = None
    ) -> None:
        """Updates rows and their slots in place, all tables in one call.

        Adagrad: ``sums += g²``, then ``table -= rate · g / (√sums + epsilon)``; with ``adam`` the steps of ``Adam`` and ``AdamW``.

        Args:
            updates: tables as ``kernel_for_rows`` takes them, each with the slots of that optimizer.

        Raises:
            ConfigError: for rows outside of a table, and for slots or gradients of another shape; nothing is written then.
        """
        numbers = (1.0, 0.0, 0.0, 0.0, 0.0)
        if adam is not None:
            numbers = (adam.kept, adam.beta_1, adam.beta_2, 1 - adam.beta_1, 1 - adam.beta_2)
        held = [RowUpdate(one.table, one.slots, _whole(one.codes), one.gradient.contiguous()) for one in updates]
        fits = all(_fits(one, adam is not None) for one in held)
        parts = (_Part * len(held))(*map(_part, held if fits else ()))
        given = _Updates(parts, len(held), self.threads, adam is not None, rate, epsilon, *numbers)
        if not fits or self.library.shortlist_update(ctypes.byref(given)):
            raise ConfigError(
                f"the rows, slots or gradients of an update do not fit its {len(held):,} tables.",
                hint="rows count from 0; a gradient has the shape of its rows, a slot that of its table",
            )
        # so that autograd refuses a graph that needs the numbers of before
        written = [tensor for one in updates for tensor in (one.table, *one.slots) if not tensor.is_inference()]
        torch.autograd.graph.increment_version(written)

    def meeting(
        self,
        offsets: NDArray[np.int64],
        values: NDArray[np.int64] | NDArray[np.int32],
        lists: NDArray[np.int64],
        column_of: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each value of some lists that has a column: the place of its list in ``lists``, and the column. In the lists' order.

        Args:
            offsets: list r is ``values[offsets[r] : offsets[r + 1]]``.
            lists: those to read.
            column_of: the column of each value; below 0 for none.

        Raises:
            ConfigError: for lists that there are not, and for values without an entry in ``column_of``.
        """
        offsets, lists, column_of = (np.ascontiguousarray(one, np.int64) for one in (offsets, lists, column_of))
        narrow = values.dtype == np.int32
        values = np.ascontiguousarray(values, np.int32 if narrow else np.int64)
        known = len(lists) == 0 or (int(lists.min()) >= 0 and int(lists.max()) < len(offsets) - 1)
        room = int((offsets[lists + 1] - offsets[lists]).sum()) if known else 0
        room = max(0, min(room, len(values) * len(lists)))  # whatever the offsets are
        row, column = np.empty(room, np.int64), np.empty(room, np.int64)
        given = _Meeting(
            offsets.ctypes.data,
            None if narrow else values.ctypes.data,
            values.ctypes.data if narrow else None,
            len(offsets) - 1,
            len(values),
            lists.ctypes.data,
            len(lists),
            column_of.ctypes.data,
            len(column_of),
            room,
            row.ctypes.data,
            column.ctypes.data,
        )
        if self.library.shortlist_places(ctypes.byref(given)):
            raise ConfigError(
                f"lists of candidates do not fit the {counted(len(offsets) - 1, 'list')} and {counted(len(column_of), 'candidate')} that there are.",
                hint="rows count from 0",
            )
        return row[: given.found], column[: given.found]

    @property
    def threads(self) -> int:
        """Parts of the work. Threads do not survive a fork: a forked process would wait for its parent's."""
        return torch.get_num_threads() if self._parallel and os.getpid() == self._process else 1

    def _share_threads(self) -> bool:
        """Has the library use the threads of torch's OpenMP runtime; whether that was found."""
        for path in _openmp():
            try:
                loop = ctypes.CDLL(path).GOMP_parallel
            except (OSError, AttributeError):  # a file that was replaced since it was loaded, or a runtime without it
                continue
            self.library.shortlist_threads(ctypes.cast(loop, ctypes.c_void_p))
            return True
        return False


def kernel_for(query: Tensor, candidate: Tensor, lower: torch.dtype | None) -> Kernel | None:
    """The kernel, if there is one for this processor and for such vectors."""
    kernel = _of_this_machine()
    return kernel if isinstance(kernel, Kernel) and kernel.takes(query, candidate, lower) else None


def kernel_for_rows(*tables: Tensor) -> Kernel | None:
    """The kernel, if there is one for this processor that updates rows of such tables in place."""
    kernel = _of_this_machine()
    return kernel if isinstance(kernel, Kernel) and all(map(is_table, tables)) else None


def is_table(rows: Tensor) -> bool:
    """Whether the kernel updates such rows in place, where there is one."""
    return rows.is_cpu and rows.dtype == torch.float32 and rows.ndim == 2 and rows.is_contiguous()


def kernel_for_lists(offsets: Tensor, values: Tensor) -> Kernel | None:
    """The kernel, if there is one for this processor that reads such lists."""
    kernel = _of_this_machine()
    fits = offsets.device.type == "cpu" and values.dtype in (torch.int64, torch.int32)
    return kernel if fits and isinstance(kernel, Kernel) else None


def kernel_trouble() -> str | None:
    """Why torch computes losses on this machine; None where the kernel computes them."""
    found = _of_this_machine()
    return found if isinstance(found, str) else None


def _whole(codes: Tensor | None) -> Tensor | None:
    return None if codes is None else (codes.to(torch.int64) if codes.dtype == torch.int32 else codes).contiguous()


def _fits(one: RowUpdate, adam: bool) -> bool:
    """Whether slots and gradient have the shapes that the optimizer gives them, and rows are numbered by whole numbers."""
    shape = one.table.shape
    touched: tuple[int, ...] = shape
    if one.codes is not None:
        if one.codes.dtype != torch.int64 or not one.codes.is_cpu or one.codes.ndim != 1:
            return False
        touched = (*one.codes.shape, shape[1])
    slots = [shape, shape, (shape[0], 1)] if adam else [shape]
    return one.gradient.shape == touched and [slot.shape for slot in one.slots] == slots


def _part(one: RowUpdate) -> _Part:
    """The addresses of an update."""
    rows, dim = one.table.shape
    first, second, steps = (*(slot.data_ptr() for slot in one.slots), None, None)[:3]
    at, count = (None, rows) if one.codes is None else (one.codes.data_ptr(), one.codes.shape[0])
    return _Part(one.table.data_ptr(), first, second, steps, at, one.gradient.data_ptr(), rows, count, dim)


def _of_this_machine() -> Kernel | str:
    return turned_off() or _kernel(torch.backends.cpu.get_cpu_capability())


@lru_cache
def _kernel(capability: str) -> Kernel | str:
    """The kernel for a processor, or why there is none."""
    name, most = INSTRUCTIONS.get(capability), best_instructions()
    if name is None:
        return f"it needs x86-64 with AVX2; torch finds {capability}"
    if most is None:  # gcc's sets have more than torch asks for
        return "it needs x86-64 with AVX2, FMA, BMI, F16C and MOVBE; /proc/cpuinfo does not name them"
    name = max(name, most, key=list(INSTRUCTIONS.values()).index)
    library = library_for(FOLDER, name, ABI)
    return library if isinstance(library, str) else Kernel(library)


def _openmp() -> list[str]:
    """The OpenMP runtimes that this process has loaded, torch's own first: other packages bring theirs."""
    if not sys.platform.startswith("linux"):
        return []
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a sandbox without it: one thread computes
        return []
    paths = {line.split(maxsplit=5)[5].strip() for line in maps if "omp" in line and line.count(" ") >= 5}
    own = str(Path(torch.__file__).resolve().parent)
    found = [path for path in paths if Path(path).name.startswith(("libgomp", "libiomp", "libomp"))]
    return sorted(found, key=lambda path: (not path.startswith(own), path))

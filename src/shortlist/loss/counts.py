"""Compiled counts that make exact ranks (``native/counts.c``, ``ranks.c``), by the library that ``kernel.py`` finds."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from shortlist.errors import ConfigError
from shortlist.language import counted
from shortlist.loss.kernel import OUTSIDE, Kernel, is_table, kernel_for_rows

__all__ = ["Ranked", "kernel_for_ranks", "kernel_for_scores", "ranked", "reaching", "thresholds"]

MOST_COLUMNS = (1 << 31) - 1  # of scores that are counted at a time


class _Margins(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("query", "candidate")),
        *((name, ctypes.c_int64) for name in ("queries", "candidates", "dim")),
        *((name, ctypes.c_void_p) for name in ("row", "column")),
        *((name, ctypes.c_int64) for name in ("pairs", "threads")),
        ("margin", ctypes.c_float),
        ("threshold", ctypes.c_void_p),
    )


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("scores", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("row", "own", "threshold")),
        *((name, ctypes.c_int64) for name in ("pairs", "threads", "higher")),
        ("count", ctypes.c_void_p),
    )


class _Ranking(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("query", "candidate")),
        *((name, ctypes.c_int64) for name in ("queries", "candidates", "dim")),
        *((name, ctypes.c_void_p) for name in ("row", "own")),
        ("pairs", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("hidden_row", "hidden_column")),
        *((name, ctypes.c_int64) for name in ("hidden", "columns", "threads", "higher")),
        ("margin", ctypes.c_float),
        ("rank", ctypes.c_void_p),
        ("unclear", ctypes.c_int64),
    )


class Ranked(NamedTuple):
    """Ranks, int64 ``[pairs]``, and how many pairs have a score that is not finite: then there are no ranks."""

    rank: Tensor
    unclear: int


def kernel_for_scores(scores: Tensor) -> Kernel | None:
    """The kernel, if there is one for this processor that counts such scores."""
    return kernel_for_rows(scores) if _takes_scores(scores) else None


def thresholds(kernel: Kernel, query: Tensor, candidate: Tensor, row: Tensor, column: Tensor, margin: float) -> Tensor:
    """The dot product of each pair, less ``margin`` times the sum of its products' sizes, float32 ``[pairs]``.

    Args:
        query: float32 ``[queries, dim]``, contiguous.
        candidate: float32 ``[candidates, dim]``, contiguous.
        row: int64 ``[pairs]``.
        column: int64 ``[pairs]``.

    Raises:
        ConfigError: for rows and columns that there are not, and arguments of another shape or type.
    """
    found = query.new_empty(row.shape)
    given = (row.contiguous(), column.contiguous())
    fits = is_table(query) and is_table(candidate) and query.shape[1] == candidate.shape[1]
    asked = _Margins(
        query.data_ptr(),
        candidate.data_ptr(),
        len(query),
        len(candidate),
        query.shape[-1],
        *(one.data_ptr() for one in given),
        row.numel(),
        kernel.threads,
        margin,
        found.data_ptr(),
    )
    if not (fits and _are_rows(*given)) or kernel.library.shortlist_thresholds(ctypes.byref(asked)):
        raise _misfit(query, candidate)
    return found


def reaching(
    kernel: Kernel, scores: Tensor, row: Tensor, own: Tensor, threshold: Tensor, *, higher: bool = False
) -> Tensor:
    """How many scores of its row reach each pair's threshold, its own left out, int64 ``[pairs]``.

    Args:
        scores: float32 ``[rows, columns]``, contiguous, as ``kernel_for_scores`` takes them.
        row: int64 ``[pairs]``.
        own: int64 ``[pairs]``, the column left out; outside of the columns for none.
        threshold: float32 ``[pairs]``.
        higher: count what is higher, not what is as high.

    Raises:
        ConfigError: for rows that there are not, and arguments of another length or type.
    """
    rows, columns = scores.shape
    count = torch.zeros(row.shape, dtype=torch.long)
    given = (row.contiguous(), own.contiguous(), threshold.contiguous())
    fits = _takes_scores(scores) and _are_rows(*given[:2])
    fits = fits and threshold.is_cpu and threshold.dtype == scores.dtype and threshold.shape == row.shape
    asked = _Comparison(
        scores.data_ptr(),
        rows,
        columns,
        *(one.data_ptr() for one in given),
        row.numel(),
        kernel.threads,
        higher,
        count.data_ptr(),
    )
    if not fits or kernel.library.shortlist_count(ctypes.byref(asked)):
        raise ConfigError(
            f"the rows, own columns or thresholds of pairs do not fit scores of {counted(rows, 'query')} and {counted(columns, 'candidate')}.",
            hint="rows count from 0; one of each for every pair",
        )
    return count


def kernel_for_ranks(query: Tensor, candidate: Tensor) -> Kernel | None:
    """The kernel, if there is one for this processor that ranks such vectors."""
    return kernel_for_rows(query, candidate) if query.shape[-1] == candidate.shape[-1] else None


def ranked(
    kernel: Kernel,
    query: Tensor,
    candidate: Tensor,
    pairs: tuple[Tensor, Tensor],
    hidden: tuple[Tensor, Tensor] | None,
    margin: float,
    *,
    higher: bool = False,
    columns: int = 1 << 12,
) -> Ranked | None:
    """The rank of each pair: 1 + how many other candidates reach its threshold; in one call, for pairs in any order.

    A pair whose candidate is hidden, or below 0, has the rank after the last. None where there is no memory for it.

    Args:
        query: float32 ``[queries, dim]``, contiguous, as ``kernel_for_ranks`` takes it.
        candidate: float32 ``[candidates, dim]``, contiguous.
        pairs: int64 ``[pairs]``, rows of ``query`` and of ``candidate``.
        hidden: int64 ``[hidden]``, the same of candidates that do not compete, sorted by query.
        margin: as in ``thresholds``.
        higher: count what is higher, not what is as high.
        columns: candidates at a time.

    Raises:
        ConfigError: for rows that there are not, and arguments of another shape or type.
    """
    given = [one.contiguous() for one in pairs]
    left_out = [one.contiguous() for one in (hidden or (given[0][:0], given[1][:0]))]
    fits = is_table(query) and is_table(candidate) and query.shape[1] == candidate.shape[1]
    fits = fits and _are_rows(*given) and _are_rows(*left_out)
    rank = torch.ones(given[0].shape, dtype=torch.long, device="cpu")
    asked = _Ranking(
        query.data_ptr(),
        candidate.data_ptr(),
        len(query),
        len(candidate),
        query.shape[-1],
        *(one.data_ptr() for one in given),
        given[0].numel(),
        *(one.data_ptr() for one in left_out),
        left_out[0].numel(),
        columns,
        kernel.threads,
        higher,
        margin,
        rank.data_ptr(),
        0,
    )
    status = kernel.library.shortlist_ranks(ctypes.byref(asked)) if fits else OUTSIDE
    if status == OUTSIDE:
        raise _misfit(query, candidate)
    return None if status else Ranked(rank, int(asked.unclear))


def _misfit(query: Tensor, candidate: Tensor) -> ConfigError:
    """The error for pairs that are not rows of their vectors."""
    return ConfigError(
        f"pairs do not fit the {counted(len(query), 'query')} and {counted(len(candidate), 'candidate')} that they are of.",
        hint="rows and columns count from 0; one of each for every pair, and vectors of one length",
    )


def _takes_scores(scores: Tensor) -> bool:
    """Whether the kernel counts such scores, where there is one."""
    return is_table(scores) and scores.shape[1] <= MOST_COLUMNS


def _are_rows(*of_pairs: Tensor) -> bool:
    """Whether these are numbers of rows, as many of each."""
    shape = of_pairs[0].shape
    return len(shape) == 1 and all(one.is_cpu and one.dtype == torch.int64 and one.shape == shape for one in of_pairs)

"""Compiled counts that make exact ranks (``native/counts.c``), by the library that ``kernel.py`` finds."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from shortlist.errors import ConfigError
from shortlist.language import counted
from shortlist.loss.kernel import Kernel, is_table, kernel_for_rows

__all__ = ["kernel_for_scores", "reaching", "thresholds"]

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


def kernel_for_scores(scores: Tensor) -> Kernel | None:
    """The kernel, if there is one for this processor that counts such scores."""
    return kernel_for_rows(scores) if _takes_scores(scores) else None


def thresholds(
    kernel: Kernel, query: Tensor, candidate: Tensor, row: Tensor, column: Tensor, margin: float
) -> Tensor:
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
        raise ConfigError(
            f"pairs do not fit the {counted(len(query), 'query')} and {counted(len(candidate), 'candidate')} that they are of.",
            hint="rows and columns count from 0; one of each for every pair, and vectors of one length",
        )
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


def _takes_scores(scores: Tensor) -> bool:
    """Whether the kernel counts such scores, where there is one."""
    return is_table(scores) and scores.shape[1] <= MOST_COLUMNS


def _are_rows(*of_pairs: Tensor) -> bool:
    """Whether these are numbers of rows, as many of each."""
    shape = of_pairs[0].shape
    return len(shape) == 1 and all(one.is_cpu and one.dtype == torch.int64 and one.shape == shape for one in of_pairs)

"""Matrix products by the library that is fastest on this processor."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Transposed", "product"]

LARGE = 1 << 26
"""Multiplications from which oneDNN is asked: for each shape that it has not seen it takes most of a millisecond to prepare."""
LARGE_ONCE = 1 << 28
"""The same where shapes hardly ever repeat, as those of a batch's distinct rows, so that preparing is part of every product."""
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Variables that say how many shapes oneDNN, and torch in front of it, keep what they prepared for; by default 1,024 each."""
KEPT = "8"  # the three of a full block, the three of the last block, and two more; a shape takes up to 0.6 MB


def product(left: Tensor, right: Tensor, memory: Tensor | None = None, *, repeats: bool = True) -> Tensor:
    """``left @ right``, in ``memory`` or elsewhere; not differentiable.

    MKL, which torch asks by default, does not use the widest instructions of processors by others than Intel. On AMD's, large
    products of float32 are made by oneDNN, which torch brings too. The choice follows from the processor and the shape and is
    never measured, so that a run repeats bit for bit.

    Args:
        left: ``[rows, inner]``.
        right: ``[inner, columns]``.
        memory: ``[rows, columns]``, that may be written over.
        repeats: whether many products have this shape; oneDNN is asked later where it is prepared for every one.
    """
    if _by_onednn(left, len(left) * right.numel(), repeats):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(left, right.T, None, "none", [], "")
        return result
    return torch.mm(left, right, out=memory)


class Transposed:
    """``Σ leftᵀ right`` over blocks of rows, in the layout that the library of ``product`` adds up fastest.

    Args:
        like: ``[columns, dim]``, of the kind of the sum.
        rows: of the largest block.
        repeats: as of ``product``.
    """

    def __init__(self, like: Tensor, rows: int, *, repeats: bool = True) -> None:
        self._repeats = repeats
        self._turned = _by_onednn(like, rows * like.numel(), repeats)
        self._sum = like.new_zeros(like.shape[::-1] if self._turned else like.shape)

    def add(self, left: Tensor, right: Tensor) -> None:
        """Adds the product of a block, in the precision of its parts.

        Args:
            left: ``[rows, columns]``.
            right: ``[rows, dim]``.
        """
        if left.dtype != self._sum.dtype:
            self._sum += right.T @ left if self._turned else left.T @ right
        elif self._turned:
            self._sum += product(right.T.contiguous(), left, repeats=self._repeats)
        else:
            self._sum.addmm_(left.T, right)

    def total(self) -> Tensor:
        """The sum ``[columns, dim]``."""
        return self._sum.T.contiguous() if self._turned else self._sum


def _by_onednn(like: Tensor, multiplications: int, repeats: bool) -> bool:
    large = multiplications >= (LARGE if repeats else LARGE_ONCE)
    return large and like.device.type == "cpu" and like.dtype == torch.float32 and _onednn_is_faster()


@lru_cache
def _onednn_is_faster() -> bool:
    """Whether this processor is AMD's and torch has both libraries. Before the first product both caches are made small."""
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    if "AuthenticAMD" not in facts or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    for name in CACHES:  # read once, by the first product
        os.environ.setdefault(name, KEPT)
    return True

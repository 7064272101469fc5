"""The optimizer's state at the end of a training, for the next one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["OptimizerState"]


class OptimizerState(NamedTuple):
    """Of a table ``candidate.tables.title:StringLookup`` the first slot is ``candidate.tables.title:StringLookup.weight.0``
    ``[cardinality, …]``.

    Attributes:
        kind: the optimizer's name.
        slots: its numbers, by the name of the weight they go with and their own.
    """

    kind: str
    slots: dict[str, Tensor]

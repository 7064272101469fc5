"""Which index suits a catalogue on this machine, and why."""

from __future__ import annotations

import sys

from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index
from shortlist.index.faiss import Faiss, faiss_trouble
from shortlist.index.scann import ScaNN, scann_trouble

__all__ = ["choose_index"]

_SCANN_FROM = 10_000
_NUMBERS_FROM = 1_000_000  # below, ScaNN saves less than 0.1 ms a query
_FAISS_FROM = 200_000


def choose_index(n: int, dim: int) -> tuple[Index, str]:
    """An unbuilt index for ``n`` candidates of ``dim`` numbers, and a sentence for the user that says why.

    Below 10,000 candidates, or a million numbers in all (about 0.2 ms a query on one core), exact search; above, ScaNN where it
    runs; elsewhere Faiss from 200,000 on, except on macOS, where it brings a second OpenMP; else exact search.

    Example:
        >>> index, reason = choose_index(1_664, 32)
        >>> index.exact, reason
        (True, 'exact search: 1,664 candidates are few enough to score every one.')
    """
    if n < _SCANN_FROM or n * dim < _NUMBERS_FROM:
        return BruteForce(), f"exact search: {n:,} candidates are few enough to score every one."
    trouble = scann_trouble()
    if trouble is None:
        return ScaNN(), f"ScaNN: {n:,} candidates of {dim} numbers are too many to score every one per query."
    if n < _FAISS_FROM:
        return BruteForce(), f"exact search: {trouble}, and {n:,} candidates can still be scored one by one."
    if sys.platform == "darwin":
        return BruteForce(), f"exact search: {trouble}, and on macOS Faiss and torch bring one OpenMP each."
    missing = faiss_trouble()
    if missing is None:
        return Faiss(), f"Faiss: {trouble}, and {n:,} candidates are too many to score every one per query."
    hint = 'pip install "shortlist[faiss]" brings an index for this many'
    return BruteForce(), f"exact search: {trouble}, and {missing} ({hint})."

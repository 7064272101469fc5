"""Which index suits a catalogue on this machine, and why."""

from __future__ import annotations

import sys

from shortlist.index.brute_force import BruteForce
from shortlist.index.contract import Index
from shortlist.index.faiss import Faiss, faiss_trouble
from shortlist.index.quantized import Quantized, quantized_trouble
from shortlist.index.scann import ScaNN, scann_trouble
from shortlist.language import counted

__all__ = ["choose_index"]

_APPROXIMATE_FROM = 10_000
_NUMBERS_FROM = 1_250_000  # below, another index saves less than 0.1 ms a query
_SCANN_FROM = 200_000  # from here on, ScaNN is a tenth of a millisecond faster than a scan of all codes
_FAISS_FROM = 200_000


def choose_index(n: int, dim: int) -> tuple[Index, str]:
    """An unbuilt index for ``n`` candidates of ``dim`` numbers, and a sentence for the user that says why.

    1. Below 10,000 candidates, or 1.25 million numbers in all (about 0.25 ms a query on one core): exact search.
    2. From 200,000 candidates on: ScaNN where it runs.
    3. Quantized where it runs.
    4. ScaNN where it runs; Faiss from 200,000 candidates on, except on macOS, where it brings a second OpenMP.
    5. Exact search.

    Example:
        >>> index, reason = choose_index(1_664, 32)
        >>> index.exact, reason
        (True, 'exact search: 1,664 candidates, few enough to score every one.')
    """
    if n < _APPROXIMATE_FROM or n * dim < _NUMBERS_FROM:
        return BruteForce(), f"exact search: {counted(n, 'candidate')}, few enough to score every one."
    many = f"{n:,} candidates of {dim} numbers are too many to score every one per query"
    trouble, scann = quantized_trouble(), scann_trouble()
    if scann is None and (n >= _SCANN_FROM or trouble is not None):
        return ScaNN(), f"ScaNN: {many}."
    if trouble is None:
        return Quantized(), f"Quantized: {many}."
    hint = 'pip install "shortlist[quantized]" brings an index for this many'
    if n < _FAISS_FROM:
        return BruteForce(), f"exact search: {trouble} ({hint}), and {n:,} candidates can still be scored one by one."
    if sys.platform == "darwin":
        return BruteForce(), f"exact search: {trouble} ({hint}), and on macOS Faiss and torch bring one OpenMP each."
    if faiss_trouble() is None:
        return Faiss(), f"Faiss: {trouble}, and {many}."
    return BruteForce(), f"exact search: {trouble} ({hint})."

"""Public datasets, fetched on request: ``shortlist.datasets.movielens("100k")``."""

from __future__ import annotations

from shortlist.data.movielens import MOVIELENS_LICENCE, movielens

__all__ = ["MOVIELENS_LICENCE", "movielens"]

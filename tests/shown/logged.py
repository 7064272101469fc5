"""Lists shown by chance, of which everything is known: what is liked, what is looked at, what could have been shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

LOOKED = np.array([1.0, 0.7, 0.5, 0.35])


@dataclass(frozen=True)
class World:
    """liked: ``[queries, candidates]``, the chance of a click when looked at. new: ``[queries, k]``, candidates of new lists."""

    liked: np.ndarray
    new: np.ndarray

    @classmethod
    def of(cls, queries: int, candidates: int, k: int, seed: int) -> World:
        generator = np.random.default_rng(seed)
        taste, quality = generator.random((queries, candidates)), generator.random(candidates)
        liked = 0.5 * quality * taste
        guess = liked + 0.1 * generator.random(liked.shape)
        return cls(liked, np.argsort(-guess, axis=1)[:, :k])

    @property
    def truth(self) -> float:
        """Clicks per new list."""
        looked = LOOKED[: self.new.shape[1]]
        return float((np.take_along_axis(self.liked, self.new, 1) * looked).sum(1).mean())

    def lists(self) -> pl.DataFrame:
        queries, k = self.new.shape
        return pl.DataFrame(
            {
                "query": np.repeat(np.arange(queries), k),
                "candidate": self.new.ravel(),
                "place": np.tile(np.arange(1, k + 1), queries),
            }
        )

    def log(self, lists: int, seed: int) -> pl.DataFrame:
        """``lists`` lists of four for each query, the candidates drawn and ordered by chance."""
        generator = np.random.default_rng(seed)
        queries, candidates = self.liked.shape
        shown = np.argsort(generator.random((queries * lists, candidates)), axis=1)[:, : len(LOOKED)]
        owner = np.repeat(np.arange(queries), lists)
        chance = self.liked[owner[:, None], shown] * LOOKED
        return pl.DataFrame(
            {
                "query": np.repeat(owner, len(LOOKED)),
                "candidate": shown.ravel(),
                "place": np.tile(np.arange(1, len(LOOKED) + 1), len(owner)),
                "clicked": (generator.random(chance.shape) < chance).ravel(),
                "propensity": np.full(shown.size, len(LOOKED) / candidates),
            }
        )

"""Trained towers in a folder, so that one training serves every mixture with them, and their own row."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import shortlist as sl

MIXED = ("neighbours", "sources", "temperature", "ranker")  # what a recipe does with trained towers


@dataclass
class Kept:
    """A folder of towers, by recipe, seed and training data.

    Attributes:
        folder: None keeps nothing.
        saved: seconds that the trainings took which were not made again.
    """

    folder: Path | None = None
    saved: float = 0.0

    def towers(self, recipe: sl.recipes.Recipe, train: sl.Dataset, seed: int) -> sl.TwoTower:
        """The recipe's towers, trained here unless the folder has them."""
        if self.folder is None:
            return recipe.train_towers(train, seed=seed)[0]
        place = self.folder / f"{_digest(recipe, train, seed)}.pt"
        if place.is_file():
            found = torch.load(place, weights_only=False)  # written below, never received
            self.saved += found["seconds"]
            return found["towers"]
        started = time.perf_counter()
        towers = recipe.train_towers(train, seed=seed)[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save({"towers": towers, "seconds": time.perf_counter() - started}, place)
        return towers


def _digest(recipe: sl.recipes.Recipe, train: sl.Dataset, seed: int) -> str:
    """Of all that the towers depend on."""
    plain = {name: value for name, value in recipe.to_dict().items() if name not in MIXED}
    found = hashlib.sha256(json.dumps([plain, seed], sort_keys=True).encode())
    found.update(train.query_rows.tobytes())
    found.update(train.candidate_rows.tobytes())
    return found.hexdigest()[:20]

"""A few films, and models over them, for several tests."""

from __future__ import annotations

import torch

import shortlist as sl

__all__ = ["Average", "data", "featured"]


def data() -> sl.Dataset:
    films = {"film": ["a", "b", "c"], "genres": [["x", "y"], ["x"], []], "length": [90.0, 120.0, 150.0]}
    rows = {"user": [1, 1, 2, 3], "film": ["a", "b", "b", "c"], "device": ["tv", "phone", "tv", "tv"]}
    return sl.Dataset(rows, "user", "film", candidates=films)


class Average(torch.nn.Module):
    """The mean of the embedded features."""

    def forward(self, embedded: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(embedded.values())).mean(0)


def featured(module: torch.nn.Module | None = None) -> sl.TwoTower:
    query = sl.Tower(sl.IntegerLookup("user"), sl.Category("device"), dim=4, module=module)
    candidate = sl.Tower(
        sl.StringLookup("film"), sl.MultiCategory("genres"), sl.Normalization("length"), dim=4, hidden=(8,)
    )
    return sl.TwoTower(query, candidate)

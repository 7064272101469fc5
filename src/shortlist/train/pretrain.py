"""First vectors of ids for training by gradient descent: those that alternating least squares finds for the same pairs."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError
from shortlist.loss import ALS, Sweeps
from shortlist.model import EmbeddingTable, EncodedDataset, Tower, TwoTower
from shortlist.model.tower import IDS
from shortlist.train.als import chosen_pairs, filled

__all__ = ["SWEEPS", "check_pretraining", "pretrain_by_als", "why_not_pretrained"]

SWEEPS = 8
TURN = 0.1  # part of the random vectors in the first ones


def why_not_pretrained(model: TwoTower, train: Dataset | Shards) -> str | None:
    """The reason why the vectors of ids cannot start from ALS, or None where they can."""
    if importlib.util.find_spec("scipy") is None:
        return "ALS needs scipy, which is not installed (pip install 'shortlist[train]')"
    if isinstance(train, Shards):
        return "ALS holds all interactions in memory, and shards are read in blocks"
    for side, tower in (("query", model.query), ("candidate", model.candidate)):
        name = _id_feature(tower)
        single = len(tower.features) == 1 and tower.shape.plain
        added = tower.shape.combine == "sum" and not tower.shape.hidden and not tower.shape.cross
        whole = name is not None and tower.features[name].dim in (None, tower.dim)
        if not whole or tower.heads > 1 or tower.custom or not (single or added):
            return f"the {side} tower is more than one vector per id, or a sum of vectors with it"
    return None


def check_pretraining(pretrain: str, model: TwoTower, train: Dataset | Shards, warm: bool) -> None:
    """Check that the training can start from ALS.

    Raises:
        ConfigError: for another word, and where the towers, the data or a warm start do not allow it.
    """
    if pretrain == "none":
        return
    if pretrain != "als":
        raise ConfigError(f'fit() got pretrain={pretrain!r}; "none" or "als" was expected.')
    reason = "a warm start already has vectors" if warm else why_not_pretrained(model, train)
    if reason is not None:
        raise ConfigError(f'fit() got pretrain="als", but {reason}.', hint="leave out pretrain=")


@torch.no_grad()
def pretrain_by_als(model: TwoTower, encoded: EncodedDataset, seed: int, device: torch.device) -> None:
    """Write the vectors of ids that ALS finds into the tables of both towers.

    Vectors get the mean length that random rows of their table have. The directions are those of ALS; at this length the first
    steps of an optimizer turn them as far as they would turn random rows. Of several processes, each solves for all rows.

    Args:
        model: with its tables, on ``device``.
        encoded: the training data.
        seed: of the vectors that the first sweep starts from.
        device: where to solve.
    """
    names = _id_feature(model.query), _id_feature(model.candidate)
    assert names[0] is not None
    assert names[1] is not None
    tables = [model.query.tables[names[0]], model.candidate.tables[names[1]]]
    assert isinstance(tables[0], EmbeddingTable)
    assert isinstance(tables[1], EmbeddingTable)
    query_table, candidate_table = tables[0], tables[1]
    chosen = chosen_pairs(encoded, (names[0], names[1]), [query_table, candidate_table]).to(device)
    sweeps = Sweeps(chosen, ALS(), candidate_table.dim, torch.Generator().manual_seed(seed))
    for _ in range(SWEEPS):
        sweeps.sweep()
    sides = ((query_table, sweeps.query, sweeps.chosen), (candidate_table, sweeps.candidate, sweeps.turned))
    for table, rows, pairs in sides:
        table.fill(_of_random_length(filled(rows, pairs), table))


def _of_random_length(rows: Tensor, table: EmbeddingTable) -> Tensor:
    """The rows at the mean length of the table's rows, each turned a little towards the one that was there.

    Where ALS finds one direction for all, as in a table in which everyone chose everything, they still differ.
    """
    random = table.weight.float()
    length = float(torch.linalg.vector_norm(random, dim=1).mean())
    unit = nn.functional.normalize
    return unit(unit(rows, dim=1) + TURN * unit(random, dim=1), dim=1) * length


def _id_feature(tower: Tower) -> str | None:
    """The name of the tower's one feature of ids, or None."""
    found = [name for name, feature in tower.features.items() if feature.kind in IDS]
    return found[0] if len(found) == 1 else None

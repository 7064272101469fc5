"""Training by alternating least squares: both towers' tables are made better in turn, once in every sweep."""

from __future__ import annotations

import importlib.util
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import check_dataset, check_function, check_model, check_seed
from shortlist.data.shards import available_memory
from shortlist.errors import ConfigError, MissingExtraError, check_flags
from shortlist.evaluation import DEFAULT_KS, TestSet, check_ks
from shortlist.evaluation.testset import checked_weights
from shortlist.features import Codes
from shortlist.language import sized
from shortlist.loss import ALS, Chosen, Pairs, Sweeps
from shortlist.model import EmbeddingTable, EncodedDataset, Tower, TwoTower
from shortlist.model.tower import IDS, only_table
from shortlist.train.checks import check_data, check_numbers, seen_of, warn_of_run
from shortlist.train.device import chosen_device
from shortlist.train.distributed import joined
from shortlist.train.epochs import Epoch, TrainingHistory

__all__ = ["als", "als_options", "check_room", "chosen_pairs", "filled"]


BYTES = 28  # of an interaction of shards, while they are read
IGNORED = ("batch_size", "monitor")
"""Options of ``fit`` without effect on ALS; every recipe has the first."""


@torch.no_grad()
def als(
    model: TwoTower,
    train: Dataset | Shards,
    *,
    unobserved: float | None = ALS.unobserved,
    regularization: float = ALS.regularization,
    exponent: float = ALS.exponent,
    validation: Dataset | None = None,
    epochs: int = 5,
    seed: int = 42,
    device: str | torch.device = "auto",
    ks: Sequence[int] = DEFAULT_KS,
    validate_every: int = 1,
    exclude_seen: bool = False,
    weighted: bool = False,
    on_epoch: Callable[[Epoch], object] | None = None,
    on_batch: Callable[[int, int], None] | None = None,
) -> TrainingHistory:
    """Solve for the vectors of both towers by alternating least squares.

    Each epoch is one sweep over all interactions: better vectors of all queries while the candidates' are fixed, by three steps
    of conjugate gradients, then of all candidates. There is no learning rate, no batch and no sampled negative. The loss of
    an epoch is what the sweeps minimise, and it never rises. ``ALS`` has the formula and its sources. Returns the losses and
    figures of every epoch.

    Args:
        model: towers of one id feature each, without layers, bias, heads or normalize.
        train: a Dataset; or Shards, of which memory holds 16 bytes per distinct pair, and 28 while they are read.
        unobserved: the weight of a pair that nobody chose, against 1 for a chosen one; None takes twice the share of
            all pairs that were chosen, and 0.2 at most.
        regularization: how strongly vectors are kept short.
        exponent: how much more strongly the vectors of rows with many choices are kept short.
        validation: a Dataset, as in ``fit``.
        epochs: how many sweeps.
        seed: of the vectors that the first sweep starts from.
        device: as in ``fit``.
        ks: as in ``fit``.
        validate_every: as in ``fit``.
        exclude_seen: as in ``fit``.
        weighted: as in ``fit``.
        on_epoch: called once a sweep, as in ``fit``.
        on_batch: called once a sweep, as in ``fit``.

    Raises:
        ConfigError: for options out of range, for towers that are more than a table of ids, for shards whose pairs do not fit
            in memory, and in several processes.
        DataError: for data that the towers cannot read, and where all weights, of the training or of a weighted validation, are 0.
        MissingExtraError: without scipy.

    Example:
        model = sl.TwoTower(sl.Tower(sl.StringLookup("user_id"), dim=64), sl.Tower(sl.StringLookup("item_id"), dim=64))
        history = sl.als(model, train, epochs=8)
    """
    if importlib.util.find_spec("scipy") is None:
        raise MissingExtraError("scipy", "train", "als()")
    task = ALS(unobserved, regularization, exponent)
    check_model(model, "als(model)", "TwoTower")
    if isinstance(train, Shards):  # before anything reads all rows
        check_room(train)
    check_data(train, "als")
    check_flags("als()", exclude_seen=exclude_seen, weighted=weighted)
    if callable(validation):
        raise ConfigError("ALS is measured on a Dataset; als(validation=) got a function.", hint="validation=test")
    check_dataset(validation, "als(validation=)", optional=True)
    if validation is not None:
        checked_weights(validation, weighted)
    check_function(on_epoch, "als(on_epoch=)", optional=True)
    check_function(on_batch, "als(on_batch=)", optional=True)
    seed = check_seed(seed, "als()", least=-(1 << 63))
    place = chosen_device(device)
    check_ks(ks)
    check_numbers("als", epochs=epochs, validate_every=validate_every)
    if joined().size > 1:
        raise ConfigError("ALS does not support several processes.", hint="run it in one process, or train with fit")
    for side, tower in (("query", model.query), ("candidate", model.candidate)):
        _check(side, tower)
    generator = torch.Generator().manual_seed(seed)
    encoded = model.prepare(train, generator)
    model.to(place).eval()
    tables = [only_table(model.query), only_table(model.candidate)]
    names = next(iter(encoded.query_columns)), next(iter(encoded.candidate_columns))
    chosen = chosen_pairs(encoded, names, tables).to(place)
    sweeps = Sweeps(chosen, task, tables[1].dim, generator)
    seen = seen_of(train, validation, exclude_seen)
    test = None if validation is None else TestSet.of(model, validation, seen, weighted=weighted)
    records = []
    for number in range(1, epochs + 1):
        started = time.perf_counter()
        loss = sweeps.sweep()
        tables[0].fill(filled(sweeps.query, chosen))
        tables[1].fill(sweeps.candidate)
        epoch = Epoch(number, loss, 1.0, time.perf_counter() - started, len(train))
        if on_batch is not None:
            on_batch(number * len(train), epochs * len(train))
        if test is not None and (number % validate_every == 0 or number == epochs):
            epoch = replace(epoch, metrics=test.top_k(ks))
        records.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    warn_of_run(model, test, records)
    return TrainingHistory(tuple(records), epochs)


def als_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options of ``fit`` that ``als`` has too.

    Raises:
        ConfigError: for other options, which mean nothing to ALS.
    """
    known = inspect.signature(als).parameters
    usual = {"precision": "float32", "schedule": "constant", "pretrain": "none"}
    refused = [
        f"{name}={value!r}" if name in usual else f"{name}="
        for name, value in options.items()
        if name not in known and name not in IGNORED and value is not None and value != usual.get(name)
    ]
    if refused:
        raise ConfigError(
            f"ALS does not support {', '.join(refused)}.", hint="leave it out, or train with fit and task=Retrieval()"
        )
    return {name: value for name, value in options.items() if name in known}


def check_room(shards: Shards) -> None:
    """ConfigError where the pairs of shards do not fit in memory."""
    needs, free = BYTES * len(shards), available_memory()
    if needs > free:
        raise ConfigError(
            f"ALS needs {BYTES} bytes of memory for each of {len(shards):,} interactions, {sized(needs)}; "
            f"{sized(free)} are available.",
            hint="train on a shorter period, or use the recipe factorization, which reads interactions in blocks",
        )


def chosen_pairs(encoded: EncodedDataset, names: tuple[str, str], tables: Sequence[EmbeddingTable]) -> Chosen:
    """The chosen pairs as rows of two tables of ids, without pairs of weight 0; those of shards are read in pieces.

    Args:
        names: of the id features, the query's and the candidate's.
        tables: the queries' and the candidates'.
    """
    query, candidate = encoded.query_columns[names[0]], encoded.candidate_columns[names[1]]
    assert isinstance(query, Codes)
    assert isinstance(candidate, Codes)
    shape = (tables[0].cardinality, tables[1].cardinality)

    def pairs(queries: NDArray[Any], candidates: NDArray[Any], weights: NDArray[np.float32] | None) -> Pairs:
        given = np.ones(len(queries), np.float32) if weights is None else weights
        counted = given > 0
        return Pairs(query.values[queries[counted]], candidate.values[candidates[counted]], given[counted])

    shards = encoded.shards
    if shards is None:
        return Chosen.of(*pairs(encoded.query_rows, encoded.candidate_rows, encoded.weights), shape)
    return Chosen.of_pieces(lambda: (pairs(rows.query, rows.candidate, rows.weight) for rows in shards.chunks()), shape)


def filled(query: Tensor, chosen: Chosen) -> Tensor:
    """The vectors, with the mean of those with a choice for rows without one."""
    there = chosen.offsets.diff() > 0
    found: Tensor = torch.where(there.unsqueeze(1), query, query[there].mean(0))
    return found


def _check(side: str, tower: Tower) -> None:
    """ConfigError for a tower that is more than one table of ids."""
    features = list(tower.features.values())
    plain = tower.shape.plain and not (tower.custom or tower.normalize or tower.bias or tower.heads > 1)
    if len(features) == 1 and features[0].kind in IDS and features[0].dim in (None, tower.dim) and plain:
        return
    raise ConfigError(
        f"ALS solves for one vector per id; the {side} tower has more: {tower.extra_repr()}.",
        hint='a tower of one id feature, without layers, bias, heads or normalize: Tower(StringLookup("user_id"), dim=32)',
    )

"""Checks and warnings of ``fit`` and ``als``, and the candidates that do not compete in a validation."""

from __future__ import annotations

from collections.abc import Sequence

from shortlist.data import Dataset, Shards
from shortlist.data.choices import check_choices
from shortlist.errors import ConfigError
from shortlist.evaluation import TestSet
from shortlist.evaluation.diagnostics import findings, loss_findings, warn_of
from shortlist.model import TwoTower
from shortlist.train.epochs import Epoch

__all__ = ["check_data", "check_numbers", "seen_of", "warn_of_run"]


def check_data(train: Dataset | Shards, caller: str) -> None:
    """DataError for anything but data, and for data with nothing to learn from."""
    check_choices(train, f"{caller}()", shards=True)


def check_numbers(caller: str, **whole: int | None) -> None:
    """ConfigError for a value that is not a whole number of at least 1, or None."""
    for name, value in whole.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f"{caller}() got {name}={value!r}; a whole number of at least 1 was expected.")


def seen_of(train: Dataset | Shards, validation: Dataset | None, exclude_seen: bool) -> Dataset | None:
    """The pairs that do not compete in a validation; from shards, only those of the queries that are asked."""
    if validation is None or not exclude_seen:
        return None
    if isinstance(train, Dataset):
        return train
    return train.of_queries(validation.interactions[validation.query])


def warn_of_run(model: TwoTower, test: TestSet | None, records: Sequence[Epoch]) -> None:
    """A ShortlistWarning for each thing that ``diagnose`` finds; without a validation set only the loss is looked at."""
    losses = [{"loss": epoch.loss, "chance": epoch.chance} for epoch in records]
    warn_of(loss_findings(losses) if test is None else findings(model, test, losses), stacklevel=4)

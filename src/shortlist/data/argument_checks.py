"""Checks of what a function is given: a Dataset is not a table, a model is not a recommender, a path is not a frame."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shortlist._forks import refuse_after_fork
from shortlist.errors import ConfigError, DataError

__all__ = [
    "check_columns",
    "check_dataset",
    "check_frame",
    "check_function",
    "check_kind",
    "check_methods",
    "check_model",
    "check_seed",
    "checked_path",
    "kind_of",
    "shown",
]

MODELS = ("TwoTower", "Mixture")


def check_columns(
    where: str, query: object, candidate: object, timestamp: object = None, weight: object = None
) -> None:
    """ConfigError unless all of these are names of columns, and the first two differ; timestamp and weight may be None.

    Args:
        where: how the caller is called, for example ``"Dataset"``.
    """
    for role, name in {"query": query, "candidate": candidate, "timestamp": timestamp, "weight": weight}.items():
        optional = role in ("timestamp", "weight")
        if not isinstance(name, str) and not (optional and name is None):
            raise _refused(name, f"{where}({role}=)", "the name of a column", None)
    if query == candidate:
        raise ConfigError(
            f"query and candidate are both {query!r}; expected two different columns.",
            hint="query is the column of who chose, candidate the column of what was chosen",
        )


def check_dataset(value: object, where: str, *, optional: bool = False, shards: bool = False) -> None:
    """DataError unless ``value`` is a Dataset.

    Args:
        where: how the caller wrote it, such as ``"evaluate(seen=)"``.
        optional: None is accepted.
        shards: Shards are accepted too.
    """
    if value is not None:
        refuse_after_fork(where)
    if (optional and value is None) or not _names(type(value)).isdisjoint(
        ("Dataset", "Shards") if shards else ("Dataset",)
    ):
        return
    expected = "a Dataset or Shards" if shards else "a Dataset"
    raise DataError(f"{where} got {kind_of(value)}; {expected} was expected.", hint=_dataset_hint(value))


def check_model(value: object, where: str, *kinds: str) -> None:
    """ConfigError unless ``value`` is a model: of these classes, by default a TwoTower or a Mixture."""
    refuse_after_fork(where)
    kinds = kinds or MODELS
    check_kind(value, where, *kinds, hint=_model_hint(value, kinds))


def check_kind(value: object, where: str, *kinds: str, optional: bool = False, hint: str | None = None) -> None:
    """ConfigError unless ``value`` belongs to one of these classes of the package, given by name since they are defined in rooms above this one.

    Args:
        where: how the caller wrote it.
        optional: None is accepted.
    """
    if not (optional and value is None) and _names(type(value)).isdisjoint(kinds):
        if isinstance(value, type) and not _names(value).isdisjoint(kinds):
            hint = f"{value.__name__}(…)"
        raise _refused(value, where, " or ".join(f"{_article(kind)} {kind}" for kind in kinds), hint)


def check_methods(
    value: object, where: str, methods: Iterable[str], expected: str, *, optional: bool = False, hint: str | None = None
) -> None:
    """ConfigError unless ``value`` has these methods; for values whose class may be the user's own."""
    if optional and value is None:
        return
    if isinstance(value, type) or not all(callable(getattr(type(value), method, None)) for method in methods):
        raise _refused(value, where, expected, hint)


def check_function(
    value: object, where: str, expected: str = "a function", *, optional: bool = False, hint: str | None = "print"
) -> None:
    """ConfigError unless ``value`` can be called. Models can, as modules of torch, and classes of the package; neither is meant.

    Args:
        where: how the caller wrote it.
        optional: None is accepted.
    """
    if optional and value is None:
        return
    if (
        not callable(value)
        or _names(type(value)) & {"Tower", "TwoTower"}
        or (isinstance(value, type) and _names(value))
    ):
        raise _refused(value, where, expected, hint)


def checked_path(value: object, where: str, expected: str = "a path") -> Path:
    """The path; ConfigError for anything but text or a path, and for an address, which would become a folder of that name."""
    if not isinstance(value, (str, os.PathLike)) or isinstance(os.fspath(value), bytes):
        raise _refused(value, where, expected, None)
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+(?=://)", os.fspath(value))
    if scheme is not None:
        raise ConfigError(
            f"{where} got an address ({scheme.group()}://…); {expected} on this machine was expected.",
            hint="use a folder here, and copy it with the tools of that store",
        )
    return Path(value)


def check_frame(value: object, where: str) -> None:
    """DataError unless ``value`` is a Polars DataFrame."""
    if not isinstance(value, pl.DataFrame):
        raise DataError(f"{where} got {kind_of(value)}; a Polars DataFrame was expected.", hint="pl.DataFrame(table)")


def check_seed(seed: object, where: str, *, least: int = 0) -> int:
    """The seed; ConfigError unless it is a whole number from ``least`` to 2^64 - 1, as random generators take it."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not least <= seed < 1 << 64:
        lowest = "-2^63" if least else "0"
        raise ConfigError(
            f"{where} got seed={shown(seed)}; a whole number from {lowest} to 2^64 - 1 was expected.", hint="seed=42"
        )
    return int(seed)


def kind_of(value: object) -> str:
    """A value in words: "a pandas DataFrame", "None", "a dict"."""
    if value is None:
        return "None"
    if isinstance(value, (str, Path)):
        return f"the text {str(value)!r}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value)
    library = {"polars": "Polars ", "pandas": "pandas ", "pyarrow": "Arrow ", "numpy": "NumPy "}.get(
        kind.__module__.partition(".")[0], ""
    )
    return f"{_article(library or kind.__name__)} {library}{kind.__name__}"


def shown(value: object) -> str:
    """A value in a message: text, numbers and None as they are written, anything else by its kind."""
    plain = value is None or isinstance(value, (str, bool, int, float, np.generic))
    return repr(value)[:80] if plain else kind_of(value)


def _article(noun: str) -> str:
    return "an" if noun[:1] in "aeiouAEIOU" else "a"


def _names(kind: type) -> set[str]:
    return {one.__name__ for one in kind.__mro__ if one.__module__.partition(".")[0] == "shortlist"}


def _refused(value: object, where: str, expected: str, hint: str | None) -> ConfigError:
    return ConfigError(f"{where} got {kind_of(value)}; {expected} was expected.", hint=hint)


def _model_hint(value: object, kinds: tuple[str, ...]) -> str | None:
    """A hint on how to get a model of one of these kinds from ``value``."""
    if isinstance(value, (str, Path)):
        loaded = f'shortlist.Recommender.load("{value}")'
        return loaded if "Recommender" in kinds else f"{loaded}.model"
    names = _names(type(value))
    if isinstance(value, tuple) and any(_names(type(one)) & set(kinds) for one in value):
        return "a training returns two: model, history = recipe.train(data)"
    if "Recommender" in kinds:
        return "shortlist.Recommender(model, seen=train)"
    if names & {"Recommender", "Choice"}:
        return f"{type(value).__name__.lower()}.model"
    if "TunedRecommender" in names:
        return "tuned.recommender.model"
    if "Mixture" in names:
        return "mixture.towers"
    if "Neighbours" in names and "Mixture" in kinds:
        return "add them to a model: shortlist.Mixture.of(towers, neighbours, train, share=0.5)"
    if "Tower" in names:
        return "shortlist.TwoTower(query_tower, candidate_tower)"
    return "train one: shortlist.choose(data).model" if "Mixture" in kinds else "shortlist.TwoTower(query, candidate)"


def _dataset_hint(value: Any) -> str:
    names = _names(type(value))
    if "Split" in names:
        return "a split holds two: train, test = split"
    if "Shards" in names:
        return "shards.to_dataset() reads all into memory, shards.of_queries(ids) the choices of some queries"
    if _is_pandas(value):
        return (
            'shortlist.Dataset(frame, query="user_id", candidate="item_id"); ids that are the index become a column by '
            'frame.reset_index(), whole numbers that pandas made float by frame["user_id"].astype("Int64")'
        )
    source = f'"{value}"' if isinstance(value, (str, Path)) else "table"
    return f'shortlist.Dataset({source}, query="user_id", candidate="item_id")'


def _is_pandas(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas"

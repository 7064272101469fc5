"""What a function expects as data, checked in one place: a Dataset is not a table, and a table is not a Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shortlist.errors import ConfigError, DataError

__all__ = ["check_dataset", "check_seed", "kind_of"]


def check_dataset(value: object, where: str, *, optional: bool = False, shards: bool = False) -> None:
    """DataError unless ``value`` is a Dataset.

    where: how the caller wrote it, such as ``"evaluate(seen=)"``. optional: None is fine. shards: so are Shards.
    """
    from shortlist.data.dataset import Dataset
    from shortlist.data.shards import Shards

    if isinstance(value, Dataset) or (optional and value is None) or (shards and isinstance(value, Shards)):
        return
    expected = "a Dataset or Shards" if shards else "a Dataset"
    raise DataError(f"{where} got {kind_of(value)}; {expected} was expected.", hint=_dataset_hint(value))


def check_seed(seed: object, where: str, *, least: int = 0) -> int:
    """The seed; ConfigError unless it is a whole number from ``least`` to 2^64 - 1, as random generators take it."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not least <= seed < 1 << 64:
        lowest = "-2^63" if least else "0"
        raise ConfigError(
            f"{where} got seed={seed!r}; a whole number from {lowest} to 2^64 - 1 was expected.", hint="seed=42"
        )
    return int(seed)


def kind_of(value: object) -> str:
    """What a value is, in words: "a pandas DataFrame", "None", "a dict"."""
    if value is None:
        return "None"
    if isinstance(value, (str, Path)):
        return f"the text {str(value)!r}"
    kind = type(value)
    library = {"polars": "Polars ", "pandas": "pandas ", "pyarrow": "Arrow ", "numpy": "NumPy "}.get(
        kind.__module__.partition(".")[0], ""
    )
    article = "an" if not library and kind.__name__[:1] in "aeiouAEIOU" else "an" if library == "Arrow " else "a"
    return f"{article} {library}{kind.__name__}"


def _dataset_hint(value: Any) -> str:
    from shortlist.data.shards import Shards
    from shortlist.data.split import Split

    if isinstance(value, Split):
        return "a split holds two: train, test = split"
    if isinstance(value, Shards):
        return "shards.of_queries(ids) is the Dataset of some queries"
    if _is_pandas(value):
        return (
            'shortlist.Dataset(frame, query="user_id", candidate="item_id"); ids that are the index become a column by '
            'frame.reset_index(), whole numbers that pandas made float by frame["user_id"].astype("Int64")'
        )
    source = f'"{value}"' if isinstance(value, (str, Path)) else "table"
    return f'shortlist.Dataset({source}, query="user_id", candidate="item_id")'


def _is_pandas(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas"

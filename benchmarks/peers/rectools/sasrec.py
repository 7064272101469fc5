"""RecTools' SASRec, run by its own environment's Python: `sasrec.py FOLDER`; knows nothing of the project.

FOLDER/asked.npz: the interactions `train_user`, `train_item` and `given_user`, `given_item`, each in order of time, and the
users `asked`. FOLDER/options.json: the model's options, and `k`. Writes FOLDER/lists.npy: `[asked, k]` items, best first, −1
where there are fewer; what is given of a user is not in its list.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main(folder: Path) -> None:
    options = json.loads((folder / "options.json").read_text())
    k, seed, threads = (options.pop(name) for name in ("k", "seed", "threads"))
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    np.random.seed(seed)
    with np.load(folder / "asked.npz") as arrays:
        train, given = (_dataset(arrays[f"{part}_user"], arrays[f"{part}_item"]) for part in ("train", "given"))
        asked = arrays["asked"]
    model = SASRecModel(loss="softmax", deterministic=True, recommend_torch_device="cpu", **options).fit(train)
    found = model.recommend(asked, given, k=k, filter_viewed=True, on_unsupported_targets="ignore")
    lists = np.full((len(asked), k), -1, dtype=np.int64)
    row = np.searchsorted(asked, found[Columns.User].to_numpy())
    lists[row, found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
    np.save(folder / "lists.npy", lists)


def _dataset(users: np.ndarray, items: np.ndarray) -> Dataset:
    times = pd.to_datetime(np.arange(len(users)), unit="s")  # the order is what counts
    columns = {Columns.User: users, Columns.Item: items, Columns.Weight: 1.0, Columns.Datetime: times}
    return Dataset.construct(pd.DataFrame(columns))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""RePlay's SASRec, run by its own environment's Python: `sasrec.py FOLDER`; knows nothing of the project.

FOLDER is as for `rectools/sasrec.py`: asked.npz and options.json in, lists.npy out. The model, its loss over the whole
catalogue and the optimizer's settings are RePlay's; batches are padded here. Each sequence is cut to pieces of the model's length.
"""

import json
import sys
from pathlib import Path

import lightning
import numpy as np
import torch
from replay.data import FeatureHint, FeatureSource, FeatureType
from replay.data.nn import TensorFeatureInfo, TensorFeatureSource, TensorSchema
from replay.nn.lightning import LightningModule
from replay.nn.lightning.optimizer import OptimizerFactory
from replay.nn.sequential import SasRec

ROWS = 256  # users asked at a time
ITEM = "item_id"


def main(folder: Path) -> None:
    options = json.loads((folder / "options.json").read_text())
    k, seed, threads = (options.pop(name) for name in ("k", "seed", "threads"))
    epochs, size, rate = (options.pop(name) for name in ("epochs", "batch_size", "learning_rate"))
    torch.set_num_threads(threads)
    lightning.seed_everything(seed, verbose=False)
    with np.load(folder / "asked.npz") as arrays:
        train = _sequences(arrays["train_user"], arrays["train_item"])
        given = _sequences(arrays["given_user"], arrays["given_item"])
        asked, items = arrays["asked"], int(arrays["items"])
    length = options["max_sequence_length"]
    schema = _schema(items, options["embedding_dim"])
    module = LightningModule(SasRec.from_params(schema, **options), OptimizerFactory(learning_rate=rate))
    pieces = [row for row in train.values() for row in _pieces(row, length + 1)]
    loader = torch.utils.data.DataLoader(
        pieces, size, shuffle=True, collate_fn=lambda rows: _batch(rows, length, items, targets=True)
    )
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader)
    np.save(
        folder / "lists.npy", _lists(module.model.eval(), [given[user] for user in asked.tolist()], k, length, items)
    )


def _schema(items: int, dim: int) -> TensorSchema:
    """One column, of items; padding is the number after the last."""
    return TensorSchema(
        TensorFeatureInfo(
            ITEM, FeatureType.CATEGORICAL, is_seq=True, feature_hint=FeatureHint.ITEM_ID,
            feature_sources=[TensorFeatureSource(FeatureSource.INTERACTIONS, ITEM)], cardinality=items,
            padding_value=items, embedding_dim=dim,
        )
    )  # fmt: skip


def _sequences(users: np.ndarray, items: np.ndarray) -> dict[int, np.ndarray]:
    """Each user's items, in their order."""
    found, starts = np.unique(users, return_index=True)
    return dict(zip(found.tolist(), np.split(items, starts[1:]), strict=True))


def _pieces(row: np.ndarray, length: int) -> list[np.ndarray]:
    """The latest items and those before them, so many at a time; the last of a piece is also the first of the next."""
    ends = range(len(row), 1, -(length - 1))
    return [row[max(0, end - length) : end] for end in ends]


def _batch(rows: list[np.ndarray], length: int, padding: int, targets: bool) -> dict:
    """Rows padded at the front; with targets the next item at each place."""
    if targets:
        batch = _batch([row[:-1] for row in rows], length, padding, targets=False)
        after = _batch([row[1:] for row in rows], length, padding, targets=False)
        batch["positive_labels"] = after["feature_tensors"][ITEM].unsqueeze(-1)
        batch["target_padding_mask"] = after["padding_mask"].unsqueeze(-1)
        return {**batch, "negative_labels": None}
    filled = torch.full((len(rows), length), padding)
    for place, row in enumerate(rows):
        latest = torch.from_numpy(row[-length:])
        filled[place, length - len(latest) :] = latest
    return {"feature_tensors": {ITEM: filled}, "padding_mask": filled != padding}


@torch.no_grad()
def _lists(model: SasRec, given: list[np.ndarray], k: int, length: int, items: int) -> np.ndarray:
    """The k best items of each user but those that are given, −1 where there are fewer."""
    lists = []
    for start in range(0, len(given), ROWS):
        rows = given[start : start + ROWS]
        scores = model(**_batch(rows, length, items, targets=False))["logits"][:, :items]
        for place, row in enumerate(rows):
            scores[place, torch.from_numpy(row)] = -torch.inf
        best = scores.topk(min(k, items))
        lists.append(torch.where(best.values > -torch.inf, best.indices, -1).numpy())
    return np.concatenate(lists)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

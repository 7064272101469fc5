"""Training: fit, optimizers, history, callbacks."""

from shortlist.train import recipes
from shortlist.train.callbacks import MLflow, TensorBoard
from shortlist.train.fit import fit
from shortlist.train.history import Epoch, TrainingHistory
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RowwiseAdagrad
from shortlist.train.warm_start import WarmStart

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Epoch",
    "MLflow",
    "Optimizer",
    "RowwiseAdagrad",
    "TensorBoard",
    "TrainingHistory",
    "WarmStart",
    "fit",
    "recipes",
]

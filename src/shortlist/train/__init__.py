"""Training: fit, optimizers, checkpoints, history, callbacks."""

from shortlist.loss import ALS
from shortlist.train import recipes
from shortlist.train.als import als
from shortlist.train.callbacks import MLflow, TensorBoard
from shortlist.train.checkpoints import Checkpoints
from shortlist.train.epochs import Epoch, TrainingHistory
from shortlist.train.fit import fit
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RowwiseAdagrad
from shortlist.train.ranker import Ranker
from shortlist.train.warm_start import WarmStart

__all__ = [
    "ALS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Checkpoints",
    "Epoch",
    "MLflow",
    "Optimizer",
    "Ranker",
    "RowwiseAdagrad",
    "TensorBoard",
    "TrainingHistory",
    "WarmStart",
    "als",
    "fit",
    "recipes",
]

"""Training: fit, optimizers, history."""

from shortlist.train import recipes
from shortlist.train.fit import fit
from shortlist.train.history import Epoch, TrainingHistory
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Epoch", "Optimizer", "TrainingHistory", "fit", "recipes"]

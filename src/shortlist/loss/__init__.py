"""Losses over the distinct rows of a batch: in-batch softmax, and softmax, BSL, BPR and CCL over any negatives."""

from shortlist.loss.als import ALS
from shortlist.loss.chosen import Chosen, Pairs
from shortlist.loss.columns import Columns, Places, SoftmaxOptions, softmax_over
from shortlist.loss.heads import best_head_softmax
from shortlist.loss.kinds import BPR, BSL, CCL, InBatch, Loss, Mixed, Negatives, Sampled, Softmax, WholeCatalogue
from shortlist.loss.pairwise import pairwise_loss
from shortlist.loss.retrieval import Retrieval
from shortlist.loss.sampling import Draws, StreamingFrequency
from shortlist.loss.softmax import in_batch_softmax
from shortlist.loss.sweeps import Sweeps, objective, solve

__all__ = [
    "ALS",
    "BPR",
    "BSL",
    "CCL",
    "Chosen",
    "Columns",
    "Draws",
    "InBatch",
    "Loss",
    "Mixed",
    "Negatives",
    "Pairs",
    "Places",
    "Retrieval",
    "Sampled",
    "Softmax",
    "SoftmaxOptions",
    "StreamingFrequency",
    "Sweeps",
    "WholeCatalogue",
    "best_head_softmax",
    "in_batch_softmax",
    "objective",
    "pairwise_loss",
    "softmax_over",
    "solve",
]

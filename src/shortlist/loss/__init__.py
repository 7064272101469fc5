"""The in-batch softmax, exact and on distinct rows only."""

from shortlist.loss.retrieval import Retrieval
from shortlist.loss.softmax import in_batch_softmax

__all__ = ["Retrieval", "in_batch_softmax"]

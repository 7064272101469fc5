"""Model + index + seen items behind raw ids, and the bundle on disk."""

from shortlist.recommender.publishing import publish, search_published
from shortlist.recommender.reasons import Cause, Part, Reason
from shortlist.recommender.recommendations import Item, Recommendation, Recommendations
from shortlist.recommender.recommender import Recommender
from shortlist.recommender.rerank import Rerank

__all__ = [
    "Cause",
    "Item",
    "Part",
    "Reason",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "Rerank",
    "publish",
    "search_published",
]

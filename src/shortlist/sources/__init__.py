"""Sources of candidates other than the towers: tables of neighbours, and the mixture of both."""

from shortlist.sources.blend import Blend, Filters, NeighbourSource, search_blend, without
from shortlist.sources.cooccurrence import Cooccurrence
from shortlist.sources.ease import EASE, ease_columns, ease_products
from shortlist.sources.mixture import Mixture, towers_of
from shortlist.sources.neighbours import Neighbours, Scored
from shortlist.sources.own_history import OwnHistory
from shortlist.sources.tables import histories_of
from shortlist.sources.transitions import Transitions

__all__ = [
    "EASE",
    "Blend",
    "Cooccurrence",
    "Filters",
    "Mixture",
    "NeighbourSource",
    "Neighbours",
    "OwnHistory",
    "Scored",
    "Transitions",
    "ease_columns",
    "ease_products",
    "histories_of",
    "search_blend",
    "towers_of",
    "without",
]

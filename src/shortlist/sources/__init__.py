"""Sources of candidates other than the towers: tables of neighbours and ranked lists; and the mixture of all."""

from shortlist.sources.added import Added, Context, without
from shortlist.sources.blend import Blend, Weights
from shortlist.sources.cooccurrence import Cooccurrence
from shortlist.sources.ease import EASE, ease_columns, ease_products
from shortlist.sources.mixture import Mixture, towers_of
from shortlist.sources.neighbours import Neighbours, Scored
from shortlist.sources.own_history import OwnHistory
from shortlist.sources.ranked import RankedList
from shortlist.sources.rankings import Newest, Popular, Recent
from shortlist.sources.search import Filters, Searched, search
from shortlist.sources.tables import histories_of
from shortlist.sources.transitions import Transitions

__all__ = [
    "EASE",
    "Added",
    "Blend",
    "Context",
    "Cooccurrence",
    "Filters",
    "Mixture",
    "Neighbours",
    "Newest",
    "OwnHistory",
    "Popular",
    "RankedList",
    "Recent",
    "Scored",
    "Searched",
    "Transitions",
    "Weights",
    "ease_columns",
    "ease_products",
    "histories_of",
    "search",
    "towers_of",
    "without",
]

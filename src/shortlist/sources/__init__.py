"""Sources of candidates other than the towers: tables of neighbours and ranked lists; and the mixture of all."""

from shortlist.sources.added import Added, Context, without
from shortlist.sources.blend import Blend, Weights
from shortlist.sources.cooccurrence import Cooccurrence
from shortlist.sources.ease import EASE, ease_columns, ease_products
from shortlist.sources.grouping import Grouping
from shortlist.sources.mixture import Mixture, towers_of
from shortlist.sources.neighbours import Neighbours, Scored
from shortlist.sources.own_history import OwnHistory
from shortlist.sources.pair_features import Liking, PairFeatures, Taste
from shortlist.sources.plane import plane
from shortlist.sources.quotas import checked_quotas, depth_of, places_of_all
from shortlist.sources.ranked import RankedList
from shortlist.sources.rankings import Newest, Popular, Recent
from shortlist.sources.search import Filters, Scale, Searched, best_alone, first_of, nearby, search, search_with_scale
from shortlist.sources.second_stage import FirstList, Network, SecondStage
from shortlist.sources.shares import MOST_CAUSES, Causes, Shares, heaviest_causes, shares_of
from shortlist.sources.staged import scores_of_all_stages, search_all_stages
from shortlist.sources.tables import histories_of
from shortlist.sources.transitions import Transitions

__all__ = [
    "EASE",
    "MOST_CAUSES",
    "Added",
    "Blend",
    "Causes",
    "Context",
    "Cooccurrence",
    "Filters",
    "FirstList",
    "Grouping",
    "Liking",
    "Mixture",
    "Neighbours",
    "Network",
    "Newest",
    "OwnHistory",
    "PairFeatures",
    "Popular",
    "RankedList",
    "Recent",
    "Scale",
    "Scored",
    "Searched",
    "SecondStage",
    "Shares",
    "Taste",
    "Transitions",
    "Weights",
    "best_alone",
    "checked_quotas",
    "depth_of",
    "ease_columns",
    "ease_products",
    "first_of",
    "heaviest_causes",
    "histories_of",
    "nearby",
    "places_of_all",
    "plane",
    "scores_of_all_stages",
    "search",
    "search_all_stages",
    "search_with_scale",
    "shares_of",
    "towers_of",
    "without",
]

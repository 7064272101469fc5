"""Declared columns -> integers and floats."""

from shortlist.features.encoded import Bags, Codes, Encoded, Floats
from shortlist.features.feature import Feature, State
from shortlist.features.lookup import IntegerLookup, StringLookup
from shortlist.features.vocabulary import Vocabulary

FEATURE_KINDS: dict[str, type[Feature]] = {kind.kind: kind for kind in (StringLookup, IntegerLookup)}
"""Every kind of feature by the name under which bundles store it."""

__all__ = [
    "FEATURE_KINDS",
    "Bags",
    "Codes",
    "Encoded",
    "Feature",
    "Floats",
    "IntegerLookup",
    "State",
    "StringLookup",
    "Vocabulary",
]

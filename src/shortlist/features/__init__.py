"""Declared columns -> integers and floats."""

from shortlist.features.encoded import Bags, Codes, Encoded, Floats
from shortlist.features.feature import Feature, State
from shortlist.features.lookup import IntegerLookup, StringLookup
from shortlist.features.vocabulary import Vocabulary

__all__ = [
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

"""Declared columns -> integers and floats."""

from shortlist.features.encoded import Bags, Codes, Encoded, Floats, Repeated, Sequences, onnx_inputs
from shortlist.features.feature import Feature, State
from shortlist.features.hashing import Hashing
from shortlist.features.history import History
from shortlist.features.kinds import FEATURE_KINDS, features_from_state
from shortlist.features.lookup import Category, IntegerLookup, StringLookup
from shortlist.features.multi_category import MultiCategory
from shortlist.features.numeric import Discretization, Normalization
from shortlist.features.text import Text
from shortlist.features.timestamp import Timestamp
from shortlist.features.vector import Vector

__all__ = [
    "FEATURE_KINDS",
    "Bags",
    "Category",
    "Codes",
    "Discretization",
    "Encoded",
    "Feature",
    "Floats",
    "Hashing",
    "History",
    "IntegerLookup",
    "MultiCategory",
    "Normalization",
    "Repeated",
    "Sequences",
    "State",
    "StringLookup",
    "Text",
    "Timestamp",
    "Vector",
    "features_from_state",
    "onnx_inputs",
]

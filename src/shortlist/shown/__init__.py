"""Lists as they were shown: two bundles mixed into one list, and what a new bundle's lists would have brought."""

from shortlist.shown.examination import Examination
from shortlist.shown.interleaving import Interleaved, interleave
from shortlist.shown.off_policy import OffPolicyEvaluation, PolicyValue, off_policy_evaluate
from shortlist.shown.preference import Preference, preference

__all__ = [
    "Examination",
    "Interleaved",
    "OffPolicyEvaluation",
    "PolicyValue",
    "Preference",
    "interleave",
    "off_policy_evaluate",
    "preference",
]

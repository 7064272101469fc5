"""The values that a ``Retrieval`` is made of check themselves, and are plain values."""

from __future__ import annotations

import math
import pickle

import pytest

import shortlist as sl
from shortlist.loss.kinds import LOSSES, NEGATIVES, from_table


@pytest.mark.parametrize(
    ("made", "options", "says"),
    [
        (sl.Softmax, {"label_smoothing": 1.0}, r"Softmax got label_smoothing=1\.0; a number in \[0, 1\) was expected"),
        (sl.Softmax, {"label_smoothing": -0.1}, r"label_smoothing=-0\.1"),
        (sl.Softmax, {"label_smoothing": "some"}, "label_smoothing='some'"),
        (sl.Softmax, {"correct_positive": 2}, "correct_positive=2; True or False was expected"),
        (sl.BSL, {"exponent": math.nan}, "BSL got exponent=nan"),
        (sl.BSL, {"exponent": -1}, "exponent=-1; a number of 0 or more was expected"),
        (sl.BSL, {"correct_positive": None}, "correct_positive=None"),
        (sl.CCL, {"margin": math.inf}, "CCL got margin=inf; a finite number was expected"),
        (sl.CCL, {"negative_weight": True}, "negative_weight=True"),
        (sl.Sampled, {"number": 0}, "Sampled got number=0; a whole number of at least 1 was expected"),
        (sl.Sampled, {"number": 8.0}, r"number=8\.0"),
        (sl.Mixed, {"number": True}, "Mixed got number=True"),
        (sl.Mixed, {"power": -1.0}, r"Mixed got power=-1\.0; a number of 0 or more was expected"),
    ],
)
def test_options_that_cannot_be(made, options, says) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        made(**options)


@pytest.mark.parametrize("made", [*LOSSES.values(), *NEGATIVES.values()])
def test_a_value_is_frozen_equal_to_its_like_and_survives_a_pickle(made) -> None:
    assert made() == made() == pickle.loads(pickle.dumps(made()))
    with pytest.raises(AttributeError):
        made().kind = "other"


def test_the_words_of_recipes_for_each() -> None:
    words = ("softmax", "bsl", "bpr", "ccl"), ("batch", "sampled", "mixed", "catalogue")
    assert (tuple(LOSSES), tuple(NEGATIVES)) == words
    assert from_table("loss", {"kind": "bsl", "exponent": 2.0}) == sl.BSL(2.0)
    assert from_table("negatives", {"kind": "catalogue"}) == sl.WholeCatalogue()
    with pytest.raises(sl.ConfigError, match="loss='hinge'; known: softmax, bsl, bpr, ccl"):
        from_table("loss", {"kind": "hinge"})


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"loss": sl.CCL}, r"write loss=sl\.CCL\(\)"),
        ({"negatives": sl.Sampled}, r"write negatives=sl\.Sampled\(\)"),
        ({"loss": sl.InBatch()}, r"loss=sl\.BSL\(\)"),
    ],
)
def test_a_class_or_a_value_of_the_other_part_is_refused_with_what_to_write(options, hint) -> None:
    with pytest.raises(sl.ConfigError) as raised:
        sl.Retrieval(**options)
    assert raised.match("was expected")
    assert raised.match(hint)

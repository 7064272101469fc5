"""Options of ``Retrieval`` as they were written before losses and negatives were values: they work, and warn."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

import shortlist as sl
from shortlist.loss.old_names import in_tables

OLD_AND_NEW = [
    ({"loss": "softmax"}, {"loss": sl.Softmax()}),
    ({"label_smoothing": 0.1}, {"loss": sl.Softmax(label_smoothing=0.1)}),
    ({"correct_positive": False}, {"loss": sl.Softmax(correct_positive=False)}),
    (
        {"loss": "bsl", "exponent": 1.2, "correct_positive": False},
        {"loss": sl.BSL(exponent=1.2, correct_positive=False)},
    ),
    ({"loss": "bpr", "hardest": 3}, {"loss": sl.BPR(), "hardest": 3}),
    ({"loss": "ccl", "margin": 0.2, "negative_weight": 3.0}, {"loss": sl.CCL(margin=0.2, negative_weight=3.0)}),
    ({"negatives": "batch"}, {"negatives": sl.InBatch()}),
    ({"negatives": "sampled", "sampled": 8}, {"negatives": sl.Sampled(8)}),
    ({"negatives": "sampled", "sample_power": 0.5}, {"negatives": sl.Sampled(power=0.5)}),
    ({"negatives": "mixed", "sampled": 8, "sample_power": 1.0}, {"negatives": sl.Mixed(8, power=1.0)}),
    ({"negatives": "catalogue"}, {"negatives": sl.WholeCatalogue()}),
    # what had no effect has none
    ({"exponent": 1.2, "margin": 0.1, "sampled": 7}, {}),
    (
        {"loss": "bpr", "exponent": 1.2, "negatives": "catalogue", "sampled": 7, "label_smoothing": 0.0},
        {"loss": sl.BPR(), "negatives": sl.WholeCatalogue()},
    ),
    ({"loss": sl.BSL(2.0), "negatives": "mixed"}, {"loss": sl.BSL(2.0), "negatives": sl.Mixed()}),
]


def plain(task: sl.Retrieval) -> dict[str, object]:
    return {name: getattr(task, name) for name in type(task).__dataclass_fields__}


@pytest.mark.parametrize(("old", "new"), OLD_AND_NEW, ids=str)
def test_the_old_spelling_makes_the_same_and_warns_at_its_own_line(old, new) -> None:
    with pytest.warns(DeprecationWarning, match=r"Retrieval\(.*\) is deprecated and will be removed in") as said:
        task = sl.Retrieval(temperature=0.5 if old.get("loss") != "ccl" else 1.0, **old)
    assert len(said) == 1
    assert said[0].filename == __file__
    assert plain(task) == plain(sl.Retrieval(temperature=task.temperature, **new))


def test_the_warning_says_what_to_write() -> None:
    with pytest.warns(DeprecationWarning, match="exponent") as said:
        sl.Retrieval(loss="bsl", exponent=1.2, negatives="sampled", sampled=8)
    assert "use Retrieval(loss=sl.BSL(exponent=1.2), negatives=sl.Sampled(number=8))." in str(said[0].message)


def test_by_position_too() -> None:
    with pytest.warns(DeprecationWarning, match="negatives='mixed'"):
        task = sl.Retrieval(0.5, False, "counts", "bsl", "mixed")
    assert plain(task) == plain(sl.Retrieval(0.5, False, "counts", sl.BSL(), sl.Mixed()))


def test_the_new_spelling_and_replace_say_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = replace(sl.Retrieval(loss=sl.BSL(), log_q="counts"), temperature=0.5)
    assert (task.loss, task.temperature) == (sl.BSL(), 0.5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"loss": "hinge"}, "softmax, bsl, bpr, ccl"),
        ({"negatives": "all"}, "batch, sampled, mixed, catalogue"),
        ({"sampled": 0}, "number=0"),
        ({"negatives": "mixed", "sample_power": -1.0}, r"power=-1\.0"),
        ({"loss": "bpr", "label_smoothing": 0.1}, "only Softmax has it"),
        ({"loss": "bpr", "label_smoothing": 1.0}, r"label_smoothing=1\.0"),
        ({"negatives": "catalogue", "log_q": "counts"}, "leave log_q out"),
        ({"loss": sl.BSL(), "exponent": 2.0}, r"got exponent= together with loss=BSL(?s:.*)give exponent= to BSL\(\)"),
        ({"negatives": sl.Mixed(), "sampled": 2, "sample_power": 1}, r"give number= and power= to Mixed\(\)"),
    ],
)
def test_what_could_not_be_is_refused_as_before(options, says) -> None:
    with pytest.raises(sl.ConfigError, match=says):
        sl.Retrieval(**options)


def test_tables_of_a_recipe_keep_what_they_have() -> None:
    tree = {"temperature": 0.1, "negatives": {"kind": "mixed", "number": 3}, "sample_power": 0.5, "loss": "ccl"}
    assert in_tables(tree) == {
        "temperature": 0.1,
        "negatives": {"kind": "mixed", "number": 3, "power": 0.5},
        "loss": {"kind": "ccl"},
    }

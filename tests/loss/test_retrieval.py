"""The retrieval task: its options, its corrections from training counts, its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import shortlist as sl
from shortlist.loss import BPR, BSL, CCL, Mixed, Retrieval, Sampled, Softmax, WholeCatalogue, in_batch_softmax


def test_defaults():
    task = Retrieval()
    assert (task.temperature, task.remove_accidental_hits, task.log_q) == (1.0, True, None)
    assert sl.Retrieval is Retrieval


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
def test_temperature_must_be_a_positive_number(temperature):
    with pytest.raises(sl.ConfigError, match="positive") as error:
        Retrieval(temperature=temperature)
    assert f"temperature={temperature}" in error.value.message


def test_log_q_by_another_name():
    with pytest.raises(sl.ConfigError, match=r"log_q='count'.*counts"):
        Retrieval(log_q="count")


def test_no_correction():
    assert Retrieval().candidate_log_q(np.array([1, 2])) is None


def test_log_q_from_counts():
    """Counts 1, 3, 0 of 4 interactions: 1/4, 3/4; one never drawn gets a finite number that no batch uses."""
    log_q = Retrieval(log_q="counts").candidate_log_q(np.array([1, 3, 0]))
    assert log_q.dtype == torch.float32
    assert log_q.exp().tolist() == pytest.approx([1 / 4, 3 / 4, 1 / 4])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_q_as_given(dtype):
    given = np.log(np.array([1 / 2, 1 / 8, 3 / 8], dtype=dtype))
    log_q = Retrieval(log_q=given).candidate_log_q(np.array([5, 5, 5]))
    assert log_q.exp().tolist() == pytest.approx([1 / 2, 1 / 8, 3 / 8])


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_log_q_of_another_shape(shape):
    with pytest.raises(sl.ConfigError, match="was expected") as error:
        Retrieval(log_q=np.zeros(shape)).candidate_log_q(np.array([1, 1, 1]))
    assert str(list(shape)) in error.value.message
    assert "[3]" in error.value.message
    assert "dataset.candidates" in error.value.hint


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_log_q_that_is_not_finite(bad):
    with pytest.raises(sl.ConfigError, match="NaN or infinite"):
        Retrieval(log_q=np.array([0.0, bad])).candidate_log_q(np.array([1, 1]))


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_passes_every_option_on(remove, temperature):
    query, candidate = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [0.5]])
    pairs = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    options = {"weight": torch.tensor([1.0, 0.0, 2.0]), "log_q": torch.tensor([-1.0, -2.0])}
    got = Retrieval(temperature, remove)(query, candidate, *pairs, **options)
    wanted = in_batch_softmax(
        query, candidate, *pairs, temperature=temperature, remove_accidental_hits=remove, **options
    )
    assert got == wanted


def test_the_default_removes_accidental_hits():
    """q = 0 and columns a a b: the two pairs of a see a and b, the pair of b sees all three."""
    query, candidate = torch.zeros(1, 2), torch.ones(2, 2)
    pairs = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1])
    assert Retrieval()(query, candidate, *pairs).item() == pytest.approx(2 * math.log(2) + math.log(3))


def test_is_frozen():
    with pytest.raises(AttributeError):
        Retrieval().temperature = 2.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"loss": 3}, "loss=3; one of Softmax(), BSL(), BPR(), CCL() was expected"),
        ({"loss": None}, "loss=None"),
        ({"negatives": BSL()}, "one of InBatch(), Sampled(), Mixed(), WholeCatalogue() was expected"),
        ({"temperature": 0}, "temperature=0; a positive number"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"mask_known": "yes"}, "mask_known='yes'; True or False"),
        ({"hardest": 1.5}, "hardest=1.5"),
        ({"mined": True}, "mined=True"),
        ({"negatives": WholeCatalogue(), "log_q": "counts"}, "leave log_q out"),
        ({"negatives": Sampled(8), "log_q": "streaming"}, "whose probabilities are known"),
        ({"hardest": 3, "loss": Softmax(label_smoothing=0.1)}, "one of them"),
        ({"loss": CCL(), "temperature": 0.5}, "cosines"),
        ({"loss": CCL(), "learn_temperature": True}, "cosines"),
        ({"loss": BPR(), "remove_accidental_hits": False}, "BPR() always removes"),
    ],
)
def test_options_that_cannot_be_are_refused(options, says):
    with pytest.raises(sl.ConfigError) as error:
        Retrieval(**options)
    assert says in error.value.message


def test_what_is_plain_and_what_is_not():
    assert Retrieval().plain
    assert Retrieval(log_q="counts", temperature=0.1, remove_accidental_hits=False).plain
    for options in (
        {"negatives": Mixed()},
        {"mask_known": True},
        {"hardest": 2},
        {"loss": BSL()},
        {"loss": Softmax(correct_positive=False)},
        {"mined": 1},
    ):
        assert not Retrieval(**options).plain

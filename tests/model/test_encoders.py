"""Causal encoders: one contract for all, and values against plain forms written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from shortlist.features import History
from shortlist.features.history import ENCODERS
from shortlist.model.encoders import causal_encoder, packed

every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def encoder_of(kind: str, dim: int = 8, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = causal_encoder(History(encoder=kind, length=6, **options), dim, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():  # no zeros that hide a part
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return encoder


@every_encoder
def test_what_comes_later_changes_no_state(encoder: str) -> None:
    model = encoder_of(encoder)
    items = torch.randn(3, 6, 8)
    changed = items.clone()
    changed[:, 4:] = torch.randn(3, 2, 8)
    states, after = model(items), model(changed)
    assert torch.equal(states[:, :4], after[:, :4])
    assert not torch.allclose(states[:, 4:], after[:, 4:])  # the comparison can fail
    assert torch.allclose(model(items[:, :3]), states[:, :3], atol=1e-6)


@every_encoder
def test_lengths_together_are_lengths_one_by_one(encoder: str) -> None:
    model, shapes = encoder_of(encoder), [(3, 1), (2, 4), (1, 6)]
    parts = [torch.randn(*shape, 8) for shape in shapes]
    together = packed(model, torch.cat([part.flatten(0, 1) for part in parts]), shapes)
    assert torch.allclose(together, torch.cat([model(part).flatten(0, 1) for part in parts]), atol=1e-6)


@every_encoder
def test_every_earlier_item_counts(encoder: str) -> None:
    items = torch.randn(1, 6, 8, requires_grad=True)
    encoder_of(encoder)(items)[0, 5].square().sum().backward()
    assert items.grad is not None
    assert (items.grad[0].abs().sum(1) > 0).all()


def test_averages_by_hand() -> None:
    items = torch.tensor([[[4.0], [8.0], [2.0]]])
    expected = {"mean": [4, 6, 14 / 3], "sum": [4, 12, 14], "ema": [4, 20 / 3, 28 / 7]}  # ema: weights 1, 1/2, 1/4
    for kind, values in expected.items():
        states = causal_encoder(History(encoder=kind, length=3, decay=0.5), 1).eval()(items)
        assert torch.allclose(states.flatten(), torch.tensor(values, dtype=torch.float32)), kind
    weighted = causal_encoder(History(encoder="weighted", length=3), 1).eval()
    assert torch.allclose(weighted(items).flatten(), torch.tensor([4, 6, 14 / 3]))
    with torch.no_grad():
        weighted.log_weight[1] = np.log(3.0)  # the item before the last counts thrice
    assert torch.allclose(weighted(items).flatten(), torch.tensor([4, (8 + 12) / 4, (2 + 24 + 4) / 5]))


def test_self_attention_against_a_plain_form() -> None:
    encoder = encoder_of("transformer", layers=1, heads=2, feedforward=2)
    items = torch.randn(1, 5, 8)
    (block,) = encoder.blocks
    x = items[0] * 8**0.5 + encoder.places[:5]
    q, k, v = (block.query_key_value(block.norm_1(x))).split(8, dim=1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        rows = []
        for place in range(5):
            scores = k[: place + 1, head] @ q[place, head] / 2  # √4
            rows.append(scores.softmax(0) @ v[: place + 1, head])
        heads.append(torch.stack(rows))
    x = x + block.out(torch.cat(heads, dim=1))
    first, _, _, second = block.inner
    x = x + second(functional.relu(first(block.norm_2(x))))
    assert torch.allclose(encoder(items)[0], encoder.norm(x), atol=1e-5)


def test_hstu_against_a_plain_form() -> None:
    encoder = encoder_of("hstu", layers=1, heads=2)
    items = torch.randn(1, 5, 8)
    (block,) = encoder.blocks
    x = items[0] * 8**0.5 + encoder.places[:5]
    q, k, v, u = functional.silu(block.gates(block.norm_in(x))).split(8, dim=1)
    read = torch.zeros(5, 8)
    for number, head in enumerate((slice(0, 4), slice(4, 8))):
        for place in range(5):
            for other in range(place + 1):
                score = q[place, head] @ k[other, head] / 2 + block.by_age[number, place - other]
                read[place, head] += functional.silu(score) * v[other, head] / (place + 1)
    x = x + block.out(block.norm_read(read) * u)
    assert torch.allclose(encoder(items)[0], encoder.norm(x), atol=1e-5)


def test_gru_against_a_plain_form() -> None:
    encoder = encoder_of("gru", layers=1)
    items = torch.randn(1, 4, 8)
    gru, state = encoder.gru, torch.zeros(8)
    for place in range(4):
        of_item = gru.weight_ih_l0 @ items[0, place] + gru.bias_ih_l0
        of_state = gru.weight_hh_l0 @ state + gru.bias_hh_l0
        reset, update = (torch.sigmoid(of_item[part] + of_state[part]) for part in (slice(0, 8), slice(8, 16)))
        new = torch.tanh(of_item[16:] + reset * of_state[16:])
        state = (1 - update) * new + update * state
        assert torch.allclose(encoder(items)[0, place], encoder.after(state), atol=1e-5)

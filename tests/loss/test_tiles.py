"""Tiles of scores follow the device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from shortlist.loss import tiles


def test_a_tile_is_what_a_processor_was_measured_with_and_a_part_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {0: 80 << 30, 1: 1 << 20}
    properties = lambda device: SimpleNamespace(total_memory=memory[device.index])  # noqa: E731
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    tiles.elements_on.cache_clear()
    assert tiles.elements_on(torch.device("cpu"), 1 << 21) == 1 << 21
    assert tiles.elements_on(torch.device("cuda", 0), 1 << 21) == (80 << 30) // 256  # 1.25 GiB of float32
    assert tiles.elements_on(torch.device("cuda", 1), 1 << 21) == 1 << 21
    tiles.elements_on.cache_clear()

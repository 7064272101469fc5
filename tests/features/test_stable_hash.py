"""The stable hash: against a plain twin, and against values that must never change."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.features import stable_hash
from shortlist.features.stable_hash import hash_integers, hash_strings

WORD = 2**64


def mix(number: int) -> int:
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB % WORD
    return number ^ (number >> 31)


def plain_hash(text: str) -> int:
    data = text.encode()
    words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, len(data), 8)]
    return mix((len(data) + sum(mix((w + (i + 1) * 0x9E3779B97F4A7C15) % WORD) for i, w in enumerate(words))) % WORD)


def test_mix_is_splitmix64():
    """The first numbers that SplitMix64 draws from seed 1234567 (Rosetta Code's check values)."""
    golden = 0x9E3779B97F4A7C15
    drawn = [mix((1234567 + step * golden) % WORD) for step in (1, 2, 3)]
    assert drawn == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.lists(st.text() | st.sampled_from(["", "a" * 8, "a" * 9, "a\0", "\0"])))
def test_strings_hash_as_in_the_plain_form(texts: list[str]):
    assert hash_strings(pl.Series(texts, dtype=pl.String)).tolist() == [plain_hash(text) for text in texts]


@given(st.lists(st.integers(0, WORD - 1)))
def test_integers_hash_as_in_the_plain_form(numbers: list[int]):
    assert hash_integers(np.array(numbers, dtype=np.uint64)).tolist() == [mix(mix(number)) for number in numbers]


def test_the_hash_never_changes():
    """Bundles depend on these."""
    assert hash_strings(pl.Series(["ann", "Toy Story (1995)"])).tolist() == ANN_AND_TOY_STORY
    assert hash_integers(np.array([5], dtype=np.uint64)).tolist() == [16717243559324746421]


ANN_AND_TOY_STORY = [10031052685804127575, 6950214948212161220]


def test_parts_join_seamlessly(monkeypatch: pytest.MonkeyPatch):
    texts = ["", "x" * 100, "", "", "ab", "x" * 31, "c", ""] * 5
    expected = [plain_hash(text) for text in texts]
    for bytes_at_a_time, strings_at_a_time in ((1, 100), (32, 3), (1000, 1)):
        monkeypatch.setattr(stable_hash, "BYTES_AT_A_TIME", bytes_at_a_time)
        monkeypatch.setattr(stable_hash, "STRINGS_AT_A_TIME", strings_at_a_time)
        assert hash_strings(pl.Series(texts)).tolist() == expected


def test_inputs_stay_as_they_are():
    numbers = np.array([1, 2], dtype=np.uint64)
    hash_integers(numbers)
    assert numbers.tolist() == [1, 2]

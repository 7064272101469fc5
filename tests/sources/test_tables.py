"""What every source of neighbours refuses, one by one over all of their settings."""

from __future__ import annotations

from dataclasses import fields

import pytest

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.sources.own_history import OwnHistory

SOURCES = (sl.Transitions, sl.Cooccurrence, sl.EASE, OwnHistory)
RANGES = {  # ends included
    "decay": (0, 1),
    "backward": (0, 1),
    "age": (1e-6, 1),
    "source_power": (0, 2),
    "target_power": (0, 2),
    "query_power": (0, 2),
    "strength": (1e-6, 1e12),
}
SETTINGS = [(source, field.name) for source in SOURCES for field in fields(source)]


@pytest.mark.parametrize(("source", "name"), SETTINGS)
def test_a_setting_that_cannot_be_is_refused_by_name(source, name) -> None:
    bad = [True, "1", float("nan"), -1]
    bad += [RANGES[name][1] * 1.01, RANGES[name][0] - 1e-7] if name in RANGES else [0, 1.5]
    if (source, name) != (sl.EASE, "strength"):  # None follows the table there
        bad.append(None)
    for value in bad:
        with pytest.raises(ConfigError, match=f"{source.__name__} got {name}=.* was expected"):
            source(**{name: value})


@pytest.mark.parametrize(("source", "name"), SETTINGS)
def test_the_ends_of_what_can_be_are_taken(source, name) -> None:
    for value in RANGES.get(name, (1, 10**9)):
        assert getattr(source(**{name: value}), name) == value


@pytest.mark.parametrize("source", SOURCES)
def test_only_a_dataset_is_learned_from(source) -> None:
    with pytest.raises(DataError, match=rf"{source.__name__}\.fit\(train\) got a.*; a Dataset was expected"):
        source().fit([1, 2])

"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from shortlist import features

MODULES = [module.name for module in pkgutil.iter_modules(features.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str):
    assert doctest.testmod(importlib.import_module(f"shortlist.features.{name}")).failed == 0


def test_every_kind_has_an_example():
    for kind in features.FEATURE_KINDS.values():
        assert ">>>" in (kind.__doc__ or ""), kind

"""The page of licences names every package that an installation brings, as the packages themselves do."""

from __future__ import annotations

import re
import sys

import pytest
from docs.licences import PAGES, direct, licence_of


def rows() -> dict[str, str]:
    found = re.findall(r"^\| ([\w-]+) \| (.+?) \| .+ \|$", PAGES["en"].read_text("utf-8"), flags=re.MULTILINE)
    return dict(found[1:])  # without the head


def test_every_package_is_listed() -> None:
    assert set(rows()) == set(direct()), "python docs/licences.py"
    assert {"numpy", "torch", "scann", "pymilvus"} <= set(rows())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="older packages word their licences differently")
def test_licences_are_those_that_the_packages_name() -> None:
    found = {package: licence_of(package) for package in rows()}
    assert sum(licence is not None for licence in found.values()) > 15
    assert [name for name, licence in found.items() if licence is not None and licence != rows()[name]] == []


LESSER = {"psycopg"}  # LGPL, in an extra: imported unchanged, and never part of what we distribute (decision 63)


def test_none_asks_for_more_than_naming_it() -> None:
    more = {name for name, licence in rows().items() if re.search(r"GPL|not named|Proprietary", licence)}
    assert more == LESSER
    assert all(rows()[name].startswith("LGPL") for name in LESSER)

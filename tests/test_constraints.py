"""`constraints.txt` has a version of every package that `make` installs, at every Python version."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def pins() -> list[Requirement]:
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def installed_with(package: str, extra: str) -> set[str]:
    """The packages that `package[extra]` brings here, itself left out."""
    waiting, seen = [(package, extra)], set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            lines = requires(one[0]) or []
        except PackageNotFoundError:
            continue
        for requirement in map(Requirement, lines):
            if requirement.marker is None or requirement.marker.evaluate({"extra": one[1]}):
                name = canonicalize_name(requirement.name)
                waiting += [(name, extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in seen} - {package}


def test_what_make_installs_is_pinned() -> None:
    pinned = {
        canonicalize_name(pin.name)
        for pin in pins()
        if pin.marker is None or pin.marker.evaluate(default_environment())
    }
    brought = installed_with("shortlist", "dev")
    assert {"torch", "mcp", "starlette", "mypy"} <= brought  # what an extra of an extra brings too
    assert brought - pinned == set()


@pytest.mark.parametrize("python", PYTHONS)
def test_a_package_has_one_version_at_each_python(python: str) -> None:
    here = {**default_environment(), "python_version": python}
    names = [canonicalize_name(pin.name) for pin in pins() if pin.marker is None or pin.marker.evaluate(here)]
    assert [name for name in names if names.count(name) > 1] == []


def test_every_version_is_exact() -> None:
    assert [str(pin) for pin in pins() if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []

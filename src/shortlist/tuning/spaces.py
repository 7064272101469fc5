"""The settings that are tried: a few builds of each backend, and many settings at search."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from shortlist.errors import ConfigError, checked_list, did_you_mean
from shortlist.index.approximate import ApproximateIndex
from shortlist.index.faiss import Faiss, faiss_trouble
from shortlist.index.quantized import WIDTHS, Quantized, quantized_trouble
from shortlist.index.scann import ScaNN, scann_trouble

__all__ = ["BACKENDS", "TITLES", "Axis", "Chosen", "axes", "backend_of", "builds", "chosen"]

BACKENDS = ("exact", "quantized", "scann", "faiss")
TITLES = {
    "exact": "exact search",
    "quantized": "Quantized",
    "scann": "ScaNN",
    "hnsw": "Faiss HNSW",
    "ivfpq": "Faiss IVF-PQ",
}
_ALIASES = {
    "exact": ("exact",),
    "quantized": ("quantized",),
    "scann": ("scann",),
    "faiss": ("ivfpq", "hnsw"),
    "ivfpq": ("ivfpq",),
    "hnsw": ("hnsw",),
}
_EXTRAS = {"quantized": "quantized", "scann": "scann", "ivfpq": "faiss", "hnsw": "faiss"}
_STEP = 1.25  # from one value of an axis to the next
_TINY = 1024  # below, partitions make no sense, and Faiss builds a graph whatever the settings
_FLAT = 20_000  # up to so many candidates, a build without partitions is tried as well
_DEPTH, _LEAST_DEPTH = 60, 1200  # times k, and candidates, that are re-ranked at most


@dataclass(frozen=True)
class Axis:
    """A setting at search and its values, rising: more of it finds more and takes longer."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Chosen:
    """The backends to tune, and those that cannot run here with the reason and what to do."""

    names: tuple[str, ...]
    missing: dict[str, str]


def chosen(backends: Sequence[str] | None) -> Chosen:
    """Backends by name: "exact", "quantized", "scann", "faiss" (both of its methods), "ivfpq", "hnsw"; None for all that run here.

    Raises:
        ConfigError: for a name that is not known.
    """
    names: list[str] = []
    for name in BACKENDS if backends is None else checked_list(backends, "tune(backends=)", "names", str):
        if name not in _ALIASES:
            raise ConfigError(f"there is no backend {name!r} to tune.", hint=did_you_mean(name, _ALIASES))
        names += [one for one in _ALIASES[name] if one not in names]
    troubles = {
        "quantized": quantized_trouble(),
        "scann": scann_trouble(),
        "ivfpq": faiss_trouble(),
        "hnsw": faiss_trouble(),
    }
    missing = {
        name: f"{trouble} ({_remedy(name, trouble)})" for name in names if (trouble := troubles.get(name)) is not None
    }
    return Chosen(tuple(name for name in names if name not in missing), missing)


def _remedy(name: str, trouble: str) -> str:
    if "not installed" not in trouble:
        return "another backend will do"
    return f'pip install "shortlist[{_EXTRAS[name]}]"'


def backend_of(index: ApproximateIndex) -> str:
    """The name under which an index is tuned."""
    return str(index.settings()["method"]) if isinstance(index, Faiss) else index.kind


def builds(name: str, n: int, template: ApproximateIndex | None) -> list[ApproximateIndex]:
    """The unbuilt indexes of a backend that are worth a try over ``n`` candidates, most promising first.

    Settings that ``template`` gives stay as they are.
    """
    tries = _tries(name, n)
    if template is None:
        kind = {"quantized": Quantized, "scann": ScaNN}.get(name, Faiss)
        return [kind(**one) for one in tries]
    if template.built:
        return [template]
    given = template.settings()
    if searched := given.get("leaves_to_search"):  # no fewer partitions than are searched
        tries = [{name: max(int(v), searched) if name == "leaves" else v for name, v in one.items()} for one in tries]
    distinct = {json.dumps(kept): kept for one in tries if (kept := {k: v for k, v in one.items() if given[k] is None})}
    return [template.with_settings(**one) for one in distinct.values()] or [template]


def _tries(name: str, n: int) -> list[dict[str, int | str]]:
    root = math.sqrt(n)
    if name == "quantized":
        return [{"bits": bits} for bits in WIDTHS]
    if name == "hnsw":
        return [{"method": name}]
    if name == "ivfpq":
        return [{"method": name, "lists": round(2 * root)}] if n >= _TINY else []
    if n < _TINY:
        return [{"dims_per_code": 1}]
    if n <= _FLAT:
        return [{"dims_per_code": 1}, {"dims_per_code": 2, "leaves": round(root)}]
    return [{"dims_per_code": 2, "leaves": round(2 * root)}, {"dims_per_code": 1, "leaves": round(4 * root)}]


def axes(index: ApproximateIndex, n: int, k: int) -> tuple[Axis, Axis | None]:
    """The axes of a build: one to bisect, and perhaps one whose every value is tried; settings that were given stay."""
    given = index.settings()
    deep = _ladder(k, min(n, max(_DEPTH * k, _LEAST_DEPTH)), 1.6)
    if isinstance(index, Quantized):
        return _axis("reorder", _ladder(k, min(n, max(_DEPTH * k, _LEAST_DEPTH)), _STEP), given), None
    if isinstance(index, ScaNN):
        leaves = index.leaves(n)
        reorder = _axis("reorder", deep, given)
        return (_axis("leaves_to_search", _parts(leaves), given), reorder) if leaves > 1 else (reorder, None)
    assert isinstance(index, Faiss)
    if index.graph(n):
        return _axis("search_effort", _ladder(k, min(n, max(_DEPTH * k, _LEAST_DEPTH)), _STEP), given), None
    return _axis("lists_to_search", _parts(index.lists(n)), given), _axis("reorder", deep, given)


def _axis(name: str, values: tuple[int, ...], given: dict[str, int | None]) -> Axis:
    fixed = given[name]
    return Axis(name, values if fixed is None else (fixed,))


def _parts(parts: int) -> tuple[int, ...]:
    """Numbers of partitions to search: all of few, up to a quarter of many."""
    return _ladder(1, parts if parts <= 400 else parts // 4, _STEP)


def _ladder(low: int, high: int, step: float) -> tuple[int, ...]:
    """Integers from ``low`` to ``high``, each at most ``step`` times the one before, or one more."""
    values = [low]
    while values[-1] < high:
        values.append(min(high, max(values[-1] + 1, int(values[-1] * step))))
    return tuple(values)

"""Where two records differ: to the last bit on the machine that made the record, within rounding on another."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shortlist.loss.kernel import kernel_trouble

__all__ = ["differences", "machine"]

ROUNDING = 1e-4
"""How far two processors may be apart, relative to a value and to 1; AVX2 and SSE differ by 3e-5 after three epochs."""
ON_THE_MAP = 3e-4
"""The same for places on the map, which are rounded to four digits."""


def machine() -> dict[str, Any]:
    """What the last digits of a sum depend on."""
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "kernel": kernel_trouble() is None,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _processor() -> str:
    """Its name, family and model, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    told = dict(reversed([(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]))
    return " ".join(told.get(name, "?") for name in ("model name", "cpu family", "model"))


def differences(then: Any, now: Any, exact: bool, path: str = "") -> Iterator[str]:
    """A line for each value that differs, by its path. Lists of candidates may swap those whose scores tie."""
    if not exact and (pair := _ranked(then, now)):
        yield from _of_lists(*pair, path)
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            if key not in then or key not in now:
                yield f"{path}/{key}: {'new' if key in now else 'gone'}"
            else:
                yield from differences(then[key], now[key], exact, f"{path}/{key}")
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield f"{path}: {len(then)} values were recorded, {len(now)} came"
            return
        for place, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, exact, f"{path}/{place}")
    elif not _same(then, now, exact, path):
        yield f"{path}: {then!r} was recorded, {now!r} came"


def _same(then: Any, now: Any, exact: bool, path: str) -> bool:
    if type(then) is not type(now):
        return False
    if isinstance(then, float) and math.isnan(then):
        return math.isnan(now)
    if exact or not isinstance(then, float):
        return bool(then == now)
    near = ON_THE_MAP if "/v1/map" in path else ROUNDING
    return math.isclose(then, now, rel_tol=near, abs_tol=near)


def _ranked(then: Any, now: Any) -> tuple[list[tuple[Any, float]], list[tuple[Any, float]]] | None:
    """Both as lists of candidates with scores, where that is what they are."""
    found = [_candidates(one) for one in (then, now)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _candidates(value: Any) -> list[tuple[Any, float]] | None:
    if isinstance(value, dict):
        for ids, scores in (("ids", "scores"), ("output_2", "output_1")):
            if (
                ids in value
                and scores in value
                and isinstance(value[scores], list)
                and len(value[ids]) == len(value[scores])
            ):
                if value[scores] and isinstance(value[scores][0], list):
                    return None
                return list(zip(value[ids], value[scores], strict=True))
    if isinstance(value, list) and value and all(isinstance(one, dict) and {"id", "score"} <= {*one} for one in value):
        return [(one["id"], one["score"]) for one in value]
    return None


def _of_lists(then: list[tuple[Any, float]], now: list[tuple[Any, float]], path: str) -> Iterator[str]:
    """The scores agree in order, and so do the sets of candidates between two gaps; the last set may be cut anywhere."""
    if len(then) != len(now):
        yield f"{path}: {len(then)} candidates were recorded, {len(now)} came"
        return
    for place, (one, other) in enumerate(zip(then, now, strict=True)):
        if not math.isclose(one[1], other[1], rel_tol=ROUNDING, abs_tol=ROUNDING):
            yield f"{path}: at place {place} {one} was recorded, {other} came"
            return
    first = 0
    for place in range(1, len(then)):
        if then[place - 1][1] - then[place][1] > 4 * ROUNDING * max(1.0, abs(then[place][1])):
            if {one for one, _ in then[first:place]} != {one for one, _ in now[first:place]}:
                yield f"{path}: places {first} to {place - 1}: {then[first:place]} was recorded, {now[first:place]} came"
            first = place

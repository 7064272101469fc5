"""``shortlist doctor``: what is installed, what can run here, and why something cannot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from typing import Any

import rich_click as click

from shortlist._public import __version__
from shortlist.cli.console import facts, print_json, show

__all__ = ["command", "examine"]

HIDDEN = ("dev", "bench")  # extras for developers


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """Print versions, threads, devices, and which indexes and extras can be used here."""
    found = examine()
    if as_json:
        print_json(found)
        return
    for title, lines in found.items():
        show(title)
        click.echo("\n".join(facts(lines.items(), "  ")))


def examine() -> dict[str, dict[str, Any]]:
    """The output of ``doctor``, by section and line."""
    return {"this machine": _machine(), "training": _training(), "indexes": _indexes(), "extras": _extras()}


def _machine() -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "shortlist": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "cores": usable,
        "memory": _memory(),
        "polars, numpy": f"{_version('polars')}, {_version('numpy')}",
    }


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _training() -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {"torch": 'not installed: bundles can be served but not trained; pip install "shortlist[train]"'}
    import torch

    from shortlist.loss.kernel import kernel_trouble

    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    build = "CPU build" if torch.version.cuda is None else f"CUDA {torch.version.cuda}"
    note = "" if devices or torch.version.cuda is None else "; there is no GPU here, and the CPU build is far smaller"
    return {
        "torch": f"{torch.__version__} ({build}{note})",
        "threads": torch.get_num_threads(),
        "GPUs": ", ".join(devices) or "none",
        "softmax kernel": "ready" if (trouble := kernel_trouble()) is None else f"torch computes: {trouble}",
    }


def _indexes() -> dict[str, Any]:
    from shortlist.index.faiss import faiss_trouble
    from shortlist.index.library import library_trouble
    from shortlist.index.quantized import quantized_trouble
    from shortlist.index.scann import scann_trouble

    troubles = {
        "BruteForce": None,
        "Quantized": quantized_trouble(),
        "ScaNN": scann_trouble(),
        "Faiss": faiss_trouble(),
    }
    library = "ready" if (missing := library_trouble()) is None else f"numpy and ScaNN compute: {missing}"
    kinds = {kind: "ready" if trouble is None else f"cannot run: {trouble}" for kind, trouble in troubles.items()}
    return {**kinds, "kernel": library}


def _extras() -> dict[str, Any]:
    """Each extra of the package: whether all its packages are installed, or the command that installs them."""
    lines: dict[str, Any] = {}
    for extra, needs in _requirements().items():
        missing = [name for name in needs if not _installed(name)]
        lines[extra] = (
            f'lacks {", ".join(missing)}: pip install "shortlist[{extra}]"'
            if missing
            else ", ".join(f"{name} {_version(name)}" for name in needs)
        )
    return lines


def _requirements() -> dict[str, list[str]]:
    """The packages of each extra that a user may want, with those of the extras that it includes."""
    raw: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("shortlist") or ():
        found = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?.*extra == ['\"]([\w-]+)['\"]", line)
        if found and found[3] not in HIDDEN:
            included = [f"[{one}" for one in found[2].split(",")] if found[1] == "shortlist" else [found[1]]
            raw.setdefault(found[3], []).extend(included)

    def flat(extra: str) -> list[str]:
        parts = (flat(name[1:]) if name.startswith("[") else [name] for name in raw.get(extra, []))
        return [name for part in parts for name in part]

    return {extra: list(dict.fromkeys(flat(extra))) for extra in raw}


def _installed(package: str) -> bool:
    return _version(package) != "–"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "–"

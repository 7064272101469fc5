"""The device of a run, checked before anything begins."""

from __future__ import annotations

import torch
from torch import Tensor

from shortlist.data.argument_checks import shown
from shortlist.errors import ConfigError, did_you_mean
from shortlist.model import TwoTower
from shortlist.train.distributed import local_device

__all__ = ["check_folders", "chosen_device", "moved"]

KNOWN = ("auto", "cpu", "cuda", "mps", "xpu")


def chosen_device(device: str | torch.device) -> torch.device:
    """``device`` as torch knows it; "auto" takes a GPU where there is one.

    Raises:
        ConfigError: for a name that torch does not know, and for a device that this machine lacks.
    """
    if isinstance(device, str) and device == "auto":
        return local_device()
    if not isinstance(device, (str, torch.device)):
        raise ConfigError(
            f"device is {shown(device)}; {_names()} was expected.",
            hint="auto uses a GPU if there is one, otherwise the CPU",
        )
    place = _named(device) if isinstance(device, str) else device
    if place.type == "cuda":
        _check_cuda(place)
    elif place.type != "cpu":
        _check_other(place)
    return place


def check_folders(model: TwoTower, place: torch.device) -> None:
    """ConfigError for tables in files on anything but the processor: they would be in the device's memory."""
    for name in ("query", "candidate"):
        folder = getattr(model, name).storage.folder
        if folder is not None and place.type != "cpu":
            raise ConfigError(
                f"the {name} tower has table_folder={folder!r}, which keeps tables in files that the processor maps; the run is on "
                f"{str(place)!r}.",
                hint='device="cpu"; or without table_folder, with table_dtype="bfloat16" or more GPUs (torchrun)',
            )


def moved(values: Tensor, place: torch.device) -> Tensor:
    """Numbers of a batch on a device: to a GPU through pinned memory, so that the processor does not wait for the copy."""
    if place.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(place, non_blocking=True)
    return values.to(place)


def _named(device: str) -> torch.device:
    try:
        return torch.device(device)
    except RuntimeError:
        name, _, number = device.partition(":")
        gpu = f'device="{":".join(["cuda", number] if number else ["cuda"])}" for a GPU of NVIDIA or AMD'
        hint = gpu if name.lower() == "gpu" else did_you_mean(name, KNOWN)
        raise ConfigError(f"device is {device!r}; {_names()} was expected.", hint=hint) from None


def _check_cuda(place: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ConfigError(
            f"device is {str(place)!r}, and torch {torch.__version__} finds no CUDA GPU here.",
            hint="auto uses a GPU if there is one, otherwise the CPU; shortlist doctor lists the devices",
        )
    if place.index is not None and place.index >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigError(
            f"device is {str(place)!r}; expected one of the GPUs here, {there}.", hint="cuda uses the current one"
        )


def _check_other(place: torch.device) -> None:
    try:
        works = place.type != "meta" and float(torch.zeros(1, device=place)) == 0
    except (RuntimeError, AssertionError, NotImplementedError, ImportError):
        works = False
    if not works:
        raise ConfigError(
            f"device is {str(place)!r}, which torch {torch.__version__} cannot compute on here.",
            hint="auto uses a GPU if there is one, otherwise the CPU",
        )


def _names() -> str:
    return ", ".join(f'"{name}"' for name in KNOWN[:-1]) + f' or "{KNOWN[-1]}"'

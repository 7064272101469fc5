"""A device in Python: computes on the processor, raises where devices are mixed, and counts what would wait for a real one.

torch's PrivateUse1 backend is registered from Python, and its tensors are wrappers around tensors of the processor.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

__all__ = ["DEVICE", "MixedDevicesError", "OnDevice", "waits"]

_WAITING = {
    "aten::_local_scalar_dense": "item",
    "aten::nonzero": "nonzero",
    "aten::masked_select": "masked_select",
    "aten::_unique2": "unique",
    "aten::unique_dim": "unique",
    "aten::unique_consecutive": "unique",
    "aten::bincount": "bincount",
    "aten::equal": "equal",
    "aten::is_nonzero": "item",
    "aten::histc": "histc",
}
"""Calls after which the processor waits for a GPU, because it needs a value or a length from there."""

_counts: Counter[str] | None = None


class MixedDevicesError(RuntimeError):
    """A call with tensors of two devices."""


class OnDevice(Tensor):
    """A tensor that says that it is on the device; its numbers are in ``inside``, on the processor."""

    inside: Tensor

    @staticmethod
    def __new__(cls, real: Tensor) -> OnDevice:
        made: OnDevice = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        made.inside = real
        return made

    def __init__(self, real: Tensor) -> None:
        super().__init__()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What the processor computes, as tensors of the device."""
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    name = func._schema.name
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    moves = name in ("aten::copy_", "aten::_to_copy")
    if not moves:
        _check_one_device(func, tensors)
    _count(name, args, kwargs, target)
    inner = tree_map(lambda one: one.inside if isinstance(one, OnDevice) else one, (args, kwargs))
    if target is not None:
        inner[1]["device"] = torch.device("cpu")
    inner[1].pop("pin_memory", None)
    found = func(*inner[0], **inner[1])
    if target is not None and target.type == "cpu":
        return found
    if name == "aten::copy_":
        return args[0]
    held = {id(one.inside): one for one in tensors if isinstance(one, OnDevice)}

    def outer(one: Any) -> Any:
        if not isinstance(one, Tensor) or isinstance(one, OnDevice):
            return one
        return held.get(id(one)) if id(one) in held else OnDevice(one)

    return tree_map(outer, found)


def _check_one_device(func: Any, tensors: list[Tensor]) -> None:
    on = [isinstance(one, OnDevice) for one in tensors if one.dim() > 0]
    if any(on) and not all(on):
        raise MixedDevicesError(f"{func} got tensors of {DEVICE} and of the processor")


def _count(name: str, args: Any, kwargs: Any, target: torch.device | None) -> None:
    reason = _WAITING.get(name)
    if name == "aten::_to_copy" and target is not None and target.type == "cpu" and not kwargs.get("non_blocking"):
        reason = "to the processor"
    if name == "aten::copy_" and not isinstance(args[0], OnDevice) and isinstance(args[1], OnDevice):
        reason = "to the processor"
    if name in ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"):
        masks = [one for one in args[1] if one is not None and one.dtype in (torch.bool, torch.uint8)]
        reason = "boolean mask" if masks else None
    if name == "aten::repeat_interleave" and kwargs.get("output_size") is None:
        reason = "repeat_interleave"
    if reason is not None:
        _noted(reason)


def _noted(reason: str) -> None:
    if _counts is None:
        return
    frames = [one for one in traceback.extract_stack() if "/src/shortlist/" in one.filename]
    where = f" at {frames[-1].filename.rpartition('/shortlist/')[2]}:{frames[-1].name}" if frames else ""
    _counts[reason + where] += 1


class _FromValues(TorchFunctionMode):  # type: ignore[misc]
    """What torch does below what Python can answer: tensors from Python's values, made on the processor first, and back."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.tolist and isinstance(args[0], OnDevice):
            _noted("tolist")
            return args[0].inside.tolist()
        if (
            func in (torch.matmul, Tensor.matmul, Tensor.__matmul__) and args[0].dim() == 1
        ):  # by squeeze_, which has no return
            return torch.dot(*args) if args[1].dim() == 1 else torch.matmul(args[0].unsqueeze(0), args[1]).squeeze(0)
        if (
            func in (torch.tensor, torch.as_tensor, torch.arange)
            and torch.device(kwargs.get("device") or "cpu").type == DEVICE.type
        ):
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        return func(*args, **kwargs)


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Counts, by reason and place, what makes the processor wait for the device."""
    global _counts
    before, _counts = _counts, Counter()
    try:
        with _FromValues():
            yield _counts
    finally:
        _counts = before


class _Module(_DummyBackendModule):  # type: ignore[misc]
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


def _register() -> torch.device:
    _setup_privateuseone_for_python_backend("pretend", backend_module=_Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: _computed(func, args, kwargs), "PrivateUse1")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # computes in float32 all the same
    _kept.append(library)
    return torch.device("pretend:0")


_kept: list[Any] = []
DEVICE = _register()

"""The compiled libraries of the losses that this processor can run."""

from __future__ import annotations

import ctypes

import pytest
import torch

from shortlist.loss.kernel import FOLDER, INSTRUCTIONS, Kernel

CAPABILITY = torch.backends.cpu.get_cpu_capability()
USABLE = {"AVX512": ["AVX512", "AVX2"], "AVX2": ["AVX2"]}.get(CAPABILITY, [])
BUILT = [name for name in USABLE if (FOLDER / f"kernel-{INSTRUCTIONS[name]}.so").exists()]

needs_kernel = pytest.mark.skipif(not BUILT, reason="no kernel was built for this processor (it needs a C compiler)")


def of(name: str) -> Kernel:
    return Kernel(ctypes.CDLL(str(FOLDER / f"kernel-{INSTRUCTIONS[name]}.so")))

"""Products by either library are those of float64, and the library follows from the processor."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from shortlist.loss import in_batch_softmax, products


@pytest.fixture(params=[False, True])
def by_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "_onednn_is_faster", lambda: request.param)
    for name in ("LARGE", "LARGE_ONCE"):
        monkeypatch.setattr(products, name, 30)  # some of the shapes below are smaller


@pytest.mark.usefixtures("by_onednn")
@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (1, 64, 7), (3, 5, 1), (33, 64, 130)])
def test_products_are_those_of_float64(rows: int, inner: int, columns: int) -> None:
    left, right = torch.randn(rows, inner), torch.randn(columns, inner)
    memory = torch.full((rows, columns), torch.nan)
    found = products.product(left, right.T, memory)
    assert torch.allclose(found.double(), left.double() @ right.double().T, atol=1e-4)
    whole = right.T.contiguous()
    assert torch.allclose(products.product(left, whole).double(), left.double() @ whole.double(), atol=1e-4)


@pytest.mark.usefixtures("by_onednn")
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_sums_over_blocks_are_one_product(kind: torch.dtype) -> None:
    left, right = torch.randn(9, 6).to(kind), torch.randn(9, 4).to(kind)
    like = torch.empty(6, 4, dtype=torch.float64 if kind == torch.float64 else torch.float32)
    total = products.Transposed(like, 5)
    for part in (slice(0, 4), slice(4, 9)):
        total.add(left[part], right[part])
    expected = left.double().T @ right.double()
    assert total.total().is_contiguous()
    assert torch.allclose(total.total().double(), expected, atol=0.1 if kind == torch.bfloat16 else 1e-5)


@pytest.mark.usefixtures("by_onednn")
def test_the_softmax_of_a_batch_is_the_same_by_either_library() -> None:
    """In blocks of two and one rows; next to float64, which only torch.mm multiplies."""
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(size, 6, generator=generator) for size in (5, 4)]
    pairs = torch.tensor([0, 1, 2, 3, 4, 4]), torch.tensor([3, 2, 1, 0, 0, 1])

    def made(kind: torch.dtype) -> list[torch.Tensor]:
        given = [side.to(kind).clone().requires_grad_() for side in sides]
        loss = in_batch_softmax(*given, *pairs, block_elements=8)
        loss.backward()
        return [part.detach().double() for part in (loss, *(side.grad for side in given))]

    for found, expected in zip(made(torch.float32), made(torch.float64), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_float64_is_never_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "LARGE", 0)
    left, right = torch.randn(3, 5, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    assert torch.equal(products.product(left, right), left @ right)


SHAPES = """
import sys, torch
from pathlib import Path
from shortlist.loss import products

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024

torch.set_num_threads(1)
products.LARGE = 0
if sys.argv[1] == "kept":
    products.CACHES = ()
if not products._onednn_is_faster():
    print(-1)
else:
    products.product(torch.ones(64, 64), torch.ones(64, 64))
    before = anonymous()
    for rows in range(65, 365):
        products.product(torch.ones(rows, 64), torch.ones(64, 64))
    print(anonymous() - before)
"""


def test_what_onednn_prepares_for_shapes_is_not_kept_for_a_thousand_of_them() -> None:
    """With torch's own settings 300 shapes take more than ten times as much."""
    grown = {}
    for caches in ("small", "kept"):
        environment = {name: value for name, value in os.environ.items() if name not in products.CACHES}
        done = subprocess.run(
            [sys.executable, "-c", SHAPES, caches], env=environment, check=True, stdout=subprocess.PIPE
        )
        grown[caches] = int(done.stdout)
    if grown["small"] < 0:
        pytest.skip("products stay with MKL on this processor")
    assert grown["small"] * 10 < grown["kept"]


def test_own_settings_of_the_caches_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in products.CACHES:
        monkeypatch.setenv(name, "64")
    products._onednn_is_faster.cache_clear()
    products._onednn_is_faster()
    assert [os.environ[name] for name in products.CACHES] == ["64", "64"]


def test_products_of_a_shape_that_hardly_repeats_stay_with_mkl_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_onednn_is_faster", lambda: True)
    monkeypatch.setattr(products, "LARGE", 8)
    monkeypatch.setattr(products, "LARGE_ONCE", 64)
    small, large = torch.randn(2, 2), torch.randn(4, 4)
    memory = torch.zeros(2, 2)
    found = products.product(small, small, memory, repeats=False)
    assert found is memory
    assert products.product(small, small, memory) is not memory
    memory = torch.zeros(4, 4)
    assert products.product(large, large, memory, repeats=False) is not memory

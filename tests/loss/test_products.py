"""Products by either library are those of float64, and the library follows from the processor."""

from __future__ import annotations

import pytest
import torch

from shortlist.loss import in_batch_softmax, products


@pytest.fixture(params=[False, True])
def by_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "_onednn_is_faster", lambda: request.param)
    monkeypatch.setattr(products, "LARGE", 30)  # some of the shapes below are smaller


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

"""The compiled kernel against torch's way, over random batches; what it takes, what it refuses, and that it repeats bit for bit."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.loss.libraries import BUILT, needs_kernel, of
from torch import Tensor

from shortlist.compiled import VARIABLE
from shortlist.errors import ConfigError, TrainingError
from shortlist.loss import Columns, Places, columns, in_batch_softmax, kernel
from shortlist.loss.kernel import (
    INSTRUCTIONS,
    AdamSettings,
    Kernel,
    Mass,
    RowUpdate,
    kernel_for,
    kernel_for_lists,
    kernel_for_rows,
    kernel_trouble,
)
from shortlist.loss.softmax import loss_and_gradients
from shortlist.train.optimizers import Adagrad, Adam, AdamW, Optimizer, Updater

pytestmark = needs_kernel

flags = st.booleans()


def batch(seed: int, pairs: int, queries: int, candidates: int, dim: int, logit: float = 3.0) -> tuple[Tensor, ...]:
    """Query and candidate vectors, and the places of pairs; every candidate occurs."""
    generator = torch.Generator().manual_seed(seed)
    chosen, pair_candidate = torch.randint(candidates, (pairs,), generator=generator).unique(return_inverse=True)
    pair_query = torch.randint(queries, (pairs,), generator=generator)
    query, candidate = (torch.randn(n, dim, generator=generator) for n in (queries, len(chosen)))
    largest = (query @ candidate.T).abs().max()
    return query * (logit / largest), candidate, pair_query, pair_candidate


def close(got: tuple[Tensor, ...], wanted: tuple[Tensor, ...], relative: float = 1e-5) -> None:
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == torch.float32
        assert float((one.double() - other).abs().max()) <= relative * max(1.0, float(other.abs().max()))


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    pairs=st.integers(1, 300),
    queries=st.integers(1, 60),
    candidates=st.integers(1, 250),
    dim=st.sampled_from([1, 3, 8, 16, 17, 32, 33, 48, 100]),
    threads=st.integers(1, 3),
    weighted=flags,
    corrected=flags,
    hits=flags,
    temperature=st.sampled_from([1.0, 0.4]),
)
def test_equals_torch_in_float64(
    name, seed, pairs, queries, candidates, dim, threads, weighted, corrected, hits, temperature
):
    q, c, pair_query, pair_candidate = batch(seed, pairs, queries, candidates, dim)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(pairs, generator=generator) if weighted else None
    counts = torch.bincount(pair_candidate, minlength=len(c)).double()
    log_q = (counts / pairs).log() if corrected else None
    wanted = loss_and_gradients(
        q.double(), c.double(), pair_query, pair_candidate, weight, log_q, temperature, hits, None
    )
    mass = Mass(
        (counts.log() if log_q is None else counts.log() - log_q).float(),
        None if log_q is None else log_q.float(),
        torch.zeros_like(counts) if hits else 1 - 1 / counts,
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        got = of(name).softmax(q, c, (pair_query, pair_candidate, weight), mass, temperature=temperature)
    finally:
        torch.set_num_threads(before)
    close(got, wanted)


def test_float32_on_the_processor_is_computed_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both losses take it, and only where it fits."""
    calls = []
    own = Kernel.softmax
    monkeypatch.setattr(Kernel, "softmax", lambda *given, **on: calls.append(1) or own(*given, **on))
    q, c, pair_query, pair_candidate = batch(0, 40, 9, 12, 8)
    in_batch_softmax(q, c, pair_query, pair_candidate)
    columns.softmax_over(q, c, pair_query, pair_candidate, Columns(torch.ones(len(c))))
    assert len(calls) == 2
    in_batch_softmax(q.double(), c.double(), pair_query, pair_candidate)
    in_batch_softmax(q, c, pair_query, pair_candidate, block_elements=64)
    columns.softmax_over(
        q, c, pair_query, pair_candidate, Columns(torch.ones(len(c))), columns.SoftmaxOptions(hardest=2)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        in_batch_softmax(q, c, pair_query, pair_candidate)
    assert len(calls) == 2


@pytest.mark.parametrize("name", BUILT)
def test_a_batch_of_many_candidates_goes_to_torch(name: str) -> None:
    few, many = torch.empty(1, 1), torch.empty(1, 1).expand(kernel.MOST_BYTES // 4, 1)
    assert of(name).takes(few, few, None)
    assert not of(name).takes(few, many, None)
    assert not of(name).takes(few.double(), few.double(), None)
    assert not of(name).takes(few, few, torch.bfloat16)
    assert not of(name).takes(few.to("meta"), few.to("meta"), None)


@pytest.mark.parametrize("threads", [1, 2])
def test_repeats_bit_for_bit(threads: int) -> None:
    given = batch(1, 3000, 300, 400, 24)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        first, second = (loss_and_gradients(*given, None, None, 1.0, False, None) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


COUNT_THREADS = """
import os, torch
from shortlist.loss import in_batch_softmax
from shortlist.loss.kernel import kernel_for
torch.set_num_threads(2)
torch.ones(1 << 22).exp()  # torch's own threads are there
q, c, pairs = torch.randn(300, 8), torch.randn(300, 8), torch.arange(300)
before = len(os.listdir("/proc/self/task"))
in_batch_softmax(q, c, pairs, pairs)
print(before, len(os.listdir("/proc/self/task")), kernel_for(q, c, None)._parallel)
"""


def test_uses_the_threads_that_torch_has() -> None:
    """No second pool: the process has no more threads than before, and the kernel found those of torch."""
    said = subprocess.run([sys.executable, "-c", COUNT_THREADS], capture_output=True, text=True, check=True).stdout
    before, after, parallel = said.split()
    assert (before, parallel) == (after, "True")


FEWER_THREADS = """
import os, torch
from shortlist.loss import in_batch_softmax
from shortlist.loss.kernel import RowUpdate, kernel_for
torch.set_num_threads(4)
pairs = torch.arange(300)
found = []
for wanted in ("1", "0"):
    os.environ["SHORTLIST_KERNEL"] = wanted
    q, c = (torch.linspace(-1, 1, 300 * 8).view(300, 8).roll(n, 0).requires_grad_() for n in (0, 7))
    loss = in_batch_softmax(q, c, pairs, pairs)
    loss.backward()
    found.append((loss.detach().view(1), q.grad, c.grad))
os.environ["SHORTLIST_KERNEL"] = "1"
table, sums, gradient = torch.zeros(5000, 32), torch.full((5000, 32), 0.1), torch.ones(5000, 32)
kernel_for(table, table, None).update([RowUpdate(table, (sums,), torch.arange(5000), gradient)], 0.1, 1e-7)
print(all(torch.allclose(*both, rtol=1e-5, atol=1e-5) for both in zip(*found)), bool((sums == sums[0, 0]).all()))
"""


@pytest.mark.parametrize(
    "variable", ["OMP_DYNAMIC=true", "OMP_THREAD_LIMIT=1", "OMP_THREAD_LIMIT=2", "OMP_MAX_ACTIVE_LEVELS=0"]
)
def test_fewer_threads_than_asked_for_compute_all_parts(variable: str) -> None:
    name, value = variable.split("=")
    surroundings = {**os.environ, name: value}
    command = [sys.executable, "-c", FEWER_THREADS]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings).stdout
    assert said.split() == ["True", "True"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_bsl_shows_a_negative_that_is_not_finite(value: float, exponent: float) -> None:
    q, c = torch.full((1, 3), 0.1), torch.full((12, 3), 0.1)
    c[5] = value
    options = columns.SoftmaxOptions(negatives_only=True, exponent=exponent)
    pair = (torch.tensor([0]), torch.tensor([3]))
    assert not columns.softmax_over(q, c, *pair, Columns(torch.ones(12)), options).isfinite()


@pytest.mark.parametrize("larger", [1, 3000])
def test_a_catalogue_of_equal_vectors_adds_up(larger: int) -> None:
    """All scores of a query are equal, so the loss is log(columns) and its gradient 0: rounding must not grow with the columns."""
    q, c = torch.full((13, 2), 0.03 * larger), torch.full((300_000, 2), 0.3)
    q, c = q.requires_grad_(), c.requires_grad_()
    of_columns = Columns(torch.ones(len(c)), own_counted=False)
    columns.softmax_over(q, c, torch.arange(13), torch.arange(13), of_columns).backward()
    assert q.grad is not None
    assert float(q.grad.abs().max()) < 1e-4


@pytest.mark.parametrize("where", ["query", "candidate"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e38])
def test_what_is_not_finite_shows_in_the_loss(where: str, value: float) -> None:
    q, c, *pairs = batch(0, 40, 9, 12, 8)
    (q if where == "query" else c)[0] = value
    (c if where == "query" else q)[0] = 1e38 if value == 1e38 else 1.0
    assert not in_batch_softmax(q, c, *pairs).isfinite()


@pytest.mark.parametrize("at", [0, 5, 11])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_negative_that_is_not_finite_shows_in_the_loss(at: int, value: float) -> None:
    """Of twelve sampled columns the pair's own is the fourth."""
    q, c = torch.full((1, 3), 0.1), torch.full((12, 3), 0.1)
    c[at] = value
    pair = (torch.tensor([0]), torch.tensor([3]))
    assert not columns.softmax_over(q, c, *pair, Columns(torch.ones(12))).isfinite()


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("place", [-1, 12, 1 << 40])
def test_places_outside_are_refused_and_nothing_is_written(side: int, place: int) -> None:
    q, c = torch.randn(12, 3), torch.randn(12, 3)
    pairs = [torch.arange(12), torch.arange(12)]
    pairs[side][5] = place
    with pytest.raises(ConfigError, match="12 queries"):
        in_batch_softmax(q, c, *pairs, counts=torch.ones(12))
    inside = (torch.arange(12), torch.arange(12))
    for name in ("hidden", "explicit"):
        with pytest.raises(ConfigError, match="12 queries"):
            columns.softmax_over(q, c, *inside, Columns(torch.ones(12), **{name: Places(*pairs)}))


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    hidden=st.integers(0, 80),
    explicit=st.integers(0, 30),
)
def test_places_in_the_order_of_their_rows_or_not_give_the_same_bits(
    name: str, seed: int, hidden: int, explicit: int
) -> None:
    """Rows in ascending order, as known choices are, or in any other; the places of one row are always in their order."""
    q, c, *pairs = batch(seed, 60, 12, 20, 8)
    generator = np.random.default_rng(seed)
    mass = Mass(torch.zeros(len(c)), None, torch.zeros(len(c), dtype=torch.float64))
    orders = (np.arange(12), generator.permutation(12), np.arange(12)[::-1])
    given = [
        (np.sort(generator.integers(0, 12, count)), generator.integers(0, len(c), count))
        for count in (hidden, explicit)
    ]
    got = []
    for order in orders:
        places = []
        for row, column in given:
            by_row = np.argsort(order[row], kind="stable")
            places.append((torch.from_numpy(row[by_row]), torch.from_numpy(column[by_row])))
        got.append(of(name).softmax(q, c, (*pairs, None), mass, hidden=places[0], explicit=places[1]))
    for other in got[1:]:
        assert all(torch.equal(one, same) for one, same in zip(got[0], other, strict=True))


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("row", [0, 6, 11])
def test_the_first_and_the_last_row_have_their_places(name: str, row: int) -> None:
    """All columns but the pair's own are hidden from one row alone: its loss is 0, and only its own changes."""
    q, c, at = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)), torch.eye(12, 3), torch.arange(12)
    mass = Mass(torch.zeros(12), None, torch.zeros(12, dtype=torch.float64))
    others = at[at != row]
    hidden = (torch.full_like(others, row), others)
    each = torch.logsumexp(q.double() @ c.double().T, 1) - (q * c).sum(1)
    loss, d_query, _ = of(name).softmax(q, c, (at, at, None), mass, hidden=hidden)
    assert float(loss) == pytest.approx(float(each.sum() - each[row]), rel=1e-5)
    assert d_query.abs().sum(1).bool().tolist() == (at != row).tolist()


def test_numbers_of_another_length_are_refused() -> None:
    q, c, at = torch.randn(12, 3), torch.randn(12, 3), torch.arange(12)
    for wrong in ({"counts": torch.ones(11)}, {"weight": torch.ones(11)}):
        with pytest.raises(ConfigError, match="12 queries"):
            in_batch_softmax(q, c, at, at, **wrong)
    with pytest.raises(ConfigError, match="12 queries"):
        in_batch_softmax(q, c, at, at[:11], counts=torch.ones(12))


@pytest.mark.parametrize("shape", [(12, 1), (12, 2), ()])
def test_numbers_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    q, c, at = torch.randn(12, 3), torch.randn(12, 3), torch.arange(12)
    for name in ("counts", "weight"):
        given = {"counts": torch.ones(12), name: torch.ones(shape)}
        with pytest.raises(ConfigError, match="12 queries"):
            in_batch_softmax(q, c, at, at, **given)
    for places in (at.view(12, 1), at.float(), at > 3):
        with pytest.raises(ConfigError, match="12 queries"):
            in_batch_softmax(q, c, places, at, counts=torch.ones(12))
        with pytest.raises(ConfigError, match="12 queries"):
            columns.softmax_over(q, c, at, at, Columns(torch.ones(12), hidden=Places(at, places)))


ELSEWHERE = """
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from shortlist.errors import ConfigError
from shortlist.loss import Columns, Places, columns, in_batch_softmax
q, c, at, ones = torch.ones(40, 3), torch.ones(40, 3), torch.arange(40), torch.ones(40)
nowhere = at.to("meta")
refused = 0
for wrong in (
    lambda: in_batch_softmax(q, c, nowhere, at, counts=ones),
    lambda: in_batch_softmax(q, c, at, nowhere, counts=ones),
    lambda: in_batch_softmax(q, c, at, at, counts=ones.to("meta")),
    lambda: in_batch_softmax(q, c, at, at, weight=ones.to("meta")),
    lambda: columns.softmax_over(q, c, at, at, Columns(ones, hidden=Places(at, nowhere))),
    lambda: columns.softmax_over(q, c, at, at, Columns(ones, explicit=Places(nowhere, at))),
):
    try:
        wrong()
    except ConfigError:
        refused += 1
with FakeTensorMode(allow_non_fake_inputs=True) as mode:
    try:
        in_batch_softmax(*(mode.from_tensor(one) for one in (q, c, at, at)))
    except ConfigError:
        refused += 1
torch.set_default_device("meta")
print(refused, round(in_batch_softmax(q, c, at, at).item(), 3))
"""


def test_tensors_elsewhere_are_refused_and_the_default_device_is_not_asked() -> None:
    """In a process of its own: an address on another device ends it."""
    said = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["7", "147.555"]  # 40 log 40


@pytest.mark.parametrize("temperature", [0, 0.0])
def test_a_temperature_of_zero_shows_in_the_loss(temperature: float) -> None:
    q, c, *pairs = batch(0, 40, 9, 12, 8)
    assert in_batch_softmax(q, c, *pairs, temperature=temperature).isnan()


def test_nothing_costs_nothing() -> None:
    nothing, at = torch.empty(0, 3), torch.empty(0, dtype=torch.long)
    loss, d_query, d_candidate = of(BUILT[0]).softmax(nothing, nothing, (at, at, None), Mass(at, at, at))
    assert (loss.item(), d_query.shape, d_candidate.shape) == (0, (0, 3), (0, 3))


def test_the_gradient_has_no_gradient_and_says_so() -> None:
    q, c, *pairs = batch(0, 40, 9, 12, 8)
    q.requires_grad_()
    loss = in_batch_softmax(q, c, *pairs).square()
    (gradient,) = torch.autograd.grad(loss, q, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_places_of_32_bits_are_those_of_64() -> None:
    q, c, at = torch.randn(12, 3), torch.randn(12, 3), torch.arange(12)
    kinds = [
        loss_and_gradients(q, c, one, one, None, None, 1.0, False, None, None, torch.ones(12)) for one in (at, at.int())
    ]
    assert torch.equal(kinds[0].loss, kinds[1].loss)


def test_hidden_places_do_not_compete_and_explicit_ones_do() -> None:
    """One query, scores 0: of three columns with masses 1, 2 and 3 one is hidden, and one that was not drawn is added."""
    q, c = torch.zeros(1, 2), torch.randn(4, 2)
    of_columns = Columns(
        torch.tensor([1, 2, 3, 0]),
        hidden=Places(torch.tensor([0]), torch.tensor([2])),
        explicit=Places(torch.tensor([0]), torch.tensor([3])),
    )
    pair = (torch.tensor([0]), torch.tensor([0]))
    loss = columns.softmax_over(q, c, *pair, of_columns)
    assert loss.item() == pytest.approx(torch.tensor(1 + 2 + 1.0).log().item())  # its own, two of column 1, column 3
    hidden_too = of_columns._replace(hidden=Places(torch.tensor([0, 0]), torch.tensor([2, 1])))
    assert columns.softmax_over(q, c, *pair, hidden_too).item() == pytest.approx(torch.tensor(2.0).log().item())


def test_all_pairs_of_one_query() -> None:
    """The cost is that of the pairs, not of their square: 2e5 pairs, 20 at each of 10,000 places, take one pass over them."""
    pairs = 200_000
    q, c = torch.randn(1, 4), torch.randn(10_000, 4)
    pair_candidate = torch.arange(pairs) % 10_000
    given = (torch.zeros(pairs, dtype=torch.long), pair_candidate)
    got = loss_and_gradients(q, c, *given, None, None, 1.0, False, None)
    close(got, loss_and_gradients(q.double(), c.double(), *given, None, None, 1.0, False, None))


def test_a_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "ABI", kernel.ABI + 1)
    assert "another version" in kernel._kernel.__wrapped__(BUILT[0])


def test_without_a_library_torch_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    q, c, *_ = batch(0, 4, 3, 3, 2)
    assert kernel_for(q, c, None) is not None
    assert kernel_trouble() is None
    assert "AVX2" in kernel._kernel.__wrapped__("DEFAULT")
    monkeypatch.setattr(kernel, "FOLDER", tmp_path)
    assert "C compiler" in kernel._kernel.__wrapped__(BUILT[0])
    (tmp_path / f"kernel-{INSTRUCTIONS[BUILT[0]]}.so").write_bytes(b"no library")
    assert str(tmp_path) in kernel._kernel.__wrapped__(BUILT[0])


def test_the_variable_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    q, c, *_ = batch(0, 4, 3, 3, 2)
    monkeypatch.setenv(VARIABLE, "0")
    assert kernel_for(q, c, None) is None
    assert kernel_trouble() == "SHORTLIST_KERNEL=0 is set"


def test_without_an_openmp_runtime_one_thread_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_openmp", list)
    alone = of(BUILT[0])
    given = batch(1, 300, 40, 50, 24)
    counts = torch.bincount(given[3], minlength=len(given[1])).double()
    mass = Mass(counts.log().float(), torch.zeros(len(counts)), 1 - 1 / counts)
    close(alone.softmax(given[0], given[1], (given[2], given[3], None), mass),
          loss_and_gradients(given[0].double(), given[1].double(), *given[2:], None, None, 1.0, False, None))  # fmt: skip


def test_the_threads_are_torchs_where_other_packages_bring_theirs() -> None:
    pytest.importorskip("sklearn.cluster")
    found = kernel._openmp()
    own = [path for path in found if path.startswith(str(Path(torch.__file__).resolve().parent))]
    assert len(found) > len(own) > 0
    assert found[: len(own)] == own


def test_no_memory_is_an_error_and_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    of_name = of(BUILT[0])

    class Full:
        def shortlist_softmax(self, batch: object) -> int:
            assert isinstance(batch, type(ctypes.byref(ctypes.c_int())))
            return 1

    monkeypatch.setattr(of_name, "library", Full())
    q, c, pair_query, pair_candidate = batch(0, 40, 9, 12, 8)
    with pytest.raises(TrainingError, match="9 queries"):
        of_name.softmax(
            q,
            c,
            (pair_query, pair_candidate, None),
            Mass(torch.zeros(len(c)), torch.zeros(len(c)), torch.zeros(len(c))),
        )


@pytest.mark.parametrize(("columns_", "dim", "parts"), [(1000, 8, 64), (300_000, 128, 13), (300_000, 2000, 1)])
def test_the_parts_of_a_batch_have_room_in_memory(
    columns_: int, dim: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sums the candidates' gradient: with 64 threads, 300,000 candidates and 128 numbers that would be 9.8 GB."""
    given = []

    class Counting:
        def shortlist_softmax(self, batch: Any) -> int:
            given.append(batch._obj.threads)
            return 0

    of_name = of(BUILT[0])
    monkeypatch.setattr(of_name, "library", Counting())
    monkeypatch.setattr(Kernel, "threads", 64)
    query, candidate, at = torch.empty(1024, dim), torch.empty(columns_, dim), torch.arange(1024)
    of_name.softmax(query, candidate, (at, at, None), Mass(*[torch.empty(columns_)] * 3))
    assert given == [parts]
    assert parts * columns_ * dim * 4 < max(2.2e9, columns_ * dim * 8)


FORKED = """
import os, signal, torch
from shortlist.loss.kernel import Mass, RowUpdate, kernel_for
torch.set_num_threads(2)
q, c, at = torch.linspace(-1, 1, 2400).view(300, 8), torch.linspace(-1, 1, 2400).view(300, 8).roll(7, 0), torch.arange(300)
mass, kernel = Mass(torch.zeros(300), torch.zeros(300), torch.zeros(300, dtype=torch.float64)), kernel_for(q, c, None)
table, sums, gradient = torch.zeros(5000, 32), torch.full((5000, 32), 0.1), torch.ones(5000, 32)
def work():
    kernel.update([RowUpdate(table, (sums,), None, gradient)], 0.1, 1e-7)
    return kernel.softmax(q, c, (at, at, None), mass)[0].item(), float(sums.numpy().min()), float(sums.numpy().max())
before = work()
child = os.fork()
if not child:
    signal.alarm(60)
    after = work()
    os._exit(0 if abs(after[0] / before[0] - 1) < 1e-5 and after[1] == after[2] > before[1] + 0.9 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_process_that_was_forked_after_use_computes_too() -> None:
    """Its parent's threads are not there: it would wait for them for ever."""
    said = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["0"]


UPDATES = {
    "Adagrad": Adagrad(0.13),
    "Adam": Adam(0.01),
    "AdamW": AdamW(0.02, weight_decay=0.3),
    "AdamW without momentum": AdamW(0.02, beta_1=0.0, beta_2=0.5),
    "Adam of long memory": Adam(0.1, beta_1=0.4, beta_2=0.9999, epsilon=1e-3),
}


def as_updated(
    optimizer: Optimizer, table: Tensor, slots: tuple[Tensor, ...], codes: Tensor | None, g: Tensor
) -> Tensor:
    """The table after torch's way; the slots are changed."""
    if codes is None:
        return optimizer.update(table, g, slots)
    taken, wanted = [slot[codes] for slot in slots], table.clone()
    wanted[codes] = optimizer.update(table[codes], g, taken)
    for slot, new in zip(slots, taken, strict=True):
        slot[codes] = new
    return wanted


def by_kernel(kernel_: Kernel, optimizer: Optimizer, updates: list[RowUpdate]) -> None:
    adam = None
    if not isinstance(optimizer, Adagrad):
        decay = optimizer.weight_decay if isinstance(optimizer, AdamW) else 0.0
        adam = AdamSettings(optimizer.beta_1, optimizer.beta_2, 1 - optimizer.learning_rate * decay)
    kernel_.update(updates, optimizer.learning_rate, optimizer.epsilon, adam)


@given(
    name=st.sampled_from(BUILT or [""]),
    seed=st.integers(0, 2**32),
    rule=st.sampled_from(sorted(UPDATES)),
    touched=st.lists(st.sampled_from([None, 0, 1, 7, 900]), min_size=1, max_size=3),
    dim=st.sampled_from([1, 5, 32, 100]),
    threads=st.integers(1, 2),
    steps=st.integers(1, 4),
)
def test_updates_equal_torch(name, seed, rule, touched, dim, threads, steps):
    """Several tables at once, some of them whole, over several steps of which each touches other rows."""
    generator = torch.Generator().manual_seed(seed)
    optimizer, compiled = UPDATES[rule], of(name)
    tables = [torch.randn(1000, dim, generator=generator) for _ in touched]
    own = [optimizer.slots(table) for table in tables]
    wanted, slots = [table.clone() for table in tables], [optimizer.slots(table) for table in tables]
    before, ever = torch.get_num_threads(), [torch.zeros(1000, dtype=torch.bool) for _ in touched]
    try:
        torch.set_num_threads(threads)
        for _ in range(steps):
            updates = []
            for at, count in enumerate(touched):
                codes = None if count is None else torch.randperm(1000, generator=generator)[:count]
                g = torch.randn(1000 if count is None else count, dim, generator=generator)
                wanted[at] = as_updated(optimizer, wanted[at], slots[at], codes, g)
                updates.append(RowUpdate(tables[at], own[at], codes, g))
                ever[at][slice(None) if codes is None else codes] = True
            by_kernel(compiled, optimizer, updates)
    finally:
        torch.set_num_threads(before)
    for table, other, one, of_torch, changed in zip(tables, wanted, own, slots, ever, strict=True):
        torch.testing.assert_close(table, other, rtol=1e-5, atol=1e-6)  # roots and powers may be off in the last place
        for slot, like in zip(one, of_torch, strict=True):
            torch.testing.assert_close(slot, like, rtol=1e-5, atol=1e-6)
        assert torch.equal(table[~changed], other[~changed])


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rule", ["Adagrad", "AdamW"])
def test_a_graph_that_needs_what_a_step_replaced_is_refused(
    rule: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch does where it writes itself; a gradient made of new numbers would be wrong without a word."""
    if not compiled:
        monkeypatch.setattr(kernel, "_of_this_machine", lambda: "not wanted")
    layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
    updater = Updater(UPDATES[rule], layers)
    loss = layers(torch.ones(2, 3)).sum()
    loss.backward(retain_graph=True)
    updater.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_inference_made_is_updated_too() -> None:
    with torch.inference_mode():
        table, sums = torch.zeros(3, 4), torch.zeros(3, 4)
    of(BUILT[0]).update([RowUpdate(table, (sums,), None, torch.ones(3, 4))], 0.1, 1e-7)
    assert table.all()


@pytest.mark.parametrize("bad", [-1, 12, 1 << 40])
@pytest.mark.parametrize("rule", ["Adagrad", "AdamW"])
def test_rows_outside_of_a_table_are_refused_and_nothing_is_written(bad: int, rule: str) -> None:
    """The first of two tables is right, and stays as it is too."""
    optimizer = UPDATES[rule]
    tables = [torch.randn(12, 3) for _ in range(2)]
    slots = [optimizer.slots(table) for table in tables]
    kept = [one.clone() for one in (*tables, *slots[0], *slots[1])]
    codes = [torch.arange(4), torch.tensor([1, bad, 2, 3])]
    updates = [RowUpdate(*parts, torch.ones(4, 3)) for parts in zip(tables, slots, codes, strict=True)]
    with pytest.raises(ConfigError, match="2 tables"):
        by_kernel(of(BUILT[0]), optimizer, updates)
    assert all(map(torch.equal, (*tables, *slots[0], *slots[1]), kept))


@pytest.mark.parametrize("rule", ["Adagrad", "AdamW"])
def test_slots_and_gradients_of_another_shape_are_refused(rule: str) -> None:
    optimizer, table = UPDATES[rule], torch.zeros(12, 3)
    slots, codes, g = optimizer.slots(table), torch.arange(4), torch.ones(4, 3)
    wrong = [
        RowUpdate(table, slots, codes, g[:3]),
        RowUpdate(table, slots, codes, g[:, :2]),
        RowUpdate(table, slots, None, g),
        RowUpdate(table, slots[:-1], codes, g),
        RowUpdate(table, (*slots, slots[0]), codes, g),
        *(RowUpdate(table, (*slots[:n], slots[n][:11], *slots[n + 1 :]), codes, g) for n in range(len(slots))),
    ]
    for update in wrong:
        with pytest.raises(ConfigError, match="1 tables"):
            by_kernel(of(BUILT[0]), optimizer, [update])
    assert not table.any()
    by_kernel(of(BUILT[0]), optimizer, [RowUpdate(table, slots, codes.int(), g)])
    assert table[:4].all()


lists = st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=6)


@given(
    name=st.sampled_from(BUILT or [""]),
    lists=lists,
    read=st.lists(st.integers(0, 5), max_size=8),
    columns=st.lists(st.integers(-1, 4), min_size=10, max_size=10),
    narrow=flags,
)
def test_the_meeting_of_lists_and_columns_is_that_of_loops(name, lists, read, columns, narrow):
    read = [one % len(lists) for one in read]
    wanted = [(at, columns[value]) for at, one in enumerate(read) for value in lists[one] if columns[value] >= 0]
    offsets = np.cumsum([0, *map(len, lists)])
    values = np.array([*chain.from_iterable(lists)], np.int32 if narrow else np.int64)
    row, column = of(name).meeting(offsets, values, np.array(read, np.int64), np.array(columns))
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        {"lists": [0, 2]},
        {"lists": [-1]},
        {"lists": [1 << 40]},
        {"values": [0, 1, 4]},
        {"values": [0, -1, 2]},
        {"values": [0, 1]},
        {"offsets": [0, 2, 1]},
        {"offsets": [-1, 2, 3]},
        {"offsets": [0, 2, 1 << 40]},
    ],
)
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_lists_that_do_not_fit_are_refused(wrong: dict[str, list[int]], kind: type) -> None:
    given = {"offsets": [0, 2, 3], "values": [0, 1, 2], "lists": [0, 1], "column_of": [0, 1, 2, 3]} | wrong
    arrays = {name: np.array(numbers, kind if name == "values" else np.int64) for name, numbers in given.items()}
    with pytest.raises(ConfigError, match="4 candidates"):
        of(BUILT[0]).meeting(**arrays)


@pytest.mark.parametrize("codes", [[0, 3], [-1, 0], [1 << 40, 1]])
def test_rows_that_a_table_does_not_have_are_not_written(codes: list[int]) -> None:
    """A table of three rows that was larger when its rows were read."""
    table, sums = torch.zeros(3, 4), torch.zeros(3, 4)
    with pytest.raises(ConfigError, match="an update do not fit"):
        of(BUILT[0]).update([RowUpdate(table, (sums,), torch.tensor(codes), torch.ones(2, 4))], 0.1, 1e-7)
    assert not table.any()
    assert not sums.any()


def test_an_update_whose_parts_do_not_fit_is_refused() -> None:
    own, table, codes, gradient = of(BUILT[0]), torch.zeros(3, 4), torch.arange(2), torch.ones(2, 4)
    for sums, at, of_rows in (
        (torch.zeros(2, 4), codes, gradient),
        (torch.zeros(3, 4), codes.float(), gradient),
        (torch.zeros(3, 4), codes.to("meta"), gradient),
        (torch.zeros(3, 4), codes[:, None], gradient),
        (torch.zeros(3, 4), codes, torch.ones(1, 4)),
        (torch.zeros(3, 4), codes, torch.ones(2, 3)),
    ):
        with pytest.raises(ConfigError, match="an update do not fit"):
            own.update([RowUpdate(table, (sums,), at, of_rows)], 0.1, 1e-7)
    assert not table.any()
    own.update([RowUpdate(table, (torch.zeros(3, 4),), codes.int(), gradient)], 0.1, 1e-7)
    assert table[:2].all()


@pytest.mark.parametrize(
    ("capability", "processor", "opened"),
    [
        ("AVX512", "x86-64-v4", "x86-64-v4"),
        ("AVX512", "x86-64-v3", "x86-64-v3"),
        ("AVX2", "x86-64-v4", "x86-64-v3"),
        ("AVX2", "x86-64-v3", "x86-64-v3"),
        ("AVX512", None, None),
        ("AVX2", None, None),
        ("DEFAULT", "x86-64-v4", None),
    ],
)
def test_no_more_instructions_than_torch_and_the_processor_both_have(
    capability: str, processor: str | None, opened: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcc's sets ask for more than torch's: without them the process would end. Without /proc/cpuinfo torch computes."""
    asked = []
    monkeypatch.setattr(kernel, "best_instructions", lambda: processor)
    monkeypatch.setattr(kernel, "library_for", lambda _, name, abi: asked.append(name) or f"asked for {abi}")
    assert isinstance(kernel._kernel.__wrapped__(capability), str)
    assert asked == ([] if opened is None else [opened])


def test_without_a_list_of_libraries_one_thread_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sandbox without /proc, and runtimes whose files were replaced since they were loaded."""
    monkeypatch.setattr(kernel, "_openmp", lambda: [str(tmp_path / "libgomp.so.1 (deleted)")])
    assert not of(BUILT[0])._parallel
    monkeypatch.undo()
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
    assert kernel._openmp() == []


def test_tables_that_are_not_plain_float32_are_updated_by_torch() -> None:
    plain = torch.zeros(3, 4)
    assert kernel_for_rows(plain, plain) is not None
    for other in (plain.bfloat16(), plain.double(), plain.T, plain[:, :2], plain.to("meta"), plain[0]):
        assert kernel_for_rows(plain, other) is None


def test_lists_elsewhere_or_of_other_numbers_are_read_by_torch() -> None:
    offsets, values = torch.zeros(2, dtype=torch.long), torch.zeros(3, dtype=torch.long)
    assert kernel_for_lists(offsets, values) is kernel_for_lists(offsets, values.int()) is not None
    assert kernel_for_lists(offsets.to("meta"), values.to("meta")) is None
    assert kernel_for_lists(offsets, values.short()) is None

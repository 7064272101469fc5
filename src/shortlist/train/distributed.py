"""Several processes that train as one: torch.distributed, gloo between CPUs and NCCL between GPUs.

Every process draws the same batches and takes from each of them the pairs of its own queries, or of the blocks of shards that it
reads. For a batch:

1. The candidates of all pairs are sent to every process, so that multiplicities and log Q are those of the whole batch.
2. Each distinct candidate's vector is computed by one process and sent to all; summed gradients are returned to it.
3. Each process has the loss of its own pairs against all candidates that compete. The losses add up to the loss of one process.
4. Rows of embedding tables are asked from the process that owns them, their gradients are sent to it, and it updates
   them: row c of a table is row ``c // size`` of process ``c % size``. Dense layers are everywhere, their gradients
   summed.

So any number of processes trains like one, but for the order of sums and the masks of dropout. Source of the scheme:
Naumov et al. 2019, "Deep learning recommendation model for personalization and recommendation systems", section 5.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from shortlist.errors import ConfigError, ShortlistError, TrainingError
from shortlist.model import EmbeddingTable, Tower, TowerInputs, TwoTower
from shortlist.model.embedding import Division
from shortlist.model.storage import Part, roomy_tensor
from shortlist.store.allocation import give_back, keep_together
from shortlist.train.processes import Alone, Processes, StoppedTrainingError
from shortlist.train.remote_rows import Elsewhere, RemoteRows

__all__ = ["Together", "is_lost", "joined", "local_device"]

T = TypeVar("T")
NUMBERS_AT_A_TIME = 1 << 16
KEPT = 1 << 17  # bytes
REASON, TURN = "shortlist/stopped", "shortlist/turn"
NO_BACKEND = "No backend type associated with device type"
LOST = re.compile(
    r"connection (was |is )?(closed|reset|refused|lost|likely|aborted)|closed by (the )?(peer|remote)|broken pipe|timed? ?out|"
    r"no route to host|unreachable|not connected|pair closure|ncclremoteerror|remote process|communicator was aborted|"
    r"failed to recv|socket (closed|error)",
    re.IGNORECASE,
)
"""How gloo, NCCL and the store say that another process cannot be reached."""
PATIENCE = 2.0
"""Seconds that a process waits to learn why another one stopped."""
LOOK = 0.05
"""Seconds between two looks at what other processes have done."""


def joined() -> Processes:
    """The processes that this one belongs to: those that ``torchrun`` started, or of a group that exists already.

    Raises:
        TrainingError: where the others cannot be reached.
    """
    if not dist.is_available():
        return Alone()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            return Alone()
        keep_together()  # before gloo starts its threads
        give_back(KEPT)  # several processes are there to hold less
        backend = "gloo"
        if torch.cuda.is_available():
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(local_device())  # what NCCL and torch allocate without a device goes there too
        try:
            dist.init_process_group(backend)
        except (RuntimeError, ValueError) as error:
            raise TrainingError(
                f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} could not reach the others: {error}",
                hint="start every process with torchrun, and check that MASTER_ADDR and MASTER_PORT can be reached",
            ) from error
        atexit.register(_leave)
    return Together() if dist.get_world_size() > 1 else Alone()


def is_lost(error: RuntimeError) -> bool:
    """Whether an error says that the connection to another process is lost; everything else is an error of this one."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, dist.DistNetworkError) or LOST.search(str(error)) is not None


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def local_device() -> torch.device:
    """The GPU of this process where there are GPUs, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


class Together:
    """This process among ``size`` of one group; see ``Processes``."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.part = Part(self.rank, self.size)
        self.first = self.rank == 0
        self._store: Any = dist.distributed_c10d._get_default_store()
        self._depth = 0
        self._handler: Any = None
        self._store.set(f"shortlist/process/{self.rank}", json.dumps([socket.gethostname(), os.getpid()]))

    def agree(self, facts: Mapping[str, object]) -> None:
        """TrainingError where the processes differ in one of the facts, by its name."""
        sums = [zlib.crc32(repr(value).encode()) for value in facts.values()]
        everyone = self.concatenated(torch.tensor(sums)).view(self.size, -1)
        for name, values in zip(facts, everyone.T.tolist(), strict=True):
            others = [rank for rank, value in enumerate(values) if value != values[0]]
            if others:
                raise TrainingError(
                    f"the processes differ in {name}: rank {others[0]} differs from rank 0.",
                    hint="give every process the same data and options",
                )

    def of_first(self, decide: Callable[[], bool]) -> bool:
        """The decision of the first process."""
        return bool(self._gathered(torch.tensor([int(self.first and decide())]))[0])

    def first_then_others(self, work: Callable[[], T]) -> T:
        """The work is done by the first process, then on every machine by one process after another.

        Each finds on the disk what was made there before. They wait for each other without a limit, which gloo's is not.
        """
        turn = self._store.add(f"{TURN}/of/{self.rank}", 1)
        hosts = [self._process(rank)[0] for rank in range(self.size)]
        before = [rank for rank in range(self.rank) if hosts[rank] == hosts[self.rank]]
        if not self.first:
            self._wait_for([f"{TURN}/{turn}/{rank}" for rank in (0, *before[-1:])])
        done = work()
        self._store.set(f"{TURN}/{turn}/{self.rank}", "done")
        self._wait_for([f"{TURN}/{turn}/{rank}" for rank in range(self.size)])
        return done

    def _wait_for(self, keys: list[str]) -> None:
        """Waits until the store has all of these keys. StoppedTrainingError where another process has stopped meanwhile."""
        try:
            while not self._store.check(keys):
                if self._store.check([REASON]) or any(_has_ended(self._process(rank)) for rank in range(self.size)):
                    raise self._stop()
                time.sleep(LOOK)
        except StoppedTrainingError:  # which SIGTERM raises anywhere
            raise
        except RuntimeError as broken:  # the process that keeps the store has ended
            raise self._stop() from broken

    def _process(self, rank: int) -> list[Any]:
        """The machine and the number of a process."""
        return json.loads(self._store.get(f"shortlist/process/{rank}"))  # type: ignore[no-any-return]

    def concatenated(self, values: Tensor) -> Tensor:
        """``values [n]`` of every process one after another; n may differ."""
        lengths = self._gathered(torch.tensor([len(values)], device=values.device)).tolist()
        longest = max(lengths)
        padded = torch.cat([values, values.new_zeros(longest - len(values))])
        parts = self._gathered(padded).split(longest) if longest else []
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)]) if longest else values

    def gathered(self, value: Any) -> list[Any]:
        """A JSON value of every process, by rank."""
        text = bytearray(json.dumps(value).encode() + b"\n")  # in which a line never ends within a value
        lines = bytes(self.concatenated(torch.frombuffer(text, dtype=torch.uint8)).numpy())
        return [json.loads(line) for line in lines.splitlines()]

    def vectors(self, tower: Tower, inputs: TowerInputs, rows: Tensor) -> Tensor:
        """The tower's vectors of ``rows``, the same on every process, each made by one of them."""
        each = -(-len(rows) // self.size)
        own_rows = rows[self.rank * each : (self.rank + 1) * each]
        vectors: Tensor = _Shared.apply(tower(inputs.take(own_rows)), len(rows), self)  # type: ignore[no-untyped-call]
        return vectors

    def add(self, *values: Tensor) -> None:
        """Sums each value over the processes, in place."""
        for value in values:
            with self._naming_the_cause():
                dist.all_reduce(value)

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums the gradients of dense parameters over the processes, in place; none is the same as zeros."""
        by_type: dict[torch.dtype, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_type.setdefault(parameter.dtype, []).append(parameter)
        for alike in by_type.values():
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in alike]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            self.add(flat)
            for parameter, total in zip(alike, flat.split([p.numel() for p in alike]), strict=True):
                parameter.grad = total.view_as(parameter)

    @property
    def division(self) -> Division:
        """How tables are divided."""
        return self

    def remote(self, cardinality: int) -> RemoteRows:
        """The rows of a table of ``cardinality`` rows, wherever they are."""
        return RemoteRows(self, cardinality)

    def divide(self, model: TwoTower) -> None:
        """Leaves to each process its part of every embedding table that was made whole."""
        for table in _tables(model):
            if table.remote is None:
                table.remote = self.remote(len(table.weight))
                part = self.part.of(table.weight)
                table.weight = _empty_rows(table, len(part)).copy_(part)

    @torch.no_grad()
    def unite(self, model: TwoTower) -> None:
        """Gives the first process every table whole; the others keep their parts, which can no longer be read.

        They are in files without a name, in the folder of the table or of temporary files, since one process has no memory for
        what all of them hold together. On GPUs the whole model comes to the processor.
        """
        if self.first:
            model.cpu()
        for table in _tables(model):
            whole = self.united(table.weight, table.cardinality, table.storage.folder)
            table.remote = None if self.first else Elsewhere(self.rank, self.size, table.cardinality)
            if whole is not None:
                table.weight = whole

    @torch.no_grad()
    def united(self, part: Tensor, rows: int, folder: str | None = None) -> Tensor | None:
        """On the first process all ``rows`` of an array that is divided like tables, on the processor, else None.

        Args:
            part: the rows of this process.
            rows: of all processes together.
            folder: where to keep them in a file, by default that of temporary files; in memory where there is no room.
        """
        if not self.first:
            for piece in part.split(self._rows_at_a_time(part)):
                with self._naming_the_cause():
                    dist.send(piece.cpu().contiguous(), 0)
            return None
        whole = roomy_tensor((rows, *part.shape[1:]), part.dtype, folder, large=1)
        whole[:: self.size] = part.cpu()
        space = torch.empty((self._rows_at_a_time(part), *part.shape[1:]), dtype=part.dtype)
        for rank in range(1, self.size):
            for piece in whole[rank :: self.size].split(len(space)):
                received = space[: len(piece)]
                with self._naming_the_cause():
                    dist.recv(received, rank)
                piece.copy_(received)
        return whole

    def _rows_at_a_time(self, part: Tensor) -> int:
        """How many rows of an array are sent at once."""
        return max(1, NUMBERS_AT_A_TIME // max(1, part[:1].numel()))

    def exchanged(self, values: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """``sent[r]`` rows of ``values`` go to rank r; returns ``received[r]`` rows of each, in the order of ranks."""
        result = values.new_empty(sum(received), *values.shape[1:])
        with self._naming_the_cause():
            dist.all_to_all_single(result, values.contiguous(), received, sent)
        return result

    def _gathered(self, values: Tensor) -> Tensor:
        """``values`` of every process, of one shape, one after another."""
        parts = [torch.empty_like(values) for _ in range(self.size)]
        with self._naming_the_cause():
            dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def __enter__(self) -> Together:
        self._depth += 1
        if self._depth == 1:
            with contextlib.suppress(ValueError):  # not in the main thread
                self._handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Lets the other processes know why this one stops, if it stops with an error."""
        self._depth -= 1
        if self._depth == 0 and self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler if error is None else _end_soon)
        if error is not None:
            text = error.message if isinstance(error, ShortlistError) else f"{type(error).__name__}: {error}"
            self._store_reason(f"rank {self.rank} stopped: {text}")

    def raised_elsewhere(self, error: ShortlistError) -> bool:
        """Whether another process has stopped with the same error."""
        first = self._store_reason(f"rank {self.rank} stopped: {error.message}")
        self._wait_for_readers()
        return first.partition(": ")[2] == error.message and not first.startswith(f"rank {self.rank} ")

    def stopped_before(self, error: ShortlistError) -> bool:
        """Whether another process had stopped, for whatever reason, before this one did with ``error``."""
        own = f"rank {self.rank} stopped: "
        return isinstance(error, StoppedTrainingError) or not self._store_reason(own + error.message).startswith(own)

    def _wait_for_readers(self) -> None:
        """The first process keeps the message: it stays until the others have read it, at most ``PATIENCE`` seconds."""
        stop = time.monotonic() + PATIENCE
        with contextlib.suppress(RuntimeError):  # that process has ended itself
            self._store.set(f"{REASON}/read/{self.rank}", "yes")
            keys = [f"{REASON}/read/{rank}" for rank in range(self.size)]
            while self.first and time.monotonic() < stop and not self._store.check(keys):
                time.sleep(LOOK)

    @contextlib.contextmanager
    def _naming_the_cause(self) -> Iterator[None]:
        """Replaces the error about a lost process by that process's own error; other errors keep their words."""
        try:
            yield
        except RuntimeError as broken:
            if NO_BACKEND in str(broken):
                raise ConfigError(
                    f"the process group has no backend for what the processes say to each other: {broken}",
                    hint='init_process_group("cpu:gloo,cuda:nccl")',
                ) from broken
            if not is_lost(broken):
                raise
            raise self._stop() from broken

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun informs all processes when one has ended
        raise self._stop()

    def _stop(self) -> StoppedTrainingError:
        return StoppedTrainingError(
            f"{self._first_reason()}; rank {self.rank} of {self.size} stops too.",
            hint="start the run again, with --resume if it writes checkpoints",
        )

    def _first_reason(self) -> str:
        """The first error that a process gave, or the number of one that ended without."""
        stop = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < stop:
                if self._store.check([REASON]):
                    return str(self._store.get(REASON).decode())
                for rank in range(self.size):
                    if _has_ended(self._process(rank)):
                        return self._store_reason(f"rank {rank} is gone without a word: killed, or out of memory")
                time.sleep(LOOK)
        except StoppedTrainingError:  # which SIGTERM raises anywhere
            raise
        except RuntimeError:  # the process that kept the reasons has ended itself
            pass
        return "another process of this run is gone"

    def _store_reason(self, text: str) -> str:
        """Stores the reason unless there is one; returns the first one."""
        try:
            return str(self._store.compare_set(REASON, "", text).decode())
        except RuntimeError:
            return text


class _Shared(torch.autograd.Function):
    """Vectors computed by one process each, on all of them; backwards the sum of all gradients is sent to that process."""

    @staticmethod
    def forward(ctx, part, total, processes):  # type: ignore[no-untyped-def]
        ctx.processes, ctx.part, ctx.each = processes, len(part), -(-total // processes.size)
        padded = torch.cat([part, part.new_zeros(ctx.each - len(part), part.shape[1])])
        return processes._gathered(padded)[:total]

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        processes, each = ctx.processes, ctx.each
        padded = gradient.new_zeros(each * processes.size, gradient.shape[1])
        padded[: len(gradient)] = gradient
        parts = processes.exchanged(padded, [each] * processes.size, [each] * processes.size)
        return parts.view(processes.size, each, -1).sum(0)[: ctx.part], None, None


def _end_soon(number: int, frame: FrameType | None) -> None:
    """Ends this process, once it has had time to report why it stops."""
    end = threading.Timer(PATIENCE, os._exit, [128 + number])
    end.daemon = True
    end.start()


def _empty_rows(table: EmbeddingTable, rows: int) -> Tensor:
    """Memory for so many rows of a table, in the form of the table."""
    shape = (rows, table.dim)
    if table.weight.device.type != "cpu":
        return table.weight.new_empty(shape)
    return table.storage.zeros(shape, table.weight.dtype)


def _tables(model: nn.Module) -> list[EmbeddingTable]:
    return [part for part in model.modules() if isinstance(part, EmbeddingTable)]


def _has_ended(process: list[Any]) -> bool:
    """Whether a process of this machine has ended; False for those of other machines."""
    host, number = process
    if host != socket.gethostname():
        return False
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as status:
            return status.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except FileNotFoundError:
        return os.path.isdir("/proc/self")

"""Output of every command: data to stdout, messages to stderr, bars only on a terminal."""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist._importing import load_torch_libraries
from shortlist.cli.wording import wrapped
from shortlist.errors import ShortlistError, ShortlistWarning, TrainingError
from shortlist.language import WIDTH, columns, folded, padded, shown

if TYPE_CHECKING:
    from rich.table import Table

    from shortlist.data import Account
    from shortlist.train import Epoch

__all__ = [
    "ESCAPED",
    "INTERRUPTED",
    "accuracy_table",
    "as_columns",
    "as_json_text",
    "as_one",
    "epoch_printer",
    "facts",
    "message_to_person",
    "names_in",
    "print_json",
    "progress",
    "say",
    "say_account",
    "say_promoted",
    "show",
    "typed",
]

INSTALL = re.compile(r'pip install "[^"]*"')
INTERRUPTED = 130
"""Exit code of a command that was interrupted."""

ESCAPED = {code: f"\\u{code:04x}" for code in (0x1B, 0x9B, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Characters of ids and values that would change how a terminal shows the rest of a line, as escapes."""

_quiet = False
SCORERS = {"model": "model", "popularity": "popularity"}
SEEN = {"seen_in": "seen left in", "seen_out": "seen excluded"}


def say(message: str = "", made: bool = False) -> None:
    """A message for the person, on stderr.

    Args:
        made: whether it is in the language in force already, such as a table.
    """
    if not _quiet:
        message_to_person(wrapped((message if made else shown(message)).translate(ESCAPED)))


def message_to_person(text: str) -> None:
    """Print a text as it is on stderr. Where the disk under it is full, nobody reads it and the work continues."""
    try:
        click.echo(text, err=True)
    except BrokenPipeError:
        raise
    except OSError:
        pass


def typed(path: str | Path) -> str:
    """A path as it can be pasted behind a command: quoted where the shell would split or expand it."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def names_in(text: str) -> list[str]:
    """The names in a comma-separated option.

    Example:
        >>> names_in("top, ndcg,")
        ['top', 'ndcg']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def show(text: str = "") -> None:
    """A text for the person that is a command's result, on stdout."""
    click.echo(shown(text))


def facts(rows: Iterable[tuple[str, object]], indent: str = "") -> Iterator[str]:
    """Lines of names and values, the values below each other and on as many lines of 80 columns as they need."""
    named = [(shown(name), shown(str(value))) for name, value in rows]
    width = max((columns(name) for name, _ in named), default=0)
    for name, value in named:
        head = f"{indent}{padded(name, width)}  "
        whole = INSTALL.sub(lambda found: found[0].replace(" ", "\0"), value)  # so that it can be copied
        lines = folded(whole, WIDTH, head, " " * columns(head)) if value else [head.rstrip()]
        yield from (line.replace("\0", " ") for line in lines)


def say_account(account: Account, how: str = "read") -> None:
    """Print an account of the data that was read, on stderr."""
    say(f"{shown(how)} {', '.join(map(shown, account.counts()))}", made=True)
    for line in account.lines()[1:]:
        say(f"  {shown(line)}", made=True)


def say_promoted(link: Path, bundle: str) -> None:
    """Print where a link points now and, where there is a bundle to go back to, how to do that.

    Args:
        bundle: as the link names it.
    """
    from shortlist.recommender.promotion import previous

    if previous(link) is None:
        say(f"promoted: {link} → {bundle}")
    else:
        say(f"promoted: {link} → {bundle}; to undo: shortlist rollback {typed(link)}")


@contextmanager
def _importing() -> Iterator[None]:
    """Imports torch without the garbage collector, and has it leave alone what was imported.

    Imports make hundreds of thousands of objects that stay. Searching them again and again takes a tenth of the time of a short training.
    Modules that need no torch are imported while a thread loads its libraries.
    """
    collects = gc.isenabled() and "torch" not in sys.modules
    if not collects:
        yield
        return
    gc.disable()
    try:
        _import_without_torch()
        yield
    finally:
        gc.freeze()
        gc.enable()


def _import_without_torch() -> None:
    """Import the rooms that need no torch, while a thread loads its libraries.

    The system loads one library at a time, so those of other packages are loaded first.
    """
    for package in ("msgspec", "numpy", "polars", "safetensors"):
        import_module(package)
    loading = Thread(target=load_torch_libraries, name="libraries of torch")
    loading.start()
    try:
        import shortlist.recommender  # noqa: F401
    finally:
        loading.join()


def as_one(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that several processes run together: the first one prints, and an error of all of them is printed once."""

    @functools.wraps(command)
    def run(**options: Any) -> Any:
        global _quiet
        with _importing():
            import torch

            import shortlist.choosing
            import shortlist.train  # noqa: F401
            from shortlist.train.distributed import joined

        processes = joined()
        _quiet = not processes.first
        try:
            with warnings.catch_warnings(), processes:
                if _quiet:
                    warnings.simplefilter("ignore", ShortlistWarning)
                return command(**options)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the device has too little memory: {str(error).splitlines()[0]}",
                hint="smaller batches (--set fit.batch_size=1024), or fewer dimensions; shortlist plan says what fits",
            ) from error
        except ShortlistError as error:
            if processes.raised_elsewhere(error):
                sys.exit(1)
            raise
        finally:
            _quiet = False

    return run


def print_json(value: Any) -> None:
    """The command's result for a machine, on stdout."""
    click.echo(as_json_text(value, indent=2))


def as_json_text(value: Any, indent: int | None = None) -> str:
    """A value as strict JSON, with null in place of NaN and infinities."""
    return json.dumps(_strict(value), indent=indent, ensure_ascii=False, default=str, allow_nan=False)


def _strict(value: Any) -> Any:
    """The value with null in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _strict(one) for name, one in value.items()}
    return [_strict(one) for one in value] if isinstance(value, (list, tuple)) else value


def as_columns(metrics: Mapping[str, float]) -> str:
    """Top-k figures on one line."""
    return "  ".join(f"{name.replace('_', '-')} {value:.4f}" for name, value in metrics.items())


def epoch_printer(epochs: int, out: Callable[[str], None] = say) -> Callable[[Epoch], None]:
    """A callback for ``fit`` that prints a line per epoch, and once the reason for figures that fall while the loss falls."""
    before: dict[str, float] = {}
    explained = False

    def show(epoch: Epoch) -> None:
        nonlocal before, explained
        figures = f"   {as_columns(epoch.metrics)}" if epoch.metrics else ""
        head = shown(f"epoch {epoch.number}/{epochs}   loss {epoch.loss:.4f} (chance {epoch.chance:.4f})")
        out(f"{head}{figures}   {shown(f'{epoch.examples_per_second:,.0f} examples/s')}")
        if not explained and before and all(epoch.metrics.get(name, value) < value for name, value in before.items()):
            explained = True
            out(
                shown(
                    "  these figures leave seen items in, which fill the first places as the model learns them; figures without follow"
                )
            )
        before = dict(epoch.metrics)

    return show


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on stderr for ``(done, total)`` calls; None where nothing is drawn: no terminal, or not the first process."""
    if _quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(shown(description), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def accuracy_table(accuracies: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Top-k accuracies as a table: model and popularity, seen items in and out."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("")
    first = next(iter(next(iter(accuracies.values())).values()))
    for name in first:
        table.add_column(name.replace("_", "-"), justify="right")
    for seen, title in SEEN.items():
        for scorer, by_seen in accuracies.items():
            if seen in by_seen:
                table.add_row(SCORERS[scorer], shown(title), *(f"{value:.4f}" for value in by_seen[seen].values()))
    return table

"""Whether ``shortlist train`` will fit in memory and on its disks: looked at before the interactions are encoded, and before training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.console import say
from shortlist.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

    from shortlist.data import Dataset, Shards
    from shortlist.index import Index
    from shortlist.train.optimizers import Optimizer
    from shortlist.train.processes import Processes
    from shortlist.train.recipes import Recipe

__all__ = ["Room"]

FORCE = "; or --force to start anyway"
SAMPLE = 200_000  # rows that say how many ids there are at least, where they are not counted yet
AS_TEXT = ("delimited", "json")


class Room:
    """Compares the needs of a run with the memory and disks there are; not of popularity alone.

    Args:
        plan: the recipe; None where a model is yet to be chosen, whose index and bundle are checked once it is.
        index: to be built; None for what suits the candidates.
        device: to train on.
        processes: that train together.
        out: the bundle.
        checkpoints: the folder of checkpoints, or None.
        force: whether to warn in place of an error where index or bundle do not fit.
    """

    def __init__(
        self,
        plan: Recipe | None,
        index: Index | None,
        device: torch.device,
        processes: Processes,
        out: Path,
        checkpoints: Path | None,
        force: bool,
    ) -> None:
        self._plan = plan if plan is not None and plan.towers == "trained" else None
        self._index, self._device, self._processes = index, device, processes
        self._out, self._checkpoints, self._force = out, checkpoints, force

    def check(self, data: Dataset | Shards) -> None:
        """Check the run on data that were read or encoded.

        Raises:
            ConfigError: where it does not fit.
        """
        from shortlist.data import Shards

        if self._plan is not None:
            folder = data.folder if isinstance(data, Shards) else None
            self._processes.first_then_others(lambda: self._check(data, folder))

    def check_before_encoding(self, interactions: str, columns: Mapping[str, Any], folder: Path) -> None:
        """Check the run on a sample of a source, with as few ids as it can have; text files and object stores are not sampled.

        Other faults of the source are left to its encoding.

        Args:
            columns: the columns and tables, as ``training_data`` has them.
            folder: of the shards.

        Raises:
            ConfigError: where it does not fit.
        """
        from shortlist.data import Events, Reading
        from shortlist.data.shards import find, interactions_of
        from shortlist.data.shards.estimate import distinct
        from shortlist.train.forecast import sampled

        if self._plan is None or "://" in interactions:
            return
        reading, events = columns.get("reading") or Reading(), columns.get("events") or Events()
        roles: dict[str, str | None] = {name: columns[name] for name in ("query", "candidate", "timestamp", "weight")}
        tables = {"queries": columns["queries"], "candidates": columns["candidates"]}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = find(interactions, reading=reading)
                if source.kind.family in AS_TEXT:
                    return
                source, roles["weight"] = interactions_of(source, roles, events)
                drawn, data, _ = sampled(
                    source, self._plan, roles, {**tables, "reading": reading.of_features()}, SAMPLE
                )
        except (ConfigError, DataError):
            return
        ids = {column: distinct(drawn, column).low for column in (data.query, data.candidate)}
        self._check(data, folder, drawn.rows, ids)

    def _optimizer(self) -> Optimizer | None:
        """The optimizer; None for ALS, which has none."""
        assert self._plan is not None
        return None if self._plan.als is not None else self._plan.build_optimizer()

    def leaves_out_checkpoints(self, data: Dataset | Shards) -> bool:
        """Whether the run goes without checkpoints: their disk has no room, and that is forced."""
        return self._force and self._processes.of_first(lambda: self._lacks_checkpoints(data))

    def _lacks_checkpoints(self, data: Dataset | Shards) -> bool:
        from shortlist.train.room import check_room_for_checkpoints
        from shortlist.train.sizes import sizes_of

        if self._plan is None or self._checkpoints is None:
            return False
        model, optimizer = self._plan.build_model(data), self._optimizer()
        sizes = sizes_of(model, data, optimizer, self._device, self._processes.size, guess=True)
        try:
            check_room_for_checkpoints(sizes, self._checkpoints)
        except ConfigError:
            say("warning: there is no room for checkpoints; this run writes none (--force)")
            return True
        return False

    def _check(
        self,
        data: Dataset | Shards,
        shards: Path | None,
        rows: int | None = None,
        ids: Mapping[str, int] | None = None,
    ) -> None:
        from shortlist.train.room import Folders, check_fits
        from shortlist.train.sizes import sizes_of

        assert self._plan is not None
        model, optimizer = self._plan.build_model(data), self._optimizer()
        tables = self._plan.model.table_folder
        folders = Folders(
            bundle=self._out.absolute().parent if self._processes.first else None,
            checkpoints=self._checkpoints,
            tables=None if tables is None else Path(tables),
            shards=shards,
        )
        try:
            for guess in (True, False):  # an index of a few candidates is built only where it may matter
                sizes = sizes_of(
                    model,
                    data,
                    optimizer,
                    self._device,
                    self._processes.size,
                    self._index,
                    guess=guess,
                    rows=rows,
                    ids=ids,
                )
                try:
                    check_fits(sizes, folders, FORCE)
                    return
                except ConfigError:
                    if not guess:
                        raise
        except ConfigError as error:
            if not self._force:
                raise
            say(f"warning: {error.message}; started anyway (--force)")

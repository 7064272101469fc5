"""Live curves of a training run, for TensorBoard and MLflow, through ``fit``'s hooks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from shortlist.data.argument_checks import checked_path
from shortlist.errors import MissingExtraError, ShortlistError
from shortlist.train.epochs import Epoch

__all__ = ["MLflow", "TensorBoard", "scalars", "together"]


def scalars(epoch: Epoch) -> dict[str, float]:
    """An epoch's figures by the names they have in both tools: ``train/loss``, ``validation/top_10``, …"""
    train = {"loss": epoch.loss, "chance": epoch.chance, "examples_per_second": epoch.examples_per_second}
    if epoch.temperature is not None:
        train["temperature"] = epoch.temperature
    return {f"train/{name}": float(value) for name, value in train.items()} | {
        f"validation/{name}": float(value) for name, value in epoch.metrics.items()
    }


def together(*hooks: Callable[..., object] | None) -> Callable[..., bool]:
    """One hook that calls each of ``hooks`` in turn and returns True if one of them did; None among them is ignored.

    sl.fit(model, train, on_epoch=together(print, board.on_epoch))
    """
    called = [hook for hook in hooks if hook is not None]

    def call(*arguments: Any) -> bool:
        answers = [hook(*arguments) for hook in called]  # every one is called
        return any(answer is True for answer in answers)

    return call


class TensorBoard:
    """Writes a run's curves to ``folder`` while it trains; ``tensorboard --logdir`` shows them.

    ``on_epoch`` writes ``scalars(epoch)``, by epoch; ``on_batch`` the speed so far, by examples seen.

    Args:
        folder: a folder for this run.
        every: write the speed at most once in this many seconds.

    Raises:
        MissingExtraError: without the package.

    Example:
        with TensorBoard("runs/first") as board:
            sl.fit(model, train, on_epoch=board.on_epoch, on_batch=board.on_batch)
    """

    def __init__(self, folder: str | Path, *, every: float = 2.0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as missing:
            if missing.name is not None and missing.name.partition(".")[0] == "torch":
                raise
            raise MissingExtraError("tensorboard", "tensorboard", "TensorBoard") from missing
        self._writer: Any = SummaryWriter(str(checked_path(folder, "TensorBoard(folder)")))
        self._speed = _Speed(every)

    def on_epoch(self, epoch: Epoch) -> None:
        """For ``fit(on_epoch=…)``."""
        for name, value in scalars(epoch).items():
            self._writer.add_scalar(name, value, epoch.number)
        self._writer.flush()

    def on_batch(self, done: int, total: int) -> None:
        """For ``fit(on_batch=…)``.

        Args:
            done: examples so far.
            total: examples of the whole run.
        """
        speed = self._speed.after(done)
        if speed is not None:
            self._writer.add_scalar("batch/examples_per_second", speed, done)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class MLflow:
    """Logs a run's curves to an MLflow experiment while it trains.

    Within ``mlflow.start_run()`` it joins that run, whatever its experiment, and leaves it open; ``run=``, ``run_id=`` or
    ``uri=`` ask for another one. Else the run is its own: at the end it is FINISHED, or FAILED where training raised.
    ``on_epoch`` and ``on_batch`` as in ``TensorBoard``.

    Args:
        experiment: its name; created if it does not exist.
        run: the run's name.
        parameters: logged once, nested ones by dotted names, for example a recipe's ``to_dict()``.
        uri: where MLflow is; by default what its environment says (``MLFLOW_TRACKING_URI``).
        every: log the speed at most once in this many seconds.
        run_id: continue this run, as a resumed training does, under its own name and parameters; values that are logged
            again replace the old ones.

    Raises:
        MissingExtraError: without the package, or without what its store needs.
        ShortlistError: where the tracking store refuses.

    Example:
        with MLflow("films", parameters=recipe.to_dict()) as log:
            sl.fit(model, train, on_epoch=log.on_epoch)
    """

    def __init__(
        self,
        experiment: str,
        *,
        run: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        uri: str | None = None,
        every: float = 10.0,
        run_id: str | None = None,
    ) -> None:
        try:
            import mlflow
            from mlflow.entities import Metric, Param
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as missing:
            raise MissingExtraError("mlflow", "mlflow", "MLflow") from missing
        self._metric = Metric
        self._speed = _Speed(every)
        self._joined = False  # whether the run is the caller's, who ends it
        try:
            self._client = MlflowClient(tracking_uri=uri)
            if run_id is not None:
                self.run_id: str = run_id
                self._client.update_run(run_id, status="RUNNING")
                return
            given = [Param(name, str(value)[:500]) for name, value in _dotted(parameters or {})]
            active = mlflow.active_run() if run is None and uri is None else None
            self._joined = active is not None
            if active is not None:
                self.run_id = active.info.run_id
                self._client.log_batch(self.run_id, params=given)
                return
            known = self._client.get_experiment_by_name(experiment)
            number = self._client.create_experiment(experiment) if known is None else known.experiment_id
            self.run_id = self._client.create_run(number, run_name=run).info.run_id
            self._client.log_batch(self.run_id, params=given)
        except MlflowException as refusal:
            there = "" if run_id is None else "; it must be the server of the MLflow run to continue"
            raise ShortlistError(
                f"MLflow refused: {refusal}", hint=f"set MLFLOW_TRACKING_URI, or give uri={there}"
            ) from refusal
        except ModuleNotFoundError as missing:
            from shortlist.recommender.mlflow_model import incomplete

            raise incomplete(missing) from missing

    def on_epoch(self, epoch: Epoch) -> None:
        """For ``fit(on_epoch=…)``."""
        self._log(scalars(epoch), epoch.number)

    def on_batch(self, done: int, total: int) -> None:
        """For ``fit(on_batch=…)``.

        Args:
            done: examples so far.
            total: examples of the whole run.
        """
        speed = self._speed.after(done)
        if speed is not None:
            self._log({"batch/examples_per_second": speed}, done)

    def close(self, failed: bool = False) -> None:
        """End the run, unless it is one that was joined."""
        if self._joined:
            return
        self._client.set_terminated(self.run_id, status="FAILED" if failed else "FINISHED")

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id, metrics=[self._metric(name, value, now, step) for name, value in values.items()]
        )

    def __enter__(self) -> MLflow:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(failed=kind is not None)


class _Speed:
    """Examples per second since the last answer, at most one answer in ``every`` seconds; none at first, since a
    resumed run begins with many done."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._since = 0.0
        self._done: int | None = None

    def after(self, done: int) -> float | None:
        now = time.perf_counter()
        if self._done is None:
            self._since, self._done = now, done
            return None
        seconds = now - self._since
        if seconds < self.every or done <= self._done:
            return None
        speed = (done - self._done) / max(seconds, 1e-9)
        self._since, self._done = now, done
        return speed


def _dotted(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as one list: ``{"fit": {"seed": 1}}`` is ``fit.seed``."""
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += _dotted(value, f"{before}{name}.")
        else:
            flat.append((f"{before}{name}", value))
    return flat

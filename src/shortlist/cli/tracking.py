"""``--tensorboard`` and ``--mlflow``: live curves, which continue when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shortlist.cli.console import say
from shortlist.errors import ConfigError
from shortlist.store import write_file

if TYPE_CHECKING:
    from shortlist.train import Checkpoints, MLflow, TensorBoard

__all__ = ["curves"]

TRACKING = "tracking.json"


def curves(
    tensorboard: Path | None, mlflow: str | None, parameters: Mapping[str, Any], checkpoints: Checkpoints | None
) -> list[TensorBoard | MLflow]:
    """Open the loggers that the options name; with several processes only the first one should call it.

    The run of MLflow is noted in the folder of checkpoints, and a resumed training continues it. TensorBoard reads all that
    is in one folder as one run. ConfigError where the note cannot be read.
    """
    import shortlist as sl

    logs: list[TensorBoard | MLflow] = []
    if tensorboard is not None:
        logs.append(sl.TensorBoard(tensorboard))
    if mlflow is not None:
        before = None if checkpoints is None or not checkpoints.resume else _noted(Path(checkpoints.folder), mlflow)
        log = sl.MLflow(mlflow, parameters=parameters, run_id=before)
        if before is not None:
            say(f"continuing the MLflow run {before}")
        elif checkpoints is not None:
            _note(Path(checkpoints.folder), {"mlflow": {"experiment": mlflow, "run_id": log.run_id}})
        logs.append(log)
    return logs


def _noted(folder: Path, experiment: str) -> str | None:
    """The MLflow run that a training with checkpoints in ``folder`` logged to; None if it belongs to another experiment."""
    path = folder / TRACKING
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))["mlflow"]
        run_id = noted["run_id"] if noted["experiment"] == experiment else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{str(path)!r} does not name the MLflow run to continue: {error!r}.",
            hint="remove that file to continue in a new MLflow run",
        ) from error
    return None if run_id is None else str(run_id)


def _note(folder: Path, content: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / TRACKING, (json.dumps(content) + "\n").encode())

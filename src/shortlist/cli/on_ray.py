"""Commands on a Ray cluster: Ray Train runs the training loop, Ray Data the lists for everyone.

The driver of a command runs as a task of the cluster, so that a client at ``ray://…`` needs nothing but Ray. Paths are those
of the cluster: tables, bundles and folders are where every node can read them.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.cli.retraining import REFUSED, Daily
from shortlist.cli.rules import NAMES, rules_of
from shortlist.errors import ConfigError, MissingExtraError, ShortlistError, TrainingError
from shortlist.language import counted

__all__ = ["cluster", "or_on_ray", "recommend_all_on", "result_file", "train_on"]

CLIENT = "ray://"
STARTS = "--on local starts one here; ray start --head starts one that others can join"
SERVES = (
    "on the head: ray start --head --ray-client-server-port 10001; here: the same versions of Ray and "
    "Python, and in ~/.ray/auth_token or RAY_AUTH_TOKEN what ray get-auth-token prints there"
)

_on = click.option(
    "--on", metavar="ADDRESS", help="Run on a Ray cluster: ray://host:10001, auto, or local to start one here."
)
_workers = click.option(
    "--workers", type=int, help="With --on: number of processes (default: one per GPU, or one per node)."
)


def or_on_ray(run: Callable[..., dict[str, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Lets a command take ``--on`` and ``--workers``; ``run(address, workers, options)`` is called then, and returns the result."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @_on
        @_workers
        @functools.wraps(command)
        def choose(on: str | None = None, workers: int | None = None, **options: Any) -> None:
            if on is None and workers is not None:
                raise ConfigError("--workers was given without --on.", hint="add --on local, or start it with torchrun")
            if on is None:
                command(**options)
                return
            as_json = options.pop("as_json")
            result = run(on, workers, options)
            if as_json:
                print_json(result)
            if result.get("passed") is False:
                sys.exit(REFUSED)

        return choose

    return decorate


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """The module ``ray``, connected to the cluster at ``address``.

    A client at ``ray://`` sends the cluster's token where this machine has one: in ``RAY_AUTH_TOKEN``, in the file that
    ``RAY_AUTH_TOKEN_PATH`` names, or in ``~/.ray/auth_token``.

    Raises:
        MissingExtraError: without Ray.
        ShortlistError: where nothing answers at the address.
    """
    if address.startswith(CLIENT):
        _check_reachable(address)
        if has_token():  # Ray finds the token by itself, except in a client
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError as missing:
        raise MissingExtraError("ray", "ray", "--on") from missing
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        if address == "local":
            quiet = ray.LoggingConfig(log_level="ERROR")
            ray.init(address="local", include_dashboard=False, logging_level=logging.ERROR, logging_config=quiet)
        else:
            ray.init(address=address, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ShortlistError(
            f"no Ray cluster answered at {address!r}: {_reason(error)}",
            hint=SERVES if address.startswith(CLIENT) else STARTS,
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reason(error: Exception) -> str:
    """Ray's message, in one line; of a traceback from the other side only the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        lines = lines[-1:]
    return " ".join(lines)[:300]


def has_token() -> bool:
    """Whether this machine has a cluster's token where Ray looks for one."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(os.environ.get("RAY_AUTH_TOKEN") or named or os.path.isfile(os.path.expanduser("~/.ray/auth_token")))


def _check_reachable(address: str) -> None:
    """ShortlistError where nothing listens at ``ray://host:port``, before Ray tries for half a minute."""
    host, _, port = address.removeprefix(CLIENT).partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--on is {address!r}; ray://HOST:PORT was expected.", hint="ray://head:10001")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise ShortlistError(f"nothing answers at {address!r}: {error}.", hint=SERVES) from error


def train_on(
    work: Callable[[dict[str, Any]], None], address: str, workers: int | None, options: dict[str, Any]
) -> dict[str, Any]:
    """``shortlist train`` with these options, by several workers of Ray Train; the result as under ``--json``.

    Args:
        work: what every worker does with the options, in the process group that Ray Train has made.
    """
    failures = options.pop("max_failures") or 0
    if failures and options["checkpoint_dir"] is None:
        raise ConfigError(
            "--max-failures was given without --checkpoint-dir.", hint="--checkpoint-dir FOLDER, from which they resume"
        )
    daily = Daily(options["warm_start"], options["only_new"], options["half_life"], (), None)
    plan = daily.recipe(options["recipe"], options["changes"])  # read here: the file of the recipe is on this machine
    given = {**_absolute(options), "recipe": plan.to_dict(), "changes": ()}
    with cluster(address) as ray:
        count, cpus, gpu = _shares(ray, workers)
        say(f"training on Ray with {count} {'worker' if count == 1 else 'workers'}")
        result = _done(ray, _drive_training, work, given, (count, cpus, gpu), failures)
    for one in result.get("conditions", ()):
        say(f"{one['condition']}: {one['value']:.4f}, {'holds' if one['passed'] else 'does not hold'}")
    return result


def recommend_all_on(address: str, workers: int | None, options: dict[str, Any]) -> dict[str, Any]:
    """``shortlist recommend-all`` with these options, its parts made by actors of Ray Data."""
    from shortlist.recommender.export_all import Task

    given = _absolute(options)
    task = Task(given["k"], not given["include_seen"], given["where"], given["vectors"])
    rules = {name: given[name] for name in NAMES}
    with cluster(address) as ray:
        count, cpus, _ = _shares(ray, workers)
        done = _done(ray, _drive_lists, given["bundle"], given["out"], task, rules, count, cpus)
    again = f" ({done['found']:,} of {counted(done['parts'], 'file')} there already)" if done["found"] else ""
    say(
        f"wrote {counted(done['rows'], 'row')} for {counted(done['queries'], 'query')} to {options['out']} on Ray{again}"
    )
    return done


def _done(ray: Any, work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The result of a task of the cluster; its errors are raised here."""
    try:
        result: dict[str, Any] = ray.get(ray.remote(num_cpus=0)(work).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ShortlistError):
            raise error.cause from None
        raise
    return result


def _absolute(options: dict[str, Any]) -> dict[str, Any]:
    """Options whose paths lead to the same place from every folder; URLs stay."""
    paths = {name: str(value.absolute()) for name, value in options.items() if isinstance(value, Path)}
    source = options.get("interactions")
    if isinstance(source, str) and "://" not in source:
        paths["interactions"] = str(Path(source).absolute())
    return {**options, **{name: value if name == "interactions" else Path(value) for name, value in paths.items()}}


def _shares(ray: Any, workers: int | None) -> tuple[int, int, bool]:
    """How many workers, how many processors each, and whether each has a GPU."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers is {workers}; a whole number of at least 1 was expected.")
    count = workers or gpus or len(nodes)
    smallest = min(int(node.get("CPU", 1)) for node in nodes)
    return count, max(1, smallest // -(-count // len(nodes))), gpus >= count


def _drive_training(
    work: Callable[[dict[str, Any]], None], options: dict[str, Any], shares: tuple[int, int, bool], failures: int
) -> dict[str, Any]:
    """Trains by Ray Train, and returns what the first worker says under --json.

    Args:
        shares: how many workers, processors of each, and whether each has a GPU.
        failures: how often workers that were lost are started again; they resume from the newest checkpoint.
    """
    import tempfile

    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    workers, cpus, gpu = shares
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        trainer = TorchTrainer(
            work,
            train_loop_config=_to_resume(options) if failures else options,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker={"CPU": cpus}),
            torch_config=TorchConfig(backend=backend),
            run_config=RunConfig(
                name="shortlist", storage_path=folder, failure_config=FailureConfig(max_failures=failures)
            ),
        )
        try:
            trainer.fit()
            said = json.loads(result_file(options["out"]).read_text(encoding="utf-8"))
        except TrainingFailedError as failed:
            raise _first_complaint(failed) from failed
        finally:
            result_file(options["out"]).unlink(missing_ok=True)
    names = ("training", "evaluation", "findings", "since", "conditions", "passed", "bundle")
    return {**{name: said[name] for name in names if name in said}, "workers": workers}


def result_file(out: Path) -> Path:
    """The file in which the first worker leaves what it says under --json: next to the bundle, which the driver can read too.

    Ray Train keeps the metrics of workers only with a checkpoint of its own.
    """
    return out.with_name(f".{out.name}.result.json")


def _to_resume(options: dict[str, Any]) -> dict[str, Any]:
    """Options with which a worker that is started again resumes; what they would refuse is refused now."""
    from shortlist.recommender.folder import check_place
    from shortlist.train.checkpoint_files import steps_of

    check_place(options["out"], options["overwrite"])
    folder = Path(options["checkpoint_dir"])
    if steps_of(folder) and not options["resume"]:
        raise ConfigError(
            f"{str(folder)!r} has the checkpoints of another run.", hint="--resume, or another --checkpoint-dir"
        )
    return {**options, "resume": True, "overwrite": True}


def _first_complaint(failed: Exception) -> ShortlistError:
    """The error of the worker that stopped first; the others stop because of it."""
    from shortlist.train.processes import StoppedTrainingError

    found = []
    for failure in getattr(failed, "worker_failures", {}).values():
        for error in (failure, getattr(failure, "_base_exc", None), getattr(failure, "cause", None)):
            if isinstance(error, ShortlistError):
                found.append(error)
    first = [error for error in found if not isinstance(error, StoppedTrainingError)]
    text = " ".join(str(failed).split())[:500]
    lost = TrainingError(f"training on Ray failed: {text}", hint="the logs of the workers say more (ray logs)")
    return (first or found or [lost])[0]


def _drive_lists(
    bundle: Path, folder: Path, task: Any, rules: dict[str, Any], workers: int, cpus: int
) -> dict[str, Any]:
    """Writes the missing parts by Ray Data, then the manifest."""
    import ray

    from shortlist.recommender import Recommender
    from shortlist.recommender.export_all import Parts

    recommender = Recommender.load(bundle)
    task = replace(task, rerank=rules_of(recommender, rules))
    parts = Parts(recommender.served, folder, task)
    missing = parts.prepare()
    if missing:
        ray.data.DataContext.get_current().enable_progress_bars = False
        numbers = ray.data.from_items([{"part": number} for number in missing], override_num_blocks=len(missing))
        written = numbers.map_batches(
            _PartWriter,
            fn_constructor_args=(bundle, folder, task),
            batch_size=1,
            num_cpus=cpus,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(missing))),
        )
        written.materialize()
    return parts.finish(len(parts.names) - len(missing)).to_dict()


class _PartWriter:
    """An actor of Ray Data: loads the bundle once, and writes part after part."""

    def __init__(self, bundle: Path, folder: Path, task: Any) -> None:
        from shortlist.recommender import Recommender
        from shortlist.recommender.export_all import Parts

        self.parts = Parts(Recommender.load(bundle).served, folder, task)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Writes the parts of these numbers."""
        return {**batch, "queries": [self.parts.write(int(number)) for number in batch["part"]]}

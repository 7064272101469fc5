"""Bundles as models of MLflow: logged, registered, and loaded again as a recommender or as a ``pyfunc``.

MLflow calls ``save_model`` and ``_load_pyfunc`` by these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from shortlist._public import __version__
from shortlist.data.argument_checks import kind_of
from shortlist.errors import BundleError, ConfigError, MissingExtraError
from shortlist.recommender import bundle, pipeline
from shortlist.recommender.manifest import MANIFEST, MLFLOW_MODEL
from shortlist.recommender.served import Served

__all__ = ["fetched", "incomplete", "log", "save_model"]

FLAVOUR, FOLDER = "shortlist", "bundle"
PARAMETERS: dict[str, tuple[str, Any]] = {"k": ("long", 10), "exclude_seen": ("boolean", True), "where": ("string", "")}
"""The parameters of ``predict``, with the type and the default of each."""


def log(served: Served, name: str, registered: str | None) -> str:
    """Log the bundle to the active run, or to a new one; return the model's address.

    Args:
        served: the bundle.
        name: of the model within its run.
        registered: also a new version of this model in the registry.

    Raises:
        BundleError: where MLflow refuses.
        ConfigError: where ``name`` or ``registered`` is not a name.
        MissingExtraError: without mlflow or pandas, or without what its store needs.
    """
    for label, value in (("name", name), ("registered", registered)):
        if not (isinstance(value, str) and value) and not (label == "registered" and value is None):
            raise ConfigError(f"log_to_mlflow() got {label}={value!r}; a name was expected.", hint=f'{label}="films"')
    mlflow = _mlflow()
    _pandas()
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model

    import shortlist.recommender.mlflow_model as flavour

    named = (
        {"name": name, "artifact_path": None} if "name" in signature(Model.log).parameters else {"artifact_path": name}
    )
    try:  # MLflow 2 has no names
        written = Model.log(
            flavor=flavour, registered_model_name=registered, served=served, validate_serving_input=False, **named
        )
    except (MlflowException, mlflow.exceptions.RestException) as error:
        raise BundleError(f"MLflow refused the model: {error}", hint="see MLFLOW_TRACKING_URI") from error
    except ModuleNotFoundError as missing:
        raise incomplete(missing) from missing
    return str(written.model_uri)


def fetched(uri: object) -> Path:
    """The folder of the bundle of a model, downloaded where it is not on this machine.

    Args:
        uri: such as "models:/films/3" or "runs:/…/model".

    Raises:
        BundleError: where there is no such model, or one of another kind.
        ConfigError: for anything but an address.
        MissingExtraError: without mlflow, or without what its store needs.
    """
    uri = str(uri) if isinstance(uri, Path) else uri
    if not isinstance(uri, str):
        raise ConfigError(
            f"from_mlflow() got {kind_of(uri)}; the address of a model was expected.", hint='"models:/films/1"'
        )
    mlflow = _mlflow()
    from mlflow.exceptions import MlflowException

    try:
        folder = Path(mlflow.artifacts.download_artifacts(uri))
    except (MlflowException, OSError) as error:
        hint = "look for a typing error; MLFLOW_TRACKING_URI says which server is asked"
        if ":/" not in uri:
            hint = f"a model is written as models:/{uri}/1 or runs:/…/model"
        raise BundleError(f"the model {uri!r} cannot be loaded: {error}", hint=hint) from error
    except ModuleNotFoundError as missing:
        raise incomplete(missing) from missing
    if not (folder / FOLDER).is_dir():
        hint = "Recommender.log_to_mlflow writes one; this model holds something else"
        if (folder / MANIFEST).is_file():
            hint = f"it is a bundle itself: Recommender.load({uri!r})"
        raise BundleError(f"the model {uri!r} holds no bundle.", hint=hint)
    return folder / FOLDER


def incomplete(missing: ModuleNotFoundError) -> MissingExtraError:
    """The error of mlflow-skinny where it is asked for a store that it has no packages for, as it is without a server."""
    return MissingExtraError(
        str(missing.name), "mlflow", "MLflow",
        hint="mlflow-skinny works with a tracking server: set MLFLOW_TRACKING_URI; to keep runs on this machine, pip install mlflow",
    )  # fmt: skip


def save_model(path: str, mlflow_model: Any = None, served: Served | None = None, **_: Any) -> None:
    """Write a model's folder, as ``Model.log`` of MLflow asks for it."""
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.models.utils import _save_example  # the way that MLflow's guide gives to flavours

    assert served is not None
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    bundle.save(served, folder / FOLDER, False, served.metadata, False)
    (folder / "requirements.txt").write_text(f"shortlist[pandas]=={__version__}\n", encoding="utf-8")
    model = Model() if mlflow_model is None else mlflow_model
    model.signature = _signature(served)
    if (example := _example(served)) is not None:
        _save_example(model, example, str(folder))
    pyfunc.add_to_model(model, loader_module=__name__, data=FOLDER)
    model.add_flavor(FLAVOUR, shortlist_version=__version__, data=FOLDER)
    model.save(str(folder / MLFLOW_MODEL))


class _Predictor:
    """A bundle as MLflow's servers ask it: a table of queries in, a table of their lists out."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """A row for each item of the list of each query, as ``Recommendations.to_pandas`` has them.

        Args:
            model_input: a DataFrame with the column of query ids, and of features where the model reads some.
            params: k, exclude_seen and where.
        """
        given = {name: value for name, (_, value) in PARAMETERS.items()} | dict(params or {})
        unknown = [name for name in given if name not in PARAMETERS]
        if unknown:
            raise ConfigError(f"predict() got {unknown[0]!r}.", hint=f"params: {', '.join(PARAMETERS)}")
        found = pipeline.recommend(
            self._served,
            _in_rows(model_input, self._served.state.query),
            int(given["k"]),
            exclude_seen=given["exclude_seen"],
            where=given["where"] or None,
        )
        return found.to_pandas()


def _load_pyfunc(path: str) -> _Predictor:
    return _Predictor(bundle.load(Path(path)))


def _in_rows(table: Any, query: str) -> Any:
    """The table with a row for each query; MLflow makes one row, of lists, of ``{"user_id": ["42", "7"]}``."""
    if (
        getattr(table, "shape", ())[:1] == (1,)
        and query in table
        and isinstance(table[query].iloc[0], (list, np.ndarray))
    ):
        return {name: list(table[name].iloc[0]) for name in table}
    return table


def _example(served: Served) -> Any:
    """A query and parameters to ask the model with; None where only a request has what its tower reads."""
    import pandas as pd

    state = served.state
    if not len(state.queries) or not set(state.reads) <= set(state.queries.columns):
        return None
    return pd.DataFrame({state.query: state.queries[state.query].head(1).to_list()}), {"k": PARAMETERS["k"][1]}


def _optional(served: Served) -> list[Any]:
    """The columns that the model reads of a query, of any type; none before MLflow 2.20, which has no such type."""
    from mlflow.types import schema

    state = served.state
    if not hasattr(schema, "AnyType"):
        return []
    stored = set(state.queries.columns)
    return [
        schema.ColSpec(schema.AnyType(), name, required=name not in stored)
        for name in served.reads_in_all
        if name != state.query
    ]


def _signature(served: Served) -> Any:
    """The columns in and out, and the parameters of ``predict``."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    state = served.state
    query, candidate = ("string" if ids.strings else "long" for ids in (state.query_ids, state.candidate_ids))
    columns = [
        (query, state.query), ("long", "rank"), (candidate, state.candidate),
        ("double", "score"), ("string", "source"), ("boolean", "known"),
    ]  # fmt: skip
    return ModelSignature(
        inputs=Schema([ColSpec(query, state.query), *_optional(served)]),
        outputs=Schema([ColSpec(kind, name) for kind, name in columns]),
        params=ParamSchema([ParamSpec(name, kind, default) for name, (kind, default) in PARAMETERS.items()]),
    )


def _mlflow() -> Any:
    try:
        import mlflow
        import mlflow.artifacts
    except ModuleNotFoundError as missing:
        raise MissingExtraError("mlflow", "mlflow", "MLflow") from missing
    return mlflow


def _pandas() -> None:
    """MissingExtraError without pandas: MLflow's models need it, mlflow-skinny does not bring it."""
    try:
        import pandas  # noqa: F401
    except ImportError as missing:
        raise MissingExtraError("pandas", "pandas", "log_to_mlflow()") from missing

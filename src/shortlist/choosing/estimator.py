"""A recipe in the form of scikit-learn's estimators: ``fit``, ``predict``, ``score``, ``get_params``, ``set_params``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.data import Dataset
from shortlist.data.argument_checks import kind_of
from shortlist.data.readers import is_frame, read_table
from shortlist.errors import ConfigError, check_flags, did_you_mean
from shortlist.evaluation import evaluate
from shortlist.index.checks import check_k
from shortlist.recommender import Recommendations, Recommender
from shortlist.train import recipes

__all__ = ["Estimator"]

OWN = ("recipe", "query", "candidate", "timestamp", "changes", "k", "exclude_seen")


class Estimator:
    """A recipe that can be cloned, searched over and put into a pipeline. It does without scikit-learn itself.

    ``X`` is a table of interactions, a row for each: a frame of pandas or Polars, an Arrow table, a dict of columns, or a
    ``Dataset``. Grid searches and scikit-learn's cross-validation need a frame or an Arrow table, since they divide ``X`` by
    rows. There is no ``y``.

    Args:
        recipe: a name, a file, or a ``Recipe``.
        query: the column of query ids; not needed for a ``Dataset``.
        candidate: the column of candidate ids, likewise.
        timestamp: a column of times.
        changes: to the recipe, as in ``recipes.load``: ``{"model.dim": 64}``. ``set_params(model__dim=64)`` adds one, so that a
            grid search can.
        k: the length of the lists of ``predict`` and ``score``.
        exclude_seen: leave out what each query chose in training.

    Attributes:
        recommender_: after ``fit``, the ``Recommender``.
        history_: after ``fit``, the ``TrainingHistory``.

    Example:
        search = GridSearchCV(sl.Estimator("als", query="user", candidate="item"), {"model__dim": [16, 64]}, cv=3)
        search.fit(frame).best_params_
    """

    def __init__(
        self,
        recipe: Any = "als",
        *,
        query: str | None = None,
        candidate: str | None = None,
        timestamp: str | None = None,
        changes: Mapping[str, Any] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
    ) -> None:
        self.recipe = recipe
        self.query = query
        self.candidate = candidate
        self.timestamp = timestamp
        self.changes = changes
        self.k = k
        self.exclude_seen = exclude_seen

    def fit(self, X: Any, y: None = None) -> Estimator:
        """Train on a table of interactions.

        Args:
            X: the interactions.
            y: not used.

        Raises:
            DataError: for a table that cannot be read.
            ConfigError: for a recipe or changes that do not exist, and where ``query`` or ``candidate`` is missing.
            SearchError: where ``k`` is not a whole number of at least 1.
        """
        check_flags("Estimator", exclude_seen=self.exclude_seen)
        check_k(self.k)
        data = self._dataset(X)
        recipe = self.recipe
        if self.changes or not isinstance(recipe, recipes.Recipe):
            plain = recipe.to_dict() if isinstance(recipe, recipes.Recipe) else recipe
            recipe = recipes.load(plain, self.changes or {})
        model, self.history_ = recipe.train(data)
        self.recommender_ = Recommender(model, seen=data)
        self.n_features_in_ = len(data.interactions.columns)
        return self

    def predict(self, X: Any) -> NDArray[np.object_]:
        """The k best candidates of each query, as ids ``[queries, k]``; None where fewer are eligible.

        Args:
            X: query ids, or a table with the query column, whose rows are then answered one by one.

        Raises:
            ConfigError: before ``fit``, and for a table without that column.
            DataError: for anything else.
        """
        lists = self.recommend(self._queries(X))
        ids = np.full((len(lists), self.k), None, dtype=object)
        for row, one in zip(ids, lists, strict=True):
            row[: len(one)] = one.ids
        return ids

    def recommend(self, queries: Any, k: int | None = None, **options: Any) -> Recommendations:
        """Lists as ``Recommender.recommend`` gives them, with its options.

        Args:
            queries: ids, or columns of a request.
            k: the length of the lists, by default the estimator's.
            options: of ``Recommender.recommend``.

        Raises:
            ConfigError: before ``fit``.
        """
        options.setdefault("exclude_seen", self.exclude_seen)
        return self._fitted().recommend(queries, self.k if k is None else k, **options)

    def score(self, X: Any, y: None = None) -> float:
        """recall@k on held-out interactions: the share of each query's that are in its list, over the queries' mean.

        Args:
            X: interactions that ``fit`` did not have.
            y: not used.
        """
        fitted = self._fitted()
        test, train = self._dataset(X), fitted.seen
        found = evaluate(fitted.model, test, seen=train, ks=(self.k,), metrics=("recall",), baselines=())
        return float(found["model"]["seen_out" if self.exclude_seen else "seen_in"][f"recall_{self.k}"])

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; of the changes each by its own name, such as "model__dim", too, where ``deep``."""
        own = {name: getattr(self, name) for name in OWN}
        more = {name.replace(".", "__"): value for name, value in (self.changes or {}).items()} if deep else {}
        return own | more

    def set_params(self, **parameters: Any) -> Estimator:
        """Change parameters; a name with two underscores is a key of the recipe: ``model__dim=64``.

        Raises:
            ConfigError: for a parameter that does not exist.
        """
        keys = {name.replace("__", "."): value for name, value in parameters.items() if "__" in name}
        own = {name: value for name, value in parameters.items() if "__" not in name}
        for name in own:
            if name not in OWN:
                raise ConfigError(f"Estimator has no parameter {name!r}.", hint=did_you_mean(name, OWN))
        for name, value in own.items():
            setattr(self, name, value)
        if keys:
            self.changes = {**(self.changes or {}), **keys}
        return self

    def __repr__(self) -> str:
        given = {name: value for name, value in self.get_params(deep=False).items() if value != DEFAULTS[name]}
        return f"Estimator({', '.join(f'{name}={value!r}' for name, value in given.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "recommender_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def _fitted(self) -> Recommender:
        if not self.__sklearn_is_fitted__():
            raise ConfigError("this Estimator is not fitted.", hint="call fit(X) first")
        return self.recommender_

    def _dataset(self, X: Any) -> Dataset:
        """The table as a Dataset."""
        if isinstance(X, Dataset):
            return X
        if self.query is None or self.candidate is None:
            raise ConfigError(
                f"Estimator got {kind_of(X)} and no names of columns.",
                hint='Estimator(query="user", candidate="item"), or a Dataset',
            )
        return Dataset(X, self.query, self.candidate, timestamp=self.timestamp)

    def _queries(self, X: Any) -> Any:
        """The ids of a table's rows, or what was given."""
        if isinstance(X, Dataset):
            return X.interactions[X.query].to_list()
        if not (is_frame(X) or isinstance(X, Mapping)):
            return X
        frame = read_table(X, "interactions", [self.query or ""]).frame
        if self.query not in frame.columns:
            raise ConfigError(
                f"predict() got {kind_of(X)} without the column {self.query!r}.",
                hint="Estimator(query=...) names it; or give the ids",
            )
        return frame[self.query].to_list()


DEFAULTS = Estimator().get_params(deep=False)

"""A recipe: a model, its loss, its optimizer and its training, as one value that trains on any data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from shortlist.data import Dataset, Shards
from shortlist.errors import ConfigError
from shortlist.model import TwoTower, join, popularity
from shortlist.sources import Blend, Mixture, Weights, checked_quotas
from shortlist.train.distributed import joined
from shortlist.train.epochs import TrainingHistory
from shortlist.train.model_section import JoinedSection, OneModel, TowersSection
from shortlist.train.sections import AddedSection, NeighboursSection, RankerSection

__all__ = ["Recipe"]

SEEDS_APART = 1000
AGAIN = ("seed", "epochs", "batch_size")  # options of a training that those on parts of the data have too


def neighbours_in_memory() -> ConfigError:
    """The error for a table of neighbours with shards."""
    return ConfigError(
        "a recipe with [neighbours] is trained in memory.",
        hint="train in memory (Dataset, --in-memory), leave [neighbours] out, or mix in Python: shortlist.Transitions().fit(shards)",
    )


def ranker_in_memory() -> ConfigError:
    """The error for a second stage with shards."""
    return ConfigError(
        "a recipe with [ranker] is trained in memory.",
        hint="train in memory (Dataset, --in-memory), or leave [ranker] out",
    )


class SourceSection(AddedSection, frozen=True):
    """A source of [[sources]].

    Attributes:
        towers: of kind "towers", how they are trained.
    """

    towers: TowersSection | None = None

    def fitted(self, data: Dataset, **shared: Any) -> Any:
        """The source of ``data``.

        Args:
            shared: options of ``fit`` that all towers have.

        Raises:
            ConfigError: for options or a column that do not fit.
        """
        if self.towers is not None:
            return self.towers.train(data, **shared)[0]
        return self.settings().fit(data)

    def check(self) -> None:
        """ConfigError for a kind without what it needs, options out of range, and keys that nothing reads."""
        if (self.kind == "towers") != (self.towers is not None):
            raise ConfigError(
                f"a source of the recipe has kind {self.kind!r} and {'no' if self.towers is None else 'a'} section of towers.",
                hint='kind = "towers" and [sources.towers.model], or another kind and its options',
            )
        _check_short(self)
        if self.towers is None:
            self.settings()
        unread = "options" if self.towers is not None and self.options else ""
        unread = "temperature" if self.towers is None and self.temperature != 1 else unread
        if unread:
            raise ConfigError(
                f"a source of the recipe has kind {self.kind!r} and {unread}, which it does not read.",
                hint="options are those of neighbours and lists, a temperature belongs to towers",
            )


def _check_short(source: SourceSection) -> None:
    """Raise ConfigError unless each key of ``short`` is a whole number, the length of a history."""
    for most in source.short:
        if not (most.isascii() and most.isdigit() and len(most) < 10):
            raise ConfigError(
                f"a source of the recipe has {most!r} in short; a whole number of at least 0 was expected.",
                hint='short = { "0" = 0.5 } is its weight for queries without a history',
            )


def _weight_at(source: SourceSection, length: int) -> float:
    """The weight of a source for queries whose history has ``length`` items."""
    bounds = sorted((int(most), weight) for most, weight in source.short.items())
    return next((weight for most, weight in bounds if length <= most), source.weight)


class Recipe(OneModel, frozen=True):
    """Everything about a training run but its data; ``fit`` carries it out.

    Attributes:
        model: options of both towers.
        query: options of the query tower, and its features.
        candidate: options of the candidate tower, and its features.
        history: a history for the query tower.
        loss: options of ``Retrieval``.
        als: options of ``als``, which then takes the place of ``loss`` and ``optimizer``.
        optimizer: the name and the options of an optimizer.
        fit: options of ``fit``.
        joined: models that are trained on the same data and joined with this one, which has the weight that theirs
            leave of 1.
        towers: "trained"; or "popularity" or "recent" (the latest tenth of the interactions), without training.
        neighbours: a table of neighbours behind the towers, see ``Mixture``.
        sources: more sources of the mixture, each with its share of the score.
        temperature: of the first towers, where there are sources and no neighbours.
        ranker: a second stage behind all sources, see ``Ranker``.
    """

    joined: list[JoinedSection] = msgspec.field(default_factory=list)
    towers: Literal["trained", "popularity", "recent"] = "trained"
    neighbours: NeighboursSection | None = None
    sources: list[SourceSection] = msgspec.field(default_factory=list)
    temperature: float = 1.0
    ranker: RankerSection | None = None

    @property
    def interaction_columns(self) -> list[str]:
        """The columns other than ids, time and weight that it may read from the interactions."""
        models = [self, *self.joined, *(one.towers for one in self.sources if one.towers is not None)]
        read = [column for model in models for column in (*model.query.columns, model.loss.negative_column) if column]
        return list(dict.fromkeys(read))

    def check_from_disk(self) -> None:
        """Check that the recipe can train while the interactions stay on disk, before they are encoded.

        Raises:
            ConfigError: where it cannot.
        """
        super().check_from_disk()
        if self.neighbours is not None:
            raise neighbours_in_memory()
        if self.sources:
            raise ConfigError(
                f"the recipe has [[sources]] ({', '.join(one.kind for one in self.sources)}); a mixture is trained in memory.",
                hint="train in memory (Dataset, --in-memory), or leave [[sources]] out",
            )
        if self.ranker is not None:
            raise ranker_in_memory()
        for one in self.joined:
            one.check_from_disk()

    def train(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower | Mixture, TrainingHistory]:  # type: ignore[override]
        """A model built for ``data`` and trained on it; with ``neighbours`` or ``sources`` it is a ``Mixture``. Errors are
        those of ``fit``.

        Args:
            data: the training data.
            options: options of ``fit``, instead of the recipe's.

        Raises:
            ConfigError: for sources or a second stage of shards, sources that do not fit, weights that leave the first sources
                nothing, or fewer choices than folds of the second stage.
            DataError: where no query has a last choice that a second stage could learn from.
        """
        self.check_sources()
        self._check_several_towers(options)
        self._check_only_new(options.get("warm_start"))
        if self.ranker is not None:
            if isinstance(data, Shards):
                raise ranker_in_memory()
            self.ranker.settings().trainings(data)  # refuses what it cannot learn from before towers are trained
        shared = {name: options[name] for name in ("device",) if name in options}
        tables = self._tables(
            data
        )  # first: they take seconds, and find what does not fit the data before towers are trained
        towers, history = self.train_towers(data, **options)
        again = {name: options[name] for name in (*AGAIN, *shared) if name in options}
        return self.mixed(
            towers,
            data,
            tables,
            again=lambda part: self.train_towers(part, **again)[0],
            seed=options.get("seed"),
            **shared,
        ), history

    def _tables(self, data: Dataset | Shards) -> list[Any]:
        """The fitted neighbours and ranked lists in the order of the recipe, None in the place of towers to train."""
        if self.neighbours is None and not self.sources:
            return []
        if not isinstance(data, Dataset):
            raise neighbours_in_memory()
        first = [] if self.neighbours is None else [self.neighbours.source().fit(data)]
        return [*first, *(None if one.towers is not None else one.fitted(data) for one in self.sources)]

    def mixed(
        self,
        towers: TwoTower,
        data: Dataset | Shards,
        tables: Sequence[Any] | None = None,
        *,
        again: Callable[[Dataset], TwoTower] | None = None,
        seed: int | None = None,
        **shared: Any,
    ) -> TwoTower | Mixture:
        """Trained towers with the recipe's other sources of ``data`` and its second stage; the towers themselves where it has none.

        Args:
            towers: as ``train_towers`` returns them.
            data: the training data.
            tables: the neighbours and ranked lists where they are fitted, None in the place of towers to train.
            again: trains the towers on a part of the data, from which a second stage learns; by default as ``train_towers`` does.
            seed: of the second stage; by default that of the training.
            shared: options of ``fit`` that all towers have.

        Raises:
            ConfigError: for sources or a second stage of shards.
        """
        if self.ranker is None:
            return self._first_stage(towers, data, tables, shared)
        if not isinstance(data, Dataset):
            raise ranker_in_memory()
        own: Any = self.fit.seed if seed is None else seed

        def first_stage(part: Dataset) -> TwoTower | Mixture:
            learnt = self.train_towers(part, seed=own, **shared)[0] if again is None else again(part)
            return self._first_stage(learnt, part, None, shared)

        whole = self._first_stage(towers, data, tables, shared)
        return self.ranker.settings().fit(first_stage, data, seed=own, trained=whole)

    def _first_stage(
        self, towers: TwoTower, data: Dataset | Shards, tables: Sequence[Any] | None, shared: Mapping[str, Any]
    ) -> TwoTower | Mixture:
        """As ``mixed``, without the second stage."""
        tables = self._tables(data) if tables is None else tables
        if not tables:
            return towers
        assert isinstance(data, Dataset)
        first = len(tables) - len(self.sources)
        sources: list[Any] = [towers, *tables[:first]]
        for one, table in zip(self.sources, tables[first:], strict=True):
            sources.append(one.fitted(data, **shared) if table is None else table)
        weights, temperatures = self.mixing()
        return Mixture(
            sources,
            data,
            weights=weights,
            temperatures=temperatures,
            by_history=self.mixing_by_history(),
            quotas=self._quotas(),
        )

    def _quotas(self) -> list[float]:
        """The quota of each source, in the order of the recipe."""
        first = 1 if self.neighbours is None else 2
        return [*[0.0] * first, *(one.quota for one in self.sources)]

    def mixing(self) -> tuple[list[float], list[float]]:
        """The weight of each source, in the order of the recipe, and the temperature of each towers."""
        section = self.neighbours
        blend = None if section is None else Blend(section.share, section.temperature).weights
        weights = self._source_weights([one.weight for one in self.sources])
        temperatures = [one.temperature for one in self.sources if one.kind == "towers"]
        return weights, [self.temperature if blend is None else blend.temperatures[0], *temperatures]

    def mixing_by_history(self) -> dict[int, list[float]]:
        """The weights for queries with at most so many items in their history, where a source has others for them."""
        bounds = sorted({int(most) for one in self.sources for most in one.short})
        return {most: self._source_weights([_weight_at(one, most) for one in self.sources]) for most in bounds}

    def _source_weights(self, shares: Sequence[float]) -> list[float]:
        """The weight of each source, in the order of the recipe.

        Args:
            shares: of [[sources]]; those before them share the rest.
        """
        section = self.neighbours
        first = (1.0,) if section is None else Blend(section.share, section.temperature).weights.values
        return [*((1 - sum(shares)) * value for value in first), *shares] if shares else [*first]

    def check_sources(self) -> None:
        """Check what the recipe says of its sources, before any data are read.

        Raises:
            ConfigError: for weights that leave the first sources nothing, for numbers out of range, for options that do not exist,
                and for keys that nothing reads.
        """
        if self.temperature != 1 and (self.neighbours is not None or not self.sources):
            raise ConfigError(
                f"the recipe has temperature = {self.temperature:g}, which it does not read.",
                hint="with [neighbours] it is theirs; without [[sources]] there is none; that of a loss is in [loss]",
            )
        if self.towers != "trained":
            self._check_untrained()
        if self.ranker is not None:
            self.ranker.settings()
            if any(self._quotas()):
                raise ConfigError(
                    "the recipe has quotas and [ranker], which would not keep them; one of the two was expected.",
                    hint="leave quota out of [[sources]], or [ranker]",
                )
        if self.neighbours is not None:
            self.neighbours.source()
            Blend(self.neighbours.share, self.neighbours.temperature)
        if not self.sources:
            return
        shares = [one.weight for one in self.sources]
        read = self.ranker is not None  # a source without weight is read by the second stage alone
        if not all(share > 0 or (read and share == 0) for share in shares) or sum(shares) >= 1:
            raise ConfigError(
                f"the recipe's [[sources]] have the weights {shares}; numbers above 0 whose sum is below 1 were expected.",
                hint="the towers and the neighbours have the rest; with [ranker] a weight may be 0",
            )
        for one in self.sources:
            one.check()
            if one.towers is not None:
                one.towers.loss.task()
        checked_quotas(self._quotas())
        Weights(*map(tuple, self.mixing()))
        for most, weights in self.mixing_by_history().items():
            others = weights[len(weights) - len(self.sources) :]
            if not all(share >= 0 for share in others) or sum(others) >= 1:
                raise ConfigError(
                    f"the recipe's [[sources]] have the weights {others} for histories of at most {most}; numbers of at least 0 "
                    "whose sum is below 1 were expected.",
                    hint="the towers and the neighbours have the rest",
                )

    def _check_untrained(self) -> None:
        """ConfigError for sections of a training that does not take place."""
        plain = Recipe()
        for name in ("model", "query", "candidate", "history", "loss", "als", "optimizer", "joined"):
            if getattr(self, name) != getattr(plain, name):
                raise ConfigError(
                    f"the recipe has towers = {self.towers!r}, which are not trained, and a section [{name}], which nothing reads.",
                    hint=f"leave [{name}] out, or towers",
                )

    def _check_only_new(self, warm_start: Any) -> None:
        """ConfigError for new rows alone where earlier ones would be forgotten."""
        if getattr(warm_start, "only_new", False) and self.counts:
            raise ConfigError(
                "WarmStart(only_new=True) trains on new rows only, but this recipe counts choices and would forget all earlier ones.",
                hint="give all interactions, without only_new",
            )

    @property
    def counts(self) -> bool:
        """Whether any of its sources counts choices, and so needs all of them at every training."""
        return bool(self.neighbours or self.sources or self.ranker) or self.towers != "trained"

    def _check_several_towers(self, options: Mapping[str, Any]) -> None:
        """ConfigError for what one training alone can do."""
        if self.ranker is not None and (options.get("warm_start") is not None or joined().size > 1):
            what = "warm start" if options.get("warm_start") is not None else "several processes"
            raise ConfigError(
                f"this recipe trains its first stage several times, for [ranker]; that does not support {what}.",
                hint="train without it, or without [ranker]",
            )
        several = any(one.kind == "towers" for one in self.sources)
        if several and (options.get("warm_start") is not None or joined().size > 1):
            what = "warm start" if options.get("warm_start") is not None else "several processes"
            raise ConfigError(
                f"this recipe trains {1 + sum(one.kind == 'towers' for one in self.sources)} pairs of towers; that does not "
                f"support {what}.",
                hint="train without it, or without [[sources]] of towers",
            )

    def train_towers(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower, TrainingHistory]:
        """The towers alone, as ``train``.

        With ``joined``, ``options`` and the history are those of the first model. The others share its device, and
        begin from seeds 1,000, 2,000, … after its own, so that models of one kind differ.

        Args:
            data: the training data.
            options: options of ``fit``, instead of the recipe's.

        Raises:
            ConfigError: for weights that leave the first model nothing, for a warm start, or in several processes.
        """
        if self.towers != "trained":
            return popularity(data, recent=self.towers == "recent"), TrainingHistory((), 0)
        if not self.joined:
            return super().train(data, **options)
        weights = self._weights()
        if options.get("warm_start") is not None or joined().size > 1:
            what = "warm start" if options.get("warm_start") is not None else "several processes"
            raise ConfigError(
                f"this recipe joins {len(weights)} models; joined models do not support {what}.",
                hint="train without it, or without [[joined]]",
            )
        model, history = super().train(data, **options)
        shared = {name: options[name] for name in ("device",) if name in options}
        seed: Any = options.get("seed", self.fit.seed)
        others = [
            one.train(data, seed=seed + SEEDS_APART * number, **shared)[0]
            for number, one in enumerate(self.joined, start=1)
        ]
        return join([model, *others], weights), history

    def _weights(self) -> list[float]:
        others = [one.weight for one in self.joined]
        if not all(weight > 0 for weight in others) or sum(others) >= 1:
            raise ConfigError(
                f"the recipe's [[joined]] models have the weights {others}; numbers above 0 whose sum is below 1 were expected.",
                hint="the first model has the rest",
            )
        return [1 - sum(others), *others]

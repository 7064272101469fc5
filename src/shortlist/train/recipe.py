"""A recipe: a model, its loss, its optimizer and its training, as one value that trains on any data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import check_dataset
from shortlist.errors import ConfigError
from shortlist.features import FEATURE_KINDS, Feature, History
from shortlist.loss import ALS, Retrieval
from shortlist.model import Tower, TwoTower, join, popularity
from shortlist.sources import Blend, Mixture
from shortlist.train.als import als, als_options
from shortlist.train.distributed import joined
from shortlist.train.epochs import TrainingHistory
from shortlist.train.fit import fit
from shortlist.train.optimizers import Optimizer
from shortlist.train.pretrain import why_not_pretrained
from shortlist.train.sections import (
    AddedSection,
    ALSSection,
    FitSection,
    HistorySection,
    LossSection,
    ModelSection,
    NeighboursSection,
    Section,
    TowerSection,
    optimizer_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Recipe"]

SEEDS_APART = 1000


class _Model(Section, frozen=True):
    """One model: its towers, its loss, its training."""

    model: ModelSection = ModelSection()
    query: TowerSection = TowerSection()
    candidate: TowerSection = TowerSection()
    history: HistorySection | None = None
    loss: LossSection = LossSection()
    als: ALSSection | None = None
    optimizer: dict[str, Any] = msgspec.field(default_factory=lambda: {"name": "Adagrad"})
    fit: FitSection = FitSection()

    def for_data(self, data: Dataset | Shards, warm: bool = False) -> Self:
        """The same with values in place of "auto", for this data.

        Args:
            data: to train on.
            warm: whether training starts from an earlier model.
        """
        if warm:  # which has vectors already
            fit = msgspec.structs.replace(self.fit, pretrain="none")
            return msgspec.structs.replace(self, fit=fit).for_rows(len(data))
        pretrains = self.fit.pretrain == "auto" and self.als is None
        if pretrains:
            pretrains = why_not_pretrained(self.build_model(data), data) is None
        return self.for_rows(len(data), pretrains)

    def for_rows(self, rows: int, pretrains: bool = False) -> Self:
        """The same with values in place of "auto", for so many interactions.

        Args:
            rows: interactions to train on.
            pretrains: whether the vectors of ids can start from ALS.
        """
        fit = self.fit
        if fit.pretrain == "auto":
            fit = msgspec.structs.replace(fit, pretrain="als" if pretrains else "none")
        if fit.schedule == "auto":
            fit = msgspec.structs.replace(fit, schedule="constant" if fit.pretrain == "none" else "linear")
        if fit.batch_size == "auto":
            fit = msgspec.structs.replace(fit, batch_size=auto_batch_size(rows))
        if fit.epochs == "auto":
            fit = msgspec.structs.replace(fit, epochs=auto_epochs(rows, fit.pretrain == "als"))
        return msgspec.structs.replace(self, fit=fit)

    def build_model(self, data: Dataset | Shards) -> TwoTower:
        """An unbuilt model for the ids and columns of ``data``.

        Raises:
            ConfigError: where a feature reads a column that ``data`` does not have.
        """
        check_dataset(data, "a recipe", shards=True)
        self.query.check_columns("query", [*data.queries.columns, *data.interactions.columns])
        self.candidate.check_columns("candidate", data.candidates.columns)
        history = [] if self.history is None else [History(**msgspec.structs.asdict(self.history))]
        return TwoTower(
            self._tower(self.query, data.query, data.queries.schema[data.query].is_integer(), False, history),
            self._tower(
                self.candidate,
                data.candidate,
                data.candidates.schema[data.candidate].is_integer(),
                bias=self.model.bias,
            ),
        )

    def _tower(
        self, section: TowerSection, id_column: str, is_integer: bool, bias: bool, more: Sequence[Feature] = ()
    ) -> Tower:
        lookup = FEATURE_KINDS["IntegerLookup" if is_integer else "StringLookup"]
        ids = (
            [lookup(id_column, min_count=section.min_count, evict_after=section.evict_after)]  # type: ignore[call-arg]
            if section.id
            else []
        )
        features = [*ids, *section.declared(), *more]
        shared = msgspec.structs.asdict(self.model)
        if not section.id:
            shared["id_dropout"] = 0.0
        shared |= {"hidden": section.hidden, "cross": section.cross, "heads": section.heads, "bias": bias}
        return Tower(*features, **shared)

    def task(self) -> Retrieval | ALS:
        """The loss, or the options of ``als``."""
        if self.als is not None:
            return ALS(**msgspec.structs.asdict(self.als))
        return self.loss.task()

    def check_from_disk(self) -> None:
        """Check that the recipe can train while the interactions stay on disk, before they are encoded.

        Raises:
            ConfigError: where it cannot.
        """
        if self.fit.pretrain == "als":
            raise ConfigError(
                'the recipe has pretrain = "als" in [fit], which needs all interactions in memory.',
                hint='pretrain = "auto" (--set fit.pretrain=auto), or train in memory (--in-memory)',
            )

    def build_optimizer(self) -> Optimizer:
        """The optimizer.

        Raises:
            ConfigError: for a name or an option that it does not have.
        """
        return optimizer_of(self.optimizer)

    def train(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower, TrainingHistory]:
        """A model built for ``data`` and trained on it. Errors are those of ``fit``.

        Args:
            data: the training data.
            options: options of ``fit``, instead of the recipe's.
        """
        model = self.build_model(data)
        fitted = self.for_data(data, options.get("warm_start") is not None).fit
        settings = {**msgspec.structs.asdict(fitted), **options}
        if self.als is not None:
            return model, als(model, data, **{**msgspec.structs.asdict(self.als), **als_options(settings)})
        return model, fit(model, data, **{"task": self.task(), "optimizer": self.build_optimizer(), **settings})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


def auto_batch_size(rows: int) -> int:
    """A power of two near a sixty-fourth of the interactions, from 64 to 4,096: some sixty steps in an epoch, at least.

    Example:
        >>> auto_batch_size(1_000), auto_batch_size(100_000), auto_batch_size(10_000_000)
        (64, 1024, 4096)
    """
    power: int = max(6, min(12, (rows // 64).bit_length() - 1))
    return 1 << power


def auto_epochs(rows: int, pretrained: bool = False) -> int:
    """15, or 6 where the vectors of ids start from ALS; beyond a million interactions fewer with their square root, and 3 at
    least.

    Example:
        >>> auto_epochs(100_000), auto_epochs(4_000_000), auto_epochs(1_000_000_000)
        (15, 8, 3)
        >>> auto_epochs(100_000, pretrained=True), auto_epochs(4_000_000, pretrained=True)
        (6, 3)
    """
    most = 6 if pretrained else 15
    wanted = most * math.sqrt(1_000_000 / max(rows, 1))
    return max(3, min(most, round(wanted)))


def neighbours_in_memory() -> ConfigError:
    """The error for a table of neighbours with shards."""
    return ConfigError(
        "a recipe with [neighbours] is trained in memory.",
        hint="train in memory (Dataset, --in-memory), leave [neighbours] out, or mix in Python: shortlist.Transitions().fit(shards)",
    )


class JoinedSection(_Model, frozen=True):
    """A model that is trained in addition to the first and joined with it.

    Its seed follows from the first one's, whatever its own ``fit.seed`` says.

    Attributes:
        weight: its share of the score, see ``join``.
    """

    weight: float = 0.5


class TowersSection(_Model, frozen=True):
    """Towers that are trained as a source of a mixture, from the seed that their own ``fit`` has."""


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
            ConfigError: where the kind and the section of towers do not fit together.
        """
        if (self.kind == "towers") != (self.towers is not None):
            raise ConfigError(
                f"a source of the recipe has kind {self.kind!r} and {'no' if self.towers is None else 'a'} section of towers.",
                hint='kind = "towers" and [sources.towers.model], or another kind and its options',
            )
        if self.towers is not None:
            return self.towers.train(data, **shared)[0]
        return self.settings().fit(data)


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


class Recipe(_Model, frozen=True):
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
    """

    joined: list[JoinedSection] = msgspec.field(default_factory=list)
    towers: Literal["trained", "popularity", "recent"] = "trained"
    neighbours: NeighboursSection | None = None
    sources: list[SourceSection] = msgspec.field(default_factory=list)
    temperature: float = 1.0

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
        for one in self.joined:
            one.check_from_disk()

    def train(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower | Mixture, TrainingHistory]:  # type: ignore[override]
        """A model built for ``data`` and trained on it; with ``neighbours`` or ``sources`` it is a ``Mixture``. Errors are
        those of ``fit``.

        Args:
            data: the training data.
            options: options of ``fit``, instead of the recipe's.

        Raises:
            ConfigError: for sources of shards, or weights that leave the first sources nothing.
        """
        if self.sources:
            self._check_sources(options)
        towers, history = self.train_towers(data, **options)
        return self.mixed(towers, data, **{name: options[name] for name in ("device",) if name in options}), history

    def mixed(self, towers: TwoTower, data: Dataset | Shards, **shared: Any) -> TwoTower | Mixture:
        """Trained towers with the recipe's other sources of ``data``; the towers themselves where it has none.

        Args:
            towers: as ``train_towers`` returns them.
            data: the training data.
            shared: options of ``fit`` that all towers have.

        Raises:
            ConfigError: for sources of shards.
        """
        if self.neighbours is None and not self.sources:
            return towers
        if not isinstance(data, Dataset):
            raise neighbours_in_memory()
        sources: list[Any] = [towers]
        if self.neighbours is not None:
            sources.append(self.neighbours.source().fit(data))
        sources += [one.fitted(data, **shared) for one in self.sources]
        weights, temperatures = self.mixing()
        return Mixture(
            sources,
            data,
            weights=weights,
            temperatures=temperatures,
            by_history=self.mixing_by_history(),
            quotas=[*[0.0] * (len(weights) - len(self.sources)), *(one.quota for one in self.sources)],
        )

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

    def _check_sources(self, options: Mapping[str, Any]) -> None:
        """ConfigError for weights that leave the first sources nothing, and for what one training alone can do."""
        shares = [one.weight for one in self.sources]
        if not all(share > 0 for share in shares) or sum(shares) >= 1:
            raise ConfigError(
                f"the recipe's [[sources]] have the weights {shares}; numbers above 0 whose sum is below 1 were expected.",
                hint="the towers and the neighbours have the rest",
            )
        for one in self.sources:
            _check_short(one)
        for most, weights in self.mixing_by_history().items():
            others = weights[len(weights) - len(self.sources) :]
            if not all(share >= 0 for share in others) or sum(others) >= 1:
                raise ConfigError(
                    f"the recipe's [[sources]] have the weights {others} for histories of at most {most}; numbers of at least 0 "
                    "whose sum is below 1 were expected.",
                    hint="the towers and the neighbours have the rest",
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

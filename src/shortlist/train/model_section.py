"""The sections of a recipe that make one model: towers, loss, optimizer and training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from shortlist.data import Dataset, Shards
from shortlist.data.argument_checks import check_dataset
from shortlist.errors import ConfigError
from shortlist.features import FEATURE_KINDS, Feature, History
from shortlist.loss import ALS, Retrieval
from shortlist.model import Tower, TwoTower
from shortlist.train.als import als, als_options
from shortlist.train.epochs import TrainingHistory
from shortlist.train.fit import fit
from shortlist.train.optimizers import Optimizer
from shortlist.train.pretrain import why_not_pretrained
from shortlist.train.sections import (
    ALSSection,
    FitSection,
    HistorySection,
    LossSection,
    ModelSection,
    Section,
    TowerSection,
    optimizer_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["JoinedSection", "OneModel", "TowersSection"]


class OneModel(Section, frozen=True):
    """One model: its towers, its loss, its training.

    Attributes:
        model: options of both towers.
        query: options of the query tower, and its features.
        candidate: options of the candidate tower, and its features.
        history: a history for the query tower.
        loss: options of ``Retrieval``.
        als: options of ``als``, which then takes the place of ``loss`` and ``optimizer``.
        optimizer: the name and the options of an optimizer.
        fit: options of ``fit``.
    """

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


class JoinedSection(OneModel, frozen=True):
    """A model that is trained in addition to the first and joined with it.

    Its seed follows from the first one's, whatever its own ``fit.seed`` says.

    Attributes:
        weight: its share of the score, see ``join``.
    """

    weight: float = 0.5


class TowersSection(OneModel, frozen=True):
    """Towers that are trained as a source of a mixture, from the seed that their own ``fit`` has."""

"""Learning a second stage from choices that the first stage was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.data import Dataset, Shards, split_last
from shortlist.data.argument_checks import check_dataset, check_function, check_model, check_seed
from shortlist.data.choices import check_choices, choices_alone
from shortlist.data.id_map import IdMap
from shortlist.errors import ConfigError, DataError
from shortlist.evaluation import TestSet
from shortlist.evaluation.mixing import mixed
from shortlist.evaluation.scorers import part_of
from shortlist.evaluation.staged import read as read_lists
from shortlist.language import counted
from shortlist.model import TwoTower
from shortlist.sources import Mixture, Network, PairFeatures, SecondStage, histories_of

__all__ = ["Ranker"]

TILE = 1 << 21  # scores of the first stage in memory at a time
LIST_BATCH = 64
FOLDS = 20  # at most


@dataclass(frozen=True)
class Ranker:
    """Settings of a second stage: a small network that gives the first candidates of each list a new order.

    1. A part of the choices is held out. The first stage is trained on the rest and makes each query's list, without the
       query's choices in the rest. So the network learns from lists of choices that the first stage was not trained on.
    2. ``PairFeatures`` describe each candidate of a list: its scores and its place, how popular it is, how often the query chose
       candidates with the same values of a column, and how often queries with the same values chose it.
    3. The network, a linear part and one hidden layer, is trained by a softmax over each list (the top-one form of Cao et al. 2007,
       "Learning to rank: from pairwise approach to listwise approach").
    4. The first stage is trained on all choices, and the features are counted in all of them.

    To learn from held-out parts is stacking (Wolpert 1992, "Stacked generalization"). It takes ``folds`` + 1 trainings of the first
    stage, or two where the last choices are held out. It pays where the tables of queries and candidates have columns that the
    first stage does not use; without such columns, leave it out.

    Args:
        depth: how many of each list's candidates it orders.
        folds: parts of the choices that are held out, one after another.
        held_out: "random" divides all choices into folds at random. "last" holds out the last choice of each query, once, so that the
            lists are about the next choice. "auto" is "last" where the data have a timestamp, else "random".
        hidden: width of the network.
        epochs: passes over all lists.
        learning_rate: at the start; it falls to 0.
        weight_decay: of AdamW.
        dropout: share of the hidden numbers that a step leaves out.
        lists: the network learns from at most this many lists, evenly spread over the queries.

    Raises:
        ConfigError: for settings out of range.

    Example:
        def first_stage(part):
            return sl.recipes.load("als").train(part)[0]

        model = sl.Ranker(held_out="last").fit(first_stage, train)
        sl.evaluate(model, test, seen=train)
    """

    depth: int = 300
    folds: int = 5
    held_out: Literal["auto", "random", "last"] = "auto"
    hidden: int = 32
    epochs: int = 8
    learning_rate: float = 0.003
    weight_decay: float = 0.05
    dropout: float = 0.2
    lists: int = 10_000

    def __post_init__(self) -> None:
        if self.held_out not in ("auto", "random", "last"):
            raise ConfigError(f'Ranker got held_out={self.held_out!r}; "auto", "random" or "last" was expected.')
        for name, low, high in (
            ("depth", 2, 10_000), ("folds", 2, FOLDS), ("hidden", 1, 1024), ("epochs", 1, 1000), ("lists", 2, 10_000_000),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"Ranker got {name}={value!r}; a whole number from {low} to {high:,} was expected.")
        for name, most in (("learning_rate", 1.0), ("weight_decay", 100.0), ("dropout", 0.9)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise ConfigError(f"Ranker got {name}={value!r}; a number from 0 to {most:g} was expected.")

    def fit(
        self,
        first_stage: Callable[[Dataset], TwoTower | Mixture],
        train: Dataset,
        *,
        seed: int = 42,
        trained: TwoTower | Mixture | None = None,
    ) -> Mixture:
        """The first stage with a second one behind it.

        Args:
            first_stage: a function that trains the first stage on a part of ``train``, which has the same two tables.
            train: the training data.
            seed: of the parts that are held out, and of the network.
            trained: the first stage, if it was trained on all of ``train`` before.

        Raises:
            ConfigError: for a mixture with quotas, or with a second stage, and where no held-out choice is in a list; as
                ``trainings``.
            DataError: for anything but a Dataset, and where every weight is 0; as ``trainings``.
        """
        check_function(
            first_stage,
            "Ranker.fit(first_stage)",
            hint='lambda part: shortlist.recipes.load("als").train(part)[0]',
        )
        check_choices(train, "Ranker.fit(train)")
        seed = check_seed(seed, "Ranker.fit()")
        times = self.trainings(train)  # before anything is trained: it may refuse
        parts = self._parts(choices_alone(train), seed)
        whole = (
            _mixture(first_stage(train), train) if trained is None else _mixture(trained, train, "Ranker.fit(trained)")
        )
        read = PairFeatures.of(train)
        read.check_tables(whole.catalogue.queries, whole.catalogue.candidates)  # before more is trained
        most = self.lists // (times - 1)
        found = [one for part in parts for one in self._lists(first_stage, *part, most)]
        if not found:
            raise ConfigError(
                "none of the held-out choices is in a list of the first stage, so there is nothing to learn a second one from.",
                hint="a larger depth, or no second stage",
            )
        features, chosen = (np.stack(each) for each in zip(*found, strict=True))
        network = self._learned(features, chosen, seed)
        return whole.with_stage(SecondStage(read, network, self.depth), train)

    def trainings(self, train: Dataset | Shards) -> int:
        """How often ``fit`` trains the first stage.

        Args:
            train: the training data.

        Raises:
            ConfigError: for fewer choices than folds.
            DataError: for anything but a Dataset or Shards, and for a Dataset in which no query has a last choice to hold out.
        """
        check_dataset(train, "Ranker.trainings(train)", shards=True)
        if isinstance(train, Dataset):
            self._check(choices_alone(train))
        return 2 if self._holds_out_last(train) else self.folds + 1

    def _holds_out_last(self, train: Dataset | Shards) -> bool:
        return self.held_out == "last" or (self.held_out == "auto" and train.timestamp is not None)

    def _check(self, train: Dataset) -> None:
        """ConfigError for fewer choices than folds, DataError where no query has a last choice to hold out."""
        if not self._holds_out_last(train):
            if len(train) < self.folds:
                raise ConfigError(
                    f"Ranker divides {counted(len(train), 'choice')} into {self.folds} folds; at least one each was expected.",
                    hint="more data, or no second stage",
                )
        elif train.timestamp is None:
            raise DataError(
                'Ranker got held_out="last", and the data have no timestamp.',
                hint='name the column of times: timestamp= (--time), or hold out at random: held_out="random"',
            )
        elif np.bincount(train.query_rows).max() < 2:
            raise DataError(
                "Ranker holds out the last choice of each query; no query has more than 1 interaction.",
                hint='hold out at random: Ranker(held_out="random") (--set ranker.held_out=random)',
            )

    def _parts(self, train: Dataset, seed: int) -> Iterator[tuple[Dataset, Dataset]]:
        """Each part that the first stage is trained on, with the choices held out of it."""
        if self._holds_out_last(train):
            learnt, held_out = split_last(train)
            yield learnt, held_out
            return
        fold = np.random.default_rng(seed).permutation(len(train)) % self.folds
        for number in range(self.folds):
            held = pl.Series(fold == number)
            yield (
                train.with_interactions(train.interactions.filter(~held)),
                train.with_interactions(train.interactions.filter(held)),
            )

    def _lists(
        self, first_stage: Callable[[Dataset], TwoTower | Mixture], learnt: Dataset, held: Dataset, most: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each list with a held-out choice: the features ``[depth, features]``, and how often each candidate was chosen ``[depth]``.

        Args:
            first_stage: as for ``fit``.
            learnt: what the first stage is trained on.
            held: the choices that are held out.
            most: lists.
        """
        model = _mixture(first_stage(learnt), learnt)
        features = PairFeatures.of(learnt)
        test = TestSet.of(model.towers, _some(held, max(1, most)), learnt)
        ids = test.queries[learnt.query], test.candidates[learnt.candidate]
        scorer = mixed(model, test.vectors(), test.queries, test.candidates, learnt)
        rows = IdMap(learnt.queries[learnt.query]).find(test.query_ids)
        groups = features.groups(learnt.queries)[rows]
        scorer = replace(
            scorer,
            context=replace(scorer.context, histories=histories_of(learnt, *ids, features.length), groups=groups),
        )
        size = scorer.candidates
        order = np.argsort(test.query, kind="stable")
        of_query = np.searchsorted(test.query[order], np.arange(scorer.queries + 1))
        step = max(1, TILE // max(size, 1))
        for first in range(0, scorer.queries, step):
            last = min(first + step, scorer.queries)
            hidden = part_of(test.hidden, first, last)
            towers, others = scorer.parts(first, last, hidden)
            lists = read_lists(
                scorer.totals(first, towers, others), towers, others, scorer.context, features, self.depth, first
            )
            for query, one in enumerate(lists, start=first):
                pairs = test.candidate[order[of_query[query] : of_query[query + 1]]]
                chosen = np.bincount(pairs[pairs >= 0], minlength=size)[one.rows].astype(np.float32)
                if chosen.any():
                    yield _padded(one.features, self.depth), _padded(chosen, self.depth)

    def _learned(self, features: NDArray[np.float32], chosen: NDArray[np.float32], seed: int) -> Network:
        """The network, learned from lists ``[lists, depth, features]``; places beyond the end of a list are NaN."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._learned_at_random(features, chosen, np.random.default_rng(seed))

    def _learned_at_random(
        self, features: NDArray[np.float32], chosen: NDArray[np.float32], generator: np.random.Generator
    ) -> Network:
        """As ``_learned``, with the random numbers that torch gives now."""
        there = ~np.isnan(features[:, :, 0])
        flat = features[there].astype(np.float64)
        mean, deviation = flat.mean(0), np.maximum(flat.std(0), 1e-6)
        numbers = (mean.astype(np.float32), deviation.astype(np.float32))
        empty = np.zeros(0, np.float32)
        x = Network(*numbers, empty, empty, empty, empty).standardized(features)
        x[~there] = 0
        net = _Net(x.shape[2], self.hidden, self.dropout)
        optimizer = torch.optim.AdamW(net.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        batches = max(1, round(len(x) / LIST_BATCH))
        steps, step = self.epochs * batches, 0
        net.train()
        for _ in range(self.epochs):
            for batch in np.array_split(generator.permutation(len(x)), batches):
                scores = net(torch.from_numpy(x[batch])).masked_fill(torch.from_numpy(~there[batch]), -torch.inf)
                weight = torch.from_numpy(chosen[batch])
                loss = -(torch.log_softmax(scores, 1).masked_fill(weight == 0, 0.0) * weight).sum() / weight.sum()
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate * (1 - step / steps)
                step += 1
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            return Network(*numbers, *(one.numpy().copy() for one in net.arrays()))


class _Net(nn.Module):
    """The network in training; at first its order is that of the first towers' scores."""

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1, bias=False)
        self.inner, self.drop = nn.Linear(features, hidden), nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 1, bias=False)
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.weight[0, 0] = 1.0
            self.out.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.drop(nn.functional.silu(self.inner(x)))
        return (self.linear(x) + self.out(inner)).squeeze(-1)  # type: ignore[no-any-return]

    def arrays(self) -> tuple[Tensor, ...]:
        """The weights in the order of ``Network``, after mean and deviation."""
        return self.linear.weight[0], self.inner.weight, self.inner.bias, self.out.weight[0]


def _mixture(model: TwoTower | Mixture, data: Dataset, where: str = "Ranker.fit(first_stage)") -> Mixture:
    """A first stage as a mixture, of a single source if it is a two-tower model. ConfigError for quotas or a second stage."""
    check_model(model, where)
    if isinstance(model, TwoTower):
        return Mixture([model], data)
    if model.stage is not None or any(model.quotas):
        raise ConfigError(
            f"the first stage is a mixture with {'a second stage' if model.stage is not None else 'quotas'}; one without was expected.",
            hint="Ranker.fit() adds the second stage; quotas would not be kept by it",
        )
    return model


def _some(held: Dataset, most: int) -> Dataset:
    """The choices of at most ``most`` queries, evenly spread."""
    asked = np.unique(held.query_rows)
    if len(asked) <= most:
        return held
    kept = asked[np.linspace(0, len(asked) - 1, most).astype(np.int64)]
    return held.with_interactions(held.interactions.filter(pl.Series(np.isin(held.query_rows, kept))))


def _padded(rows: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    """The rows, filled up to ``depth``: features with NaN, counts with 0."""
    nothing = np.nan if rows.ndim == 2 else 0.0
    out = np.full((depth, *rows.shape[1:]), nothing, np.float32)
    out[: len(rows)] = rows
    return out

"""The negatives of each batch: drawn candidates, known positives left out, negatives of single queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shortlist.data import Dataset, Shards
from shortlist.data.shards import file_next_to
from shortlist.index import BruteForce, Index, Lists, search_heads
from shortlist.index.values import offsets_of
from shortlist.loss import (
    BSL,
    Columns,
    Draws,
    InBatch,
    Mixed,
    Places,
    Retrieval,
    Sampled,
    Softmax,
    StreamingFrequency,
    WholeCatalogue,
)
from shortlist.loss.places import occurrences
from shortlist.model import EncodedDataset
from shortlist.model.distinct import distinct
from shortlist.train.batches import Batch
from shortlist.train.device import moved
from shortlist.train.negative_lists import (
    check_negatives,
    given_negatives,
    known_candidates,
    owners_of,
    shown_negatives,
)
from shortlist.train.processes import Alone, Processes
from shortlist.train.ragged import Ragged
from shortlist.train.streaming import contexts_of

__all__ = ["Negatives"]

MINED_AT_ONCE = 1 << 14  # rows of shards whose negatives are searched together
MINED_FROM = 50
"""The mined negatives of a query in a batch are drawn from so many of its highest scores."""


class Negatives:
    """The negatives of a training run.

    Attributes:
        owner: the query of each row that the query tower reads, int64 ``[query rows]`` (rows may be more than queries
            where interactions bring context or histories are read); None for shards whose rows are queries, or pairs of a
            query and a context.
    """

    def __init__(
        self,
        task: Retrieval,
        train: Dataset | Shards,
        encoded: EncodedDataset,
        impressions: Dataset | None,
        seed: int,
        device: torch.device,
        processes: Processes | None = None,
    ) -> None:
        self._processes = Alone() if processes is None else processes
        self.task, self.seed, self.device = task, seed, device
        self.candidates = len(train.candidates)
        self._train = train
        self._chance: float | None = None
        self._plain_chance: dict[int, float] = {}
        counts = encoded.candidate_counts
        streaming = isinstance(task.log_q, str) and task.log_q == "streaming"
        given = task.candidate_log_q(counts)
        self.log_q = None if given is None else given.to(device)
        self.plain = task.plain and impressions is None and not streaming
        if self.plain:
            return
        if isinstance(train, Shards):
            check_negatives(task, train)
        self._contexts = contexts_of(encoded)
        self._query_rows = len(train.queries) if encoded.ordered is None else encoded.ordered.rows
        self.owner = owners_of(train, encoded, device)
        needs_known = task.mask_known or task.mined or task.negative_column is not None or impressions is not None
        self.known = known_candidates(train, self._processes).to(device) if needs_known else None
        shared = task.negatives
        self._whole, self._of_batch = isinstance(shared, WholeCatalogue), isinstance(shared, (InBatch, Mixed))
        self._drawn = shared.number if isinstance(shared, (Sampled, Mixed)) else 0
        self.draws = Draws(counts, shared.power, seed) if isinstance(shared, (Sampled, Mixed)) else None
        self.draw_probability = None if self.draws is None else torch.from_numpy(self.draws.probability).to(device)
        self.batch_probability = torch.from_numpy(counts / counts.sum()).to(device)
        self.streaming = StreamingFrequency(self.candidates, device=device) if streaming else None
        self.given = None  # read with each batch from shards
        if task.negative_column is not None and isinstance(train, Dataset):
            self.given = given_negatives(train, task.negative_column).to(device)
        self.impressions = None
        if impressions is not None:
            assert self.known is not None
            self.impressions = shown_negatives(train, impressions, self.known).to(device)
        self.mined: Ragged | None = None
        self._column_of = torch.full((self.candidates,), -1, dtype=torch.long, device=device)
        self._catalogue = torch.arange(self.candidates, device=device)

    def of(self, batch: Batch, chosen: Tensor, step: int) -> Competition:
        """The batch over every candidate that it needs, and the candidates that compete.

        Args:
            chosen: int64 ``[B]``, the batch's interactions.
        """
        if self.plain:
            log_q = None if self.log_q is None else self.log_q[batch.candidate_rows]
            return Competition(batch, None, log_q)
        drawn = None if self.draws is None else self.draws.draw(step, self._drawn).to(self.device)
        explicit = self._explicit(batch, chosen, step)
        if self.streaming is not None:
            self.streaming.observe(batch.candidate_rows)
        if self._whole:
            columns = self._catalogue
        elif drawn is None and explicit is None:
            columns = batch.candidate_rows
        else:
            more = [part for part in (drawn, None if explicit is None else explicit.column) if part is not None]
            columns = distinct(torch.cat([batch.candidate_rows, *more]), self.candidates).values
        self._column_of.index_copy_(0, columns, self._catalogue[: len(columns)])
        own = columns is batch.candidate_rows  # in the batch's order: its pairs stay as they are
        pair_candidate = batch.pair_candidate
        if not own:
            pair_candidate = self._column_of.index_select(0, batch.candidate_rows).index_select(0, pair_candidate)
        count = batch.multiplicity().float() if own else self._count(batch, drawn, len(columns))
        competing = Columns(
            count,
            self._log_q(columns, batch.size),
            own_counted=self._of_batch,
            hidden=self._hidden(batch) if self.task.mask_known else None,
            explicit=None if explicit is None else Places(explicit.row, self._column_of[explicit.column]),
        )
        over = batch._replace(candidate_rows=columns, pair_candidate=pair_candidate, counts=None)
        self._column_of.index_fill_(0, columns, -1)
        return Competition(over, competing, None)

    def chance(self, batch: Batch, columns: Columns | None, log_q: Tensor | None) -> float:
        """The mean loss of a pair for a model that scores all candidates alike; measured on the first batch of each
        size, or once if more than the batch competes."""
        if columns is None:
            size = batch.size
            if size not in self._plain_chance:
                self._plain_chance[size] = self._mean(*self._alike(batch, log_q))
            return self._plain_chance[size]
        if self._chance is None:
            query, candidate = (
                torch.zeros(len(rows), 1, device=self.device) for rows in (batch.query_rows, batch.candidate_rows)
            )
            pairs = len(batch.pair_query)
            loss = self.task(query, candidate, batch.pair_query, batch.pair_candidate, columns=columns) if pairs else 0
            self._chance = self._mean(float(loss), pairs)
        return self._chance

    def _mean(self, total: float, weight: float) -> float:
        """The mean over the pairs of all processes."""
        both = torch.tensor([total, weight], dtype=torch.float64, device=self.device)
        self._processes.add(both)
        return float(both[0] / both[1].clamp(min=1e-300))

    def _alike(self, batch: Batch, log_q: Tensor | None) -> tuple[float, float]:
        """The losses of the pairs, log Σ_j m_j / Q_j + log Q of its own, where all scores are 0, summed, and their weight:
        each ln of the batch's size without corrections. m_j is how often candidate j occurs; 1 for the pair's own with
        accidental hits removed."""
        count = batch.multiplicity().double()  # [distinct candidates]
        own = batch.pair_candidate
        if log_q is None and not self.task.remove_accidental_hits:
            return len(own) * float(count.sum().log()), len(own)
        correction = torch.zeros_like(count) if log_q is None else log_q.double()
        each = torch.exp(-correction)
        competing = (count * each).sum().expand(len(own))  # [B]
        if self.task.remove_accidental_hits:
            competing = competing - ((count - 1) * each)[own]
        losses = torch.log(competing) + correction[own]
        if batch.weight is None:
            return float(losses.sum()), len(own)
        weight = batch.weight.double()
        return float((losses * weight).sum()), float(weight.sum())

    def state(self) -> dict[str, Tensor]:
        """State that was learned during training, as tensors; the draws of a step depend on no earlier step."""
        state = {} if self.plain or self.streaming is None else self.streaming.state()
        if not self.plain and self.mined is not None:
            state |= {"mined_offsets": self.mined.offsets, "mined_values": self.mined.values}
        return state

    def memory(self) -> dict[str, Any]:
        """The measurements of ``chance``, as JSON values."""
        return {"chance": self._chance, "plain_chance": [list(pair) for pair in self._plain_chance.items()]}

    def restore(self, state: Mapping[str, Tensor], memory: Mapping[str, Any]) -> None:
        """Continue from what ``state`` and ``memory`` returned."""
        self._chance = memory["chance"]
        self._plain_chance = {int(size): float(value) for size, value in memory["plain_chance"]}
        if not self.plain and self.streaming is not None:
            self.streaming.restore(state)
        if "mined_offsets" in state:
            self.mined = Ragged(state["mined_offsets"], state["mined_values"]).to(self.device)

    def mine(self, query_vectors: Callable[[Tensor | None], Tensor], candidate_vectors: Tensor) -> None:
        """Takes new hard negatives.

        Args:
            query_vectors: returns the vectors ``[rows, dim]`` of some rows of the query tower, or of all.
            candidate_vectors: ``[candidates, dim]``.
        """
        if self.plain or not self.task.mined:
            return
        index = BruteForce().build(candidate_vectors.float().cpu().numpy())
        if isinstance(self.owner, Tensor):
            self.mined = self._hardest(index, query_vectors(None), self.owner).to(self.device)
            return
        assert isinstance(self._train, Shards)
        rows = self._rows_to_mine
        total = self._query_rows if rows is None else len(rows)
        each = min(MINED_FROM, self.candidates)
        offsets = file_next_to(self._train.folder, total + 1, np.int64, "mined")
        values, done = file_next_to(self._train.folder, total * each, np.int32, "mined"), 0
        for low in range(0, total, MINED_AT_ONCE):
            places = torch.arange(low, min(low + MINED_AT_ONCE, total))
            own = (places if rows is None else rows[places]).to(self.device)
            found = self._hardest(index, query_vectors(own), self._owners_of(own))
            stop = done + len(found.values)
            offsets[low + 1 : low + 1 + len(places)] = found.offsets[1:].numpy() + done
            values[done:stop], done = found.values.numpy(), stop
        self.mined = Ragged(torch.from_numpy(offsets), torch.from_numpy(values[:done])).to(self.device)

    def _hardest(self, index: Index, query_vectors: Tensor, owner: Tensor) -> Ragged:
        """The candidates with the highest scores for each vector that its owner did not choose."""
        assert self.known is not None
        row, candidates = self.known.to(torch.device("cpu")).at(owner.cpu())
        offsets = offsets_of(np.bincount(row.numpy(), minlength=len(owner)))
        query = query_vectors.float().cpu().numpy()
        hits = search_heads(index, query, MINED_FROM, exclude=Lists(offsets, candidates.numpy()))
        return Ragged(torch.from_numpy(hits.offsets), torch.from_numpy(hits.ids))

    @cached_property
    def _rows_to_mine(self) -> Tensor | None:
        """The rows of the query tower that occur in the shards, ascending; None where all do.

        Only pairs of a query and a context do not: these rows are kept in memory, 8 bytes each.
        """
        if self._contexts == 1:
            return None
        assert isinstance(self._train, Shards)
        found = np.zeros(0, np.int64)
        for rows in self._train.chunks():
            assert rows.context is not None
            found = np.union1d(found, rows.query.astype(np.int64) * self._contexts + rows.context)
        return torch.from_numpy(found)

    def _mined_places(self, rows: Tensor) -> Tensor:
        """The lists of mined negatives of rows of the query tower."""
        listed = None if isinstance(self.owner, Tensor) or not self.task.mined else self._rows_to_mine
        return rows if listed is None else torch.searchsorted(listed.to(self.device), rows)

    def _count(self, batch: Batch, drawn: Tensor | None, columns: int) -> Tensor:
        if self._whole:
            return torch.ones(columns, device=self.device)
        count = torch.zeros(columns, device=self.device)
        if self._of_batch:
            count[self._column_of[batch.candidate_rows]] += batch.multiplicity()
        if drawn is not None:
            count += occurrences(self._column_of[drawn], columns)
        return count

    def _log_q(self, columns: Tensor, pairs: int) -> Tensor | None:
        """Log of the probability of a draw, or of the expected number of draws where positives are not corrected."""
        if self.task.log_q is None:
            return None
        if self.log_q is not None and not isinstance(self.task.log_q, str):
            return self.log_q[columns]
        expected = torch.zeros(len(columns), dtype=torch.float64, device=self.device)
        number = 0
        if self._of_batch:
            if self.streaming is None:
                expected += self.batch_probability.index_select(0, columns).mul_(pairs)
            else:
                expected += self.streaming(columns)
            number += pairs
        if self.draw_probability is not None:
            expected += self._drawn * self.draw_probability[columns]
            number += self._drawn
        expected.clamp_(min=1e-12)  # a candidate that is never drawn: only a positive, or an explicit negative
        loss = self.task.loss
        scale = 1 if isinstance(loss, (Softmax, BSL)) and not loss.correct_positive else number
        return expected.div_(scale).log_().float()

    def _owners_of(self, rows: Tensor) -> Tensor:
        """The queries of rows that the query tower reads."""
        return rows // self._contexts if self.owner is None else self.owner[rows]

    def _hidden(self, batch: Batch) -> Places:
        assert self.known is not None
        return Places(*self.known.meeting(self._owners_of(batch.query_rows), self._column_of))

    def _explicit(self, batch: Batch, chosen: Tensor, step: int) -> Places | None:
        """Negatives of single queries: row of the batch's queries, candidate of the catalogue."""
        owners = self._owners_of(batch.query_rows)
        sources = (
            (self.impressions, owners, self.task.impressions),
            (self.mined, self._mined_places(batch.query_rows), self.task.mined),
        )
        parts = [
            Places(*lists.some(rows, most, (self.seed, 2 * step + number)))
            for number, (lists, rows, most) in enumerate(sources)
            if lists is not None
        ]
        if self.task.negative_column is not None:
            pair, candidate = batch.given if self.given is None else self.given.at(moved(chosen, self.device))  # type: ignore[misc]
            parts.append(Places(batch.pair_query[pair], candidate))
        if not parts:
            return None
        row, candidate = (torch.cat(column) for column in zip(*parts, strict=True))
        assert self.known is not None
        new = ~self.known.holds(owners[row], candidate)
        return Places(row[new], candidate[new])


class Competition(NamedTuple):
    """A batch, the columns that compete in it (None: the batch itself), and log Q of its candidates in that case."""

    batch: Batch
    columns: Columns | None
    log_q: Tensor | None

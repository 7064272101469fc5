"""The retrieval task: the negatives of each pair, the corrections, and the loss of the scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.errors import ConfigError, check_flags
from shortlist.loss.columns import Columns, SoftmaxOptions, softmax_over
from shortlist.loss.heads import best_head_softmax
from shortlist.loss.kinds import (
    BPR,
    BSL,
    CCL,
    LOSSES,
    NEGATIVES,
    InBatch,
    Loss,
    Negatives,
    Sampled,
    Softmax,
    WholeCatalogue,
    check_number,
    check_whole,
)
from shortlist.loss.old_names import takes_old_names
from shortlist.loss.pairwise import pairwise_loss
from shortlist.loss.places import occurrences
from shortlist.loss.smoothing import smoothing_gap
from shortlist.loss.softmax import in_batch_softmax

__all__ = ["Retrieval"]

LOG_Q = ("counts", "streaming")


@takes_old_names
@dataclass(frozen=True, eq=False)
class Retrieval:
    """Each pair's candidate against the negatives; by default in-batch softmax, against all candidates of the batch.

    The loss is the sum over the batch, as in TFRS.

    Source: Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019; of the
    other losses: see ``columns`` and ``pairwise``.

    Args:
        temperature: logits are ``q·c / temperature``.
        remove_accidental_hits: a pair's own candidate, where other pairs of the batch or samples hold it too, is not
            its negative.
        log_q: correct for candidates being negatives more often than others. ``"counts"`` takes each candidate's
            probability to be drawn from the training data and the way of sampling; ``"streaming"`` estimates that of
            the batch from the batches themselves, for InBatch and Mixed; an array ``[candidates]``, in the order of ``dataset.candidates``,
            gives the log of it; None corrects nothing.
        loss: ``Softmax()``, ``BSL()``, ``BPR()``, or ``CCL()`` (for cosines), each with its own options.
        negatives: what every query of a batch competes with: ``InBatch()``, ``Sampled(1024)``, ``Mixed(1024)`` (both),
            or ``WholeCatalogue()``.
        mask_known: nor are the other candidates that its query chose in training.
        learn_temperature: learn the temperature with the towers, starting from ``temperature``.
        hardest: how many of the highest logits are each query's negatives (its own pairs never are); None for all.
        mined: the number of hard negatives of each query in a batch, from the highest scores among all candidates that
            the query did not choose; they are searched again after each epoch, and compete with their own query alone.
        negative_column: a column of the interactions that holds the id of a negative, or a list of them, for that query
            alone.
        impressions: of the candidates that were shown to a query and not chosen (``fit(impressions=...)``), this many
            at most are negatives of that query in a batch.

    Raises:
        ConfigError: for options out of range, and for combinations that cannot work.
    """

    temperature: float = 1.0
    remove_accidental_hits: bool = True
    log_q: Literal["counts", "streaming"] | NDArray[np.floating] | None = None
    loss: Loss = field(default=Softmax())
    negatives: Negatives = field(default=InBatch())
    mask_known: bool = False
    learn_temperature: bool = False
    hardest: int | None = None
    mined: int = 0
    negative_column: str | None = None
    impressions: int = 8

    def __post_init__(self) -> None:
        check_number(self, "temperature", lambda value: value > 0, "a positive number")
        if isinstance(self.log_q, str) and self.log_q not in LOG_Q:
            raise ConfigError(
                f'Retrieval got log_q={self.log_q!r}; it must be "counts", "streaming", an array or None.'
            )
        _check_kind("loss", self.loss, LOSSES)
        _check_kind("negatives", self.negatives, NEGATIVES)
        check_flags(
            "Retrieval",
            remove_accidental_hits=self.remove_accidental_hits,
            mask_known=self.mask_known,
            learn_temperature=self.learn_temperature,
        )
        for name, least in {"mined": 0, "impressions": 1}.items():
            check_whole(self, name, least)
        if self.hardest is not None:
            check_whole(self, "hardest", 1)
        self._check_combinations()

    def _check_combinations(self) -> None:
        if isinstance(self.negatives, WholeCatalogue) and self.log_q is not None:
            raise ConfigError(
                "Retrieval got log_q with negatives=WholeCatalogue(); leave log_q out, since every candidate occurs once."
            )
        if isinstance(self.negatives, Sampled) and isinstance(self.log_q, str) and self.log_q == "streaming":
            raise ConfigError(
                'Retrieval got log_q="streaming" with negatives=Sampled(), whose probabilities are known.',
                hint='log_q="counts" corrects for them; "streaming" estimates how often candidates are in a batch, for InBatch() '
                "or Mixed()",
            )
        if self._smoothing and self.hardest is not None:
            raise ConfigError("Retrieval got label_smoothing and hardest; give one of them.")
        if isinstance(self.loss, CCL) and (self.learn_temperature or self.temperature != 1):
            raise ConfigError("Retrieval got a temperature with loss=CCL(), which takes cosines as they are.")
        if isinstance(self.loss, (BPR, CCL)) and not self.remove_accidental_hits:
            raise ConfigError(
                f"loss={type(self.loss).__name__}() always removes accidental hits.", hint="leave the option out"
            )

    @property
    def _smoothing(self) -> float:
        return self.loss.label_smoothing if isinstance(self.loss, Softmax) else 0.0

    @property
    def plain(self) -> bool:
        """Whether the loss needs only the batch's own candidates and their counts: the fast path."""
        return (
            self.loss == Softmax()
            and isinstance(self.negatives, InBatch)
            and not (self.mask_known or self.mined)
            and self.hardest is None
            and self.negative_column is None
        )

    @property
    def needs_whole_queries(self) -> bool:
        """Whether the loss of a pair depends on the other pairs of its query in the batch, which then do not compete: processes that
        share a batch take whole queries of it."""
        softmax = isinstance(self.loss, Softmax) and not self._smoothing
        return not softmax or self.mask_known or self.hardest is not None or bool(self.mined)

    def candidate_log_q(self, counts: NDArray[np.integer]) -> Tensor | None:
        """Log sampling probability per candidate ``[candidates]`` from training ``counts`` or as given, or None."""
        if self.log_q is None or (isinstance(self.log_q, str) and self.log_q == "streaming"):
            return None
        if isinstance(self.log_q, str):
            seen = np.maximum(counts, 1)  # a candidate never drawn needs a finite number that is never used
            return torch.from_numpy(np.log(seen / max(1, counts.sum())).astype(np.float32))
        given = np.asarray(self.log_q)
        if given.dtype.kind not in "fiu":
            raise ConfigError(
                f"Retrieval got log_q of type {given.dtype}; an array of numbers was expected.",
                hint="one log probability per row of dataset.candidates, in that order",
            )
        given = given.astype(np.float32)
        if given.shape != counts.shape:
            raise ConfigError(
                f"Retrieval got log_q of shape {list(given.shape)}; [{len(counts)}] was expected.",
                hint="one log probability per row of dataset.candidates, in that order",
            )
        if not np.isfinite(given).all():
            raise ConfigError("Retrieval got log_q with NaN or infinite values; every one must be finite.")
        return torch.from_numpy(given)

    def __call__(
        self,
        query: Tensor,
        candidate: Tensor,
        pair_query: Tensor,
        pair_candidate: Tensor,
        *,
        weight: Tensor | None = None,
        log_q: Tensor | None = None,
        columns: Columns | None = None,
        temperature: float | None = None,
        counts: Tensor | None = None,
    ) -> Tensor:
        """The batch's loss, summed; see ``in_batch_softmax`` for the shapes.

        A query may be several vectors, ``[queries, heads, dim]``; a candidate's score is then that of the best.

        Args:
            columns: the candidates that compete, unless they are just the batch's (``plain``); with their own log Q.
            temperature: instead of the task's own.
            counts: ``[candidates]``, how often each occurs in the whole batch, if these pairs are a part of it
                (``columns`` has its own).
        """
        if not len(pair_query):  # a process without pairs in this batch
            return (candidate * 0).sum()
        pairs = (query, candidate, pair_query, pair_candidate)
        temperature = self.temperature if temperature is None else temperature
        if columns is None and self.plain and query.ndim == 2:
            return in_batch_softmax(
                *pairs,
                weight=weight,
                log_q=log_q,
                temperature=temperature,
                remove_accidental_hits=self.remove_accidental_hits,
                counts=counts,
            )
        if columns is None:
            drawn = occurrences(pair_candidate, len(candidate)) if counts is None else counts
            columns = Columns(drawn, log_q)
        if isinstance(self.loss, (BPR, CCL)):
            return pairwise_loss(
                *pairs,
                columns,
                kind=self.loss.kind,
                weight=weight,
                temperature=temperature,
                hardest=self.hardest,
                **asdict(self.loss),
            )
        return self._softmax(*pairs, loss=self.loss, columns=columns, weight=weight, temperature=temperature)

    def _softmax(
        self,
        query: Tensor,
        candidate: Tensor,
        pair_query: Tensor,
        pair_candidate: Tensor,
        *,
        loss: Softmax | BSL,
        columns: Columns,
        weight: Tensor | None,
        temperature: float,
    ) -> Tensor:
        pairs = (query, candidate, pair_query, pair_candidate)
        if query.ndim == 3 and self._smoothing:
            raise ConfigError("label_smoothing does not support heads.", hint="omit one of them")
        options = SoftmaxOptions(
            temperature,
            self.remove_accidental_hits,
            loss.correct_positive,
            negatives_only=isinstance(loss, BSL),
            exponent=loss.exponent if isinstance(loss, BSL) else 1.0,
            hardest=self.hardest,
        )
        of_columns = softmax_over if query.ndim == 2 else best_head_softmax
        total = of_columns(*pairs, columns, options, weight)
        if not self._smoothing:
            return total
        return total + self._smoothing * smoothing_gap(*pairs, columns, options, weight)


def _check_kind(part: str, value: object, kinds: Mapping[str, type]) -> None:
    """ConfigError unless the value is one of the kinds."""
    if isinstance(value, tuple(kinds.values())):
        return
    names = [kind.__name__ for kind in kinds.values()]
    hint = f"{part}=sl.{names[1]}()"
    if isinstance(value, type) and value.__name__ in names:
        hint = f"write {part}=sl.{value.__name__}()"
    listed = ", ".join(f"{name}()" for name in names)
    raise ConfigError(f"Retrieval got {part}={value!r}; one of {listed} was expected.", hint=hint)

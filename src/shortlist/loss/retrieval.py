"""The retrieval task: what competes with each pair, which corrections apply, and which loss is made of the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.errors import ConfigError
from shortlist.loss.columns import Columns, SoftmaxOptions, softmax_over
from shortlist.loss.heads import best_head_softmax
from shortlist.loss.pairwise import pairwise_loss
from shortlist.loss.smoothing import smoothing_gap
from shortlist.loss.softmax import in_batch_softmax

__all__ = ["LOSSES", "NEGATIVES", "Retrieval"]

LOSSES = ("softmax", "bsl", "bpr", "ccl")
NEGATIVES = ("batch", "sampled", "mixed", "catalogue")


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Each pair's candidate against the negatives; by default in-batch softmax, against all candidates of the batch.

    temperature: logits are ``q·c / temperature``. learn_temperature: start from it and learn it with the towers.
    loss: "softmax"; "bsl" (the positive in no denominator, log Z with the power ``exponent``, the query's own pairs never
        its negatives); "bpr"; "ccl" (for cosines, with ``margin`` and ``negative_weight``).
    negatives: "batch", the other candidates of the batch; "sampled", ``sampled`` candidates drawn for each batch with a
        probability proportional to their training count to the power ``sample_power`` (0: uniform, 1: by popularity);
        "mixed", both; "catalogue", every candidate there is (exact, in blocks).
    remove_accidental_hits: a pair's own candidate, where other pairs of the batch or samples hold it too, is not its
        negative. mask_known: nor is anything else that its query chose in training.
    hardest: only so many of the highest logits are each query's negatives (its own pairs never are).
    log_q: correct for candidates being negatives more often than others. ``"counts"`` takes each candidate's probability
        to be drawn from the training data and the way of sampling; ``"streaming"`` estimates that of the batch from the
        batches themselves; an array ``[candidates]``, in the order of ``dataset.candidates``, gives the log of it; None
        corrects nothing. correct_positive: the positive's logit too (as Yi et al. do), or not.
    label_smoothing: a share of the softmax's target, spread evenly over what competes.
    mined: so many hard negatives of each query in a batch, from the highest scores among all candidates that the query
        did not choose, searched again after each epoch. negative_column: a column of the interactions that holds the id
        of a negative, or a list of them. impressions: so many at most, for each query of a batch, of what was shown to
        it and not chosen (``fit(impressions=...)``). All three compete with their own query alone.

    The loss is the sum over the batch, as in TFRS. Source: Yi et al., "Sampling-bias-corrected neural modeling for
    large corpus item recommendations", RecSys 2019; of the other losses: see ``columns`` and ``pairwise``.
    """

    temperature: float = 1.0
    remove_accidental_hits: bool = True
    log_q: Literal["counts", "streaming"] | NDArray[np.floating] | None = None
    loss: Literal["softmax", "bsl", "bpr", "ccl"] = "softmax"
    negatives: Literal["batch", "sampled", "mixed", "catalogue"] = "batch"
    sampled: int = 1024
    sample_power: float = 0.0
    mask_known: bool = False
    correct_positive: bool = True
    label_smoothing: float = 0.0
    learn_temperature: bool = False
    exponent: float = 1.0
    margin: float = 0.8
    negative_weight: float = 1.0
    hardest: int | None = None
    mined: int = 0
    negative_column: str | None = None
    impressions: int = 8

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not np.isfinite(self.temperature):
            raise ConfigError(f"Retrieval got temperature={self.temperature}; it must be a positive number.")
        if isinstance(self.log_q, str) and self.log_q not in ("counts", "streaming"):
            raise ConfigError(
                f'Retrieval got log_q={self.log_q!r}; it must be "counts", "streaming", an array or None.'
            )
        for name, known in (("loss", LOSSES), ("negatives", NEGATIVES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"Retrieval got {name}={getattr(self, name)!r}; known: {', '.join(known)}.")
        self._check_numbers()
        self._check_combinations()

    def _check_numbers(self) -> None:
        least = {"sampled": 1, "hardest": 1, "mined": 0, "impressions": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < bound):
                raise ConfigError(f"Retrieval got {name}={value!r}; a whole number of at least {bound} was expected.")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"Retrieval got label_smoothing={self.label_smoothing}; it must be in [0, 1).")
        for name in ("sample_power", "exponent", "negative_weight"):
            if not (getattr(self, name) >= 0 and np.isfinite(getattr(self, name))):
                raise ConfigError(f"Retrieval got {name}={getattr(self, name)}; it must be zero or more, and finite.")

    def _check_combinations(self) -> None:
        if self.negatives == "catalogue" and self.log_q is not None:
            raise ConfigError(
                'Retrieval got log_q with negatives="catalogue"; leave log_q out, since every candidate occurs once.'
            )
        if self.label_smoothing and self.loss != "softmax":
            raise ConfigError(
                f'Retrieval got label_smoothing with loss="{self.loss}"; only the softmax supports it.',
                hint='omit label_smoothing, or use loss="softmax"',
            )
        if self.label_smoothing and self.hardest is not None:
            raise ConfigError("Retrieval got label_smoothing and hardest; give one of them.")
        if self.loss == "ccl" and (self.learn_temperature or self.temperature != 1):
            raise ConfigError(
                'Retrieval got a temperature with loss="ccl", which does not scale cosines: leave it out.'
            )
        if self.loss in ("bpr", "ccl") and not self.remove_accidental_hits:
            raise ConfigError(f'loss="{self.loss}" always removes accidental hits.', hint="leave the option out")

    @property
    def plain(self) -> bool:
        """Whether the batch's own candidates and their counts are all that it takes: the fast path."""
        return (
            self.loss == "softmax"
            and self.negatives == "batch"
            and self.correct_positive
            and not (self.mask_known or self.label_smoothing or self.mined)
            and self.hardest is None
            and self.negative_column is None
        )

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

        columns: what competes, where it is not just the batch (``plain``); it carries its own log Q.
        temperature: in place of the task's own. counts: ``[candidates]``, how often each occurs in the whole batch where
            these pairs are a part of it (``columns`` has its own).
        A query may be several vectors, ``[queries, heads, dim]``; a candidate's score is then that of the best.
        """
        if not len(pair_query):  # a process without pairs in this batch
            return (candidate * 0).sum()
        pairs = (query, candidate, pair_query, pair_candidate)
        heat = self.temperature if temperature is None else temperature
        if columns is None and self.plain and query.ndim == 2:
            return in_batch_softmax(
                *pairs,
                weight=weight,
                log_q=log_q,
                temperature=heat,
                remove_accidental_hits=self.remove_accidental_hits,
                counts=counts,
            )
        if columns is None:
            drawn = torch.bincount(pair_candidate, minlength=len(candidate)) if counts is None else counts
            columns = Columns(drawn, log_q)
        if self.loss in ("bpr", "ccl"):
            return pairwise_loss(
                *pairs,
                columns,
                kind="bpr" if self.loss == "bpr" else "ccl",
                weight=weight,
                temperature=heat,
                margin=self.margin,
                negative_weight=self.negative_weight,
                hardest=self.hardest,
            )
        return self._softmax(*pairs, columns=columns, weight=weight, temperature=heat)

    def _softmax(
        self,
        query: Tensor,
        candidate: Tensor,
        pair_query: Tensor,
        pair_candidate: Tensor,
        *,
        columns: Columns,
        weight: Tensor | None,
        temperature: float,
    ) -> Tensor:
        pairs = (query, candidate, pair_query, pair_candidate)
        if query.ndim == 3 and self.label_smoothing:
            raise ConfigError("label_smoothing does not support heads.", hint="omit one of them")
        options = SoftmaxOptions(
            temperature,
            self.remove_accidental_hits,
            self.correct_positive,
            negatives_only=self.loss == "bsl",
            exponent=self.exponent if self.loss == "bsl" else 1.0,
            hardest=self.hardest,
        )
        of_columns = softmax_over if query.ndim == 2 else best_head_softmax
        loss = of_columns(*pairs, columns, options, weight)
        if not self.label_smoothing:
            return loss
        return loss + self.label_smoothing * smoothing_gap(*pairs, columns, options, weight)

"""The retrieval task: which corrections apply to the in-batch softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shortlist.errors import ConfigError
from shortlist.loss.softmax import in_batch_softmax

__all__ = ["Retrieval"]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """In-batch softmax retrieval: each pair's candidate against all candidates of the batch.

    temperature: logits are ``q·c / temperature``.
    remove_accidental_hits: a pair's own candidate, where other pairs of the batch hold it too, is not its negative.
    log_q: correct for popular candidates being negatives more often than others. ``"counts"`` estimates each
        candidate's probability from the training data; an array ``[candidates]``, in the order of
        ``dataset.candidates``, gives the log of it; None corrects nothing.

    The loss is the sum over the batch, as in TFRS. Source: Yi et al., "Sampling-bias-corrected neural modeling for
    large corpus item recommendations", RecSys 2019.
    """

    temperature: float = 1.0
    remove_accidental_hits: bool = True
    log_q: Literal["counts"] | NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not np.isfinite(self.temperature):
            raise ConfigError(f"Retrieval got temperature={self.temperature}; it must be a positive number.")
        if isinstance(self.log_q, str) and self.log_q != "counts":
            raise ConfigError(f'Retrieval got log_q={self.log_q!r}; it must be "counts", an array or None.')

    def candidate_log_q(self, counts: NDArray[np.integer]) -> Tensor | None:
        """Log sampling probability per candidate ``[candidates]`` from training ``counts`` or as given, or None."""
        if self.log_q is None:
            return None
        if isinstance(self.log_q, str):
            seen = np.maximum(counts, 1)  # a candidate never drawn needs a finite number that is never used
            return torch.from_numpy(np.log(seen / max(1, counts.sum())).astype(np.float32))
        given = np.asarray(self.log_q, dtype=np.float32)
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
    ) -> Tensor:
        """The batch's loss, summed; see ``in_batch_softmax`` for the shapes."""
        return in_batch_softmax(
            query,
            candidate,
            pair_query,
            pair_candidate,
            weight=weight,
            log_q=log_q,
            temperature=self.temperature,
            remove_accidental_hits=self.remove_accidental_hits,
        )

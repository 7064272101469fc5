"""Mult-VAE as a baseline: an autoencoder over the whole catalogue.

Source: Liang et al. 2018, "Variational autoencoders for collaborative filtering", with the sizes of its section 4.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.measures import Scorer

BATCH = 500


class MultVae(nn.Module):
    """items → hidden → latent → hidden → items, with tanh between; the input is divided by its length, and dropped."""

    def __init__(self, items: int, hidden: int, latent: int, dropout: float) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(items, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, items))
        self.dropout = nn.Dropout(dropout)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.normal_(layer.bias, std=0.001)

    def forward(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[rows, items]``, and the divergence of each row's code from a standard normal, ``[rows]``."""
        mean, log_variance = self.encoder(self.dropout(functional.normalize(chosen, dim=1))).chunk(2, dim=1)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        return self.decoder(code), divergence


def mult_vae(
    chosen: sparse.csr_matrix,
    given: sparse.csr_matrix,
    seed: int,
    *,
    hidden: int = 600,
    latent: int = 200,
    dropout: float = 0.5,
    most: float = 0.2,
    warm_up: int = 2000,
    learning_rate: float = 1e-3,
    epochs: int = 100,
) -> Scorer:
    """Trained on the rows of ``chosen``, asked with those of ``given``; both 0 and 1, ``[queries, candidates]``.

    most: the weight of the divergence, reached after ``warm_up`` batches (the paper's annealing).
    """
    torch.manual_seed(seed)
    model = MultVae(chosen.shape[1], hidden, latent, dropout)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    filled = np.flatnonzero(np.diff(chosen.indptr))
    generator = np.random.default_rng(seed)
    step = 0
    for _ in range(epochs):
        for rows in np.array_split(generator.permutation(filled), max(1, round(len(filled) / BATCH))):
            target = torch.from_numpy(chosen[rows].toarray())
            logits, divergence = model(target)
            step += 1
            missed = -(logits.log_softmax(1) * target).sum(1)
            loss = (missed + most * min(1.0, step / warm_up) * divergence).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()

    @torch.no_grad()
    def score(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = model(torch.from_numpy(given[rows].toarray()))[0].numpy()
        return logits

    return score

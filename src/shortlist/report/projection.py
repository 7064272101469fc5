"""A catalogue's vectors in two dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.errors import ConfigError, MissingExtraError

__all__ = ["METHODS", "Projection", "projected"]

METHODS = ("pca", "pacmap")


class Projection(NamedTuple):
    """Vectors in two dimensions.

    Attributes:
        places: float32 ``[rows, 2]``.
        kept: the share of the variance that they keep; None where that has no meaning.
    """

    places: NDArray[np.float32]
    kept: float | None
    method: str


def projected(vectors: NDArray[np.float32], method: str = "pca") -> Projection:
    """Vectors ``[rows, dim]`` in two dimensions.

    "pca": the two directions of largest variance, by a singular value decomposition of the centred vectors (Pearson
    1901); each direction is turned so that its largest coordinate is positive, which makes it repeatable. "pacmap"
    keeps neighbours together (Wang et al. 2021) and needs the extra of that name.

    Raises:
        ConfigError: for another method.
        MissingExtraError: without the package.
    """
    if method not in METHODS:
        raise ConfigError(f"there is no projection {method!r}.", hint=f"known: {', '.join(METHODS)}")
    if method == "pacmap":
        return Projection(_pacmap(vectors), None, method)
    if not len(vectors):
        return Projection(np.zeros((0, 2), np.float32), None, method)
    centred = torch.from_numpy(vectors - vectors.mean(0)).double()
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    places = torch.zeros(len(vectors), 2, dtype=torch.float64)
    count = min(2, len(values))
    places[:, :count] = left[:, :count] * values[:count]
    for axis in places.T:
        if len(axis) and axis[axis.abs().argmax()] < 0:
            axis.neg_()
    total = float((values**2).sum())
    kept = float((values[:2] ** 2).sum()) / total if total else None
    return Projection(places.float().numpy(), kept, method)


def _pacmap(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        import pacmap
    except ModuleNotFoundError as missing:
        raise MissingExtraError("pacmap", "pacmap", "a PaCMAP map") from missing
    places = pacmap.PaCMAP(n_components=2, random_state=0).fit_transform(vectors)
    return np.asarray(places, np.float32)

"""What every side reports besides its time, computed the same way for all: did it learn what it should?"""

from importlib.metadata import version

import numpy as np


def top_k_accuracy(queries, candidates, query_rows, candidate_rows, k: int = 100) -> float:
    """Returns the share of test pairs whose candidate is among the k best of the whole catalogue.

    `queries` is `[queries, dim]` and `candidates` `[candidates, dim]`; pair i is row `query_rows[i]` of the one and row
    `candidate_rows[i]` of the other. Ties count against the model.
    """
    hits = 0
    for start in range(0, len(query_rows), 2048):
        positives = candidate_rows[start : start + 2048]
        scores = queries[query_rows[start : start + 2048]] @ candidates.T  # [pairs, candidates]
        positive_scores = scores[np.arange(len(positives)), positives]
        ranks = (scores >= positive_scores[:, None]).sum(1)  # its own score is one of them
        hits += int((ranks <= k).sum())
    return hits / len(query_rows)


def versions(*packages: str) -> dict[str, str]:
    """Returns the installed version of each package."""
    return {package: version(package) for package in packages}

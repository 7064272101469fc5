"""The tables of a model of another library, small enough to score by hand."""

from __future__ import annotations

from typing import Any

import numpy as np


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    """Three queries and four candidates after the unknown one of each side; three scores of which one is of an unknown query."""
    generator = np.random.default_rng(0)
    given = {
        "query_ids": np.array(["ann", "bob", "cåt"]),
        "query_embeddings": generator.normal(size=(4, 5)).astype(np.float32),
        "candidate_ids": np.array([10, 7, 30, 20]),
        "candidate_embeddings": generator.normal(size=(5, 5)).astype(np.float32),
        "score_query_ids": np.array(["ann", "cåt", "nobody"]),
        "score_candidate_ids": np.array([7, 20, 10]),
    }
    rows = (given["query_embeddings"][[1, 3, 0]], given["candidate_embeddings"][[2, 4, 1]])
    given["scores"] = (rows[0] * rows[1]).sum(1)
    return {name: value for name, value in {**given, **changes}.items() if value is not None}


def expected(user: int) -> dict[int, float]:
    """Scores of a row of the user table by film."""
    given = arrays()
    scores = given["candidate_embeddings"][1:] @ given["query_embeddings"][user]
    return dict(zip(given["candidate_ids"].tolist(), scores.tolist(), strict=True))

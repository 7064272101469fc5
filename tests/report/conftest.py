"""A small world to report on, with titles that try to break out of the page."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import shortlist as sl

EVIL = "</script><script>window.evil = 1</script>"
COMMENT = "<!-- & \u2028 \"quoted\" 'too'"


def shelf() -> tuple[sl.Dataset, sl.Dataset]:
    """Forty readers in two camps of ten books each; every reader's last choice is held out."""
    titles = [f"Book {number}" for number in range(18)] + [EVIL, COMMENT]
    books = pl.DataFrame(
        {
            "book": [f"b{number}" for number in range(20)],
            "title": titles,
            "genres": [["Drama", "War"] if number < 10 else ["Comedy"] for number in range(19)] + [None],
        }
    )
    readers = {"reader": [f"r{number}" for number in range(40)], "country": ["KR", EVIL] * 20}
    rows = [
        {"reader": f"r{reader}", "book": f"b{book}", "last": step == 6}
        for reader in range(40)
        for step, book in enumerate((10 * (reader % 2) + (reader + step) % 10) for step in range(7))
    ]
    frame = pl.DataFrame(rows)
    tables: dict[str, Any] = {"queries": readers, "candidates": books}
    data = sl.Dataset(frame.select("reader", "book"), "reader", "book", **tables)
    train, test = (data.with_interactions(data.interactions.filter(part)) for part in (~frame["last"], frame["last"]))
    return train, test


@pytest.fixture(scope="session")
def split() -> tuple[sl.Dataset, sl.Dataset]:
    return shelf()


@pytest.fixture(scope="session")
def recommender(split: tuple[sl.Dataset, sl.Dataset]) -> sl.Recommender:
    """Trained on the first part; its metadata as ``shortlist train`` writes them."""
    from shortlist.report import measure

    train, test = split
    plan = sl.recipes.load("factorization", ["fit.epochs=25", "fit.batch_size=64", "model.dim=8"])
    model, history = plan.train(train, validation=test)
    made = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    training = history.to_frame().to_dicts()
    measured = measure(model, test, seen=train, training=training, baselines=["popularity"])
    made.metadata = {"recipe": plan.to_dict(), "training": training, "measured": measured}
    return made

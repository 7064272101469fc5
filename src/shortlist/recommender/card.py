"""A bundle in words: its figures as tables, and a model card for a hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shortlist.language import counted
from shortlist.recommender.served import Served

__all__ = ["figure_tables", "model_card"]

CARD = """---
library_name: shortlist
pipeline_tag: other
tags: [recommender, retrieval, two-tower]
---

# {name}

Recommends {candidates} (`{candidate}`) to {queries} (`{query}`). Made with [shortlist](https://pypi.org/project/shortlist/).

```python
import shortlist as sl

recommender = sl.Recommender.from_hub("{name}")
print(recommender.recommend([{example!r}], k=10))
```

| | |
|---|---|
{facts}

{figures}## Before you share it

The folder `bundle` holds the ids of all queries (`{query}`) and what each of them chose in training, which lists leave out.
Do not make this repository public unless these may be public.
"""


def model_card(served: Served, name: str) -> str:
    """A README for a hub, in Markdown.

    Args:
        served: the bundle.
        name: of the repository.
    """
    state, metadata = served.state, served.metadata
    facts = {
        "model": _model(metadata),
        "trained on": counted(int(state.counts.sum()), "interaction"),
        "index": f"{type(served.index).__name__}, {state.dim} dimensions",
        "fingerprint": f"`{served.fingerprint[:16]}`",
    }
    ids = state.query_ids.ids
    return CARD.format(
        name=name,
        candidate=state.candidate,
        query=state.query,
        candidates=counted(served.index.size, "candidate"),
        queries=counted(len(ids), "query"),
        example=ids[0] if len(ids) else None,
        facts="\n".join(f"| {what} | {value} |" for what, value in facts.items()),
        figures="".join(map(_table, figure_tables(metadata))),
    )


def _model(metadata: Mapping[str, Any]) -> str:
    """The chosen model or the recipe, in a few words."""
    choice = metadata.get("choice")
    if choice:
        return str(choice.get("chosen", "chosen by shortlist"))
    recipe = metadata.get("recipe")
    if recipe:
        return "a recipe: ALS" if recipe.get("als") else "a recipe"
    return "made in Python"


def _table(table: Mapping[str, Any]) -> str:
    """Figures as a table of Markdown."""
    names = list(table["rows"][0]["values"])
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in table["rows"]:
        values = (row["values"].get(name) for name in names)
        cells = " | ".join("" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"| {row['name']} | {cells} |")
    return f"{table['title']}:\n\n" + "\n".join(lines) + "\n\n"


_TITLES = {"seen_in": "Test interactions, seen items left in", "seen_out": "Test interactions, seen items left out"}


def figure_tables(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures that the bundle's metadata holds, as tables: one per way of counting, a row per scorer."""
    figures = dict(metadata.get("evaluation") or {})
    for name in ("model", "popularity"):
        if isinstance(metadata.get(name), dict):
            figures.setdefault(name, metadata[name].get("test", metadata[name]))
    tables = []
    for seen, title in _TITLES.items():
        rows = [
            {"name": name, "values": values}
            for name, by_seen in figures.items()
            if isinstance(by_seen, dict) and isinstance(by_seen.get(seen), dict) and (values := _shown(by_seen[seen]))
        ]
        if rows:
            tables.append({"title": title, "rows": rows})
    return tables


def _shown(figures: Mapping[str, Any]) -> dict[str, float]:
    """The top-k accuracies, of dozens of figures; all of them where there is none. A figure that has no value is left out."""
    numbers = {name: value for name, value in figures.items() if isinstance(value, (int, float)) and value == value}
    known = {name.replace("_", "-"): value for name, value in numbers.items()}
    return {name: value for name, value in known.items() if name.startswith("top-")} or known

"""An evaluation as lines of text, for a terminal of 80 columns: figures ± half their interval, one line per scorer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from shortlist.display import table_html
from shortlist.evaluation.figures import Figures, Segment
from shortlist.intervals import Interval
from shortlist.language import WIDTH, columns, cut, folded, padded, shown

__all__ = ["TITLES", "evaluation_html", "evaluation_text", "figure_name", "headline_figure"]

TITLES = {"seen_in": "seen items left in", "seen_out": "seen items excluded"}
GROUP = 34
LEAST_GROUP = 12
FEWEST_SCORERS = 2
SCORERS_AT_MOST = 3

ByScorer = Mapping[str, Mapping[str, Figures]]
Intervals = Mapping[str, Mapping[str, Mapping[str, Interval]]]


def evaluation_text(
    notes: Sequence[str],
    figures: ByScorer,
    intervals: Intervals,
    segments: Sequence[Segment],
    index_recall: Mapping[str, Figures],
) -> str:
    """How much was measured, a table for each way to treat seen items, and one for each segment.

    Args:
        notes: the headline first. The others as in ``Evaluation``.
    """
    parts = ["\n".join(folded(shown(note), WIDTH)) for note in notes]
    for seen, title in TITLES.items():
        if seen in figures["model"]:
            lines = _scorer_table(figures, intervals, seen)
            if seen in index_recall:
                lines += ["", *_recall_rows(index_recall[seen], _label(figures, seen))]
            parts.append("\n".join([shown(title), *lines]))
    for name, members in groupby(segments, key=lambda segment: segment.name):
        parts.append("\n".join(_segment_table(name, list(members))))
    if intervals or any(segment.intervals for segment in segments):
        parts.append(shown("± is half the 95% interval, from resampled queries."))
    return "\n\n".join(parts)


def evaluation_html(headline: str, notes: Sequence[str], figures: ByScorer, intervals: Intervals) -> str:
    """The headline, and a table of scorers under figures for each way to treat seen items.

    Args:
        headline: how much was measured. The others as in ``Evaluation``.
    """
    parts = [table_html("Evaluation", (), (), [shown(note) for note in (headline, *notes)])]
    for seen, title in TITLES.items():
        if seen in figures["model"]:
            names = list(figures["model"][seen])
            rows = [
                [
                    scorer,
                    *(
                        _cell(by_seen[seen].get(name, math.nan), intervals.get(scorer, {}).get(seen, {}).get(name))
                        for name in names
                    ),
                ]
                for scorer, by_seen in figures.items()
                if seen in by_seen
            ]
            parts.append(table_html(shown(title), ["", *map(figure_name, names)], rows))
    return "".join(parts)


def figure_name(name: str) -> str:
    """``top_10`` as ``top-10``, ``capped_recall_5`` as ``capped recall-5``.

    Example:
        >>> figure_name("capped_recall_5"), figure_name("auc")
        ('capped recall-5', 'auc')
    """
    metric, at, k = name.rpartition("_")
    return f"{metric.replace('_', ' ')}-{k}" if at and k.isdigit() else name.replace("_", " ")


def headline_figure(names: Iterable[str]) -> str | None:
    """The first metric's figure whose cut-off is nearest to 10; None where there is none.

    Example:
        >>> headline_figure(["ndcg_1", "ndcg_5", "ndcg_50", "top_10"]), headline_figure(["auc", "top_10"])
        ('ndcg_5', 'auc')
    """
    names = list(names)
    if not names:
        return None
    metric = names[0].rpartition("_")[0]
    cut = [name for name in names if name.rpartition("_")[0] == metric and name.rpartition("_")[2].isdigit()]
    return min(cut, key=lambda name: abs(int(name.rpartition("_")[2]) - 10)) if cut else names[0]


def _label(figures: ByScorer, seen: str) -> int:
    """How wide the names of the rows are."""
    return 2 + max(
        columns(text) for text in (*(one for one, by_seen in figures.items() if seen in by_seen), shown("index recall"))
    )


def _scorer_table(figures: ByScorer, intervals: Intervals, seen: str) -> list[str]:
    """Rows of scorers under columns of figures, as many blocks of columns as the width needs."""
    scorers = [scorer for scorer, by_seen in figures.items() if seen in by_seen]
    ranges = {scorer: intervals.get(scorer, {}).get(seen, {}) for scorer in scorers}
    names = list(figures["model"][seen])
    label = _label(figures, seen)
    cells = {
        (scorer, name): _cell(figures[scorer][seen].get(name, math.nan), ranges[scorer].get(name))
        for scorer in scorers
        for name in names
    }
    lines: list[str] = []
    for block in _blocks(names, cells, label):
        width = _width(block, cells)
        if lines:
            lines.append("")
        lines.append(" " * label + "".join(f"{figure_name(name):>{width}}" for name in block))
        lines += [
            f"{scorer:<{label}}" + "".join(f"{cells[scorer, name]:>{width}}" for name in block) for scorer in scorers
        ]
    return lines


def _recall_rows(recall: Mapping[str, float], label: int) -> list[str]:
    """How much of the exact list the index finds."""
    names = [name.replace("recall_", "of top-") for name in recall]
    width = 2 + max(map(len, [*names, "0.0000"]))
    head = " " * label + "".join(f"{name:>{width}}" for name in names)
    return [head, padded(shown("index recall"), label) + "".join(f"{value:>{width}.4f}" for value in recall.values())]


def _segment_table(name: str, segments: Sequence[Segment]) -> list[str]:
    """One line per group under a column per scorer, by one figure: the first metric's nearest to 10."""
    seen = "seen_out" if any(segment.seen == "seen_out" for segment in segments) else "seen_in"
    segments = [segment for segment in segments if segment.seen == seen]
    metric = headline_figure(segments[0].figures)
    if metric is None:
        return []
    scorers = _shown(segments)
    table = _segment_rows(segments, scorers, metric)
    while len(scorers) > FEWEST_SCORERS and _columns_of(table, 0) > _left(
        table
    ):  # names of groups before figures of others
        del scorers[1]
        table = _segment_rows(segments, scorers, metric)
    first = min(_columns_of(table, 0), max(_left(table), LEAST_GROUP))
    table = [[cut(row[0], first), *row[1:]] for row in table]
    widths = [_columns_of(table, column) for column in range(len(table[0]))]
    lines = [shown(f"by {name.replace('_', ' ')} ({figure_name(metric)}, {TITLES[seen]})")]
    for row in table:
        cells = [
            padded(row[0], widths[0]),
            *(padded(cell, width + 2, right=True) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        lines.append("".join(cells).rstrip())
    return lines


def _segment_rows(segments: Sequence[Segment], scorers: Sequence[str], metric: str) -> list[list[str]]:
    """The head and a row for each group, whole."""
    rows = [["", shown("pairs"), shown("queries"), *scorers]]
    for group, members in groupby(segments, key=lambda segment: segment.group):
        by_scorer = {segment.scorer: segment for segment in members}
        one = next(iter(by_scorer.values()))
        figures = [_cell(by_scorer[s].figures[metric], by_scorer[s].intervals.get(metric)) for s in scorers]
        rows.append([shown(group), f"{one.pairs:,}", f"{one.queries:,}", *figures])
    return rows


def _columns_of(table: Sequence[Sequence[str]], column: int) -> int:
    """How wide a column is; of the first no more than names of groups may be."""
    width = max(columns(row[column]) for row in table)
    return width if column else min(width, GROUP)


def _left(table: Sequence[Sequence[str]]) -> int:
    """The width that the other columns leave to the first."""
    return WIDTH - sum(_columns_of(table, column) + 2 for column in range(1, len(table[0])))


def _shown(segments: Sequence[Segment]) -> list[str]:
    """The model, and the others in their order, as many as fit."""
    scorers = list(dict.fromkeys(segment.scorer for segment in segments))
    return scorers[: SCORERS_AT_MOST + 1] if len(scorers) <= SCORERS_AT_MOST else [*scorers[:1], *scorers[-2:]]


def _blocks(names: Sequence[str], cells: Mapping[tuple[str, str], str], label: int) -> list[list[str]]:
    """The columns in lines that fit: a metric's cut-offs stay together, several metrics share a line where they fit."""
    blocks: list[list[str]] = []
    for _, members in groupby(names, key=lambda name: name.rpartition("_")[0] or name):
        group = list(members)
        if blocks and label + (len(blocks[-1]) + len(group)) * _width([*blocks[-1], *group], cells) <= WIDTH:
            blocks[-1] += group
            continue
        fits = max(1, (WIDTH - label) // _width(group, cells))
        blocks += [group[start : start + fits] for start in range(0, len(group), fits)]
    return blocks


def _width(names: Sequence[str], cells: Mapping[tuple[str, str], str]) -> int:
    longest = max(len(cell) for (_, name), cell in cells.items() if name in names)
    return 2 + max(longest, *(len(figure_name(name)) for name in names))


def _cell(value: float, interval: Interval | None) -> str:
    if math.isnan(value):
        return "–"
    large = abs(value) >= 100
    text = f"{value:,.1f}" if large else f"{value:.4f}"
    if interval is None or math.isnan(interval.low):
        return text
    half = (interval.high - interval.low) / 2
    return f"{text} ±{half:,.1f}" if large else f"{text} ±{half:.4f}".replace("±0.", "±.")

"""A choice in words: the table of contenders, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.choosing.choose import Choice, Tried

__all__ = ["table_text", "verdict_lines"]

SMALL = 200  # queries, below which a figure says little
CEILING = 0.05


def table_text(choice: Choice) -> str:
    """The contenders, best first; the chosen one is marked. At most 80 columns."""
    trial = choice.trial
    counted = "seen items excluded" if trial.exclude_seen else "seen items left in"
    lines = [f"  {'model':<36}{trial.name:>11}  {'± s.e.':>7}  {'seconds':>7}"]
    for one in choice.tried:
        if one.figure is None:
            continue
        mark = "*" if one is choice.chosen else " "
        lines.append(
            f"{mark} {_cut(one.name, 36):<36}{one.figure.value:>11.4f}  {_plain(one.figure.error):>7}  {one.seconds:>7.1f}"
        )
    pairs, queries = len(trial.test), int((choice.chosen.figure.sums.denominator > 0).sum())  # type: ignore[union-attr]
    lines.append(f"  on {pairs:,} held-out pairs of {queries:,} queries ({_how(choice)}), {counted}")
    skipped = [one for one in choice.tried if one.figure is None]
    lines += [f"  not tried: {one.name}: {one.reason}" for one in skipped]
    return "\n".join(lines)


def verdict_lines(choice: Choice) -> list[str]:
    """Plain sentences: what won, by how much, whether that is more than chance, and what to know of the table."""
    trial, chosen = choice.trial, choice.chosen
    assert chosen.figure is not None
    lines = [f"chosen: {chosen.name} ({trial.name} {chosen.figure.value:.4f})"]
    lines += _against(choice)
    lines.append(
        "the model was then trained again on all rows; the figures are from before that"
        if choice.refitted
        else "the model was trained without the held-out rows"
    )
    if trial.again > CEILING and trial.exclude_seen:
        lines.append(
            f"repeats: {trial.again:.1%} of the held-out pairs were chosen before by the same query; with seen items excluded "
            f"no model can find these, so {1 - trial.again:.1%} is the maximum"
        )
    elif trial.again > CEILING:
        lines.append(
            f"repeats: {trial.again:.1%} of the held-out pairs were chosen before by the same query, so seen items were left in; "
            "ask for lists with exclude_seen=False (--include-seen)"
        )
    if trial.new:
        lines.append(
            f"new queries: {trial.new:.1%} of the held-out pairs; they are answered by popularity unless features say more"
        )
    lines.append(f"next: {_advice(choice)}")
    return lines


def _against(choice: Choice) -> list[str]:
    """The winner against popularity, and against the best model of another kind."""
    chosen = choice.chosen
    lines = []
    measured = [one for one in choice.tried if one.figure is not None and one is not chosen]
    others: list[Tried] = [one for one in measured if one.name == "popularity"]
    others += [one for one in measured if one.kind != chosen.kind and one.kind != "popularity"][:1]
    for one in others:
        lead, error = chosen.figure.lead_over(one.figure)  # type: ignore[union-attr, arg-type]
        figures = f"({lead:+.4f} ± {_plain(error)})"
        if abs(lead) > 2 * error:
            lines.append(f"{'ahead of' if lead > 0 else 'behind'} {one.name} {figures}")
        elif lead >= 0:
            lines.append(f"level with {one.name} {figures}")
        else:
            lines.append(f"simpler than {one.name}, and behind it by no more than chance {figures}")
    return lines


def _advice(choice: Choice) -> str:
    """One line that fits this model and this table."""
    trial, chosen = choice.trial, choice.chosen
    queries = int((chosen.figure.sums.denominator > 0).sum())  # type: ignore[union-attr]
    unmeasured = [one for one in choice.tried if one.figure is None and one.reason and "were left" in one.reason]
    if queries < SMALL:
        return f"only {queries} queries were measured; collect more interactions before you trust the order above"
    if unmeasured:
        return f"a longer --budget would also try {', '.join(one.name for one in unmeasured[:3])}"
    if chosen.kind == "popularity":
        return "no model here is better than popularity: more interactions per query, or tables of features, would help"
    if trial.train.timestamp is None:
        return "if the table has a column of times, name it with --time; transitions and histories are then tried too"
    if trial.new > 0.2:
        return "many queries are new; a table of their features (--queries) would help them"
    return "shortlist report shows where the model is good and where it is not; shortlist serve answers over HTTP"


def _plain(error: float) -> str:
    """A standard error; "-" where one query alone was measured."""
    return "-" if error != error else f"{error:.4f}"


def _how(choice: Choice) -> str:
    return {"random": "drawn at random", "time": "the latest", "last": "the last of each query"}[choice.split]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"

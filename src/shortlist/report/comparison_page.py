"""The report's section on today's model and yesterday's, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shortlist.report.html import escaped, share, table

__all__ = ["since_body"]


def since_body(changes: Mapping[str, Any]) -> str:
    """The section on the results of ``report.comparison``."""
    before = changes["before"]
    made = f", made {escaped(_minute(before['created']))}" if before.get("created") else ""
    start = (
        f"<p>Yesterday's bundle: fingerprint {escaped(before['fingerprint'][:16])}{made}. Since then "
        f"{changes['new_candidates']:,} candidates and {changes['new_queries']:,} queries are new.</p>"
    )
    return start + _figures(changes) + _lists(changes["churn"]) + _vectors(changes["drift"])


def _figures(changes: Mapping[str, Any]) -> str:
    comparison = changes["comparison"]
    if comparison is None:
        return "<p>Nothing was held out, so figures were not compared.</p>"
    rows = [
        (
            one["metric"].replace("_", "-"),
            share(one["first"]),
            share(one["second"]),
            _word(one),
            _points(one["difference"]),
            _unbroken(f"{_points(one['interval'][0])} to {_points(one['interval'][1])}"),
            _unbroken("< 0.001") if one["p_value"] < 0.001 else f"{one['p_value']:.3f}",
        )
        for one in comparison["differences"]
    ]
    main = next((one for one in comparison["differences"] if one["metric"] == f"top_{changes['k']}"), None)
    text = ""
    if main is not None:
        text = (
            f"<p>Top-{changes['k']} accuracy on the same {comparison['pairs']:,} held-out choices: {share(main['first'])} "
            f"yesterday, {share(main['second'])} today: {_verdict(main)}.</p>"
        )
    heads = ["Metric", "Yesterday", "Today", "Verdict", "Difference, points", "95% interval", "p"]
    return text + table("Yesterday and today on the same test, paired by query", heads, rows, "Every metric")


def _lists(churn: Mapping[str, Any]) -> str:
    if not churn["queries"]:
        return "<p>No query is known to both, so lists were not compared.</p>"
    text = (
        f"<h3>How much of the lists changed</h3><p>{share(churn['changed'])} of the top {churn['k']} of {churn['queries']:,} "
        f"queries was not in yesterday's list; {share(churn['came_new'])} are candidates that yesterday did not know. "
        f"{share(churn['left_chosen'])} of yesterday's lists left because it was chosen since. "
        f"{share(churn['same'])} of the lists hold the same candidates.</p>"
    )
    rows = [("all", f"{churn['queries']:,}", share(churn["changed"]))]
    rows += [
        (f"{one['segment']}: {one['group']}", f"{one['queries']:,}", share(one["changed"])) for one in churn["segments"]
    ]
    return text + table("Change of lists by group", ["Group", "Queries", "Changed"], rows, "By group of queries")


def _vectors(drift: Mapping[str, Any]) -> str:
    sides = [side for side in ("candidates", "queries") if side in drift]
    if not sides:
        return "<h3>How far vectors moved</h3><p>The two models' vectors have nothing in common.</p>"
    word = (
        "Vectors kept from yesterday can be used with today's."
        if drift["comparable"]
        else "Vectors kept from yesterday do not fit today's: compute them again."
    )
    rows = [
        (
            side,
            f"{drift[side]['ids']:,}",
            f"{drift[side]['cosine']:.3f}",
            f"{drift[side]['turned']:.3f}",
            share(drift[side]["moved"]),
        )
        for side in sides
    ]
    text = "; ".join(f"{side}: mean cosine {drift[side]['cosine']:.3f}" for side in sides)
    heads = ["Side", "Ids that both know", "Mean cosine", "After the best rotation", "Cosine below 0.9"]
    return f"<h3>How far vectors moved</h3><p>An id's vector yesterday and today, {text}. {word}</p>" + table(
        "Drift of vectors", heads, rows
    )


def _points(value: float) -> str:
    return f"{100 * value:+.2f}".replace("-", "−")


def _unbroken(text: str) -> str:
    """Text without line breaks."""
    return text.replace(" ", "\u00a0")


def _minute(created: str) -> str:
    """An ISO time to the minute: ``2026-01-31T08:05:59+00:00`` is ``2026-01-31 08:05 UTC``."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    return _unbroken(f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip())


def _word(one: Mapping[str, Any]) -> str:
    """The verdict in a table."""
    if not one["real"]:
        return _unbroken("within chance")
    return "better" if one["difference"] > 0 else "worse"


def _verdict(one: Mapping[str, Any]) -> str:
    if not one["real"]:
        return "no difference beyond chance"
    return "today is better" if one["difference"] > 0 else "today is worse"

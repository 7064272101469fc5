"""The report's section on today's model and yesterday's, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shortlist.language import translated
from shortlist.report.html import escaped, paragraph, share, table

__all__ = ["since_body"]


def since_body(changes: Mapping[str, Any]) -> str:
    """The section on the results of ``report.comparison``."""
    before = changes["before"]
    made = translated(", made {time}", time=_minute(before["created"])) if before.get("created") else ""
    start = translated(
        "Yesterday's bundle: fingerprint {fingerprint}{made}. Since then {candidates} candidates and {queries} queries are new.",
        fingerprint=before["fingerprint"][:16],
        made=made,
        candidates=f"{changes['new_candidates']:,}",
        queries=f"{changes['new_queries']:,}",
    )
    return paragraph(start) + _figures(changes) + _lists(changes["churn"]) + _vectors(changes["drift"])


def _figures(changes: Mapping[str, Any]) -> str:
    comparison = changes["comparison"]
    if comparison is None:
        return paragraph(translated("Nothing was held out, so figures were not compared."))
    rows = [
        (
            one["metric"].replace("_", "-"),
            share(one["first"]),
            share(one["second"]),
            _word(one),
            _points(one["difference"]),
            _unbroken(translated("{low} to {high}", low=_points(one["interval"][0]), high=_points(one["interval"][1]))),
            _unbroken("< 0.001") if one["p_value"] < 0.001 else f"{one['p_value']:.3f}",
        )
        for one in comparison["differences"]
    ]
    main = next((one for one in comparison["differences"] if one["metric"] == f"top_{changes['k']}"), None)
    text = ""
    if main is not None:
        text = paragraph(
            translated(
                "Top-{k} accuracy on the same {pairs} held-out choices: {first} yesterday, {second} today: {verdict}.",
                k=changes["k"],
                pairs=f"{comparison['pairs']:,}",
                first=share(main["first"]),
                second=share(main["second"]),
                verdict=_verdict(main),
            )
        )
    heads = [
        translated("Metric"),
        translated("Yesterday"),
        translated("Today"),
        translated("Verdict"),
        translated("Difference, points"),
        translated("95% interval"),
        "p",
    ]
    caption = translated("Yesterday and today on the same test, paired by query")
    return text + table(caption, heads, rows, translated("Every metric"))


def _lists(churn: Mapping[str, Any]) -> str:
    if not churn["queries"]:
        return paragraph(translated("No query is known to both, so lists were not compared."))
    text = _heading(translated("How much of the lists changed")) + paragraph(
        translated(
            "{changed} of the top {k} of {queries} queries was not in yesterday's list; {new} are candidates that yesterday did "
            "not know. {chosen} of yesterday's lists left because it was chosen since. {same} of the lists hold the same "
            "candidates.",
            changed=share(churn["changed"]),
            k=churn["k"],
            queries=f"{churn['queries']:,}",
            new=share(churn["came_new"]),
            chosen=share(churn["left_chosen"]),
            same=share(churn["same"]),
        )
    )
    rows = [(translated("all"), f"{churn['queries']:,}", share(churn["changed"]))]
    rows += [
        (f"{one['segment']}: {one['group']}", f"{one['queries']:,}", share(one["changed"])) for one in churn["segments"]
    ]
    heads = [translated("Group"), translated("Queries"), translated("Changed")]
    return text + table(translated("Change of lists by group"), heads, rows, translated("By group of queries"))


def _vectors(drift: Mapping[str, Any]) -> str:
    sides = [side for side in ("candidates", "queries") if side in drift]
    heading = _heading(translated("How far vectors moved"))
    if not sides:
        return heading + paragraph(translated("The two models' vectors have nothing in common."))
    word = translated(
        "Vectors kept from yesterday can be used with today's."
        if drift["comparable"]
        else "Vectors kept from yesterday do not fit today's: compute them again."
    )
    names = {"candidates": translated("candidates"), "queries": translated("queries")}
    rows = [
        (
            names[side],
            f"{drift[side]['ids']:,}",
            f"{drift[side]['cosine']:.3f}",
            f"{drift[side]['turned']:.3f}",
            share(drift[side]["moved"]),
        )
        for side in sides
    ]
    means = "; ".join(
        translated("{side}: mean cosine {cosine}", side=names[side], cosine=f"{drift[side]['cosine']:.3f}")
        for side in sides
    )
    text = translated("An id's vector yesterday and today, {means}. {word}", means=means, word=word)
    heads = [
        translated("Side"),
        translated("Ids that both know"),
        translated("Mean cosine"),
        translated("After the best rotation"),
        translated("Cosine below 0.9"),
    ]
    return heading + paragraph(text) + table(translated("Drift of vectors"), heads, rows)


def _heading(text: str) -> str:
    return f"<h3>{escaped(text)}</h3>"


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
        return _unbroken(translated("within chance"))
    return translated("better" if one["difference"] > 0 else "worse")


def _verdict(one: Mapping[str, Any]) -> str:
    if not one["real"]:
        return translated("no difference beyond chance")
    return translated("today is better" if one["difference"] > 0 else "today is worse")

"""A result as text."""

HEAD = ("", "ours", "peer", "", "ratio", "bar", "")


def table(result: dict) -> str:
    """Returns the table of a result: medians, [least .. most], ratio beside bar, and what is missing."""
    rows = [HEAD, *(_cells(row) for row in result["rows"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    machine = result["environment"]
    size = "quick, small data: no basis for a claim" if result["quick"] else result["command"]
    notes = [f"missing: {side}: {reason}" for side, reason in result["missing"].items()]
    notes += [
        f"note: {side} used {report['busy_while_waiting']:.0%} of a core while another side ran"
        for side, report in result["sides"].items()
        if report["busy_while_waiting"] > 0.05
    ]
    head = [result["what"], f"{machine['processor']}, {machine['usable_cores']} cores · {size}"]
    return "\n".join([*head, *lines, *notes, ""])


def _cells(row: dict) -> tuple[str, ...]:
    spread = row["spread"]
    verdict = {True: "holds", False: "MISSED", None: "not measured" if row["bar"] is not None else ""}[row["holds"]]
    return (
        row["name"],
        _figure(row["ours"], spread.get("ours"), row["unit"]),
        _figure(row["peer"], spread.get("peer"), row["unit"]),
        row["peer_name"] or "",
        "" if row["ratio"] is None else times(row["ratio"]),
        bar_text(row),
        verdict,
    )


def times(ratio: float) -> str:
    """Returns how many times, with two decimals below 1."""
    return f"{ratio:.1f}×" if ratio >= 1 else f"{ratio:.2f}×"


def bar_text(row: dict) -> str:
    """Returns what a row has to reach."""
    if row["bar"] is None:
        return ""
    return f"≤ {row['bar']:g} {row['unit']}".rstrip() if row["compare"] == "at most" else f"{row['bar']:g}×"


def figure(value: float | None, unit: str) -> str:
    """Returns a value with its unit, four digits of it."""
    if value is None:
        return "-"
    return f"{value:,.0f} {unit}".rstrip() if value >= 1000 else f"{value:.4g} {unit}".rstrip()


def _figure(value: float | None, spread: list[float] | None, unit: str) -> str:
    return "-" if value is None else f"{figure(value, unit)} [{spread[0]:.4g} .. {spread[1]:.4g}]"

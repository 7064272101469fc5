"""The figures of docs/serving.md, from benchmarks/results/serving_*.json; `python -m benchmarks.serving docs`."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "serving.md"
BEGIN, END = "<!-- figures: made by `python -m benchmarks.serving docs` -->", "<!-- end of figures -->"


def write() -> str:
    """Put the figures into the page; returns what was put."""
    text = PAGE.read_text(encoding="utf-8")
    made = figures()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", flags=re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{made}\n{END}", text), encoding="utf-8")
    return made


def figures() -> str:
    """The tables, as Markdown."""
    results = {}
    for name in ("speed", "swaps", "kills", "soak"):
        path = ROOT / "benchmarks" / "results" / f"serving_{name}.json"
        if path.is_file():
            results[name] = json.loads(path.read_text())
    lines = ["| measured | figure | bar |", "|---|---|---|"]
    for name, rows in (("speed", _speed), ("swaps", _swaps), ("kills", _kills), ("soak", _soak)):
        if name in results:
            lines += [f"| {what} | {figure} | {bar} |" for what, figure, bar in rows(results[name])]
    where = next(iter(results.values()))["environment"] if results else {}
    loads = ", ".join(f"{name} {one['environment']['load_at_start']}" for name, one in results.items())
    return (
        "\n".join(lines)
        + f"\n\n{where.get('processor')}, {where.get('usable_cores')} cores shared with the load, Python "
        f"{where.get('python')}. Load average of the machine as each began, beside other work: {loads}.\n"
    )


def _speed(result: dict) -> list[tuple[str, str, str]]:
    inside, loads, overload = result["in_process"], result["loads"], result.get("overload")
    rows = [
        ("`recommend` in the process, one known user, median", f"{inside['p50_us']:.0f} µs", "150 µs"),
        ("start of the process to the first answer, median of 5", f"{result['start_seconds']:.2f} s", "2 s"),
        ("highest memory of the server", f"{result['peak_memory_mb']:.0f} MB", "250 MB"),
        ("1 connection, p50", f"{loads['1']['p50_ms']:.2f} ms", "1 ms"),
        ("16 connections, requests per second", f"{loads['16']['requests_per_second']:,.0f}", "5,000"),
        ("16 connections, p99", f"{loads['16']['p99_ms']:.1f} ms", "10 ms"),
        ("2,000 connections, good answers per second", f"{loads['2000']['good_per_second']:,.0f}", ""),
    ]  # fmt: skip
    if overload is not None:
        share, took = f"{overload['goodput_share']:.0%}", f"{overload['refusal_p50_ms']:.0f} ms"
        rows += [
            ("10 times as many connections as may be under way: good answers, share of capacity", share, "90%"),
            ("a refusal meanwhile, median", took, "50 ms"),
        ]
    return rows


def _swaps(result: dict) -> list[tuple[str, str, str]]:
    swapping, refusing = result["swapping"], result["refusing"]
    return [
        (f"{result['swaps']} swaps at {result['rate']:,.0f} requests/s: requests lost or wrong",
         f"{swapping['wrong']} of {swapping['requests']:,}", "0"),
        ("p99 while swapping, beside without", f"{result['p99_ratio']:.2f} times", "1.5 times"),
        (f"{result['broken']} broken bundles: requests lost or wrong",
         f"{refusing['wrong']} of {refusing['requests']:,}", "0"),
    ]  # fmt: skip


def _kills(result: dict) -> list[tuple[str, str, str]]:
    what = f"{result['kills']} kills (SIGKILL) during {result['acknowledged']:,} acknowledged changes: lost"
    return [(what, str(result["lost"]), "0")]


def _soak(result: dict) -> list[tuple[str, str, str]]:
    replies = result["replies"]
    rise = result["memory_at_end_mb"] - result["memory_after_warm_up_mb"]
    server_errors = sum(count for status, count in result["bad_requests"].items() if status.startswith("5"))
    return [
        (f"{result['seconds'] / 60:.0f} minutes with {result['swaps']} swaps, {result['changes']:,} changes: replies wrong",
         f"{replies['wrong']} of {replies['requests']:,}", "0"),
        ("memory at the end, beside after warm-up", f"{rise:+.1f} MB", "16 MB"),
        (f"{sum(result['bad_requests'].values()):,} bad requests: 5xx", str(server_errors), "0"),
    ]  # fmt: skip

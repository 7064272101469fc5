"""The figures of docs/serving.md, in both languages, from benchmarks/results/serving_*.json; `python -m benchmarks.serving docs`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.korean import CODES, in_language, place

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "serving.md"
P99_TIMES = 2  # the bar of each attack
BEGIN, END = "<!-- figures: made by `python -m benchmarks.serving docs` -->", "<!-- end of figures -->"


def write() -> str:
    """Put the figures into the page of both languages; returns what was put, in English."""
    made = figures()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", flags=re.DOTALL)
    for code in CODES:
        page, text = place(PAGE, code), f"{BEGIN}\n\n{in_language(made, code)}\n{END}"
        page.write_text(pattern.sub(lambda _, text=text: text, page.read_text(encoding="utf-8")), encoding="utf-8")
    return made


def figures() -> str:
    """The tables, as Markdown."""
    results = {}
    for name in ROWS:
        path = ROOT / "benchmarks" / "results" / f"serving_{name}.json"
        if path.is_file():
            results[name] = json.loads(path.read_text())
    lines = ["| measured | figure | bar |", "|---|---|---|"]
    for name, result in results.items():
        lines += [f"| {what} | {figure} | {bar} |" for what, figure, bar in ROWS[name](result)]
    machines: dict[str, list[str]] = {}
    for name, result in results.items():
        of = result["environment"]
        machine = f"{of['processor']}, {of['usable_cores']} cores shared with the load, Python {of['python']}"
        machines.setdefault(machine, []).append(f"{name} {of['load_at_start']}")
    said = [
        f"{machine}. Load average of the machine at the start of each, from other work: {', '.join(loads)}."
        for machine, loads in machines.items()
    ]
    return "\n".join(lines) + "\n\n" + "\n\n".join(said) + "\n"


def _speed(result: dict) -> list[tuple[str, str, str]]:
    inside, loads = result["in_process"], result["loads"]
    return [
        ("`recommend` in the process, one known user, median", f"{inside['p50_us']:.0f} µs", "150 µs"),
        ("start of the process to the first answer, median of 5", f"{result['start_seconds']:.2f} s", "2 s"),
        ("highest memory of the server", f"{result['peak_memory_mb']:.0f} MB", "250 MB"),
        ("1 connection, p50", f"{loads['1']['p50_ms']:.2f} ms", "1 ms"),
        ("16 connections, requests per second", f"{loads['16']['requests_per_second']:,.0f}", "5,000"),
        ("16 connections, p99", f"{loads['16']['p99_ms']:.1f} ms", "10 ms"),
    ]


def _overload(result: dict) -> list[tuple[str, str, str]]:
    def share(kind: str) -> str:
        return f"{result[f'{kind}_share']:.0%}; {result[f'{kind}_share_of_processor']:.0%}"

    def took(kind: str) -> str:
        return f"{result[f'{kind}_refusal_p50_ms']:.0f} and {result[f'{kind}_refusal_p99_ms']:.0f} ms"

    return [
        ("capacity, with 64 connections of the same clients: good answers per second; the same with `wrk`",
         f"{result['heeding_capacity_per_second']:,.0f}; {result['heedless_capacity_per_second']:,.0f}", ""),
        ("2,000 clients that ask for ten times that and respect Retry-After: good answers, share of capacity by the clock; by "
         "the server's processor time", share("heeding"), "90%"),
        ("their refusals, median and 99th percentile", took("heeding"), "50 ms"),
        ("2,000 clients that retry at once (`wrk`): the same shares", share("heedless"), "90%"),
        ("refusals of 40 other clients meanwhile that respect Retry-After, median and 99th percentile", took("probe"), "50 ms"),
        ("replies lost or wrong", str(result["wrong"]), "0"),
        ("memory after that", f"{result['memory_after_mb']:.0f} MB", ""),
    ]  # fmt: skip


def _swaps(result: dict) -> list[tuple[str, str, str]]:
    refusing, (first, second) = result["refusing"], result["quiet_p99_ms"]
    return [
        (f"{result['swaps']} swaps at {result['rate']:,.0f} requests/s, {result['share']:.0%} of capacity: requests lost or wrong",
         f"{result['wrong']} of {result['requests']:,}", "0"),
        ("p99 during a swap, compared with as many seconds before it, median",
         f"{result['p99_ratio']:.2f} times", "1.5 times"),
        ("the same of those seconds and of as many before them", f"{result['quiet_p99_ratio']:.2f} times", ""),
        ("swaps, and such seconds without one, in which it is more than 1.5 times as long",
         f"{result['p99_ratio_beyond']:.0%}; {result['quiet_p99_ratio_beyond']:.0%}", ""),
        ("p99 of all replies during swaps; in the seconds before, and before those",
         f"{result['swapping_p99_ms']:.1f}; {second:.1f} and {first:.1f} ms", ""),
        (f"{result['broken']} broken bundles: requests lost or wrong",
         f"{refusing['wrong']} of {refusing['requests']:,}", "0"),
    ]  # fmt: skip


def _stop(result: dict) -> list[tuple[str, str, str]]:
    what = f"SIGTERM with {result['in_flight']} requests in flight, {result['times']} times: lost"
    return [(what, f"{result['lost']} of {result['lost'] + result['answered']:,}", "0")]


def _million(result: dict) -> list[tuple[str, str, str]]:
    rate, changes, recall = result["rates"]["million"], result["changes"], result.get("recall")
    tuned = "" if recall is None else f", tuned to find {recall['promised']:.0%} of the top {recall['k']}"
    rows = [
        (f"{result['candidates']:,} candidates in ScaNN{tuned}, 16 connections, requests per second",
         f"{rate['good_per_second']:,.0f}", ""),
        ("compared with the MovieLens bundle in the same run", f"{result['share']:.0%}", "50%"),
        ("its p99, and memory", f"{rate['p99_ms']:.1f} ms, {rate['memory_mb']:,.0f} MB", ""),
        ("one live change there, median: a new candidate, a changed one, a deletion",
         f"{changes['new_p50_ms']:.0f}, {changes['there_p50_ms']:.0f} and {changes['delete_p50_ms']:.0f} ms", ""),
        ("a thousand new candidates at once", f"{changes['thousand_at_once_ms']:.0f} ms", ""),
        ("p99 of answers meanwhile, and the longest",
         f"{changes['answers_meanwhile']['p99_ms']:.1f} and {changes['answers_meanwhile']['longest_ms']:.0f} ms", ""),
        (f"memory before and after {3 * changes['each']} changes, and the highest",
         f"{changes['memory_before_mb']:,.0f}, {changes['memory_after_mb']:,.0f} and {changes['peak_memory_mb']:,.0f} MB", ""),
    ]  # fmt: skip
    if recall is not None:
        rows.insert(1, (f"of the exact top {recall['k']}, 500 queries, seen items left in, it finds", f"{recall['found']:.1%}",
                        f"{recall['promised']:.0%}"))  # fmt: skip
    return rows


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
        ("memory at the end, compared with after warm-up", f"{rise:+.1f} MB", "16 MB"),
        (f"{sum(result['bad_requests'].values()):,} bad requests: 5xx", str(server_errors), "0"),
    ]  # fmt: skip


def _memory(result: dict) -> list[tuple[str, str, str]]:
    one, *_, several = result["workers"].values()
    count = list(result["workers"])[-1]
    what = f"{result['candidates']:,} candidates of {result['dim']}, exact search: {count} workers, sum of proportional set sizes"
    return [
        (
            what,
            f"{several['pss_mb']:,.0f} MB, {result['times']:.2f} times one process ({one['pss_mb']:,.0f} MB)",
            "1.3 times",
        )
    ]


def _pauses(result: dict) -> list[tuple[str, str, str]]:
    return [
        (f"at {share} of capacity ({result['capacity_per_second']:,.0f}/s), {one['pauses']} pauses of 10 to 60 ms: lost, and refused",
         f"{one['wrong']} and {one['refused']} of {one['requests']:,}", "0" if share in ("25%", "50%") else "")
        for share, one in result["shares"].items()
    ]  # fmt: skip


def _rolling(result: dict) -> list[tuple[str, str, str]]:
    what = f"{result['restarts']} servers, one after the other behind one port (SIGTERM): requests failed"
    return [(what, f"{result['failed'] + result['wrong']} of {result['answers']:,}", "0")]


def _log(result: dict) -> list[tuple[str, str, str]]:
    first, then = result["long"], result["shortened"]
    return [
        (f"a log of {result['events']:,} events: ready after, and memory",
         f"{first['ready_seconds']:.1f} s, {first['memory_mb']:,.0f} MB", "5 s"),
        ("the same once it is shortened", f"{then['ready_seconds']:.1f} s, {then['memory_mb']:,.0f} MB", ""),
    ]  # fmt: skip


def _attacks(result: dict) -> list[tuple[str, str, str]]:
    by = result["attacks"]
    slowest, largest = (max(by, key=lambda name: by[name][what]) for what in ("p99_times", "grown_mb"))
    over = sorted((name for name in by if by[name]["p99_times"] > P99_TIMES), key=lambda name: -by[name]["p99_times"])
    lost = sum(one["wrong"] for one in by.values())
    return [
        (f"{len(by)} attacks, one at a time: p99 of honest clients, compared with that without, at most ({slowest})",
         f"{by[slowest]['p99_times']:.2f} times", f"{P99_TIMES} times"),
        (f"attacks beyond {P99_TIMES} times", "; ".join(f"{name}: {_times(by[name])}" for name in over) or "none", "none"),
        (f"memory that the server gained under one, at most ({largest})", f"{by[largest]['grown_mb']:.0f} MB", "64 MB"),
        ("requests of honest clients lost or wrong", str(lost), "0"),
    ]  # fmt: skip


def _times(one: dict) -> str:
    """How much longer the p99 is, how far halves of the slices agree, and what a process as busy as the attacker takes by itself."""
    halves = sorted(one.get("p99_times_of_halves", ()))
    spread = f" ({halves[0]:.2f} to {halves[1]:.2f})" if halves else ""
    busy = f", next to a process as busy {one['busy_p99_times']:.2f}" if "busy_p99_times" in one else ""
    return f"{one['p99_times']:.2f}{spread}{busy}"


def _cores(result: dict) -> list[tuple[str, str, str]]:
    undisturbed, interrupted = result["undisturbed"], result["interrupted"]
    what = f"good answers per processor second, two workers against one process, median of {len(result['rounds'])} rounds in turn"
    more = f"; with as many connections for each worker {undisturbed['share_by_worker']:.0%}"
    return [
        (what, f"{undisturbed['share']:.0%}{more}", "90%"),
        (f"{what}, with clients on the same cores that interrupt the workers",
         f"{interrupted['share']:.0%}; {interrupted['share_by_worker']:.0%}", ""),
    ]  # fmt: skip


def _worker_kills(result: dict) -> list[tuple[str, str, str]]:
    kills = result["kills"]
    return [
        (f"{kills['worker']} kills of a worker, {kills['writing']} of the writing process, one a second: answers, and requests that failed",
         f"{result['answers']:,} and {result['failed']}", ""),
        ("failed on a connection to a worker that lived", str(result["failed_on_a_worker_that_lives"]), "0"),
        (f"of {result['acknowledged']:,} changes acknowledged meanwhile, lost", str(result["lost"]), "0"),
    ]  # fmt: skip


ROWS = {
    "speed": _speed,
    "overload": _overload,
    "pauses": _pauses,
    "swaps": _swaps,
    "stop": _stop,
    "rolling": _rolling,
    "attacks": _attacks,
    "kills": _kills,
    "log": _log,
    "soak": _soak,
    "million": _million,
    "memory": _memory,
    "cores": _cores,
    "worker_kills": _worker_kills,
}

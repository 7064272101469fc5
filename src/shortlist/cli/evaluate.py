"""``shortlist evaluate``: a bundle against test interactions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import names_in, print_json, say, say_account
from shortlist.cli.events import event_options
from shortlist.cli.old_options import old_option
from shortlist.cli.reading import reading_options, sql_options, tables_of_bundle
from shortlist.errors import ConfigError
from shortlist.language import shown

if TYPE_CHECKING:
    from shortlist.data import Dataset, Events, Reading
    from shortlist.evaluation import Evaluation
    from shortlist.recommender import Recommender

__all__ = ["command"]

AUTO = "auto"

UNTIMED = "a bundle does not keep the times of its training data; give --train TABLE and --time COLUMN"


@click.command("evaluate")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("test", required=False)
@click.option("--k", "ks", default="1,5,10,50,100", show_default=True, help="Cut-offs, comma-separated.")
@click.option(
    "--metrics",
    default="top",
    show_default=True,
    help="Metrics, comma-separated: top,recall,ndcg,mrr,auc,coverage, …; or all.",
)
@click.option(
    "--baselines",
    is_flag=False,
    flag_value=AUTO,
    default="popularity",
    help="Baselines, comma-separated: popularity,recent,transitions,cooccurrence,ease,ials; none; without a value, all that take seconds.",
)
@click.option(
    "--segments",
    is_flag=False,
    flag_value=AUTO,
    default="",
    help="Segments, comma-separated: names or columns; without a value, by history, popularity, head and tail, warm and cold.",
)
@click.option("--train", help="Training table, instead of the bundle's seen items.")
@click.option(
    "--time", "timestamp", help="Column of times in TEST and --train, for 'recent', --released and the audit."
)
@old_option("--timestamp", "--time", "timestamp")
@click.option("--released", help="Column of the candidates: when each was released; it competes only from then on.")
@click.option("--grade", help="Column of TEST with the grade of a choice, for ndcg.")
@click.option("--weight", help="Column of TEST with the weight of each pair; see also --weight-by.")
@click.option(
    "--ties", type=click.Choice(["worst", "expected"]), default="worst", show_default=True, help="How ties count."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@event_options
@reading_options
@sql_options("test")
def command(bundle: Path, test: str, as_json: bool, events: Events, reading: Reading, **options: Any) -> None:
    """Measure BUNDLE on the interactions in TEST, over its whole catalogue, next to simple baselines.

    TEST needs the id columns that the bundle was trained on. In the rows "seen items excluded", the items that a query
    chose in training do not compete. An approximate index is measured next to exact ranks. Warnings about the model,
    and about leaks from TEST into --train, go to stderr.

        shortlist evaluate my.shortlist test.parquet --baselines --metrics top,ndcg --segments country
    """
    import shortlist as sl
    from shortlist.evaluation.diagnostics import warn_of

    recommender = sl.Recommender.load(bundle)
    catalogue = recommender.towers.catalogue
    read = partial(
        sl.Dataset,
        query=catalogue.query,
        candidate=catalogue.candidate,
        timestamp=options["timestamp"],
        queries=catalogue.queries,
        candidates=catalogue.candidates,
        events=events,
        keep=_kept(recommender, options),
        reading=reading,
    )
    with tables_of_bundle():
        data = read(test, weight=options["weight"])
        say_account(data.account)
        seen = recommender.seen if options["train"] is None else read(options["train"])
    options["weighted"] = data.weight is not None
    evaluation = _measured(recommender, data, seen, options)
    findings = sl.diagnose(recommender.model, data, training=recommender.metadata.get("training", ()))
    if options["train"] is not None and seen is not None:
        findings += sl.audit(seen, data, model=recommender.towers)
    warn_of(findings)
    if as_json:
        plain: dict[str, Any] = {"comparisons": _verdicts(evaluation)} if len(evaluation.figures) > 1 else {}
        plain |= {"account": data.account.to_dict()}
        print_json({**evaluation.to_dict(), **plain, "findings": [finding.to_dict() for finding in findings]})
        return
    click.echo(str(evaluation))
    if verdicts := _verdicts(evaluation):
        click.echo("\n" + "\n".join(shown(one["says"]) for one in verdicts))


def _kept(recommender: Recommender, options: dict[str, Any]) -> list[str]:
    """The other columns of the interactions that are needed."""
    segments = [] if options["segments"] == AUTO else names_in(options["segments"])
    graded = [] if options["grade"] is None else [options["grade"]]
    return [*graded, *segments, *recommender.towers.query.columns]


def _measured(recommender: Recommender, data: Dataset, seen: Dataset | None, options: dict[str, Any]) -> Evaluation:
    import shortlist as sl
    from shortlist.evaluation import METRICS
    from shortlist.evaluation.baselines import BASELINES, left_out
    from shortlist.evaluation.segments import BUILT_IN

    baselines: Sequence[str] = names_in(options["baselines"])
    if options["baselines"] in (AUTO, "none"):
        bundle_alone = options["train"] is None and seen is not None
        missing = left_out(seen, UNTIMED) if bundle_alone else left_out(seen)
        baselines = [name for name in BASELINES if name not in missing] if options["baselines"] == AUTO else ()
        for name, reason in missing.items() if options["baselines"] == AUTO else ():
            say(f"baseline left out: {name}: {reason}")
    return sl.evaluate(
        recommender.model,
        data,
        seen=seen,
        ks=_cuts(options["ks"]),
        metrics=METRICS if options["metrics"] == "all" else names_in(options["metrics"]),
        baselines=baselines,
        index=None if isinstance(recommender.index, sl.BruteForce) or options["released"] else recommender.index,
        segments=BUILT_IN if options["segments"] == AUTO else names_in(options["segments"]),
        intervals=True,
        ties=options["ties"],
        weighted=options["weighted"],
        grade=options["grade"],
        released=options["released"],
    )


def _verdicts(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Whether the model really differs from each baseline, by the first metric's cut-off nearest to 10."""
    import shortlist as sl
    from shortlist.evaluation.repeats import MOSTLY
    from shortlist.evaluation.text import figure_name, headline_figure
    from shortlist.intervals import p_in_words

    mostly_seen = (
        evaluation.repeats is not None and evaluation.repeats.share > MOSTLY
    )  # which no list has where seen items are out
    seen = "seen_out" if "seen_out" in evaluation.figures["model"] and not mostly_seen else "seen_in"
    metric = headline_figure(evaluation.sums["model"][seen])
    rows = []
    for scorer in evaluation.figures:
        if metric is None or scorer in ("model", "index") or metric not in evaluation.sums[scorer][seen]:
            continue
        one = sl.compare(evaluation, evaluation, metric, seen=seen, scorers=(scorer, "model"), resamples=2000)
        says = (
            f"model {('is better than' if one.difference > 0 else 'is worse than') if one.real else 'is no different from'} "
            f"{scorer}: {figure_name(metric)} {one.difference:+.4f} "
            f"(95% {one.interval.low:+.4f} to {one.interval.high:+.4f}, {p_in_words(one.p_value)})"
        )
        rows.append({"scorer": scorer, **one._asdict(), "real": one.real, "seen": seen, "says": says})
    return rows


def _cuts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(k) for k in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--k is {text!r}; whole numbers separated by commas were expected.", hint="--k 1,10,100"
        ) from None

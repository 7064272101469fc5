"""``shortlist import-tfrs``: the tables of a trained TFRS model in, a bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from shortlist.cli.console import print_json, say
from shortlist.cli.events import event_options
from shortlist.cli.reading import reading_options, sql_options

if TYPE_CHECKING:
    from shortlist.data import Events, Reading

__all__ = ["command"]


@click.command("import-tfrs")
@click.argument("arrays", type=click.Path(path_type=Path))
@click.option("--query", required=True, help="Name of the column of query ids.")
@click.option("--candidate", required=True, help="Name of the column of candidate ids.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The bundle to write.")
@click.option("--seen", help="Table of the interactions that the model was trained on.")
@click.option(
    "--index",
    "index_name",
    default="auto",
    show_default=True,
    help="auto, exact, quantized, scann, faiss, or a vector database (as for `shortlist index --to`).",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@event_options
@reading_options
@sql_options("seen", option="--seen", required=False)
def command(
    arrays: Path,
    query: str,
    candidate: str,
    out: Path,
    seen: str | None,
    index_name: str,
    overwrite: bool,
    as_json: bool,
    events: Events,
    reading: Reading,
) -> None:
    """Turn ARRAYS, an .npz file with ids and tower outputs of a TensorFlow Recommenders model, into a bundle with the same
    scores.

    The file has query_ids, query_embeddings, candidate_ids and candidate_embeddings; row 0 of the embeddings is the
    tower's output for an unknown id. If it has scores of the model (score_query_ids, score_candidate_ids, scores), they
    are checked; docs/migration.md shows how to export all of it. With --seen, the choices of each query are excluded
    from its lists and popularity is known.
    """
    import shortlist as sl
    from shortlist.cli.indexes import index_named
    from shortlist.recommender.folder import check_place

    check_place(out, overwrite)
    index = index_named(index_name)
    data = None if seen is None else sl.Dataset(seen, query, candidate, events=events, keep=[], reading=reading)
    model = sl.from_tfrs(arrays, query, candidate, seen=data)
    recommender = sl.Recommender(model, index=index, seen=data, cold_start="unknown")  # as the model itself answers
    recommender.save(out, overwrite=overwrite, metadata={"imported": "TensorFlow Recommenders"})
    say(f"wrote {out}: {recommender!r}")
    if as_json:
        sizes = {"queries": len(recommender.query_ids), "candidates": len(recommender.candidate_ids), "dim": model.dim}
        print_json({"bundle": str(out), **sizes})

"""``shortlist demo``: the whole retrieval tutorial on MovieLens-100k, step by step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from shortlist.cli.console import accuracy_table, epoch_printer, progress, show, typed
from shortlist.cli.result_files import check_result_file, write_result_file
from shortlist.errors import ConfigError, ShortlistError
from shortlist.language import padded, shown

if TYPE_CHECKING:
    import polars as pl

    from shortlist.data import Dataset
    from shortlist.model import TwoTower
    from shortlist.recommender import Recommender
    from shortlist.sources import Mixture

__all__ = ["command"]

USER = "42"
SEED = 42
AUTO, BUDGET = "auto", 12


@click.command("demo")
@click.option(
    "--recipe",
    default="auto",
    show_default=True,
    help="auto tries several models; or the name of a recipe, or a .toml file.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write every figure to this file.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of an existing copy of MovieLens-100k.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("movielens.shortlist"),
    show_default=True,
    help="The bundle to write.",
)
def command(recipe: str, json_file: Path | None, data_dir: Path | None, out: Path) -> None:
    """The whole job on MovieLens-100k: data, split, training, evaluation, index, bundle."""
    if json_file is not None:
        check_result_file(json_file, _unwritable)
    demo = _Demo(recipe, data_dir, out)
    demo.run()
    if json_file is not None:
        write_result_file(json_file, json.dumps(demo.figures, indent=2, ensure_ascii=False) + "\n", _unwritable)
        show(f"\nEvery figure above is in {json_file}.")


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the figures could not be written to {str(path)!r}: {error.strerror or error}.", hint="choose another --json"
    )


@dataclass
class _Demo:
    recipe: str
    data_dir: Path | None
    out: Path
    figures: dict[str, Any] = field(default_factory=lambda: {"seconds": {}})

    def run(self) -> None:
        started = time.perf_counter()
        with self._timed("imports", "loading the library"):
            import shortlist
            import shortlist.train  # noqa: F401
        from shortlist.recommender.folder import check_place

        check_place(self.out, overwrite=True)
        data = self._show_data()
        train, test = self._show_split(data)
        model = self._train(train, test)
        self._evaluate(model, train, test)
        recommender = self._recommend(model, train)
        self._save(recommender, train, test)
        self.figures["seconds"]["total"] = time.perf_counter() - started
        self._show_next()

    @contextmanager
    def _timed(self, step: str, waiting: str | None = None) -> Iterator[None]:
        started = time.perf_counter()
        if waiting is not None and sys.stderr.isatty():
            from rich.console import Console

            with Console(stderr=True).status(shown(waiting)):
                yield
        else:
            yield
        self.figures["seconds"][step] = time.perf_counter() - started

    def _show_data(self) -> Dataset:
        from shortlist.data import datasets

        _headline(1, "The data: MovieLens-100k")
        with self._timed("data", "fetching MovieLens-100k"):
            data = datasets.movielens("100k", data_dir=self.data_dir)
        rows = {"ratings": len(data), "users": len(data.queries), "movie titles": len(data.candidates)}
        click.echo("  " + " · ".join(shown(f"{count:,} {name}") for name, count in rows.items()))
        for note in data.notes:
            click.echo(f"  {shown(note)}")
        for name, table in (("a rating", data.interactions), ("a user", data.queries), ("a movie", data.candidates)):
            click.echo(f"  {padded(shown(name) + ':', 10)} {_sample(table)}")
        click.echo(f"\n  {datasets.MOVIELENS_LICENCE}")
        self.figures["data"] = {**{name.replace(" ", "_"): count for name, count in rows.items()}, "notes": data.notes}
        return data

    def _show_split(self, data: Dataset) -> tuple[Dataset, Dataset]:
        from shortlist.data import split_random

        _headline(2, "The split: random, 80% to train on, 20% to test")
        with self._timed("split"):
            train, test = split_random(data, test=0.2, seed=SEED)
        show(f"  {len(train):,} ratings to train on, {len(test):,} to test, seed {SEED}")
        self.figures["split"] = {"train": len(train), "test": len(test), "seed": SEED}
        return train, test

    def _train(self, train: Dataset, test: Dataset) -> TwoTower | Mixture:
        if self.recipe == AUTO:
            return self._choose(train)
        from shortlist.train import recipes

        plan = recipes.load(self.recipe).for_data(train)
        epochs = int(plan.fit.epochs)
        _headline(3, f"Training: recipe {self.recipe}")
        how = (
            "alternating least squares"
            if plan.als is not None
            else f"{plan.optimizer['name']}, batches of {plan.fit.batch_size:,}"
        )
        show(f"  two towers of {plan.model.dim} dimensions, {how}")
        say_epoch = epoch_printer(epochs, lambda line: click.echo(f"  {shown(line)}"))
        with self._timed("training"), progress("  training") as bar:
            model, history = plan.train(train, validation=test, on_epoch=say_epoch, on_batch=bar)
        show(
            "  (loss is per example; chance is what a model that scores every candidate alike would have;"
            "\n   top-k is measured on the test ratings against all titles, seen ones left in)"
        )
        self.figures |= {"recipe": plan.to_dict(), "training": history.to_frame().to_dicts()}
        self.figures["seconds"]["fit"] = history.seconds
        return model

    def _choose(self, train: Dataset) -> TwoTower | Mixture:
        from shortlist.choosing import choose
        from shortlist.data import Dataset

        _headline(3, f"The model: several are tried on a tenth of the training part, for at most {BUDGET} s")
        untimed = Dataset(
            train.interactions.drop("timestamp"), train.query, train.candidate, candidates=train.candidates
        )
        with self._timed("training"):  # the test part is drawn at random too, so times would not help
            choice = choose(untimed, budget=BUDGET, seed=SEED)
        for line in str(choice).splitlines():
            click.echo(f"  {line}" if line else "")
        self.figures |= {"recipe": choice.recipe.to_dict(), "training": [], "choice": choice.to_dict()}
        self.figures["seconds"]["fit"] = choice.seconds
        return choice.model

    def _evaluate(self, model: TwoTower | Mixture, train: Dataset, test: Dataset) -> None:
        from rich.console import Console

        from shortlist.evaluation import evaluate

        _headline(4, "The evaluation: is the right title among the first k of all titles?")
        with self._timed("evaluation"):
            evaluation = evaluate(model, test, seen=train)
        Console().print(accuracy_table(evaluation.figures))
        for scorer, accuracies in evaluation.figures.items():
            self.figures[scorer] = {"test": {seen: dict(values) for seen, values in accuracies.items()}}

    def _recommend(self, model: TwoTower | Mixture, train: Dataset) -> Recommender:
        from shortlist.index import BruteForce, Quantized
        from shortlist.recommender import Recommender

        _headline(5, f"Three recommendations for user {USER}, what they have rated left out")
        self.figures["recommendations"] = {}
        with self._timed("index", "building the indexes"):
            exact = Recommender(model, index=BruteForce(), seen=train)
            self._show_list("BruteForce", exact)
            try:
                approximate = Recommender(model, index=Quantized(), seen=train)
            except ShortlistError as error:
                show(f"  Quantized cannot run here: {error.message}")
                self.figures["ann"] = {"overlap_10": None, "reason": error.message}
                return exact
            self._show_list("Quantized", approximate)
            overlap = approximate.ann_overlap(k=10)
        show(f"  Over all users Quantized found {overlap:.1%} of the exact top 10.")
        show(
            "  (A catalogue this small is searched exactly by default; Quantized is for ten thousand candidates and more.)"
        )
        self.figures["ann"] = {"overlap_10": overlap}
        return exact

    def _show_list(self, name: str, recommender: Recommender) -> None:
        rows = recommender.recommend([USER], k=3).to_dicts()[0]["items"]
        self.figures["recommendations"][name] = rows
        for number, row in enumerate(rows, start=1):
            click.echo(f"  {name if number == 1 else '':<12}{number}. {row['id']:<50} {row['score']:8.4f}")

    def _save(self, recommender: Recommender, train: Dataset, test: Dataset) -> None:
        from shortlist.report import measure

        _headline(6, "The bundle: saved, and loaded again in a fresh process")
        metadata = {name: self.figures[name] for name in ("recipe", "training", "model", "popularity")}
        with self._timed("measure", "intervals, segments and EASE for the report"):
            metadata["measured"] = measure(
                recommender.model, test, seen=train, training=self.figures["training"], baselines=["popularity", "ease"]
            )
        with self._timed("save"):
            recommender.save(self.out, overwrite=True, metadata=metadata)
        size = sum(file.stat().st_size for file in self.out.rglob("*") if file.is_file())
        show(f"  wrote {self.out} ({size / 1e6:.2f} MB): towers, vocabularies, index, seen items")
        request = [sys.executable, "-m", "shortlist", "recommend", str(self.out), USER, "--k", "3", "--json"]
        with self._timed("reload", "a fresh process loads the bundle"):
            answer = subprocess.run(request, capture_output=True, text=True, check=False)
        identical = answer.returncode == 0 and (
            json.loads(answer.stdout)[0]["items"] == self.figures["recommendations"]["BruteForce"]
        )
        self.figures["reload"] = {"identical": identical}
        if not identical:
            raise RuntimeError(f"a fresh process answered differently: {answer.stdout} {answer.stderr.strip()}")
        show(f"  a fresh process loaded it and gave user {USER} the same three titles with the same scores")

    def _show_next(self) -> None:
        seconds = self.figures["seconds"]
        show(f"\nDone in {seconds['total']:.1f} s, {seconds['fit']:.2f} s of it training. What to type next:\n")
        command = "shortlist" if shutil.which("shortlist") else os.path.relpath(sys.argv[0])
        out = typed(self.out)
        click.echo(f"  {command} report {out} -o report.html")
        click.echo(f"  {command} recommend {out} {USER} --k 10")
        click.echo(f"  {command} evaluate {out} your_test_ratings.csv")
        click.echo(f"  {command} train your_ratings.csv --query user_id --candidate item_id --out my.shortlist")
        show(f"\nTo look at the model in a browser (http://127.0.0.1:8080/):\n\n  {command} serve {out}")


def _headline(number: int, title: str) -> None:
    click.echo(f"\n{click.style(f'{number}. {shown(title)}', bold=True)}")


def _sample(table: pl.DataFrame) -> str:
    """The first row of a table on one line."""
    return ", ".join(f"{name} {_short(value)}" for name, value in table.row(0, named=True).items())


def _short(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)

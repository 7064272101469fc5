"""From a recommender to a page on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shortlist.data import Dataset
from shortlist.data.argument_checks import checked_path
from shortlist.errors import ConfigError
from shortlist.language import language as in_force
from shortlist.language import speaking
from shortlist.recommender import Recommender
from shortlist.report.facts import Facts, gathered
from shortlist.report.page import page
from shortlist.store import check_writable_file, write_result

__all__ = ["check_report_place", "render", "saved", "write"]


def render(
    recommender: Recommender,
    test: Dataset | None = None,
    *,
    name: str = "model",
    method: str = "pca",
    baselines: Sequence[str] | None = None,
    about: Mapping[str, str] | None = None,
    weighted: bool = False,
    language: str | None = None,
) -> str:
    """A page of HTML on the quality of ``recommender``: verdict first, a table under every chart, without anything to fetch.

    Errors are those of ``evaluate``.

    Args:
        test: interactions to measure on; without them the page has the figures from the model's training.
        name: what to call the model.
        method: "pca" or "pacmap", for the map of the catalogue.
        baselines: names from ``BASELINES``; by default those that take seconds.
        about: more lines for the table about the model.
        weighted: count each test pair by its weight.
        language: of the page, such as "ko"; by default English, or what the command line speaks.

    Raises:
        ConfigError: for an unknown method or language.
        MissingExtraError: where the method's package is missing.
    """
    with speaking(in_force() if language is None else language):
        return page(
            gathered(recommender, test, name=name, method=method, baselines=baselines, about=about, weighted=weighted)
        )


def write(
    recommender: Recommender,
    path: str | Path,
    test: Dataset | None = None,
    *,
    name: str = "model",
    method: str = "pca",
    baselines: Sequence[str] | None = None,
    weighted: bool = False,
    language: str | None = None,
) -> int:
    """``render`` to a file, in one step; returns its size in bytes. ConfigError where the disk refuses."""
    place = checked_path(path, "report.write(path)")
    check_report_place(place)
    with speaking(in_force() if language is None else language):
        facts = gathered(recommender, test, name=name, method=method, baselines=baselines, weighted=weighted)
        return saved(facts, place)


def saved(facts: Facts, path: Path) -> int:
    """Write the page of ``facts`` to the file ``path``, whole or not at all; returns its size in bytes."""
    content = page(facts).encode()
    try:
        write_result(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error
    return len(content)


def check_report_place(path: Path) -> None:
    """ConfigError where no report can be written to ``path``; asked before the measuring, which takes long."""
    try:
        check_writable_file(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the report could not be written to {str(path)!r}: {error.strerror or error}.",
        hint="choose a folder that exists and can be written to: -o report.html",
    )

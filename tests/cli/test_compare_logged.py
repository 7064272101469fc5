"""``shortlist compare-logged``: an estimate of a new bundle from lists that were shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.typed import shortlist
from tests.shown.logged import LOOKED

import shortlist as sl


def test_a_bundle_is_estimated_on_it(logged: Path) -> None:
    chances = ",".join(map(str, LOOKED))
    done = shortlist("compare-logged", "new.shortlist", "shown.parquet", "--examination", chances, cwd=logged)
    assert done.returncode == 0, done.stderr
    assert "doubly robust" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    options = ("--examination", chances, "--k", 2, "--json")
    done = shortlist("compare-logged", "new.shortlist", "shown.parquet", *options, cwd=logged)
    plain = json.loads(done.stdout)
    direct = sl.off_policy_evaluate(
        logged / "log.parquet", sl.Recommender.load(logged / "new.shortlist"), k=2, examination=LOOKED.tolist()
    )
    assert plain == json.loads(json.dumps(direct.to_dict()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("late.shortlist", "shown.parquet"), "clicked candidates are left out"),
        (("new.shortlist", "shown.parquet", "--examination", "high"), "numbers were expected"),
        (("new.shortlist", "shown.parquet", "--clicked", "bought"), "no column 'bought'"),
        (("new.shortlist", "nowhere.parquet"), "nowhere.parquet"),
    ],
)
def test_what_is_refused(logged: Path, arguments: tuple[str, ...], words: str) -> None:
    done = shortlist("compare-logged", *arguments, cwd=logged)
    assert done.returncode == 1
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr

"""The demo, on the real MovieLens-100k, with both recipes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.typed import shortlist


@pytest.fixture(scope="module", params=["auto", "tutorial"])
def figures(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place: Path = tmp_path_factory.mktemp("demo")
    done = shortlist("demo", "--recipe", request.param, "--json", "demo.json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "100,000 ratings · 943 users · 1,664 movie titles" in done.stdout
    assert (place / "movielens.shortlist" / "manifest.json").is_file()
    return {"name": request.param, **json.loads((place / "demo.json").read_text())}


def test_the_demo_keeps_its_promises(figures: dict[str, Any]) -> None:
    model, popularity = figures["model"]["test"], figures["popularity"]["test"]
    if figures["name"] == "tutorial":
        assert 0.20 <= model["seen_in"]["top_100"] <= 0.24
    else:
        for k in (1, 5, 10, 50, 100):
            assert model["seen_out"][f"top_{k}"] > popularity["seen_out"][f"top_{k}"], k
        assert model["seen_out"]["top_10"] > 0.15
        assert figures["choice"]["chosen"] != "popularity"
    assert figures["split"] == {"train": 80_000, "test": 20_000, "seed": 42}
    assert len(figures["training"]) == (5 if figures["name"] == "tutorial" else 0)
    assert figures["reload"]["identical"] is True
    assert [len(rows) for rows in figures["recommendations"].values()] == [3] * len(figures["recommendations"])
    if figures["ann"]["overlap_10"] is not None:
        assert figures["ann"]["overlap_10"] >= 0.95


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--json", "none/demo.json"), "the figures could not be written to 'none/demo.json'"),
        (("--json", "."), "the figures could not be written to '.'"),
        (("--out", "none/movielens.shortlist"), "none' does not exist"),
        (("--out", "taken"), "exists and is not a bundle"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    monkeypatch.setattr("shortlist.cli.demo._Demo._show_data", lambda self: pytest.fail("fetched"))
    done = shortlist("demo", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr

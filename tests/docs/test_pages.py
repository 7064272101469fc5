"""The documentation's code runs, its translations show the same code, its tables name what exists."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.docs.translation import MADE, fences, in_korean, links, sections, strays, tables, units
from tests.recommender import hub_server
from tests.serve.running import Running
from tests.tuning.conftest import worked_out

import shortlist as sl
from shortlist.cli.daily_config import read_config
from shortlist.tuning import tuner

DOCS = Path(__file__).parents[2] / "docs"
KOREAN = DOCS / "ko"
BUILT = {"reference.md", "errors.md", "modules.md", "commands.md", "recipe-keys.md", "ko/commands.md", "ko/errors.md"}
"""Pages that `make docs` makes."""
ENGLISH = {"reference", "recipe-keys", "modules", "decisions"}
"""Pages without a Korean one: made from docstrings, and decisions."""
TRANSLATED = sorted({str(page.relative_to(KOREAN)) for page in KOREAN.rglob("*.md")} - {*MADE})

TFRS = (
    "tfrs.Model", "tfrs.tasks.Retrieval", "tfrs.tasks.Ranking", "tfrs.metrics.Factorized", "tfrs.metrics.FactorizedTopK",
    "tfrs.layers.factorized_top_k.TopK", "tfrs.layers.factorized_top_k.BruteForce",
    "tfrs.layers.factorized_top_k.Streaming", "tfrs.layers.factorized_top_k.ScaNN", "tfrs.layers.blocks.MLP",
    "tfrs.layers.embedding.TPUEmbedding", "tfrs.layers.feature_interaction.Cross",
    "tfrs.layers.feature_interaction.DotInteraction", "tfrs.layers.feature_interaction.MultiLayerDCN",
    "tfrs.layers.feature_multiplexing.UnifiedEmbedding", "tfrs.layers.loss.HardNegativeMining",
    "tfrs.layers.loss.RemoveAccidentalHits", "tfrs.layers.loss.SamplingProbablityCorrection",
    "tfrs.experimental.models.Ranking", "tfrs.experimental.optimizers.ClippyAdagrad",
)  # fmt: skip


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code(page: str) -> str:
    text = read(DOCS / page)
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(
    "page",
    [
        str(page.relative_to(DOCS))
        for page in sorted(DOCS.rglob("*.md"))
        if "ko" not in page.parts and page.name != "tutorial.md"  # the notebook is the tutorial's code, and is run
    ],
)
def test_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: torch's import would take longer than most pages, and a race of indexes longer than all."""
    program = code(page)
    if not program:
        pytest.skip("the page has no code to run")
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as stack:
        if page == "guides/sharing.md":  # which has a bundle, and a hub
            pytest.importorskip("huggingface_hub", reason='pip install "shortlist[hub]"')
            data = sl.Dataset({"user": ["42", "7"], "film": ["a", "b"]}, "user", "film")
            sl.Recommender(sl.popularity(data), seen=data).save("my.shortlist")
            monkeypatch.setenv("HF_ENDPOINT", stack.enter_context(hub_server.running()).address)
            monkeypatch.setenv("SHORTLIST_CACHE", str(tmp_path / "cache"))
        if page == "serving.md":  # which has a server
            data = sl.Dataset({"user": ["42", "7"], "film": ["a", "b"]}, "user", "film",
                              candidates={"film": ["a", "b"], "genres": ["drama", "comedy"]})  # fmt: skip
            sl.Recommender(sl.popularity(data), seen=data).save("my.shortlist")
            server = Running(tmp_path / "my.shortlist")
            stack.callback(server.stop)
            program = program.replace("http://127.0.0.1:8080", server.url)
        monkeypatch.setattr(tuner, "latencies", worked_out)
        exec(compile(program, page, "exec"), {"__name__": "__main__"})


def test_the_cookbook_says_what_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment behind a print has the products that it prints first, or words of it."""
    program = code("guides/cookbook.md")
    notes = re.findall(r"^ *print\(.*\)  # (.*)$", program, flags=re.MULTILINE)
    printed: list[list[str]] = [[] for _ in notes]
    for number, note in enumerate(notes):
        program = re.sub(r"print\((.*)\)  # " + re.escape(note), rf"note({number}, \1)", program)
    monkeypatch.chdir(tmp_path)
    exec(program, {"note": lambda number, *values: printed[number].append(" ".join(map(str, values)))})
    assert len(notes) == 11
    for note, (text, *_) in zip(notes, printed, strict=True):  # of a loop its first turn
        products = re.findall(r"\bp\d+", note)
        listed = re.findall(r"\bp\d+", text.partition("\n")[2] or text)  # without the line of the query
        assert listed[: len(products)] == products
        assert products or note in text


def test_the_page_of_sources_says_why_its_first_item_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources and choices behind it, in their order; shares may differ in a digit from machine to machine."""
    program, _, _ = code("guides/sources.md").partition("rules = sl.Rerank")
    (note,) = re.findall(r"print\(item\.id, reason\)  # (.*)", program)
    printed: list[str] = []
    monkeypatch.chdir(tmp_path)
    exec(program, {"print": lambda *values, **_: printed.append(" ".join(map(str, values)))})
    assert re.sub(r" \d+%", "", note) == re.sub(r" \d+%", "", next(one for one in printed if "because of" in one))


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_shows_the_same_code(page: str) -> None:
    assert code(f"ko/{page}") == code(page)
    assert fences(read(KOREAN / page)) == fences(read(DOCS / page))  # of commands and files, but for comments


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_figures_and_links(page: str) -> None:
    """Heading by heading and row by row; a link leads to the Korean page, or says that the page is in English."""
    ours, theirs = sections(read(DOCS / page)), sections(read(KOREAN / page))
    assert [level for level, _ in theirs] == [level for level, _ in ours]
    assert tables(read(KOREAN / page)) == tables(read(DOCS / page))
    for (_, body), (_, translated) in zip(ours, theirs, strict=True):
        title = translated.partition("\n")[0]
        assert len(units(translated)) == len(units(body)), f"{title}: rows of its tables"
        for unit, other in zip(units(body), units(translated), strict=True):
            assert strays(unit, other) == [], f"{title}: {other.strip()[:80]}"
    expected = Counter(in_korean(target, DOCS) for target in links(DOCS / page, DOCS).elements())
    assert links(KOREAN / page, DOCS) == expected
    for target, _, anchor in (one.partition("#") for one in expected if one.startswith(("ko/", "#")) and "#" in one):
        assert f"{{#{anchor}}}" in read(DOCS / target if target else KOREAN / page), f"{target} has no {{#{anchor}}}"


def test_recipes_and_configurations_on_the_pages_are_such(tmp_path: Path) -> None:
    pages = [page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md")]
    found = [
        text for page in pages for text in re.findall(r"^```toml\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    ]
    assert found
    for text in found:
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        if "[train]" in text:
            assert read_config(tmp_path / "mine.toml").train["query"]
            continue
        recipe = sl.recipes.load(str(tmp_path / "mine.toml"))
        changed = recipe.loss != sl.recipes.Recipe().loss
        declared = {
            "[[joined]]": recipe.joined,
            "[[sources]]": recipe.sources,
            "[neighbours]": recipe.neighbours,
            "[loss]": changed,
        }
        assert all(declared[section] for section in declared if section in text)
        assert recipe.query.features or any(section in text for section in declared)


def test_migration_names_every_class_of_the_other_side() -> None:
    page = (DOCS / "migration.md").read_text(encoding="utf-8")
    assert [name for name in TFRS if name not in page] == []


def calls() -> list[ast.Call]:
    """Every call of a public name in the migration tables' second column."""
    rows = re.findall(r"^\|(.*?)\|(.*?)\|$", (DOCS / "migration.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    spans = [span for _, ours in rows for span in re.findall(r"`([^`]*\bsl\.[^`]*)`", ours)]
    trees = [ast.parse(span, mode="eval") for span in spans]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in found if re.fullmatch(r"sl(\.\w+)+", ast.unparse(call.func))]


def test_migration_calls_what_exists() -> None:
    found = calls()
    assert len(found) > 30
    for call in found:
        name = ast.unparse(call.func)
        target = eval(name, {"sl": sl})
        accepted = inspect.signature(target).parameters
        assert {keyword.arg for keyword in call.keywords} <= set(accepted), name


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            made = Path(target).name in (
                "reference.md",
                "errors.md",
                "modules.md",
                "commands.md",
                "recipe-keys.md",
            )  # by `make docs`
            assert made or (page.parent / target).exists(), f"{page.name} → {target}"


def test_every_page_is_in_the_navigation() -> None:
    settings = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w/-]+\.md)$", settings, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) | BUILT == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | BUILT


def test_every_page_has_its_korean_or_is_named_as_english() -> None:
    """The Korean navigation leads to the pages that are made from docstrings, and to the decisions."""
    settings = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    named = re.findall(
        r"^          - [^:]+: ([\w-]+)/$", settings.partition("- 영어로만 있는 페이지:\n")[2], flags=re.MULTILINE
    )
    assert set(named) == ENGLISH
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | BUILT
    pages = {page for page in pages if not page.startswith("decisions/")} - {f"{one}.md" for one in ENGLISH}
    assert {page.removeprefix("ko/") for page in pages if page.startswith("ko/")} == {
        page for page in pages if not page.startswith("ko/")
    }

"""Tests mirror files: a module of some size has tests of its name, in the place that is its own."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src" / "shortlist"
LINES = 60
"""Modules of so many lines have tests of their name."""


def test_modules_have_tests_of_their_name() -> None:
    """tests/<room>/test_<module>.py, or the file that ``ELSEWHERE`` names."""
    lacking = [name for name in modules() if not (HERE / expected(name)).is_file() and name not in ELSEWHERE]
    assert not lacking, f"write tests for these, or say in ELSEWHERE what tests them: {', '.join(lacking)}"


def test_what_is_tested_elsewhere_is_there_and_needed() -> None:
    known = set(modules())
    gone = [name for name in ELSEWHERE if name not in known or (HERE / expected(name)).is_file()]
    assert not gone, f"take these out of ELSEWHERE, they have tests of their name or are gone: {', '.join(gone)}"
    lost = [place for place in ELSEWHERE.values() if not (HERE / place).exists()]
    assert not lost, f"ELSEWHERE names files that are not there: {', '.join(lost)}"


def modules() -> list[str]:
    """Every module of some size, by its path within the package."""
    found = [path for path in SOURCE.rglob("*.py") if not path.name.startswith("__")]
    large = [path for path in found if len(path.read_text().splitlines()) >= LINES]
    return sorted(path.relative_to(SOURCE).as_posix() for path in large)


def expected(module: str) -> Path:
    """Where the tests of a module are."""
    path = Path(module)
    return path.with_name(f"test_{path.name.removeprefix('_')}")


ELSEWHERE = {
    "cli/daily_config.py": "cli/test_daily.py",
    "cli/training.py": "cli/test_train.py",
    "data/condition_parts.py": "data/test_conditions.py",
    "data/shards/blocks.py": "data/shards/test_shards.py",
    "data/shards/in_memory.py": "data/shards/test_shards.py",
    "index/databases/contract.py": "index/databases/test_publish.py",
    "index/databases/qdrant_filters.py": "index/databases/test_filters.py",
    "model/onnx.py": "recommender/test_exported.py",
    "train/model_section.py": "train/test_recipe.py",
    "train/negative_lists.py": "train/test_negatives.py",
    "recommender/asked.py": "recommender/test_reranking.py",
    "recommender/filling.py": "recommender/test_reranking.py",
    "recommender/pools.py": "recommender/test_lanes.py",
    "train/phases.py": "train/test_forecast.py",
    "report/measured_page.py": "report/test_page.py",
    "serve/change_log.py": "serve/test_writer.py",
    "serve/change_routes.py": "serve/test_writer.py",
    "serve/processes/children.py": "serve/processes/test_supervisor.py",
    "serve/processes/following.py": "serve/processes/test_hub.py",
    "serve/processes/messages.py": "serve/processes/test_channel.py",
    "serve/processes/scraping.py": "serve/processes/test_supervisor.py",
    "serve/processes/worker.py": "serve/processes/test_supervisor.py",
    "serve/service.py": "serve/test_answers.py",
    "serve/shapes.py": "serve/test_openapi.py",
}
"""Modules without tests of their name, and the file that tests them."""

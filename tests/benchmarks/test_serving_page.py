"""docs/serving.md says what the results say."""

from benchmarks.serving import page


def test_the_figures_are_those_of_the_results() -> None:
    assert page.figures() in page.PAGE.read_text(encoding="utf-8")

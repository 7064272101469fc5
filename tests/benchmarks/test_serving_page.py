"""docs/serving.md says what the results say."""

from benchmarks import serving_page


def test_the_figures_are_those_of_the_results() -> None:
    assert serving_page.figures() in serving_page.PAGE.read_text(encoding="utf-8")

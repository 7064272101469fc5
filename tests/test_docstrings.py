"""The words of a docstring on each argument."""

from shortlist._docstrings import described


def test_arguments_and_attributes() -> None:
    """Sections in Google's form, over several lines; what follows them is no argument."""
    text = """Turn it.

    A second paragraph: with a colon.

    Args:
        angle: in degrees,
            clockwise.
        *others: are left out.

    Returns:
        nothing: of use.

    Attributes:
        speed: how fast.
    """
    assert described(text) == (
        "Turn it.\n\nA second paragraph: with a colon.",
        {"angle": "in degrees, clockwise.", "speed": "how fast."},
    )


def test_without_sections() -> None:
    assert described("One line.") == ("One line.", {})
    assert described(None) == ("", {})
    assert described("Head.\n\nSource: a paper.") == ("Head.", {})

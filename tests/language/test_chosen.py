"""The language in force, and where it is taken from."""

from __future__ import annotations

import pytest

from shortlist.errors import ConfigError
from shortlist.language import from_environment, from_header, language, marked, shown, speaking, translated


def test_english_unless_another_is_chosen() -> None:
    assert language() == "en"
    assert translated("Verdict: {level}", level="good") == "Verdict: good"
    assert shown("there is no metric 'x'.") == "there is no metric 'x'."
    with speaking("ko"):
        assert language() == "ko"
        assert translated("Verdict: {level}", level=translated("good")) == "판정: 좋음"
        assert shown("there is no metric 'x'.") == "'x'(이)라는 지표가 없습니다."
        assert translated("nobody says this") == shown("nobody says this") == marked("nobody says this")
    assert language() == "en"


def test_an_error_ends_it_too() -> None:
    with pytest.raises(ValueError, match="x"), speaking("ko"):
        raise ValueError("x")
    assert language() == "en"


def test_a_language_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="there is no language 'xx'") as refused, speaking("xx"):
        pass
    assert refused.value.hint == "one of en, ko"


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko"}, "ko"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "ko_KR"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": ""}, "ko"),
        ({"LANG": "../ko"}, "en"),
    ],
)
def test_the_locale(variables: dict[str, str], code: str) -> None:
    assert from_environment(variables) == code


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("ko", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("fr, ko;q=0.2", "ko"),
        ("fr", "en"),
        ("ko;q=0", "en"),
        ("ko;q=nan, en;q=0.1", "en"),
        (", ;q=1,,ko", "ko"),
        ("*", "en"),
    ],
)
def test_a_browser_says_what_it_prefers(header: str, code: str) -> None:
    assert from_header(header) == code

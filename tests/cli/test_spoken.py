"""The command line in Korean: help, mistakes and errors; and in English as before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.typed import shortlist

from shortlist.cli.spoken import asked_language
from shortlist.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "code", "rest"),
    [
        (["train", "x"], "en", ["train", "x"]),
        (["--lang", "ko", "train"], "ko", ["train"]),
        (["train", "--lang=ko", "x"], "ko", ["train", "x"]),
        (["--lang", "en", "train", "--lang", "ko"], "en", ["train"]),
        (["recommend", "b", "--", "--lang", "ko"], "en", ["recommend", "b", "--", "--lang", "ko"]),
    ],
)
def test_where_the_language_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str, rest: list[str]
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert asked_language(arguments) == (code, rest)


def test_a_language_is_missing_or_unknown(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--lang was given without a language"):
        asked_language(["train", "--lang"])
    done = shortlist("--lang", "xx", "doctor", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: there is no language 'xx'.\nhint: one of en, ko\n"


def test_help_is_korean_and_english_again(folder: Path) -> None:
    for arguments in (("--help",), ("recommend", "--help"), ()):
        english = shortlist(*arguments, cwd=folder).stdout
        korean = shortlist("--lang", "ko", *arguments, cwd=folder).stdout
        assert any("가" <= letter <= "힣" for letter in korean)
        assert not any("가" <= letter <= "힣" for letter in english)
        assert shortlist(*arguments, cwd=folder).stdout == english
    assert "추천" in korean
    whole = shortlist("--lang", "ko", "recommend", "--help", cwd=folder).stdout
    assert "사용법:" in whole
    assert "목록의 길이." in whole
    assert "[기본값:" in whole
    assert "Show this message" not in whole


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("recommend", "nowhere.shortlist", "1"), "nowhere.shortlist'에 번들이 없습니다. 도움말: 경로를 확인하세요"),
        (("recommend", "my.shortlist"), "인자 'IDS...'이(가) 없습니다."),
        (("recommend", "my.shortlist", "1", "--ka"), "'--ka'(이)라는 옵션이 없습니다."),
        (("frobnicate",), "'frobnicate'(이)라는 명령이 없습니다."),
        (("evaluate", "my.shortlist", "test.csv", "--metrics", "ndgc"), "도움말: 혹시 'ndcg'인가요?"),
        (("recommend", "my.shortlist", "1", "--where", "gnre = 'x'"), "후보에 'gnre' 열이 없습니다. 도움말: "),
        (("recommend", "my.shortlist", "seven"), "번들의 쿼리 아이디는 정수인데 'seven'을(를) 받았습니다."),
    ],
)
def test_mistakes_are_told_in_korean(bundle: Path, folder: Path, arguments: tuple[str, ...], says: str) -> None:
    done = shortlist("--lang", "ko", *arguments, cwd=folder)
    english = shortlist(*arguments, cwd=folder)
    assert done.returncode == english.returncode
    assert " ".join(done.stderr.replace("│", " ").split()).find(says) >= 0, done.stderr
    assert says not in english.stderr


def test_english_reads_no_catalogue(folder: Path) -> None:
    code = (
        "import sys; sys.argv = ['shortlist', '--help']\n"
        "from shortlist.cli.main import main\n"
        "from shortlist.language.catalogue import catalogue\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert catalogue.cache_info().currsize == 0\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "LANG": "C.UTF-8", "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder, env=environment)

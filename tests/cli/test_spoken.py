"""The command line in Korean: help, mistakes and errors; and in English as before."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from docs.messages import REFUSALS
from tests.cli.typed import shortlist

from shortlist.cli.main import COMMANDS
from shortlist.cli.spoken import asked_language, in_words, speaking_commands
from shortlist.errors import ConfigError
from shortlist.language.catalogue import catalogue


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


def test_an_unknown_language_is_told_in_that_of_the_locale(folder: Path) -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "LANG": "ko_KR.UTF-8", "PATH": ""}
    command = [sys.executable, "-m", "shortlist", "--lang", "xx", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert (done.returncode, done.stderr) == (1, "오류: 언어 'xx'이(가) 없습니다.\n도움말: en, ko 가운데 하나\n")


def wrong_values(option: click.Parameter) -> list[list[str]]:
    """Command lines with a value that this option or argument cannot have."""
    if not isinstance(option, click.Option) or option.is_flag:
        return []
    name, kind = max(option.opts, key=len), option.type
    lines = [[name]]
    if option.nargs > 1:
        lines.append([name, "x"])
    elif isinstance(kind, click.Choice):
        lines.append([name, "zz"])
    elif kind.name.split()[0] in ("integer", "float"):
        lines.append([name, "zz"])
        least, most = getattr(kind, "min", None), getattr(kind, "max", None)
        lines += [[name, str(least - 1)]] if least is not None else []
        lines += [[name, str(most + 1)]] if most is not None else []
    return lines


@pytest.mark.parametrize("name", COMMANDS)
def test_every_wrong_command_line_is_told_in_korean(name: str) -> None:
    command: click.Command = importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command
    needed = [one for one in command.params if isinstance(one, click.Argument)]
    given = ["a"] * len(needed) + [word for one in command.params if isinstance(one, click.Option) and one.required
                                   for word in (one.opts[0], "b")]  # fmt: skip
    lines = [[], ["--nope"], ["--foorce"], [*given, "1", "2", "3", "4"]]
    lines += [["--json=x"]] if any("--json" in one.opts for one in command.params) else []
    lines += [[*given, *line] for option in command.params for line in wrong_values(option)]
    told = []
    with speaking_commands("ko"):
        for line in lines:
            try:
                command.make_context(name, list(line))
            except click.exceptions.NoArgsIsHelpError:
                continue
            except click.UsageError as error:
                told.append(in_words(error).format_message())
    assert told
    english = re.compile(r"[a-z]{2,}[,:;]? [a-z]{2,}")
    assert [
        one for one in told if english.search(re.sub(r"'[^']*'|\([^)]*\)", "", one)) or not re.search("[가-힣]", one)
    ] == []


def test_what_the_system_refuses_is_told_in_korean(bundle: Path, folder: Path) -> None:
    done = shortlist("--lang", "ko", "report", "my.shortlist", "-o", "no/such/report.html", cwd=folder)
    assert "파일이나 폴더가 없습니다" in done.stderr
    words = catalogue("ko")
    for code in REFUSALS:
        assert re.search("[가-힣]", words.filled(f"cannot write 'x': {os.strerror(code)}."))
        assert os.strerror(code) not in words.filled(f"cannot write 'x': {os.strerror(code)}.")


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
        (("recommend", "my.shortlist"), "인자가 빠졌습니다: IDS..."),
        (("recommend", "my.shortlist", "1", "--ka"), "없는 옵션입니다: '--ka'"),
        (("frobnicate",), "없는 명령입니다: 'frobnicate'"),
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

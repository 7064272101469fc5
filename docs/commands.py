"""The reference of the command line, made from the commands: ``python docs/commands.py`` writes ``docs/commands.md`` and ``docs/ko/commands.md``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from shortlist.cli.main import COMMANDS
from shortlist.cli.spoken import in_language
from shortlist.language import speaking

PAGE = Path(__file__).with_name("commands.md")
KOREAN = PAGE.parent / "ko" / "commands.md"
HEADS = {
    "en": """# Commands

Every command and every option, as `shortlist COMMAND --help` prints them. Results go to stdout, messages to stderr. Exit codes: 0
done, 1 the command failed, 2 the command line was wrong, 3 a condition of `--promote-if` or `--if` does not hold, 130
interrupted; `daily` also has 4 (no new data) and 5 (another run is in progress).
""",
    "ko": """# 명령

모든 명령과 모든 옵션이 `shortlist COMMAND --help`가 보여 주는 그대로 있습니다. 결과는 stdout으로, 메시지는 stderr로 나갑니다. 종료 코드는 0이면
끝났다는 뜻이고, 1은 명령이 실패한 것, 2는 명령줄이 잘못된 것, 3은 `--promote-if`나 `--if`의 조건이 맞지 않은 것, 130은 중단된
것입니다. `daily`에는 4(새 데이터 없음)와 5(다른 실행이 진행 중)도 있습니다.
""",
}
TABLE = {"en": "| option | | default |", "ko": "| 옵션 | | 기본값 |"}
REQUIRED = {"en": "required", "ko": "필수"}


def page(code: str = "en") -> str:
    """The page in a language: a heading for each command, its text, and a table of its options."""
    with speaking(code):
        return HEADS[code] + "".join(_command(name, code) for name in COMMANDS)


def _command(name: str, code: str) -> str:
    command: click.Command = in_language(importlib.import_module(f"shortlist.cli.{name.replace('-', '_')}").command)
    context = click.Context(command, info_name=f"shortlist {name}")
    usage = " ".join(["shortlist", name, *command.collect_usage_pieces(context)])
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    lines = [f"\n## {name}\n", "```text", usage, "```\n", _escaped(text), ""]
    rows = [row for parameter in command.params for row in _row(parameter, context, code)]
    if rows:
        lines += [TABLE[code], "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _row(parameter: click.Parameter, context: click.Context, code: str) -> Iterator[str]:
    """The line of an option that is shown in the help."""
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in parameter.secondary_opts)
    shown = "" if parameter.is_flag else f" `{_escaped(parameter.make_metavar(context))}`"
    help_text = _escaped(" ".join((parameter.help or "").split()))
    yield f"| {names}{shown} | {help_text} | {_default(parameter, code)} |"


def _default(parameter: click.Option, code: str) -> str:
    """The default, where there is one to show."""
    if parameter.required:
        return REQUIRED[code]
    value: Any = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if parameter.is_flag or parameter.multiple or value is None or callable(value) or "UNSET" in repr(value):
        return ""
    return f"`{value}`"


def _escaped(text: str) -> str:
    """Text that stays in its cell, whatever it holds."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    KOREAN.write_text(page("ko"), encoding="utf-8")

"""The API reference: every public name, with its docstring.

Run as a program it writes ``docs/reference.md``, ``modules.md``, ``commands.md`` and ``recipe-keys.md``; mkdocstrings loads ``Fenced`` from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import griffe

import shortlist as sl
from shortlist._public import ROOMS


class Fenced(griffe.Extension):
    """Fences the code of every docstring's Example before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """A docstring with its Example as Markdown code, under the name that griffe knows."""
    before, head, code = text.partition("\nExample:\n")
    if not head:
        return text
    language = "pycon" if code.lstrip().startswith(">>>") else "python"
    return f"{before}\nExamples:\n    ```{language}\n{code.rstrip()}\n    ```\n"


def reference() -> str:
    """The page: a heading for each room, a directive for each public name."""
    page = "# API reference\n\nEverything here is used as `sl.Name` after `import shortlist as sl`.\n"
    room = ""
    for name, place in ROOMS.items():
        if place != room:
            room = place
            page += f"\n## {room.split('.')[0].capitalize()}\n"
        page += f"\n::: {_home(name, place)}\n    options:\n      heading: sl.{name}\n"
    return page


def _home(name: str, place: str) -> str:
    """Where a public name is defined: a function is not mixed up with the module of its name."""
    value = getattr(sl, name)
    module = getattr(value, "__module__", f"shortlist.{place}")
    return f"{module}.{name}"


if __name__ == "__main__":
    import commands
    import modules
    import recipe_keys

    Path(__file__).with_name("reference.md").write_text(reference(), encoding="utf-8")
    for made in (modules, commands, recipe_keys):
        made.PAGE.write_text(made.page(), encoding="utf-8")
    commands.KOREAN.write_text(commands.page("ko"), encoding="utf-8")

"""What is public, as text: names with their parameters, commands with their options, routes with their methods.

``tests/public.txt`` holds what was promised; after a change that is meant, ``python -m tests.public`` writes it anew.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
from torch.nn import Module

import shortlist as sl
from shortlist.cli.main import cli
from shortlist.serve.routes import routes_of
from shortlist.serve.settings import Settings

PROMISED = Path(__file__).with_name("public.txt")


def public() -> list[str]:
    """One line for each name, command and route, in a fixed order."""
    names = [line for name in sorted(sl.__all__) for line in _lines(f"sl.{name}", getattr(sl, name))]
    return [*names, *_commands(cli), *_routes()]


def _lines(name: str, value: Any) -> list[str]:
    if isinstance(value, ModuleType):
        return [line for inner in sorted(value.__all__) for line in _lines(f"{name}.{inner}", getattr(value, inner))]
    if not inspect.isclass(value):
        return [_callable(name, value)] if callable(value) else [f"{name}: {type(value).__name__}"]
    if issubclass(value, Exception):
        return [f"{name} < {', '.join(base.__name__ for base in value.__bases__)}"]
    members = sorted(
        member
        for member in set(dir(value)) - set(inspect.signature(value).parameters) - set(dir(Module))
        if not member.startswith("_") and _ours(inspect.getattr_static(value, member))
    )
    return [_callable(name, value), *(_member(name, value, member) for member in members)]


def _ours(member: Any) -> bool:
    """Whether a member was written here, rather than inherited from torch or a collection."""
    function = getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
    return str(getattr(function, "__module__", "shortlist")).startswith("shortlist")


def _member(owner: str, kind: type, name: str) -> str:
    found = inspect.getattr_static(kind, name)
    if isinstance(found, (classmethod, staticmethod)) or inspect.isfunction(found):
        return _callable(f"{owner}.{name}", getattr(kind, name))
    return f"{owner}.{name}"


def _callable(name: str, value: Any) -> str:
    """``name(parameters)`` without types."""
    signature = inspect.signature(value)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    shown = signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    return f"{name}{shown}".replace("(self, ", "(").replace("(self)", "()")


def _commands(group: click.Group) -> list[str]:
    context = click.Context(group)
    lines = []
    for name in sorted(group.list_commands(context)):
        _, command, _ = group.resolve_command(context, [name])
        assert command is not None
        words = [
            parameter.make_metavar(context) if isinstance(parameter, click.Argument) else "/".join(parameter.opts)
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
        ]
        lines.append(" ".join(["shortlist", name, *words]))
    return lines


def _routes() -> list[str]:
    service: Any = SimpleNamespace(loaded=SimpleNamespace(name="NAME"), settings=Settings())
    return sorted(
        f"{method} {path}"
        for path, methods in routes_of(service).items()
        for method, route in methods.items()
        if route.label != "page"
    )


if __name__ == "__main__":
    PROMISED.write_text("\n".join(public()) + "\n", encoding="utf-8")

"""The configuration of ``shortlist daily``: a TOML file, checked before anything is done."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from shortlist.errors import ConfigError, did_you_mean

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DailyConfig", "day_named", "read_config"]

DAY = "{day}"
FORM = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2})?")
OURS = (
    "out", "promote", "promote-if", "warm-start", "again", "overwrite", "json", "checkpoint-dir", "resume", "on", "workers",
    "max-failures", "write-recipe",
)  # fmt: skip
NEEDED = ("query", "candidate")


class DailyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The steps of every day, and their options.

    Attributes:
        link: the link that servers follow.
        train: options of ``shortlist train``, by name.
        bundles: the folder of the bundles; by default the link's.
        warm_start: whether a training starts from the newest bundle of an earlier day.
        promote_if: conditions, all of which must hold.
        least_new: the share of the rows that the day before added that a day must add.
        export: whether ONNX towers are added, for servers without torch.
        keep: how many promoted bundles stay.
        folder: the configuration's, from which relative paths start.
    """

    link: str
    train: dict[str, Any]
    bundles: str | None = None
    warm_start: bool = False
    promote_if: list[str] = []
    least_new: float = 0.0
    export: bool = False
    keep: int = 7
    folder: str = "."

    @property
    def place(self) -> Path:
        """The link."""
        return Path(self.folder, self.link)

    @property
    def home(self) -> Path:
        """The folder of the bundles."""
        return self.place.parent if self.bundles is None else Path(self.folder, self.bundles)

    def interactions(self, day: str) -> str:
        """The table or the folder of interactions of a day."""
        return self._path(str(self.train["interactions"]).replace(DAY, day))

    @property
    def dated(self) -> bool:
        """Whether each day has a table of its own."""
        return DAY in str(self.train.get("interactions", ""))

    def arguments(self, day: str) -> list[str]:
        """The command line of ``shortlist train`` for a day, without the options that the loop decides on."""
        words: list[str] = []
        for name, value in self.train.items():
            if name == "interactions":
                continue
            for one in value if isinstance(value, list) else [value]:
                words += self._words(name, one, day)
        return [*words, "--", self.interactions(day)] if "interactions" in self.train else words

    def _words(self, name: str, value: Any, day: str) -> list[str]:
        parameter = _parameters()[name]
        if isinstance(value, bool):
            switches = parameter.opts if value else parameter.secondary_opts
            return [max(switches, key=len)] if switches else []
        text = str(value).replace(DAY, day)
        is_path = isinstance(parameter.type, click.Path) or (name == "recipe" and text.endswith(".toml"))
        return [max(parameter.opts, key=len), self._path(text) if is_path else text]

    def _path(self, text: str) -> str:
        return text if "://" in text else str(Path(self.folder, text).absolute())


def read_config(path: Path) -> DailyConfig:
    """The configuration in a file.

    Raises:
        ConfigError: for a file that cannot be read, an unknown key (the hint names the nearest known one), a value of another
            type, and an option that the loop sets itself.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"the configuration {str(path)!r} cannot be read: {error}.", hint="a TOML file was expected"
        ) from error
    known = [name for name in DailyConfig.__struct_fields__ if name != "folder"]
    for name in tree:
        if name not in known:
            raise ConfigError(f"{str(path)!r}: the key {name!r} is not known.", hint=did_you_mean(name, known))
    try:
        config = msgspec.convert({**tree, "folder": str(path.absolute().parent)}, DailyConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{str(path)!r}: {error}.", hint="see docs/guides/daily.md, Configuration") from error
    if config.keep < 1 or not 0 <= config.least_new <= 1:
        raise ConfigError(
            f"{str(path)!r}: keep is {config.keep} and least_new {config.least_new}; a number of at least 1 and a share were "
            "expected.",
            hint="keep = 7, least_new = 0.5",
        )
    return msgspec.structs.replace(config, train=dict(_options(path, config.train)))


def day_named(day: str | None) -> str:
    """The day that was asked for, else today's in UTC. ConfigError for other text than ``2026-11-28`` or ``2026-11-28T03``."""
    if day is None:
        return datetime.now(timezone.utc).strftime("%Y-%m-%d")
    if FORM.fullmatch(day):
        try:
            date.fromisoformat(day[:10])
            return day
        except ValueError:
            pass
    raise ConfigError(f"--day is {day!r}; a day such as 2026-11-28, or an hour of one, 2026-11-28T03, was expected.")


def _options(path: Path, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options of the section [train], by their long names."""
    known = {name: name for name in _parameters()} | {name.replace("-", "_"): name for name in _parameters()}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"{str(path)!r}: [train] has {name!r}, which shortlist train does not have as an option.",
                hint=did_you_mean(name, sorted({*known} - {*OURS})),
            )
        if known[name] in OURS:
            raise ConfigError(
                f"{str(path)!r}: [train] has {name!r}, which shortlist daily sets itself.",
                hint="see docs/guides/daily.md, Configuration",
            )
        yield known[name], value
    missing = [name for name in NEEDED if name not in given]
    missing += [] if {"interactions", "sql"} & {*given} else ["interactions"]
    if missing:
        raise ConfigError(f"{str(path)!r}: [train] has no {missing[0]!r}.", hint=f'[train] {missing[0]} = "…"')


def _parameters() -> dict[str, click.Parameter]:
    """The options of ``shortlist train`` by their long names, and its argument."""
    from shortlist.cli.train import command

    named = {max(one.opts, key=len).removeprefix("--"): one for one in command.params}
    return {name: one for name, one in named.items() if not getattr(one, "hidden", False)}

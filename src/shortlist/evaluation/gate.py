"""Conditions on figures, such as ``top_100 >= yesterday - 0.002``, that decide whether a model may take over."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shortlist.errors import ConfigError, did_you_mean

__all__ = ["Gate", "Judged"]

_FORM = re.compile(
    r"\s*(?P<figure>[a-z]+(?:_[a-z]+)*(?:_\d+)?)\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?P<bound>yesterday|[+-]?\d+(?:\.\d+)?)\s*(?:(?P<more>[+-])\s*(?P<number>\d+(?:\.\d+)?)(?P<percent>%)?)?\s*"
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Judged:
    """A condition and whether it holds.

    Attributes:
        condition: as it was given.
        value: today's figure.
        bound: the number that it was compared with.
        passed: whether it holds.
    """

    condition: str
    value: float
    bound: float
    passed: bool

    def __str__(self) -> str:
        return f"{self.condition}: {self.value:.4f} against {self.bound:.4f}, {'holds' if self.passed else 'does not hold'}"


@dataclass(frozen=True)
class Gate:
    """A condition ``FIGURE >= BOUND``, where the bound is a number or ``yesterday``, more or less a number or percents.

    Example:
        >>> gate = Gate.parsed("top_100 >= yesterday - 0.002")
        >>> gate.judge({"top_100": 0.3}, {"top_100": 0.301}).passed
        True
        >>> Gate.parsed("top_100 >= yesterday - 1%").judge({"top_100": 0.3}, {"top_100": 0.31}).passed
        False
    """

    text: str
    figure: str
    sign: str
    bound: float | None  # None: yesterday's figure
    more: float
    relative: bool

    @classmethod
    def parsed(cls, text: str) -> Gate:
        """The condition in ``text``. ConfigError for text that is not a condition."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"the condition {text!r} cannot be read.",
                hint='for example "top_100 >= yesterday - 0.002" or "top_10 >= 0.1"',
            )
        bound = None if found["bound"] == "yesterday" else float(found["bound"])
        more = float(found["number"] or 0) * (-1 if found["more"] == "-" else 1)
        percent = found["percent"] is not None
        return cls(text.strip(), found["figure"], found["sign"], bound, more / 100 if percent else more, percent)

    def judge(self, today: Mapping[str, float], yesterday: Mapping[str, float]) -> Judged:
        """Whether it holds; a figure that is not a number fails. ConfigError for a figure that was not measured."""
        figures = today if self.bound is not None else yesterday
        if self.figure not in today or self.figure not in figures:
            raise ConfigError(
                f"the condition {self.text!r} refers to {self.figure!r}, which was not measured for both.",
                hint=did_you_mean(self.figure, [name for name in today if name in yesterday or self.bound is not None]),
            )
        against = figures[self.figure] if self.bound is None else self.bound
        bound = against * (1 + self.more) if self.relative else against + self.more
        value = today[self.figure]
        slack = 1e-12 if self.sign in (">=", "<=") else 0.0  # 0.3 - 0.1 is not quite 0.2
        passed = math.isfinite(value) and _SIGNS[self.sign](value + slack * (1 if self.sign == ">=" else -1), bound)
        return Judged(self.text, value, bound, passed)

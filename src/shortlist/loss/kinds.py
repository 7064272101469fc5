"""The parts of a ``Retrieval``: a loss, and the negatives that every query shares. Each holds its own options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, TypeAlias

from shortlist.errors import ConfigError, check_flags

__all__ = [
    "BPR",
    "BSL",
    "CCL",
    "LOSSES",
    "NEGATIVES",
    "PARTS",
    "InBatch",
    "Loss",
    "Mixed",
    "Negatives",
    "Sampled",
    "Softmax",
    "WholeCatalogue",
    "check_number",
    "check_whole",
    "from_table",
]


@dataclass(frozen=True)
class Softmax:
    """Cross-entropy of the positive against its negatives, the default loss.

    Args:
        label_smoothing: the share of the target that is spread evenly over the negatives, in [0, 1).
        correct_positive: with log Q, correct the positive's logit too, as Yi et al. (2019) do.

    Raises:
        ConfigError: for a share outside [0, 1).

    Example:
        >>> Softmax(label_smoothing=0.1)
        Softmax(label_smoothing=0.1, correct_positive=True)
    """

    kind: ClassVar[Literal["softmax"]] = "softmax"
    label_smoothing: float = 0.0
    correct_positive: bool = True

    def __post_init__(self) -> None:
        check_number(self, "label_smoothing", lambda share: 0 <= share < 1, "a number in [0, 1)")
        check_flags(type(self).__name__, correct_positive=self.correct_positive)


@dataclass(frozen=True)
class BSL:
    """Softmax whose denominator Z leaves the positive out; a query's own pairs are never its negatives.

    Args:
        exponent: the power of Z; 0 or more.
        correct_positive: with log Q, correct the positive's logit too.

    Raises:
        ConfigError: for a negative or infinite exponent.

    Source: Wu et al. 2024, "BSL: Understanding and improving softmax loss for recommendation".
    """

    kind: ClassVar[Literal["bsl"]] = "bsl"
    exponent: float = 1.0
    correct_positive: bool = True

    def __post_init__(self) -> None:
        _check_not_negative(self, "exponent")
        check_flags(type(self).__name__, correct_positive=self.correct_positive)


@dataclass(frozen=True)
class BPR:
    """The logistic loss of the positive's score minus each negative's, averaged over the negatives.

    Source: Rendle et al. 2009, "BPR: Bayesian personalized ranking".
    """

    kind: ClassVar[Literal["bpr"]] = "bpr"


@dataclass(frozen=True)
class CCL:
    """Cosine contrastive loss, for towers with ``normalize=True``: negatives count from ``margin`` up.

    Args:
        margin: the cosine from which a negative adds to the loss.
        negative_weight: the weight of the negatives' part; 0 or more.

    Raises:
        ConfigError: for a negative or infinite weight.

    Source: Mao et al. 2021, "SimpleX: A simple and strong baseline for collaborative filtering".
    """

    kind: ClassVar[Literal["ccl"]] = "ccl"
    margin: float = 0.8
    negative_weight: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "margin", lambda margin: True, "a finite number")
        _check_not_negative(self, "negative_weight")


@dataclass(frozen=True)
class InBatch:
    """The other candidates of the batch. They cost nothing; popular ones come up more often (see ``Retrieval(log_q=)``)."""

    kind: ClassVar[Literal["batch"]] = "batch"


@dataclass(frozen=True)
class Sampled:
    """Candidates drawn for each batch, in place of the batch's own.

    Args:
        number: candidates to draw, with replacement.
        power: the probability of a draw is proportional to ``count ** power``: 0 is uniform, 1 is by popularity.

    Raises:
        ConfigError: for a number below 1, or a negative power.

    Example:
        >>> Sampled(1024, power=0.5)
        Sampled(number=1024, power=0.5)
    """

    kind: ClassVar[Literal["sampled"]] = "sampled"
    number: int = 1024
    power: float = 0.0

    def __post_init__(self) -> None:
        _check_draws(self)


@dataclass(frozen=True)
class Mixed:
    """Candidates drawn for each batch, and the batch's own (Yang et al. 2020, "Mixed negative sampling").

    Args:
        number: candidates to draw, as in Sampled.
        power: as in Sampled.

    Raises:
        ConfigError: for a number below 1, or a negative power.
    """

    kind: ClassVar[Literal["mixed"]] = "mixed"
    number: int = 1024
    power: float = 0.0

    def __post_init__(self) -> None:
        _check_draws(self)


@dataclass(frozen=True)
class WholeCatalogue:
    """Every candidate there is, each once: exact, and computed in blocks. For up to a few hundred thousand candidates."""

    kind: ClassVar[Literal["catalogue"]] = "catalogue"


Loss: TypeAlias = Softmax | BSL | BPR | CCL
Negatives: TypeAlias = InBatch | Sampled | Mixed | WholeCatalogue

LOSSES: dict[str, type[Loss]] = {made.kind: made for made in (Softmax, BSL, BPR, CCL)}
NEGATIVES: dict[str, type[Negatives]] = {made.kind: made for made in (InBatch, Sampled, Mixed, WholeCatalogue)}
PARTS: dict[str, Mapping[str, type[Any]]] = {"loss": LOSSES, "negatives": NEGATIVES}
"""The parts of a ``Retrieval`` that are values: what each can be, by its ``kind``."""


def from_table(part: str, table: Mapping[str, Any]) -> Any:
    """The value that a table such as ``{"kind": "bsl", "exponent": 1.2}`` describes; ConfigError for an unknown kind."""
    options = dict(table)
    kind = options.pop("kind")
    if kind not in PARTS[part]:
        raise ConfigError(f"Retrieval got {part}={kind!r}; known: {', '.join(PARTS[part])}.")
    return PARTS[part][kind](**options)


def check_whole(owner: object, name: str, least: int) -> None:
    """ConfigError unless the attribute is a whole number of at least so many."""
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(
            f"{type(owner).__name__} got {name}={value!r}; a whole number of at least {least} was expected."
        )


def check_number(owner: object, name: str, within: Callable[[float], bool], expected: str) -> None:
    """ConfigError unless the attribute is a finite number ``within`` what was expected."""
    value = getattr(owner, name)
    number = not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
    if not number or not within(value):
        raise ConfigError(f"{type(owner).__name__} got {name}={value!r}; {expected} was expected.")


def _check_not_negative(owner: object, name: str) -> None:
    check_number(owner, name, lambda value: value >= 0, "a number of 0 or more")


def _check_draws(owner: Sampled | Mixed) -> None:
    check_whole(owner, "number", 1)
    _check_not_negative(owner, "power")

"""The sections of a recipe. Each is made from the class or function that it configures: the same names, types and defaults."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from shortlist.errors import ConfigError, did_you_mean
from shortlist.features import FEATURE_KINDS, Feature, History, StringLookup
from shortlist.loss import ALS, Retrieval
from shortlist.loss.kinds import PARTS, from_table
from shortlist.model import Tower
from shortlist.sources import EASE, Blend, Cooccurrence, Newest, OwnHistory, Popular, Recent, Transitions
from shortlist.train.fit import fit
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RowwiseAdagrad
from shortlist.train.ranker import Ranker

__all__ = [
    "ALSSection",
    "AddedSection",
    "FitSection",
    "HistorySection",
    "LossSection",
    "ModelSection",
    "NeighboursSection",
    "RankerSection",
    "Section",
    "TowerSection",
    "optimizer_of",
]

OPTIMIZERS: dict[str, type[Any]] = {made.__name__: made for made in (Adagrad, RowwiseAdagrad, Adam, AdamW, SGD)}
LISTS: dict[str, type[Any]] = {"popular": Popular, "recent": Recent, "new": Newest}
NEIGHBOURS: dict[str, type[Any]] = {
    "cooccurrence": Cooccurrence,
    "transitions": Transitions,
    "ease": EASE,
    "own": OwnHistory,
}
OF_ONE_SIDE = ("hidden", "cross", "heads")
"""Options of a ``Tower`` that each side has for itself; the others are in [model]."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a recipe; unknown keys are refused."""

    def __reduce__(self) -> tuple[Any, ...]:
        """By its plain values: the classes of sections within it are made at run time and have no place to import from."""
        return msgspec.convert, (msgspec.to_builtins(self), type(self))


def options_of(
    made: Callable[..., Any],
    only: Sequence[str] | None = None,
    leave: Container[str] = (),
    words: Mapping[str, str] | None = None,
    base: type[Section] = Section,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """A section with the options of a class or function.

    Args:
        only: take these alone.
        leave: take all but these.
        words: options that may also be a word.
        base: a section to add them to.
        defaults: defaults that differ from those of the class or function.
    """
    hints = get_type_hints(made.__init__ if inspect.isclass(made) and not is_dataclass(made) else made)
    parameters = inspect.signature(made).parameters
    fields: list[tuple[Any, ...]] = []
    for name in only or [name for name in parameters if name not in leave]:
        kind = _in_toml(hints[name])
        if words is not None and name in words:
            kind = kind | Literal[words[name]]
        default = parameters[name].default if defaults is None else defaults.get(name, parameters[name].default)
        fields.append((name, kind) if default is inspect.Parameter.empty else (name, kind, _default(default)))
    tag = {"tag": made.kind, "tag_field": "kind"} if is_dataclass(made) and hasattr(made, "kind") else {}
    name = getattr(made, "__name__", "options")
    return msgspec.defstruct(name, fields, bases=(base,), frozen=True, **tag)


def _in_toml(hint: Any) -> Any:
    """The type that an option has in a recipe: a section for a value object; None for what no recipe can hold."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [_in_toml(one) for one in get_args(hint)]
        return functools.reduce(operator.or_, [kind for kind in kinds if kind is not None])
    if is_dataclass(hint):
        return _VALUES.setdefault(hint, options_of(hint))  # type: ignore[arg-type]
    if get_origin(hint) is Sequence:
        return list[get_args(hint)]  # type: ignore[misc]
    return hint if hint in (bool, int, float, str, NoneType) or get_origin(hint) is Literal else None


_VALUES: dict[Any, Any] = {}


def _default(value: Any) -> Any:
    """A default in the form of a section."""
    if is_dataclass(value) and not isinstance(value, type):
        return _VALUES[type(value)](**asdict(value))
    return list(value) if isinstance(value, tuple) else value


class _Features(Section, frozen=True):
    features: list[dict[str, Any]] = []
    id: bool = True


_TOWER: Any = options_of(
    Tower, OF_ONE_SIDE, base=options_of(StringLookup, ["min_count", "evict_after"], base=_Features)
)


class TowerSection(_TOWER):  # type: ignore[misc]
    """Features next to the id, each ``{kind = "Category", column = "gender", …}``; and whether the id is one of them.

    min_count, evict_after: as in ``StringLookup``, of the id. hidden, cross, heads: as in ``Tower``.
    """

    @property
    def columns(self) -> list[str]:
        """The columns that the features read."""
        return [str(declared["column"]) for declared in self.features if "column" in declared]

    def declared(self) -> list[Feature]:
        """The features; ConfigError for a kind or an option that does not exist."""
        return [_feature(declared) for declared in self.features]

    def check_columns(self, side: str, there: Sequence[str]) -> None:
        """ConfigError for a declared column that is not ``there``; a history's comes from the interactions."""
        for declared in self.features:
            column = declared.get("column")
            if column is not None and column not in there and declared.get("kind") != History.kind:
                some = ", ".join(map(repr, dict.fromkeys(there)))
                plural = "queries" if side == "query" else "candidates"
                raise ConfigError(
                    f"the recipe's [{side}] reads column {column!r}, which the {plural}' table does not have; it has {some}.",
                    hint=f"give the table that has it ({plural}=, --{plural}), or name your own columns: copy the recipe and "
                    f"change it, or set {side}.features",
                )


class ModelSection(options_of(Tower, leave=("features", "module", *OF_ONE_SIDE))):  # type: ignore[misc]
    """The options that both towers share, as in ``Tower``; ``bias`` is the candidate tower's."""


class HistorySection(options_of(History)):  # type: ignore[misc]
    """A ``History`` for the query tower, and its options."""


class LossSection(options_of(Retrieval)):  # type: ignore[misc]
    """Options of ``Retrieval``. Its loss and its negatives are a word (``negatives = "catalogue"``) or a table of their own
    (``negatives = { kind = "sampled", number = 512 }``)."""

    def task(self) -> Retrieval:
        """The ``Retrieval``; ConfigError for options out of range."""
        plain = msgspec.to_builtins(self)
        return Retrieval(**{**plain, **{part: from_table(part, plain[part]) for part in PARTS}})


class ALSSection(options_of(ALS)):  # type: ignore[misc]
    """Options of ``als``: with this section vectors are solved for, and there is no loss and no optimizer."""


_FIT: Any = options_of(
    fit,
    ["epochs", "batch_size", "seed", "precision", "schedule", "pretrain"],
    words=dict.fromkeys(("epochs", "batch_size", "schedule", "pretrain"), "auto"),
)


class FitSection(_FIT):  # type: ignore[misc]
    """Options of ``fit``; "auto" lets the number of interactions decide, and whether the ids' vectors can start from ALS."""


class RankerSection(options_of(Ranker)):  # type: ignore[misc]
    """A second stage behind all sources, and its options."""

    def settings(self) -> Ranker:
        """The settings; ConfigError for options out of range."""
        return Ranker(**msgspec.to_builtins(self))


class _Neighbours(Section, frozen=True):
    kind: Literal[tuple(NEIGHBOURS)] = next(iter(NEIGHBOURS))  # type: ignore[valid-type]


_BLEND: Any = options_of(Blend, base=_Neighbours, defaults={"share": 0.4})


class NeighboursSection(_BLEND):  # type: ignore[misc]
    """A table of neighbours behind the towers, and how both scores are added (``Blend``).

    Attributes:
        kind: of which class the table is: ``Cooccurrence``, ``Transitions``, ``EASE`` or ``OwnHistory``.
        options: of that class.
    """

    options: dict[str, int | float] = msgspec.field(default_factory=dict)

    def source(self) -> Cooccurrence | Transitions | EASE | OwnHistory:
        """The settings of the table; ConfigError for an option that its class does not have."""
        source: Cooccurrence | Transitions | EASE | OwnHistory = _made(
            NEIGHBOURS[self.kind], self.options, f"neighbours of kind {self.kind!r} have"
        )
        return source


class AddedSection(Section, frozen=True):
    """One more source of a mixture; the sources before it share the rest of the score.

    Attributes:
        kind: "towers", a kind of neighbours, or of ranked lists (``Popular``, ``Recent``, ``Newest``).
        weight: its share of the score.
        temperature: of towers, in the unit of their scores.
        quota: the share of places that goes to its own best candidates.
        short: other weights for queries with at most so many items in their history, ``{ "0" = 0.5 }``.
        options: of the class of neighbours or lists.
    """

    kind: Literal["towers", "cooccurrence", "transitions", "ease", "own", "popular", "recent", "new"]
    weight: float
    temperature: float = 1.0
    quota: float = 0.0
    short: dict[str, float] = {}
    options: dict[str, int | float | str] = {}

    def settings(self) -> Any:
        """The settings of neighbours or of ranked lists; ConfigError for an option that their class does not have."""
        return _made({**NEIGHBOURS, **LISTS}[self.kind], self.options, f"sources of kind {self.kind!r} have")


def optimizer_of(section: Mapping[str, Any]) -> Optimizer:
    """The optimizer of a section; ConfigError for a name or an option that does not exist."""
    options = dict(section)
    name = options.pop("name", "Adagrad")
    if name not in OPTIMIZERS:
        raise ConfigError(f"the recipe names optimizer {name!r}.", hint=did_you_mean(str(name), OPTIMIZERS))
    optimizer: Optimizer = _made(OPTIMIZERS[name], options, f"optimizer {name} has")
    return optimizer


def _made(kind: type[Any], options: Mapping[str, Any], owner_has: str) -> Any:
    """The kind with these options; ConfigError for one that it does not have."""
    for option in options:
        if option not in kind.__dataclass_fields__:
            raise ConfigError(
                f"{owner_has} no option {option!r}.", hint=did_you_mean(option, kind.__dataclass_fields__)
            )
    return kind(**options)


def _feature(declared: Mapping[str, Any]) -> Feature:
    options = dict(declared)
    kind = options.pop("kind", None)
    if kind not in FEATURE_KINDS:
        raise ConfigError(
            f"the recipe declares a feature of kind {kind!r}.", hint=did_you_mean(str(kind), FEATURE_KINDS)
        )
    try:
        return FEATURE_KINDS[kind](**options)
    except TypeError as error:
        raise ConfigError(
            f"the recipe's {kind} got options it does not have: {error}.",
            hint="see the class of that name in the reference",
        ) from error

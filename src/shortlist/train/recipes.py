"""Recipes: a model, its loss, its optimizer and its training as a small TOML file that a person can read and change."""

from __future__ import annotations

import copy
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from shortlist.data import Dataset, Shards
from shortlist.data.given import check_dataset
from shortlist.errors import ConfigError, did_you_mean
from shortlist.features import FEATURE_KINDS, Feature, History
from shortlist.loss import ALS, Retrieval
from shortlist.model import Tower, TwoTower, join, no_histories, popularity
from shortlist.sources import EASE, Cooccurrence, Mixture, OwnHistory, Transitions
from shortlist.train.als import not_from_disk
from shortlist.train.distributed import joined
from shortlist.train.epochs import TrainingHistory
from shortlist.train.fit import fit
from shortlist.train.negatives import check_from_disk
from shortlist.train.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RowwiseAdagrad

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Recipe", "load", "names", "to_toml"]

SEEDS_APART = 1000
NEIGHBOURS: dict[str, type[Any]] = {
    "cooccurrence": Cooccurrence,
    "transitions": Transitions,
    "ease": EASE,
    "own": OwnHistory,
}

OPTIMIZERS: dict[str, type[Any]] = {
    optimizer.__name__: optimizer for optimizer in (Adagrad, RowwiseAdagrad, Adam, AdamW, SGD)
}


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class TowerSection(_Section, frozen=True):
    """Features in addition to the id, each ``{kind = "Category", column = "gender", …}``; and whether the id is one of them.

    min_count: interactions that an id needs for a row of its own. evict_after: with warm starts, trainings without the id
    until its row goes.
    """

    features: list[dict[str, Any]] = []
    id: bool = True
    min_count: int = 1
    evict_after: int | None = None
    hidden: list[int] = []
    cross: int = 0
    heads: int = 1

    @property
    def columns(self) -> list[str]:
        """The columns that the features read."""
        return [str(declared["column"]) for declared in self.features if "column" in declared]


class HistorySection(_Section, frozen=True):
    """A ``History`` for the query tower, and its options."""

    column: str = "history"
    encoder: str = "mean"
    length: int = 50
    context: Literal["past", "others"] | None = None
    share: bool = True
    decay: float = 0.8
    layers: int = 2
    heads: int = 2
    feedforward: int = 1
    dropout: float = 0.2
    dim: int | None = None


class ModelSection(_Section, frozen=True):
    """What both towers share; ``bias`` is the candidate tower's."""

    dim: int = 32
    combine: Literal["concat", "sum"] = "concat"
    layer_norm: bool = False
    dropout: float = 0.0
    id_dropout: float = 0.0
    normalize: bool = False
    bias: bool = False
    init_scale: float = 0.05
    table_dtype: Literal["float32", "bfloat16"] = "float32"
    table_folder: str | None = None


class LossSection(_Section, frozen=True):
    """Options of ``Retrieval``."""

    temperature: float = 1.0
    remove_accidental_hits: bool = True
    log_q: Literal["counts", "streaming"] | None = None
    loss: Literal["softmax", "bsl", "bpr", "ccl"] = "softmax"
    negatives: Literal["batch", "sampled", "mixed", "catalogue"] = "batch"
    sampled: int = 1024
    sample_power: float = 0.0
    mask_known: bool = False
    correct_positive: bool = True
    label_smoothing: float = 0.0
    learn_temperature: bool = False
    exponent: float = 1.0
    margin: float = 0.8
    negative_weight: float = 1.0
    hardest: int | None = None
    mined: int = 0
    negative_column: str | None = None
    impressions: int = 8


class ALSSection(_Section, frozen=True):
    """Options of ``ALS``: with this section vectors are solved for, and there is no loss and no optimizer."""

    unobserved: float | None = None
    regularization: float = 0.1
    exponent: float = 0.75


class NeighboursSection(_Section, frozen=True):
    """A table of neighbours behind the towers: its kind, the options of its class (``Cooccurrence``, ``Transitions``,
    ``EASE``, ``OwnHistory``), and how both scores are added (``Blend``)."""

    kind: Literal["cooccurrence", "transitions", "ease", "own"] = "cooccurrence"
    share: float = 0.4
    temperature: float = 1.0
    options: dict[str, int | float] = {}

    def source(self) -> Cooccurrence | Transitions | EASE | OwnHistory:
        """The settings of the table; ConfigError for an option that its class does not have."""
        made = NEIGHBOURS[self.kind]
        for option in self.options:
            if option not in made.__dataclass_fields__:
                hint = did_you_mean(option, made.__dataclass_fields__)
                raise ConfigError(f"neighbours of kind {self.kind!r} have no option {option!r}.", hint=hint)
        source: Cooccurrence | Transitions | EASE | OwnHistory = made(**self.options)
        return source


class FitSection(_Section, frozen=True):
    """Options of ``fit``; "auto" lets the number of interactions decide."""

    epochs: int | Literal["auto"] = 5
    batch_size: int | Literal["auto"] = 8192
    seed: int = 42
    precision: Literal["float32", "bfloat16"] = "float32"


class _Model(_Section, frozen=True):
    """One model: its towers, its loss, its training."""

    model: ModelSection = ModelSection()
    query: TowerSection = TowerSection()
    candidate: TowerSection = TowerSection()
    history: HistorySection | None = None
    loss: LossSection = LossSection()
    als: ALSSection | None = None
    optimizer: dict[str, Any] = msgspec.field(default_factory=lambda: {"name": "Adagrad"})
    fit: FitSection = FitSection()

    def for_rows(self, rows: int) -> Self:
        """The same with numbers in place of "auto", for so many interactions."""
        fit = self.fit
        if fit.batch_size == "auto":
            fit = msgspec.structs.replace(fit, batch_size=auto_batch_size(rows))
        if fit.epochs == "auto":
            fit = msgspec.structs.replace(fit, epochs=auto_epochs(rows))
        return msgspec.structs.replace(self, fit=fit)

    def build_model(self, data: Dataset | Shards) -> TwoTower:
        """An unbuilt model for the ids and columns of ``data``.

        Raises ConfigError where a feature reads a column that ``data`` does not have.
        """
        check_dataset(data, "a recipe", shards=True)
        _check_columns("query", self.query, [*data.queries.columns, *data.interactions.columns])
        _check_columns("candidate", self.candidate, data.candidates.columns)
        history = [] if self.history is None else [History(**msgspec.structs.asdict(self.history))]
        return TwoTower(
            self._tower(self.query, data.query, data.queries.schema[data.query].is_integer(), False, history),
            self._tower(
                self.candidate,
                data.candidate,
                data.candidates.schema[data.candidate].is_integer(),
                bias=self.model.bias,
            ),
        )

    def _tower(
        self, section: TowerSection, id_column: str, is_integer: bool, bias: bool, more: Sequence[Feature] = ()
    ) -> Tower:
        lookup = FEATURE_KINDS["IntegerLookup" if is_integer else "StringLookup"]
        ids = (
            [lookup(id_column, min_count=section.min_count, evict_after=section.evict_after)]  # type: ignore[call-arg]
            if section.id
            else []
        )
        features = [*ids, *map(_feature, section.features), *more]
        shared = msgspec.structs.asdict(self.model)
        if not section.id:
            shared["id_dropout"] = 0.0
        shared |= {"hidden": section.hidden, "cross": section.cross, "heads": section.heads, "bias": bias}
        return Tower(*features, **shared)

    def task(self) -> Retrieval | ALS:
        """The loss, or what is solved for."""
        if self.als is not None:
            return ALS(**msgspec.structs.asdict(self.als))
        return Retrieval(**msgspec.structs.asdict(self.loss))

    def check_from_disk(self) -> None:
        """ConfigError for what is not possible while the interactions stay on disk, before they are encoded."""
        if self.history is not None:
            raise no_histories()
        task = self.task()
        if isinstance(task, ALS):
            raise not_from_disk()
        check_from_disk(task)

    def build_optimizer(self) -> Optimizer:
        """The optimizer; ConfigError for a name or an option that it does not have."""
        options = dict(self.optimizer)
        name = options.pop("name", "Adagrad")
        if name not in OPTIMIZERS:
            raise ConfigError(f"the recipe names optimizer {name!r}.", hint=did_you_mean(str(name), OPTIMIZERS))
        known = OPTIMIZERS[name].__dataclass_fields__
        for option in options:
            if option not in known:
                raise ConfigError(f"optimizer {name} has no option {option!r}.", hint=did_you_mean(option, known))
        optimizer: Optimizer = OPTIMIZERS[name](**options)
        return optimizer

    def train(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower, TrainingHistory]:
        """A model built for ``data`` and trained on it; ``options`` are those of ``fit``, and win over the recipe."""
        model = self.build_model(data)
        settings: dict[str, Any] = {"task": self.task(), **msgspec.structs.asdict(self.for_rows(len(data)).fit)}
        if self.als is None:
            settings["optimizer"] = self.build_optimizer()
        return model, fit(model, data, **{**settings, **options})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


def auto_batch_size(rows: int) -> int:
    """A power of two near a sixty-fourth of the interactions, from 64 to 4,096: some sixty steps in an epoch, at least.

    >>> auto_batch_size(1_000), auto_batch_size(100_000), auto_batch_size(10_000_000)
    (64, 1024, 4096)
    """
    power: int = max(6, min(12, (rows // 64).bit_length() - 1))
    return 1 << power


def auto_epochs(rows: int) -> int:
    """15 up to a million interactions, beyond it fewer with their square root, and 3 at least.

    >>> auto_epochs(100_000), auto_epochs(4_000_000), auto_epochs(1_000_000_000)
    (15, 8, 3)
    """
    wanted = 15 * math.sqrt(1_000_000 / max(rows, 1))
    return max(3, min(15, round(wanted)))


def neighbours_in_memory() -> ConfigError:
    """Why a table of neighbours is not made from shards."""
    return ConfigError(
        "neighbours are counted over whole histories in memory; shards are read in blocks.",
        hint="train in memory (Dataset, --in-memory), or leave [neighbours] out",
    )


class JoinedSection(_Model, frozen=True):
    """A model that is trained in addition to the first and joined with it; weight: its share of the score, see ``join``.

    Its seed follows from the first one's, whatever its own ``fit.seed`` says.
    """

    weight: float = 0.5


class Recipe(_Model, frozen=True):
    """Everything about a training run but its data; ``fit`` carries it out.

    joined: models that are trained on the same data and joined with this one, which has the weight that theirs leave of 1.
    towers: "popularity" or "recent" (the latest tenth of the interactions) in place of trained ones. neighbours: a table of
    neighbours behind the towers, see ``Mixture``.
    """

    joined: list[JoinedSection] = []
    towers: Literal["trained", "popularity", "recent"] = "trained"
    neighbours: NeighboursSection | None = None

    @property
    def interaction_columns(self) -> list[str]:
        """The columns beside ids, time and weight that it may read from the interactions."""
        models = [self, *self.joined]
        read = [column for model in models for column in (*model.query.columns, model.loss.negative_column) if column]
        return list(dict.fromkeys(read))

    def check_from_disk(self) -> None:
        """ConfigError for what is not possible while the interactions stay on disk, before they are encoded."""
        super().check_from_disk()
        if self.neighbours is not None:
            raise neighbours_in_memory()
        for one in self.joined:
            one.check_from_disk()

    def train(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower | Mixture, TrainingHistory]:  # type: ignore[override]
        """A model built for ``data`` and trained on it; ``options`` are those of ``fit``, and win over the recipe.

        With ``neighbours`` it is a ``Mixture``.
        Raises as ``fit`` does; ConfigError for neighbours of shards.
        """
        towers, history = self.train_towers(data, **options)
        if self.neighbours is None:
            return towers, history
        if not isinstance(data, Dataset):
            raise neighbours_in_memory()
        section = self.neighbours
        table = section.source().fit(data)
        return Mixture.of(towers, table, data, share=section.share, temperature=section.temperature), history

    def train_towers(self, data: Dataset | Shards, **options: Any) -> tuple[TwoTower, TrainingHistory]:
        """The towers alone, as ``train``.

        With ``joined``, ``options`` and the history are those of the first model. The others share its device, and begin from
        seeds 1,000, 2,000, … after its own, so that models of one kind differ.
        Raises ConfigError for weights that leave it nothing, for a warm start, or in several processes.
        """
        if self.towers != "trained":
            return popularity(data, recent=self.towers == "recent"), TrainingHistory((), 0)
        if not self.joined:
            return super().train(data, **options)
        weights = self._weights()
        if options.get("warm_start") is not None or joined().size > 1:
            what = "warm start" if options.get("warm_start") is not None else "several processes"
            raise ConfigError(
                f"this recipe joins {len(weights)} models; joined models do not support {what}.",
                hint="train without it, or without [[joined]]",
            )
        model, history = super().train(data, **options)
        shared = {name: options[name] for name in ("device",) if name in options}
        seed = options.get("seed", self.fit.seed)
        others = [
            one.train(data, seed=seed + SEEDS_APART * number, **shared)[0]
            for number, one in enumerate(self.joined, start=1)
        ]
        return join([model, *others], weights), history

    def _weights(self) -> list[float]:
        others = [one.weight for one in self.joined]
        if not all(weight > 0 for weight in others) or sum(others) >= 1:
            raise ConfigError(
                f"the recipe's [[joined]] models have the weights {others}; numbers above 0 whose sum is below 1 were expected.",
                hint="the first model has the rest",
            )
        return [1 - sum(others), *others]


def to_toml(recipe: Recipe) -> str:
    """The recipe as a file that ``load`` reads to the same: what differs from the defaults, and every option of its training."""
    plain = recipe.to_dict()
    usual = Recipe().to_dict()
    kept = {name: value for name, value in plain.items() if value != usual.get(name) or name == "fit"}
    return "\n".join(_toml(kept, [])).strip() + "\n"


def _toml(tree: Mapping[str, Any], path: list[str]) -> list[str]:
    """Lines of a table: its values, then its tables; None is left out, as what a reader takes by itself."""
    values = {k: v for k, v in tree.items() if v is not None and not isinstance(v, dict) and not _tables(v)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items()]
    for name, value in tree.items():
        if isinstance(value, dict):
            inner = _toml(value, [*path, name])
            lines += ["", f"[{'.'.join([*path, name])}]", *inner] if inner or name == "als" else []
        elif _tables(value):
            for one in value:
                lines += ["", f"[[{'.'.join([*path, name])}]]", *_toml(one, [*path, name])]
    return lines


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "fit" in one for one in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(str(k))} = {_value(v)}" for k, v in value.items() if v is not None) + " }"
    return repr(float(value)) if isinstance(value, float) else str(value)


def names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(Path(entry.name).stem for entry in _files().iterdir() if entry.name.endswith(".toml"))


def load(recipe: str | Path | Mapping[str, Any], changes: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """A recipe by name, from a TOML file, or from what ``Recipe.to_dict`` gave, with ``changes`` such as ``"model.dim=64"`` or ``{"model.dim": 64}``.

    Raises ConfigError for a recipe, key or value that cannot be, and names the nearest known one.

    >>> load("tutorial", ["model.dim=64"]).model.dim
    64
    """
    tree = copy.deepcopy(dict(recipe)) if isinstance(recipe, Mapping) else _read(recipe)
    pairs = changes.items() if isinstance(changes, Mapping) else map(_parse_change, changes)
    for path, value in pairs:
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(
                    f"the change {path!r} goes through {parent!r}, which is not a section.",
                    hint="write it as section.option=value, such as fit.epochs=10",
                )
        node[last] = value
    return _convert(tree, "of values" if isinstance(recipe, Mapping) else str(recipe))


def _files() -> Any:
    return resources.files("shortlist.train") / "recipe_files"


def _read(recipe: str | Path) -> dict[str, Any]:
    path = Path(recipe)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"there is no recipe file {str(path)!r}.", hint=f"recipes by name: {', '.join(names())}")
        text = path.read_text(encoding="utf-8")
    elif str(recipe) in names():
        text = (_files() / f"{recipe}.toml").read_text(encoding="utf-8")
    else:
        hint = did_you_mean(str(recipe), names()) + ", or give the path of a .toml file"
        raise ConfigError(f"there is no recipe {str(recipe)!r}.", hint=hint)
    try:
        tree: dict[str, Any] = tomllib.loads(text)
        return tree
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"recipe {str(recipe)!r} is not valid TOML: {error}.",
            hint="write text in quotes, section names in square brackets",
        ) from error


def _parse_change(change: str) -> tuple[str, Any]:
    path, equals, value = change.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"the change {change!r} is not of the form key=value.", hint="for example model.dim=64")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


def _convert(tree: dict[str, Any], name: str) -> Recipe:
    try:
        return msgspec.convert(tree, Recipe)
    except msgspec.ValidationError as error:
        message = str(error)
        unknown = re.search(r"unknown field `(.+?)`(?: - at `\$\.?(.*)`)?", message)
        if unknown is None:
            raise ConfigError(
                f"recipe {name!r}: {message}.",
                hint="shortlist.recipes.names() lists the recipes; start from a copy of one",
            ) from error
        field = unknown.group(1)
        struct, section = _section_at(unknown.group(2) or "")
        where = f" in [{section}]" if section else ""
        hint = did_you_mean(field, struct.__struct_fields__)
        raise ConfigError(f"recipe {name!r} has an unknown key {field!r}{where}.", hint=hint) from error


def _section_at(path: str) -> tuple[type[msgspec.Struct], str]:
    """The section at a path such as ``loss`` or ``joined[0].als``, and its name in a file."""
    sections: dict[str, Any] = {"history": HistorySection(), "als": ALSSection()}
    in_joined, name = re.fullmatch(r"(joined\[\d+\])?\.?(.*)", path).groups()  # type: ignore[union-attr]
    owner = JoinedSection(**sections) if in_joined else Recipe(**sections, neighbours=NeighboursSection())
    shown = name if not in_joined else f"joined.{name}" if name else "[joined]"
    return type(getattr(owner, name) if name else owner), shown


def _check_columns(side: str, section: TowerSection, there: Sequence[str]) -> None:
    """ConfigError for a declared column that is not ``there``; a history's comes from the interactions."""
    for declared in section.features:
        column = declared.get("column")
        if column is not None and column not in there and declared.get("kind") != History.kind:
            some = ", ".join(map(repr, dict.fromkeys(there)))
            plural = "queries" if side == "query" else "candidates"
            raise ConfigError(
                f"the recipe's [{side}] reads column {column!r}, which the {plural}' table does not have; it has {some}.",
                hint=f"give the table that has it ({plural}=, --{plural}), or name your own columns: copy the recipe and "
                f"change it, or set {side}.features",
            )


def _feature(declared: dict[str, Any]) -> Feature:
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

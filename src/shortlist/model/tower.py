"""A tower: declared features in, one vector per row out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import polars as pl
import torch
from torch import Tensor, nn

from shortlist.errors import ConfigError, DataError, did_you_mean
from shortlist.features import Codes, Encoded, Feature
from shortlist.model.embedding import EmbeddingTable
from shortlist.model.inputs import BagTensor, CodeTensor, FloatTensor, TowerInputs

__all__ = ["Tower"]


class Tower(nn.Module):
    """Features, embedded and joined to vectors ``[rows, dim]``.

    With one id feature and no ``hidden`` layers the tower is its embedding table (matrix factorisation). Otherwise
    the embedded features are concatenated and pass ``hidden`` ReLU layers and a linear one to ``dim``.

    features: what the tower reads; each is embedded in its own ``dim`` (by default the tower's).
    dim: length of the vector; both towers of a model must agree.
    hidden: widths of the layers between features and vector.
    dropout: share of hidden units dropped in training, in [0, 1).
    normalize: divide each vector by its length, so that dot products are cosines.
    init_scale: embedding rows start uniform in ``[-init_scale, init_scale]``.
    module: any ``torch.nn.Module`` in place of the layers; it gets ``{column: [rows, feature dim]}`` and returns
        ``[rows, dim]``.
    """

    def __init__(
        self,
        *features: Feature,
        dim: int = 32,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        normalize: bool = False,
        init_scale: float = 0.05,
        module: nn.Module | None = None,
    ) -> None:
        super().__init__()
        _check_options(features, dim, hidden, dropout, module)
        self.features = {feature_name(feature): feature for feature in features}
        self.dim = dim
        self.hidden = tuple(hidden)
        self.dropout = dropout
        self.normalize = normalize
        self.init_scale = init_scale
        self.tables = nn.ModuleDict()
        self.custom = module is not None
        self.layers = module
        self.built = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the tower reads, each once."""
        return tuple(dict.fromkeys(feature.column for feature in self.features.values()))

    @property
    def is_table(self) -> bool:
        """Whether a vector is one row of one table, with nothing in between."""
        return isinstance(self.layers, nn.Identity)

    def fit_features(self, table: pl.DataFrame, owner: str) -> None:
        """Let every feature learn its state from ``table``, whose columns the ``owner`` (for messages) has."""
        for feature in self.features.values():
            if not feature.fitted:
                feature.fit(column_of(table, feature.column, owner))

    def encode(self, table: pl.DataFrame, owner: str) -> dict[str, Encoded]:
        """Each feature of the table's rows, encoded."""
        return {
            name: feature.encode(column_of(table, feature.column, owner)) for name, feature in self.features.items()
        }

    def build(self, encoded: Mapping[str, Encoded], generator: torch.Generator | None = None) -> None:
        """Make tables and layers to fit what the features encode to; does nothing when they exist."""
        if self.built:
            return
        widths: dict[str, int] = {}
        single = len(self.features) == 1 and not self.hidden
        for name, column in encoded.items():
            if hasattr(column, "cardinality"):
                width = self.features[name].dim or self.dim
                table = EmbeddingTable(column.cardinality, width, scale=self.init_scale, generator=generator)
                self.tables[name] = table
            else:
                width = column.width
            widths[name] = width
        self.built = True
        if self.custom:
            return
        if single and isinstance(next(iter(encoded.values())), Codes) and widths.popitem()[1] == self.dim:
            self.layers = nn.Identity()
        else:
            self.layers = _Joined(widths, self.hidden, self.dim, self.dropout, generator)

    def forward(self, inputs: TowerInputs) -> Tensor:
        """Vectors ``[rows, dim]``."""
        if self.layers is None or not self.built:
            raise ConfigError("this tower has not been built.", hint="train the model with fit() first")
        embedded = {name: self._embed(name, column) for name, column in inputs.columns.items()}
        if self.is_table:
            (vectors,) = embedded.values()
        else:
            vectors = self.layers(embedded)
        if vectors.shape != (len(inputs), self.dim):
            raise ConfigError(
                f"the tower's module returned shape {list(vectors.shape)}; [{len(inputs)}, {self.dim}] was expected."
            )
        return nn.functional.normalize(vectors, dim=1) if self.normalize else vectors

    def _embed(self, name: str, column: CodeTensor | BagTensor | FloatTensor) -> Tensor:
        if isinstance(column, FloatTensor):
            return column.values
        table = self.tables[name]
        if isinstance(column, CodeTensor):
            vectors: Tensor = table(column.codes, distinct=column.distinct)
            return vectors
        lengths = column.offsets.diff()
        rows: Tensor = table(column.codes)  # [codes, dim]
        owners = torch.arange(len(lengths), device=rows.device).repeat_interleave(lengths)
        sums = rows.new_zeros(len(lengths), rows.shape[1]).index_add(0, owners, rows)  # [rows, dim]
        means: Tensor = sums / lengths.clamp(min=1).unsqueeze(1)
        return means

    def extra_repr(self) -> str:
        return f"{', '.join(map(repr, self.features.values()))}, dim={self.dim}"


class _Joined(nn.Module):
    """Concatenated features through ReLU layers, then one linear layer to ``dim``."""

    def __init__(
        self,
        widths: Mapping[str, int],
        hidden: Sequence[int],
        dim: int,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        sizes = [sum(widths.values()), *hidden, dim]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            linear = nn.Linear(before, after)
            bound = (6.0 / (before + after)) ** 0.5  # Glorot uniform, as Keras' Dense
            with torch.no_grad():
                linear.weight.uniform_(-bound, bound, generator=generator)
                linear.bias.zero_()
            layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
        self.stack = nn.Sequential(*layers[:-2])

    def forward(self, embedded: Mapping[str, Tensor]) -> Tensor:
        return self.stack(torch.cat(list(embedded.values()), dim=1))  # type: ignore[no-any-return]


def feature_name(feature: Feature) -> str:
    """The name of a feature's table: its column and kind, since one column may feed several features."""
    return f"{feature.column.replace('.', '_')}:{feature.kind}"


def column_of(table: pl.DataFrame, column: str, owner: str) -> pl.Series:
    """A column of a table, or a DataError that names the nearest one."""
    if column not in table.columns:
        raise DataError(
            f"a tower reads column {column!r}, which {owner} does not have.",
            hint=did_you_mean(column, table.columns),
        )
    return table[column]


def _check_options(
    features: Sequence[Feature], dim: int, hidden: Sequence[int], dropout: float, module: nn.Module | None
) -> None:
    if not features:
        raise ConfigError("a tower got no features; it needs at least one.", hint='Tower(StringLookup("user_id"))')
    for feature in features:
        if not hasattr(feature, "encode"):
            raise ConfigError(f"a tower got {feature!r}; a feature was expected.", hint='StringLookup("user_id")')
    names = [feature_name(feature) for feature in features]
    if len(set(names)) != len(names):
        raise ConfigError(f"a tower got the same feature twice: {', '.join(sorted(names))}.")
    if dim < 1 or any(width < 1 for width in hidden):
        raise ConfigError(f"a tower got dim={dim}, hidden={tuple(hidden)}; every width must be at least 1.")
    if not 0 <= dropout < 1:
        raise ConfigError(f"a tower got dropout={dropout}; it must be in [0, 1).")
    if module is not None and hidden:
        raise ConfigError("a tower got both module= and hidden=; the module replaces the layers: give one of them.")

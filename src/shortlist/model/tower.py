"""A tower: declared features in, one vector per row out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist._forks import refuse_after_fork
from shortlist.data.argument_checks import kind_of
from shortlist.data.ids import unpatterned
from shortlist.errors import ConfigError, DataError, check_flags, checked_list, did_you_mean
from shortlist.features import Codes, Encoded, Feature, History, Repeated, Sequences
from shortlist.features.checks import ValueRefusedError
from shortlist.model.embedding import Division, EmbeddingTable
from shortlist.model.history_encoder import HistoryEncoder, PaddedTensor, SequenceTensor
from shortlist.model.inputs import CodeTensor, CrossedTensor, FloatTensor, RepeatedTensor, TensorColumn, TowerInputs
from shortlist.model.layers import Combine, Joined, Shape, unit_rows
from shortlist.model.storage import TableStorage, TableType
from shortlist.model.stored_inputs import StoredSequences

__all__ = ["Tower"]

IDS = ("StringLookup", "IntegerLookup", "Hashing")


class Tower(nn.Module):
    """Features, embedded and joined to vectors ``[rows, dim]``.

    With one id feature and no layers the tower is its embedding table (matrix factorisation), with one history alone its
    encoder. Otherwise the embedded features are joined, pass ``cross`` and ``hidden`` layers, and a linear one to ``dim``.

    Args:
        features: what the tower reads; each is embedded in its own ``dim`` (by default the tower's).
        dim: length of the vector; both towers of a model must agree.
        combine: how features are joined: "concat", or "sum" (features of another width than ``dim`` are brought to it
            by a matrix each; without layers the sum is the vector).
        cross: how many cross layers multiply the joined features with each other (DCN-v2, Wang et al. 2021).
        hidden: widths of the ReLU layers between features and vector.
        layer_norm: normalise each hidden layer before its ReLU (Ba, Kiros, Hinton 2016).
        dropout: share of hidden units dropped in training, in [0, 1).
        normalize: divide each vector by its length, so that dot products are cosines.
        bias: candidate tower only: a number per candidate id is added to its scores, whatever the query. It is one more
            dimension of the candidate's vector, which meets a 1 in the query's, so that a score stays one dot product.
        id_dropout: share of rows whose ids are taken for unknown in training, in [0, 1), so that the unknown row learns
            what an id is like on average, and features learn to do without it (Volkovs, Yu, Poutanen 2017,
            "DropoutNet").
        heads: query tower only: the number of vectors per row, one after another in ``[rows, heads · dim]``; a
            candidate's score is that of the best of them (Cen et al. 2020, "ComiRec").
        init_scale: embedding rows start uniform in ``[-init_scale, init_scale]``.
        table_dtype: "float32"; or "bfloat16": tables in half the memory, written back with stochastic rounding.
        table_folder: keep tables and their optimizer state in files of this folder, mapped into memory; for tables
            larger than memory.
        module: any ``torch.nn.Module`` instead of the layers; it gets ``{column: [rows, feature dim]}`` and returns
            ``[rows, dim]``.
    """

    def __init__(
        self,
        *features: Feature,
        dim: int = 32,
        combine: Combine = "concat",
        cross: int = 0,
        hidden: Sequence[int] = (),
        layer_norm: bool = False,
        dropout: float = 0.0,
        normalize: bool = False,
        bias: bool = False,
        id_dropout: float = 0.0,
        heads: int = 1,
        init_scale: float = 0.05,
        table_dtype: TableType = "float32",
        table_folder: str | None = None,
        module: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.shape = Shape(
            dim, combine, cross, tuple(checked_list(hidden, "Tower(hidden=)", "whole numbers")), layer_norm, dropout
        )
        _check_options(features, self.shape, bias, id_dropout, module)
        check_flags("Tower", layer_norm=layer_norm, normalize=normalize, bias=bias)
        self.features = {feature_name(feature): feature for feature in features}
        self.dim = dim
        self.normalize = normalize
        self.bias = bias
        self.id_dropout = id_dropout
        self.heads = _checked_heads(heads)
        self.meets_bias = False
        self.init_scale = init_scale
        self.storage = TableStorage(table_dtype, table_folder)
        self.tables = nn.ModuleDict()
        self.encoders = nn.ModuleDict()
        self.custom = module is not None
        self.layers = module
        self.built = False

    def __getstate__(self) -> dict[str, Any]:
        refuse_after_fork("copying a Tower")
        return vars(self)

    @property
    def width(self) -> int:
        """Length of a vector: ``dim``, and one more where there is a bias."""
        return self.dim + (self.bias or self.meets_bias)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the tower reads, each once."""
        return tuple(dict.fromkeys(feature.column for feature in self.features.values()))

    @property
    def is_table(self) -> bool:
        """Whether a vector is one row of one table, without layers."""
        return isinstance(self.layers, nn.Identity) and not self.encoders

    @property
    def device(self) -> torch.device:
        """Where the tower's weights are."""
        return next(chain(self.buffers(), self.parameters())).device

    @property
    def histories(self) -> dict[str, History]:
        """The features that are histories, by name."""
        return {name: feature for name, feature in self.features.items() if isinstance(feature, History)}

    def check_trainable(self) -> None:
        """Check that the tower can be trained.

        Raises:
            ConfigError: for a tower that cannot be trained.
        """

    def fit_features(
        self, table: pl.DataFrame, owner: str, sightings: NDArray[np.integer], but: Collection[str] = ()
    ) -> None:
        """Let every feature but histories learn its state from ``table``.

        Args:
            table: the rows to learn from.
            owner: whose columns they are, for messages.
            sightings: how many interactions each row has.
            but: columns that are in another table.
        """
        for feature in self.features.values():
            if feature.column in but:
                continue
            if feature.fitted or isinstance(feature, History):
                continue
            values = column_of(table, feature.column, owner)
            with self._naming_rows(table):
                if getattr(feature, "min_count", 1) > 1:
                    feature.fit(values, sightings)  # type: ignore[call-arg]
                else:
                    feature.fit(values)

    def encode(
        self,
        table: pl.DataFrame,
        owner: str,
        given: Mapping[str, Encoded] | None = None,
        but: Collection[str] = (),
    ) -> dict[str, Encoded]:
        """Each feature of the table's rows, encoded.

        Args:
            table: rows with the features' columns.
            owner: whose columns they are, for messages.
            given: features by name that are encoded already and stay as they are.
            but: columns that are in another table.
        """
        known = given or {}
        with self._naming_rows(table):
            return {
                name: known[name] if name in known else feature.encode(column_of(table, feature.column, owner))
                for name, feature in self.features.items()
                if feature.column not in but
            }

    @contextmanager
    def _naming_rows(self, table: pl.DataFrame) -> Iterator[None]:
        """Errors about values that a feature refuses name the id of their row: the table may be a part of the one given."""
        try:
            yield
        except ValueRefusedError as error:
            ids = [feature.column for feature in self.features.values() if feature.kind in IDS]
            column = next((name for name in ids if name in table.columns), table.columns[0])
            raise error.where(f"where {column!r} is {table[column][error.row]!r}") from error

    def build(self, encoded: Mapping[str, Encoded], generator: torch.Generator | None = None) -> None:
        """Make tables and layers to fit what the features encode to; does nothing if they exist.

        Args:
            encoded: each feature's encoding of some rows.
            generator: draws the first weights; None for torch's own.
        """
        self._build(encoded, generator)

    def _build(
        self, encoded: Mapping[str, Encoded], generator: torch.Generator | None, division: Division | None = None
    ) -> None:
        """As ``build``; with a ``division`` only this process's rows of the tables are made."""
        if self.built:
            return
        widths: dict[str, int] = {}
        single = len(self.features) == 1 and self.shape.plain
        for name, column in encoded.items():
            if isinstance(column, Repeated):
                column = column.column
            if isinstance(column, Sequences):
                width = self.features[name].dim or self.dim
                self.encoders[name] = HistoryEncoder(
                    self.histories[name], column.cardinality, width, self.init_scale, generator, division
                )
            elif hasattr(column, "cardinality"):
                width = self.features[name].dim or (self.dim * self.heads if single else self.dim)
                self.tables[name] = EmbeddingTable(
                    column.cardinality,
                    width,
                    scale=self.init_scale,
                    generator=generator,
                    storage=self.storage,
                    division=division,
                )
            else:
                width = column.width
            widths[name] = width
        if self.bias:
            ids = next(name for name, feature in self.features.items() if feature.kind in IDS)
            self.biased = ids
            self.tables["bias"] = EmbeddingTable(encoded[ids].cardinality, 1, scale=0.0, division=division)  # type: ignore[union-attr]
        self.built = True
        if self.custom:
            return
        shape = replace(self.shape, dim=self.dim * self.heads)
        is_row = isinstance(next(iter(encoded.values())), (Codes, Sequences))
        if single and is_row and widths[next(iter(widths))] == shape.dim:
            self.layers = nn.Identity()
        else:
            self.layers = Joined(widths, shape, generator)

    def forward(self, inputs: TowerInputs) -> Tensor:
        """Vectors ``[rows, heads · width]``."""
        if self.layers is None or not self.built:
            raise ConfigError("this tower has not been built.", hint="train the model with fit() first")
        columns = self._without_some_ids(inputs)
        embedded = {name: self._embed(name, column) for name, column in columns.items()}
        if isinstance(self.layers, nn.Identity):
            (vectors,) = embedded.values()
        else:
            vectors = self.layers(embedded)
        if vectors.shape != (len(inputs), self.dim * self.heads):
            raise ConfigError(
                f"the tower's module returned shape {list(vectors.shape)}; "
                f"[{len(inputs)}, {self.dim * self.heads}] was expected."
            )
        if self.heads > 1:
            vectors = vectors.reshape(len(inputs) * self.heads, self.dim)
        if self.normalize:
            vectors = unit_rows(vectors)
        if self.bias:
            return torch.cat([vectors, self._embed("bias", columns[self.biased])], dim=1)
        if self.meets_bias:
            vectors = torch.cat([vectors, vectors.new_ones(len(vectors), 1)], dim=1)
        return vectors.view(len(inputs), self.heads * vectors.shape[1]) if self.heads > 1 else vectors

    def _without_some_ids(self, inputs: TowerInputs) -> Mapping[str, TensorColumn]:
        """The inputs, in training with some ids replaced by the unknown one."""
        if not self.training or not self.id_dropout:
            return inputs.columns
        columns = dict(inputs.columns)
        for name, column in inputs.columns.items():
            if isinstance(column, CodeTensor) and self.features[name].kind in IDS:
                dropped = torch.rand(len(column.codes), device=column.codes.device) < self.id_dropout
                columns[name] = CodeTensor(column.codes.masked_fill(dropped, 0), distinct=False)
        return columns

    def _embed(self, name: str, column: TensorColumn) -> Tensor:
        if isinstance(column, FloatTensor):
            return column.values
        if isinstance(column, SequenceTensor):
            return self.encoders[name](column)  # type: ignore[no-any-return]
        if isinstance(column, PaddedTensor):
            return self.encoders[name].of_padded(column)  # type: ignore[operator, no-any-return]
        if isinstance(column, RepeatedTensor):
            assert isinstance(column.rows, Tensor)  # what is stored is taken first
            return self._embed(name, column.column.take(column.rows))
        assert not isinstance(
            column, (CrossedTensor, StoredSequences)
        )  # rows are taken first: the table of all pairs would be too large
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


def _checked_heads(heads: int) -> int:
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
        raise ConfigError(f"a tower got heads={heads!r}; a whole number of at least 1 was expected.")
    return heads


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
    return unpatterned(table[column])


def only_table(tower: Tower) -> EmbeddingTable:
    """The table of a tower that is one table of ids."""
    (table,) = tower.tables.values()
    assert isinstance(table, EmbeddingTable)
    return table


def _check_options(
    features: Sequence[Feature], shape: Shape, bias: bool, id_dropout: float, module: nn.Module | None
) -> None:
    if not features:
        raise ConfigError("a tower got no features; it needs at least one.", hint='Tower(StringLookup("user_id"))')
    given: Sequence[object] = features
    for one in given:
        if isinstance(one, type) or not all(hasattr(one, name) for name in ("encode", "column", "kind")):
            shown = repr(one) if isinstance(one, str) else kind_of(one)
            raise ConfigError(f"a tower got {shown}; a feature was expected.", hint='StringLookup("user_id")')
    names = [feature_name(feature) for feature in features]
    if len(set(names)) != len(names):
        raise ConfigError(
            f"a tower got the same feature twice: {', '.join(sorted(names))}.", hint="give each column and kind once"
        )
    if shape.dim < 1 or not all(isinstance(one, (int, np.integer)) and one >= 1 for one in shape.hidden):
        raise ConfigError(
            f"a tower got dim={shape.dim}, hidden={shape.hidden}; every width must be a whole number of at least 1."
        )
    if shape.combine not in ("concat", "sum"):
        raise ConfigError(f'a tower got combine={shape.combine!r}; "concat" or "sum" was expected.')
    if isinstance(shape.cross, bool) or not isinstance(shape.cross, int) or shape.cross < 0:
        raise ConfigError(f"a tower got cross={shape.cross!r}; a whole number of layers, 0 or more, was expected.")
    for option, share in (("dropout", shape.dropout), ("id_dropout", id_dropout)):
        if not 0 <= share < 1:
            raise ConfigError(f"a tower got {option}={share}; it must be in [0, 1).")
    if module is not None and not shape.plain:
        raise ConfigError(
            "a tower got both module= and hidden= or cross=; the module replaces the layers: give one of them."
        )
    has_ids = any(feature.kind in IDS for feature in features)
    for option, wanted in (("bias", bias), ("id_dropout", id_dropout)):
        if wanted and not has_ids:
            raise ConfigError(
                f"a tower got {option}={wanted} but has no id among its features.",
                hint=f"leave {option} out, or add a lookup: StringLookup(…)",
            )

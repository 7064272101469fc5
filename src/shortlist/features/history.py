"""A query's own history: the candidates that it chose before, from the interactions, without the target or the future."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.id_map import IdMap, is_id_type
from shortlist.errors import ConfigError, DataError, check_flags, did_you_mean
from shortlist.features.checks import as_text, check_dim, not_fitted, nothing_to_learn, wrong_type
from shortlist.features.encoded import Sequences
from shortlist.features.feature import State
from shortlist.features.members import Members, members_of

__all__ = ["ENCODERS", "History", "Windows", "last_of_each", "windows_of"]

ENCODERS = ("mean", "sum", "ema", "weighted", "gru", "transformer", "hstu")
ORDERLESS = ("mean", "sum")
"""Encoders that can leave one item out of a set; the others read in the order of time."""

Context = Literal["past", "others"]


class History:
    """The candidates that the query chose before, as a sequence that an encoder turns into one vector.

    In training this column is made from the interactions. With timestamps, the history of an interaction
    is what its query chose earlier; choices at the very same time count in the order of their rows, as in splits and transitions.
    Without timestamps it is everything else that the query chose, without the target. After training, a query's history
    is all of its training interactions; a request may bring its own as a list of candidate ids, oldest first:
    ``{"user_id": ["new"], "history": [["a", "b"]]}``. Ids that training never saw are ignored.

    Args:
        column: its name in requests.
        encoder: "mean"; "sum"; "ema", whose weights fall by ``decay`` with every further item; "weighted", a mean whose
            weights by age are learned; "gru"; "transformer" (causal self-attention, as SASRec: Kang and McAuley 2018);
            or "hstu" (Zhai et al. 2024, without times).
        length: the latest items that are read, at most. In training an interaction far into a long history may see
            fewer, at least half of it, so that one pass serves many interactions.
        context: "past" (needs timestamps) or "others" (leave-one-out; "mean" and "sum" only); None takes the first
            where there are timestamps.
        share: read the items from the candidate tower's id table; else from a table of its own.
        decay: of "ema": the weight of an item against the next later one.
        layers: of "gru", "transformer" and "hstu".
        heads: of "transformer" and "hstu".
        feedforward: of transformers: their inner layers are this many times as wide.
        dropout: of the embedded items and in the layers, in training.
        dim: the width of the rows of a table of its own, by default the tower's.

    Raises:
        ConfigError: for an unknown encoder or context, and for numbers out of range.

    Example:
        >>> history = History(length=2, share=False)
        >>> history.fit(pl.Series([["a", "b"], ["c"]]))
        >>> encoded = history.encode(pl.Series([["a", "b", "c", "never seen"], None]))
        >>> encoded.values.tolist(), encoded.start.tolist(), encoded.stop.tolist()
        ([2, 3], [0, 2], [2, 2])
    """

    kind: ClassVar[str] = "History"

    def __init__(
        self,
        column: str = "history",
        encoder: str = "mean",
        *,
        length: int = 50,
        context: Context | None = None,
        share: bool = True,
        decay: float = 0.8,
        layers: int = 2,
        heads: int = 2,
        feedforward: int = 1,
        dropout: float = 0.2,
        dim: int | None = None,
    ) -> None:
        self.column = column
        self.encoder = encoder
        self.length = length
        self.context = context
        self.share = share
        self.decay = decay
        self.layers = layers
        self.heads = heads
        self.feedforward = feedforward
        self.dropout = dropout
        self.dim = dim
        check_dim(self)
        self._check()
        self.vocabulary: IdMap | None = None

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r}, {self.encoder!r}, length={self.length})"

    def _check(self) -> None:
        check_flags("History", share=self.share)
        if self.encoder not in ENCODERS:
            raise ConfigError(f"History got encoder={self.encoder!r}.", hint=did_you_mean(self.encoder, ENCODERS))
        for name in ("length", "layers", "heads", "feedforward"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"History got {name}={value!r}; a whole number of at least 1 was expected.")
        if self.context not in ("past", "others", None):
            raise ConfigError(f'History got context={self.context!r}; "past", "others" or None was expected.')
        if self.context == "others" and self.encoder not in ORDERLESS:
            raise ConfigError(
                f'History got context="others" with encoder={self.encoder!r}, which reads in order of time.',
                hint='use encoder="mean" or "sum", or context="past"',
            )
        if not 0 < self.decay < 1:
            raise ConfigError(f"History got decay={self.decay}; it must be between 0 and 1.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"History got dropout={self.dropout}; it must be in [0, 1).")

    @property
    def fitted(self) -> bool:
        return self.vocabulary is not None

    def fit(self, values: pl.Series) -> None:
        """Take the distinct ids in lists of candidate ids as the vocabulary; training takes the candidates' own."""
        members = self._members(values)
        if not len(members.values):
            raise nothing_to_learn(self, values)
        self.vocabulary = IdMap.of_values(members.values)

    def encode(self, values: pl.Series) -> Sequences:
        """The last ``length`` known ids of each list, oldest first; null and empty lists are empty sequences."""
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        members = self._members(values)
        codes = self.vocabulary.encode(members.values)
        owners, codes = members.owners[codes != 0], codes[codes != 0]
        stop = np.cumsum(np.bincount(owners, minlength=len(values)))
        start = np.concatenate([[0], stop])[:-1]
        kept = np.arange(len(codes)) >= (stop - self.length)[owners]
        before = np.concatenate([[0], np.cumsum(kept)])
        return Sequences(codes[kept], before[start], before[stop], None, self.vocabulary.cardinality, self.length)

    def _members(self, values: pl.Series) -> Members:
        if values.dtype == pl.Null:
            return members_of(values.cast(pl.List(pl.Null)))
        inner = values.dtype.inner if isinstance(values.dtype, (pl.List, pl.Array)) else None
        if inner is None or not (inner == pl.Null or is_id_type(inner) or inner in (pl.Categorical, pl.Enum)):  # type: ignore[arg-type]
            raise wrong_type(self, values, "lists of candidate ids", "give one list per query, the oldest id first")
        members = members_of(values)
        return Members(members.owners, as_text(members.values))

    def settled_context(self, timestamps: bool) -> Context:
        """The context for interactions with or without ``timestamps``.

        Raises:
            ConfigError: where the encoder does not allow it.
        """
        if self.context == "past" or (self.context is None and timestamps):
            if timestamps:
                return "past"
        elif self.encoder in ORDERLESS:
            return "others"
        raise ConfigError(
            f"{self!r} reads earlier choices, but the training data has no timestamp.",
            hint='name it: Dataset(..., timestamp=...); or History(encoder="mean"), which needs no times',
        )

    def state(self) -> State:
        if self.vocabulary is None:
            raise not_fitted(self, "vocabulary")
        options = ("column", "encoder", "length", "context", "share", "decay", "layers", "heads", "feedforward")
        values: dict[str, Any] = {name: getattr(self, name) for name in (*options, "dropout", "dim")}
        return {**values, "vocabulary": self.vocabulary.ids}

    @classmethod
    def restore(cls, state: State) -> History:
        options = {name: value for name, value in state.items() if name != "vocabulary"}
        history = cls(options.pop("column"), options.pop("encoder"), **options)
        history.vocabulary = IdMap.checked(state["vocabulary"])
        return history


class Windows(NamedTuple):
    """The history of every interaction as a window on one array of all of them.

    Attributes:
        order: the interactions of that array, by query and time.
        start: int64 ``[interactions]``, in the order of the data: interaction i has the history
            ``order[start[i]:stop[i]]``.
        stop: int64 ``[interactions]``, likewise.
        left_out: its own place in the array, which is left out, or −1 where it is outside; None where the window never
            holds it.
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    left_out: NDArray[np.int64] | None


def windows_of(
    query: NDArray[np.integer],
    candidate: NDArray[np.integer],
    time: NDArray[np.integer] | None,
    length: int,
    context: Context,
) -> Windows:
    """The window of each interaction.

    Past: from at most ``length`` and at least half as many items before (where there are so many), up to the interaction itself;
    equal times are in the order of rows, and rows that repeat query, candidate and time are one interaction, the first. Windows of
    one query start at few places, so that one pass from such a place on serves all of them.

    Others: the last ``length`` distinct candidates of the query, from which each interaction leaves out its own.

    Args:
        query: rows ``[interactions]``.
        candidate: rows ``[interactions]``.
        time: ranks ``[interactions]`` or None.

    Example:
        >>> windows_of(np.array([0, 0, 0, 1]), np.array([5, 6, 7, 5]), np.array([1, 2, 2, 1]), 10, "past")[1:3]
        (array([0, 0, 0, 3]), array([0, 1, 2, 3]))
    """
    if context == "others":
        return _others(query, candidate, time, length)
    assert time is not None
    order = np.lexsort((time, query))
    sorted_query, sorted_time = query[order], time[order]
    places = np.arange(len(order))
    new_query = np.append(True, sorted_query[1:] != sorted_query[:-1])
    new_time = new_query | np.append(True, sorted_time[1:] != sorted_time[:-1])
    first = np.maximum.accumulate(np.where(new_query, places, 0))
    stop = places if new_time.all() else _first_of_each(np.cumsum(new_time), candidate[order])
    step = max(1, length // 2)
    start = first + np.maximum(0, -(-(stop - first - length) // step)) * step
    return Windows(order, _scattered(start, order), _scattered(stop, order), None)


def _first_of_each(moment: NDArray[np.integer], candidate: NDArray[np.integer]) -> NDArray[np.int64]:
    """The first place ``[places]`` with the same moment and candidate."""
    keys = moment.astype(np.int64) * (int(candidate.max(initial=0)) + 1) + candidate
    _, first, pair = np.unique(keys, return_index=True, return_inverse=True)
    return first[pair]


def _others(
    query: NDArray[np.integer], candidate: NDArray[np.integer], time: NDArray[np.integer] | None, length: int
) -> Windows:
    """One place per distinct pair of query and candidate, that of its last interaction."""
    order = np.lexsort((np.zeros(len(query)) if time is None else time, query))
    keys = query[order].astype(np.int64) * (int(candidate.max(initial=0)) + 1) + candidate[order]
    _, last, pair = np.unique(keys[::-1], return_index=True, return_inverse=True)
    kept = np.sort(len(order) - 1 - last)  # places in ``order``
    place_of = np.searchsorted(kept, len(order) - 1 - last)[pair][::-1]  # of each interaction in ``order``, in ``kept``
    owner = query[order][kept]
    stop = np.searchsorted(owner, query[order], side="right")
    start = np.maximum(np.searchsorted(owner, query[order]), stop - length)
    left_out = np.where(place_of >= start, place_of, -1)
    start, stop, left_out = (_scattered(edge, order) for edge in (start, stop, left_out))
    return Windows(order[kept], start, stop, left_out)


def last_of_each(
    query: NDArray[np.integer],
    candidate: NDArray[np.integer],
    time: NDArray[np.integer] | None,
    queries: int,
    length: int,
    context: Context,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each query's last ``length`` choices, oldest first: offsets ``[queries + 1]`` and interactions.

    Example:
        >>> last_of_each(np.array([0, 0, 0, 2]), np.array([5, 6, 5, 7]), np.array([3, 1, 4, 1]), 3, 2, "past")
        (array([0, 2, 2, 3]), array([0, 2, 3]))
    """
    if context == "others":
        order = _others(query, candidate, time, length).order
    else:
        order = np.lexsort((np.zeros(len(query)) if time is None else time, query))
    counts = np.bincount(query[order], minlength=queries)
    after = np.repeat(np.cumsum(counts), counts) - np.arange(len(order))  # 1 for a query's last
    return np.concatenate([[0], np.cumsum(np.minimum(counts, length))]), order[after <= length]


def _scattered(values: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """``values`` of sorted interactions in the order of the data."""
    scattered = np.empty_like(values)
    scattered[order] = values
    return scattered


def history_table(
    table: pl.DataFrame, column: str, key: str, ids: pl.Series, offsets: NDArray[np.int64], items: pl.Series
) -> pl.DataFrame:
    """``table`` with the list column of each row's items by its ``key``; empty where ``ids`` lacks it. DataError where
    the table has the column already."""
    if column in table.columns:
        raise DataError(
            f"the queries have a column {column!r}, which is also the name of the model's History.",
            hint='give the history another name: History("my_history")',
        )
    lists = pl.DataFrame({"row": np.repeat(np.arange(len(ids)), np.diff(offsets)), "items": items})
    lists = lists.group_by("row", maintain_order=True).agg("items")
    owned = pl.DataFrame({key: ids.gather(lists["row"]), column: lists["items"]})
    return table.join(owned, on=key, how="left", maintain_order="left")

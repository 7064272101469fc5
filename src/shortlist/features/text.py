"""Words and pieces of words, hashed."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl

from shortlist.data.id_map import IdMap
from shortlist.features.checks import as_text, check_count, check_dim, wrong_type
from shortlist.features.encoded import Bags
from shortlist.features.feature import State
from shortlist.features.members import bags_of, members_of
from shortlist.features.stable_hash import hash_strings
from shortlist.language import counted

__all__ = ["Text"]


class Text:
    """The mean of the embedding rows of a text's words and of their character n-grams, learned with the tower.

    1. The text in lower case is cut into words, each a run of letters, digits and underscores.
    2. Each word, in angle brackets, gives itself and every run of ``ngrams`` characters in it: with 3, ``<heat>`` gives
       ``<heat>``, ``<he``, ``hea``, ``eat``, ``at>``. So a word that training never saw shares rows with similar words.
    3. Each of these is hashed into one of ``buckets`` rows (see ``stable_hash``).

    Nothing is learned before training. Null and texts without a word are empty bags, whose mean is 0. A column that
    does not hold strings is a DataError.

    Source: Bojanowski et al. 2017, "Enriching word vectors with subword information".

    Args:
        column: a column of strings.
        buckets: how many hashes; the table has one row more, for code 0, which stays unused.
        ngrams: characters of a piece, from 1 on; None for words alone.
        dim: the width of the rows, by default the tower's.

    Example:
        >>> title = Text("title", buckets=10_000)
        >>> title.encode(pl.Series(["Heat", "", None])).offsets.tolist()
        [0, 5, 5, 5]
    """

    kind: ClassVar[str] = "Text"

    def __init__(self, column: str, buckets: int = 32_768, *, ngrams: int | None = 3, dim: int | None = None) -> None:
        self.column = column
        self.buckets = buckets
        self.ngrams = ngrams
        self.dim = dim
        check_dim(self)
        check_count(self, "buckets", buckets)
        if ngrams is not None:
            check_count(self, "ngrams", ngrams)

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r}, {counted(self.buckets, 'bucket')})"

    @property
    def fitted(self) -> bool:
        return True

    def fit(self, values: pl.Series) -> None:
        """Nothing to learn; a column that does not hold strings is a DataError."""
        self._texts(values)

    def encode(self, values: pl.Series) -> Bags:
        """One bag per value, with codes in ``[1, buckets]``."""
        words = members_of(self._texts(values).str.to_lowercase().str.extract_all(r"\w+"))
        distinct = IdMap(words.values.unique())
        pieces = self._pieces(distinct.ids)
        word = distinct.find(words.values)  # [words], number of the distinct word
        counts = np.diff(pieces.offsets)[word]  # [words]
        within = np.arange(int(counts.sum())) - (np.cumsum(counts) - counts).repeat(counts)
        codes = pieces.values[pieces.offsets[word].repeat(counts) + within]
        return bags_of(words.owners.repeat(counts), codes, len(values), self.buckets + 1)

    def _texts(self, values: pl.Series) -> pl.Series:
        texts = values.cast(pl.String) if values.dtype == pl.Null else as_text(values)
        if texts.dtype != pl.String:
            raise wrong_type(self, values, "strings", "cast the column to String first")
        return texts

    def _pieces(self, words: pl.Series) -> Bags:
        """The codes of each distinct word's pieces: the word itself, then its n-grams."""
        table = pl.DataFrame({"word": "<" + words + ">"}).with_row_index("owner")
        pieces = table.rename({"word": "piece"})
        if self.ngrams is not None:
            last = pl.col("word").str.len_chars().cast(pl.Int64) - self.ngrams  # where the last n-gram starts
            grams = (
                table.filter(last > 0)
                .with_columns(start=pl.int_ranges(0, last + 1))
                .explode("start")
                .select("owner", piece=pl.col("word").str.slice("start", self.ngrams))
            )
            pieces = pl.concat([pieces, grams]).sort("owner", maintain_order=True)
        codes = hash_strings(pieces["piece"]) % np.uint64(self.buckets) + np.uint64(1)
        return bags_of(pieces["owner"].to_numpy(), codes.astype(np.int32), len(words), self.buckets + 1)

    def state(self) -> State:
        return {"column": self.column, "buckets": self.buckets, "ngrams": self.ngrams, "dim": self.dim}

    @classmethod
    def restore(cls, state: State) -> Text:
        return cls(state["column"], state["buckets"], ngrams=state["ngrams"], dim=state["dim"])

"""A result that is one table: the forms in which other libraries take it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from shortlist.display.html import frame_html
from shortlist.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

__all__ = ["Framed", "Tabular"]


class Framed(ABC):
    """A value with a main table: ``to_frame`` gives it to Polars, ``to_pandas`` to pandas."""

    __slots__ = ()

    @abstractmethod
    def to_frame(self) -> pl.DataFrame:
        """The table as a Polars DataFrame."""

    def to_pandas(self) -> pd.DataFrame:
        """``to_frame`` as a pandas DataFrame.

        Raises:
            MissingExtraError: without pandas or pyarrow.
        """
        for package in ("pandas", "pyarrow"):
            try:
                __import__(package)
            except ImportError as missing:
                raise MissingExtraError(package, "pandas", f"{type(self).__name__}.to_pandas()") from missing
        return self.to_frame().to_pandas()


class Tabular(Framed):
    """A result that is one table. It is also an Arrow stream, which pyarrow and DuckDB read as it is, and pandas by ``from_arrow``.

    For Polars and pandas use ``to_frame`` and ``to_pandas``: the constructor ``polars.DataFrame`` takes a result that is a
    sequence for rows with nested columns.

    Example:
        pyarrow.table(result)
        pandas.DataFrame.from_arrow(result)
        duckdb.sql("select * from result")
    """

    __slots__ = ()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_frame().__arrow_c_stream__(requested_schema)

    def _repr_html_(self) -> str:
        return frame_html(type(self).__name__, self.to_frame())

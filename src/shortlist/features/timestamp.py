"""Moments: their place in the day, the week and the year, and a trend."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.errors import DataError, check_flags
from shortlist.features.checks import not_fitted, nothing_to_learn, wrong_type
from shortlist.features.encoded import Floats
from shortlist.features.feature import State
from shortlist.features.numeric import Scale
from shortlist.language import counted

__all__ = ["Timestamp"]

DAY = 86_400
WEEK = 7 * DAY
THURSDAY = 3 * DAY  # 1970-01-01 was one; a week starts on Monday
LATEST = 100_000_000_000  # seconds: the year 5138. Larger integers are not seconds but milliseconds


class Timestamp:
    """Seven numbers for a moment: sine and cosine of its place in the day, the week and the year, and a trend.

        [sin 2πd, cos 2πd, sin 2πw, cos 2πw, sin 2πy, cos 2πy, (seconds − mean) / deviation]

    d, w and y, in [0, 1), are the share of the day, of the week (from Monday) and of the calendar year that has
    passed, in UTC; naive datetimes and dates are read as they are. Mean and deviation come from the training rows.
    The column holds Datetime, Date or integers (Unix time in seconds); others are a DataError. Null becomes zeros.

    Args:
        column: a column of datetimes, dates or integers (Unix time in seconds).
        of_target: the column is the time of the interaction to predict. ``fit`` refuses such a column in the query
            tower unless this is True, and then says so in a warning: in a random split the test rows are between
            training rows of the same hour, often the same session, so that this time almost identifies the target, and
            the measured quality is not what serving will see. Split by time if you use it.

    Example:
        >>> moment = Timestamp("released")
        >>> moment.fit(pl.Series(["1970-01-01", "1970-01-03"]).str.to_date())
        >>> moment.encode(pl.Series([0, None])).values[:, [0, 1, 6]].tolist()
        [[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "Timestamp"

    def __init__(self, column: str, *, of_target: bool = False) -> None:
        self.column = column
        check_flags("Timestamp", of_target=of_target)
        self.of_target = of_target
        self.dim: int | None = None
        self.scale: Scale | None = None

    def __repr__(self) -> str:
        return f"{self.kind}({self.column!r}{', of_target=True' if self.of_target else ''})"

    @property
    def fitted(self) -> bool:
        return self.scale is not None

    def fit(self, values: pl.Series) -> None:
        """Learn mean and deviation of the trend."""
        seconds = self._seconds(values)
        if not len(seconds):
            raise nothing_to_learn(self, values)
        self.scale = Scale.of(seconds.astype(np.float64))

    def encode(self, values: pl.Series) -> Floats:
        """Numbers ``[len(values), 7]``; zeros for null."""
        if self.scale is None:
            raise not_fitted(self, "mean")
        seconds = self._seconds(values)
        shares = (seconds % DAY / DAY, (seconds + THURSDAY) % WEEK / WEEK, _share_of_year(seconds))
        waves = [wave(2 * np.pi * share) for share in shares for wave in (np.sin, np.cos)]
        encoded = np.zeros((len(values), 7), dtype=np.float32)
        encoded[values.is_not_null().to_numpy()] = np.stack(
            [*waves, self.scale.apply(seconds.astype(np.float64))], axis=1
        )
        return Floats(encoded)

    def _seconds(self, values: pl.Series) -> NDArray[np.int64]:
        """Unix time of each value that is not null."""
        present = values.drop_nulls()
        if values.dtype in (pl.Datetime, pl.Date):
            milliseconds = present.dt.epoch("ms")
            return _int64(milliseconds) // 1000
        if values.dtype == pl.Null:
            return np.empty(0, dtype=np.int64)
        if not values.dtype.is_integer():
            parse = "str.to_datetime()" if values.dtype == pl.String else "cast(pl.Int64)"
            hint = f"frame.with_columns(pl.col({self.column!r}).{parse})"
            raise wrong_type(self, values, "datetimes, dates or integers (Unix seconds)", hint)
        seconds = present.cast(pl.Int64, strict=False)
        beyond = present.filter(~seconds.is_between(-LATEST, LATEST).fill_null(False))
        if len(beyond):
            raise DataError(
                f"{self.kind}({self.column!r}) got {counted(len(beyond), 'integer')} beyond the year 5138 when read as Unix "
                f"seconds, such as {beyond[0]}; are they milliseconds?",
                hint=f'frame.with_columns(pl.from_epoch({self.column!r}, time_unit="ms"))',
            )
        return _int64(seconds)

    def state(self) -> State:
        if self.scale is None:
            raise not_fitted(self, "mean")
        return {
            "column": self.column,
            "of_target": self.of_target,
            "mean": self.scale.mean,
            "deviation": self.scale.deviation,
        }

    @classmethod
    def restore(cls, state: State) -> Timestamp:
        feature = cls(state["column"], of_target=state.get("of_target", False))
        feature.scale = Scale(state["mean"], state["deviation"])
        return feature


def _int64(values: pl.Series) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = values.to_numpy()
    return numbers


def _share_of_year(seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    year = seconds.astype("datetime64[s]").astype("datetime64[Y]")
    start = year.astype("datetime64[s]").astype(np.int64)
    end = (year + 1).astype("datetime64[s]").astype(np.int64)
    share: NDArray[np.float64] = (seconds - start) / (end - start)
    return share

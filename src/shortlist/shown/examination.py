"""How likely each place of a list is to be looked at, known or estimated from clicks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.data import TableLike
from shortlist.errors import ConfigError, DataError, checked_list
from shortlist.language import counted
from shortlist.shown.impressions import Impressions, Places, read_impressions

__all__ = ["Examination", "estimated"]

ROUNDS = 10_000
CLOSE = 1e-10


@dataclass(frozen=True)
class Examination:
    """The chance that each place is looked at, relative to the first: the position-based model of clicks.

    A candidate is clicked when its place is looked at, which depends on the place alone, and it is liked, which depends on
    the query and the candidate alone (Richardson, Dominowska, Ragno 2007; Joachims, Swaminathan, Schnabel 2017, "Unbiased
    learning-to-rank with biased feedback").

    Attributes:
        chances: of place 1, 2 and so on; finite and above 0. Only their ratios matter.
        pairs: of how many pairs of query and candidate they were estimated; 0 where they were given.
        clicks: and of how many clicks.

    Raises:
        ConfigError: for chances that are not finite numbers above 0.

    Example:
        >>> print(Examination([1.0, 0.5, 0.25]))
        place  looked at
            1       1.00
            2       0.50
            3       0.25
    """

    chances: Sequence[float]
    pairs: int = 0
    clicks: int = 0

    def __post_init__(self) -> None:
        try:
            chances = tuple(float(one) for one in checked_list(self.chances, "Examination", "numbers"))
        except (TypeError, ValueError):  # ConfigError is one
            chances = ()
        if not chances or not all(0 < one < math.inf for one in chances):
            raise ConfigError(
                f"the chances that places are looked at are {str(self.chances)[:60]}; expected a number above 0 for each "
                "place, the first place's first.",
                hint="Examination([1.0, 0.6, 0.4]), or Examination.estimate(shown)",
            )
        object.__setattr__(self, "chances", chances)

    @classmethod
    def estimate(
        cls,
        shown: TableLike,
        *,
        query: str = "query",
        candidate: str = "candidate",
        place: str = "place",
        clicked: str = "clicked",
    ) -> Examination:
        """Chances from pairs of query and candidate that were shown at more than one place.

        A query likes a candidate as much at one place as at another, so the clicks of one pair at two places compare the
        places, not the candidates. Two bundles that take turns, interleaving, exploration and swapped places all bring such pairs
        (Agarwal, Zaitsev, Wang, Li, Najork, Joachims 2019, "Estimating position bias without intrusive interventions").
        The chances maximise the likelihood of where the clicks of each pair fell:

        1. A pair shown n_j times at place j has its clicks at place j in proportion to n_j e_j.
        2. like = clicks of the pair / Σ_j n_j e_j; e_j = clicks at j / Σ_pairs n_j like; repeated until nothing changes.

        The estimate assumes that a pair's place does not follow what it is liked at that moment.

        Args:
            shown: one row per place shown, as in ``off_policy_evaluate``.
            query: the column of query ids.
            candidate: the column of candidate ids.
            place: the column of places, from 1.
            clicked: the column that says whether it was clicked.

        Returns:
            One chance for each place that was shown; the first place's is 1.

        Raises:
            DataError: for a bad table, and where the pairs do not compare every place with the first.
        """
        return estimated(read_impressions(shown, Places(query, candidate, place, clicked)))

    def at(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The chance of each of ``places``, which are counted from 1.

        Raises:
            ConfigError: for a place that has no chance.
        """
        deepest = int(places.max()) if len(places) else 0
        if deepest > len(self.chances):
            raise ConfigError(
                f"the examination has chances for {counted(len(self.chances), 'place')}; the lists have {deepest}.",
                hint="give a chance for every place, or leave the lower places out of the impressions",
            )
        return np.asarray(self.chances)[places - 1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"chances": list(self.chances), "pairs": self.pairs, "clicks": self.clicks}

    def __str__(self) -> str:
        lines = ["place  looked at", *(f"{at:>5}  {one:>9.2f}" for at, one in enumerate(self.chances, start=1))]
        if self.pairs:
            lines.append(
                f"from {counted(self.clicks, 'click')} on {counted(self.pairs, 'pair')} shown at several places"
            )
        return "\n".join(lines)


def estimated(shown: Impressions) -> Examination:
    """As ``Examination.estimate``."""
    pair, times = shown.pairs()
    at = shown.place - 1
    places = shown.deepest
    cells, cell = np.unique(pair * places + at, return_inverse=True)
    count = np.bincount(cell.reshape(-1)).astype(np.float64)  # [cells]: how often the pair was shown there
    clicks = np.bincount(cell.reshape(-1), shown.clicked).astype(np.float64)
    owner, column = np.divmod(cells, places)
    several = np.bincount(owner, minlength=len(times)) > 1
    clicked = np.bincount(owner, clicks, minlength=len(times)) > 0
    used = (several & clicked)[owner]
    if not used.any():
        raise DataError(
            "no pair of query and candidate was clicked that was shown at more than one place, so the chances that "
            "places are looked at cannot be estimated.",
            hint="give them: examination=[1.0, 0.6, …]; or show some candidates at other places (Rerank(explore=), "
            "interleave)",
        )
    _, owner = np.unique(owner[used], return_inverse=True)
    owner, column, count, clicks = owner.reshape(-1), column[used], count[used], clicks[used]
    _check_compared(owner, column, clicks, places)
    chances = _maximised(owner, column, count, clicks, places)
    return Examination(tuple(chances.tolist()), int(owner.max()) + 1, int(clicks.sum()))


def _check_compared(
    owner: NDArray[np.int64], column: NDArray[np.int64], clicks: NDArray[np.float64], places: int
) -> None:
    """DataError unless the chances of all places have a maximum of their likelihood.

    A pair says that the places where it was clicked are not much worse than the others where it was shown. There is a maximum if
    and only if such steps lead from every place to the first and back (Ford 1957, "Solution of a ranking problem from binary
    comparisons"); else a chance of 0, or of infinity, is the likeliest.
    """
    clicked = clicks > 0
    to_all = _reached(column, clicked, np.ones_like(clicked), owner, places)
    from_all = _reached(column, np.ones_like(clicked), clicked, owner, places)
    lost = np.flatnonzero(~(to_all & from_all)) + 1
    if len(lost):
        named = ", ".join(map(str, lost[:5])) + (", …" if len(lost) > 5 else "")
        raise DataError(
            f"places {named} cannot be compared with the first: too few clicks on pairs that were shown there and elsewhere.",
            hint="give the chances: examination=[1.0, 0.6, …]; or leave these places out of the impressions",
        )


def _reached(
    column: NDArray[np.int64],
    leaves: NDArray[np.bool_],
    enters: NDArray[np.bool_],
    owner: NDArray[np.int64],
    places: int,
) -> NDArray[np.bool_]:
    """The places ``[places]`` to which steps lead from the first: within a pair, from a cell that ``leaves`` to one that ``enters``."""
    found = np.zeros(places, np.bool_)
    found[0] = True
    pairs = np.zeros(int(owner.max()) + 1, np.bool_)
    while True:
        pairs[owner[leaves & found[column]]] = True
        after = found.copy()
        after[column[enters & pairs[owner]]] = True
        if (after == found).all():
            return found
        found = after


def _maximised(
    owner: NDArray[np.int64],
    column: NDArray[np.int64],
    count: NDArray[np.float64],
    clicks: NDArray[np.float64],
    places: int,
) -> NDArray[np.float64]:
    """The chances ``[places]``, the first 1. Cells: of pair ``owner`` at place ``column``."""
    of_pair, of_place = np.bincount(owner, clicks), np.bincount(column, clicks, minlength=places)
    chances = of_place / np.bincount(column, count, minlength=places)
    for _ in range(ROUNDS):
        liked = of_pair / np.bincount(owner, count * chances[column])
        after = of_place / np.bincount(column, count * liked[owner], minlength=places)
        after /= after[0]
        if np.abs(after - chances).max() <= CLOSE * after.max():
            return after
        chances = after
    return chances

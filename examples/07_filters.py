"""Filters: lists stay full while candidates pass, and never hold what is forbidden."""

import shortlist as sl

movielens = sl.datasets.movielens("100k")
model, _ = sl.recipes.load("factorization").train(movielens, epochs=2)
recommender = sl.Recommender(model, index=sl.Quantized(), seen=movielens)

print(recommender.recommend(["42"], k=3))
print(recommender.recommend(["42"], k=3, where="year between 1930 and 1960"))
print(recommender.recommend(["42"], k=3, deny=["Fargo (1996)", "Casablanca (1942)"]))
print(recommender.similar(["Alien (1979)"], k=3, where="year >= 1990"))

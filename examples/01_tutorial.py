"""The TFRS retrieval tutorial: two id towers, trained, measured, indexed, saved and loaded."""

import shortlist as sl

movielens = sl.datasets.movielens("100k")
train, test = sl.split_random(movielens, test=0.2, seed=42)

model = sl.TwoTower(
    query=sl.Tower(sl.StringLookup("user_id"), dim=32),
    candidate=sl.Tower(sl.StringLookup("movie_title"), dim=32),
)
sl.fit(model, train, optimizer=sl.Adagrad(0.1), epochs=3, batch_size=8192)
print(sl.evaluate(model, test, seen=train))

recommender = sl.Recommender(model, index=sl.Quantized(), seen=train)
recommender.save("movielens.shortlist", overwrite=True)

recommender = sl.Recommender.load("movielens.shortlist")
print(recommender.recommend(["42"], k=3))

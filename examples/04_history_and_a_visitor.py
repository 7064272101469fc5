"""A tower that reads histories, and a visitor who has just picked two films."""

import shortlist as sl

movielens = sl.datasets.movielens("100k")
data = sl.Dataset(
    movielens.interactions, "user_id", "movie_title", timestamp="timestamp", candidates=movielens.candidates
)
train, test = sl.split_last(data)

model = sl.TwoTower(
    query=sl.Tower(sl.History(encoder="ema", decay=0.8), dim=16),
    candidate=sl.Tower(sl.StringLookup("movie_title"), dim=16),
)
sl.fit(model, train, optimizer=sl.Adam(0.01), epochs=4, batch_size=4096)
print(sl.evaluate(model, test, seen=train, ks=(10, 100)))

recommender = sl.Recommender(model, seen=train)
print(recommender.recommend({"user_id": [None], "history": [["Alien (1979)", "Aliens (1986)"]]}, k=5))
print(recommender.recommend({"user_id": [None], "history": [["Lion King, The (1994)", "Aladdin (1992)"]]}, k=5))

"""A causal transformer over each user's sequence (SASRec), with every film as a negative."""

import shortlist as sl

movielens = sl.datasets.movielens("100k")
data = sl.Dataset(
    movielens.interactions, "user_id", "movie_title", timestamp="timestamp", candidates=movielens.candidates
)
train, test = sl.split_last(data)

model = sl.TwoTower(
    query=sl.Tower(sl.History(encoder="transformer", length=30, layers=1, heads=1, dropout=0.2), dim=16),
    candidate=sl.Tower(sl.StringLookup("movie_title"), dim=16),
)
task = sl.Retrieval(negatives=sl.WholeCatalogue(), remove_accidental_hits=False)
sl.fit(model, train, task=task, optimizer=sl.Adam(0.005), epochs=2, batch_size=4096)
print(sl.evaluate(model, test, seen=train, ks=(10, 100)))

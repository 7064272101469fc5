"""Towers in another runtime: the bundle's ONNX files run wherever ONNX does, and torch is not needed."""

from typing import Any

import numpy as np
import onnxruntime

import shortlist as sl

movielens = sl.datasets.movielens("100k")
query = sl.Tower(sl.StringLookup("user_id"), sl.Normalization("age"), sl.Category("occupation"), dim=16)
model = sl.TwoTower(query, sl.Tower(sl.StringLookup("movie_title"), dim=16))
sl.fit(model, movielens, epochs=1, batch_size=8192)

recommender = sl.Recommender(model, seen=movielens)
recommender.export()
recommender.save("exported.shortlist", overwrite=True)

session = onnxruntime.InferenceSession("exported.shortlist/model/query.onnx")
people = movielens.queries.head(3)
feeds: dict[str, Any] = {}
for name, feature in zip([one.name for one in session.get_inputs()], query.features.values(), strict=True):
    encoded: Any = feature.encode(people[feature.column])
    feeds[name] = encoded.values  # codes and numbers, as arrays
    if feeds[name].dtype == np.int32:
        feeds[name] = feeds[name].astype(np.int64)
vectors: Any = session.run(None, feeds)[0]
print(vectors.shape, float(abs(vectors - model.query_vectors(people)).max()))

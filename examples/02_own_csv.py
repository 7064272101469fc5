"""Recommendations from a CSV file of your own: who bought what, and when."""

from pathlib import Path

import shortlist as sl

Path("purchases.csv").write_text(
    "customer,product,when\n"
    + "".join(
        f"c{customer},{100 + (customer * step + step) % 12},2026-01-{1 + (customer + 3 * step) % 28:02}\n"
        for customer in range(1, 40)
        for step in range(1, 7)
    )
)

data = sl.Dataset("purchases.csv", query="customer", candidate="product", timestamp="when")
print(data, *data.notes, sep="\n")
train, test = sl.split_by_time(data, test=0.2)

model, history = sl.recipes.load("factorization", ["fit.batch_size=64"]).train(train)
print(sl.evaluate(model, test, seen=train, ks=(1, 3)))

recommender = sl.Recommender(model, seen=train)
print(recommender.recommend(["c7", "c8"], k=3))

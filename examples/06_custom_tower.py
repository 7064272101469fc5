"""A tower of your own in plain torch: it gets the embedded features and returns one vector per row."""

import torch

import shortlist as sl


class Gated(torch.nn.Module):
    """The id's vector, weighted by what the genres say."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = torch.nn.Linear(dim, dim)

    def forward(self, embedded: dict[str, torch.Tensor]) -> torch.Tensor:
        film, genres = embedded.values()  # in the order in which the features are declared, [rows, dim] each
        return film * torch.sigmoid(self.gate(genres)) + genres


movielens = sl.datasets.movielens("100k")
train, test = sl.split_random(movielens, test=0.2, seed=42)
model = sl.TwoTower(
    query=sl.Tower(sl.StringLookup("user_id"), dim=16),
    candidate=sl.Tower(sl.StringLookup("movie_title"), sl.MultiCategory("genres"), dim=16, module=Gated(16)),
)
sl.fit(model, train, task=sl.Retrieval(log_q="counts"), optimizer=sl.AdamW(0.01), epochs=4, batch_size=2048)
print(sl.evaluate(model, test, seen=train, ks=(10, 100)))

recommender = sl.Recommender(model, seen=train)
recommender.save("gated.shortlist", overwrite=True)  # weights only: a bundle never stores code
again = sl.Recommender.load("gated.shortlist", modules={"candidate": Gated(16)})
print(again.recommend(["42"], k=3))

"""A training loop of your own, here PyTorch Lightning's: plain embeddings, this library's loss, then everything else.

``fit`` differs from the habits of Lightning and Hugging Face: the model has no ``training_step``, tables are updated row by
row, callbacks are functions, and a bundle is what ``save_pretrained`` would write. Whoever wants a loop takes ``Retrieval``,
a loss on distinct rows like any other, and hands the tables over when they are trained.
"""

import logging
import warnings

import lightning
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import shortlist as sl

warnings.filterwarnings("ignore", module="lightning|torch")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Retriever(lightning.LightningModule):
    """Row 0 of each table is for unknown ids."""

    def __init__(self, users: int, films: int, dim: int = 32) -> None:
        super().__init__()
        self.users = torch.nn.Embedding(users + 1, dim)
        self.films = torch.nn.Embedding(films + 1, dim)
        for table in (self.users, self.films):
            torch.nn.init.uniform_(table.weight, -0.05, 0.05)
        self.loss = sl.Retrieval(log_q="counts")
        self.log_q: torch.Tensor | None = None  # [films + 1]

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        users, pair_user = torch.unique(batch[0], return_inverse=True)  # each user once, and each pair's place in them
        films, pair_film = torch.unique(batch[1], return_inverse=True)
        log_q = None if self.log_q is None else self.log_q[films]
        return self.loss(self.users(users), self.films(films), pair_user, pair_film, log_q=log_q) / len(pair_user)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.02, weight_decay=0.0)


movielens = sl.datasets.movielens("100k")
train, test = sl.split_random(movielens, test=0.2, seed=42)
users, films = len(train.queries), len(train.candidates)

lightning.seed_everything(1, verbose=False)
module = Retriever(users, films)
counts = torch.bincount(torch.from_numpy(train.candidate_rows).long() + 1, minlength=films + 1)
module.log_q = sl.Retrieval(log_q="counts").candidate_log_q(counts.numpy())
pairs = TensorDataset(torch.from_numpy(train.query_rows).long() + 1, torch.from_numpy(train.candidate_rows).long() + 1)
trainer = lightning.Trainer(
    max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
)  # fmt: skip
order = BatchSampler(RandomSampler(pairs), batch_size=4096, drop_last=False)
trainer.fit(module, DataLoader(pairs, sampler=order, batch_size=None))  # a batch is one look-up, not 4,096

queries, candidates = module.users.weight.detach(), module.films.weight.detach()
user_ids, titles = (ids.to_numpy().astype(str) for ids in (train.queries["user_id"], train.candidates["movie_title"]))
model = sl.from_tfrs(
    {
        "query_ids": user_ids,
        "query_embeddings": queries.numpy(),
        "candidate_ids": titles,
        "candidate_embeddings": candidates.numpy(),
        # a hundred scores of the loop's own model, to check the arrays by
        "score_query_ids": user_ids[:100],
        "score_candidate_ids": titles[:100],
        "scores": (queries[1:101] * candidates[1:101]).sum(1).numpy(),
    },
    query="user_id",
    candidate="movie_title",
    seen=train,
)
print(sl.evaluate(model, test, seen=train, ks=(10, 100)))
sl.Recommender(model, index=sl.Quantized(), seen=train).save("own.shortlist", overwrite=True)
print(sl.Recommender.load("own.shortlist").recommend(["42"], k=3))

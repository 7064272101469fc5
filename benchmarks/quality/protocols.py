"""The public protocols: what is measured, the best figures known, the bars to reach and the aims beyond them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A metric at a cut-off, the bar it must reach and the aim (None: nothing but the baselines beside it): of one dot product,
    and of a mixture with other sources.
    """

    name: str
    k: int
    bar: float | None = None
    aim: float | None = None
    mixed_bar: float | None = None
    mixed_aim: float | None = None

    def goals(self, mixed: bool) -> tuple[float | None, float | None]:
        """The bar and the aim of a dot product or of a mixture."""
        return (self.mixed_bar, self.mixed_aim) if mixed else (self.bar, self.aim)

    @property
    def label(self) -> str:
        return f"{self.name}_{self.k}"


@dataclass(frozen=True)
class Protocol:
    """How a dataset is held out and asked.

    split: "random" (80/20, seed 42), "last" (of each query), "last-two" (the last of each query is asked for, the one
    before it validates and is given but not trained on), "given" (the split that comes with the data) or "users" (a tenth
    of the users is held out whole; 80% of each one's history is given). exclude_seen: what the query chose
    already does not compete. known: the best figures known, as a sentence with their sources.
    """

    what: str
    split: str
    measures: tuple[Measure, ...]
    exclude_seen: bool = True
    known: str = ""


def _amazon(name: str, recall: tuple[float, ...], ndcg: tuple[float, ...], known: str) -> Protocol:
    measures = (Measure("recall", 10, *recall), Measure("ndcg", 10, *ndcg))
    return Protocol(f"Amazon {name} (5-core), last item of each user, full ranking", "last-two", measures, known=known)


PROTOCOLS: dict[tuple[str, str], Protocol] = {
    ("ml-100k", "random"): Protocol(
        "MovieLens-100k, random 80/20, seen items left in",
        "random",
        (Measure("top", 10, 0.06, 0.08), Measure("top", 100, 0.42, 0.48)),
        exclude_seen=False,
        known="the tutorial .021/.233; iALS .063/.418",
    ),
    ("ml-100k", "random-unseen"): Protocol(
        "MovieLens-100k, random 80/20, seen items excluded",
        "random",
        (Measure("top", 10, 0.175, 0.185, 0.18, 0.188), Measure("top", 100, 0.635, 0.66, 0.64, 0.66)),
        known="EASE .175/.629; iALS .170/.631",
    ),
    ("ml-100k", "last"): Protocol(
        "MovieLens-100k, last item of each user, seen items excluded",
        "last",
        (Measure("hit_rate", 10, 0.22, 0.25, 0.24, 0.255), Measure("ndcg", 10, 0.12, 0.14, 0.13, 0.142)),
        known="iALS .157/.079; a simple recency query .226/.122",
    ),
    ("gowalla", "split"): Protocol(
        "Gowalla, the split of LightGCN, dim 64",
        "given",
        (Measure("recall", 20, 0.188, 0.195, 0.193, 0.198), Measure("ndcg", 20, 0.158, 0.163, 0.1605, 0.165)),
        known="matrix factorisation with softmax .1759/.1395, with BSL .1882/.1584; LightGCN with BSL .1892/.1590",
    ),
    ("beauty", "last"): _amazon(
        "Beauty",
        (0.092, 0.098, 0.098, 0.104),
        (0.053, 0.057, 0.059, 0.064),
        "TIGER .0648/.0384; HSTU .0788/.0439; ActionPiece .0775/.0424; SASRec with sampled softmax .0921/.0531; "
        "eSASRec .0928/.0523",
    ),
    ("sports", "last"): _amazon(
        "Sports",
        (0.056, 0.060, 0.060, 0.066),
        (0.032, 0.034, 0.0345, 0.039),
        "SASRec with sampled softmax .0569/.0314; eSASRec .0560/.0323",
    ),
    ("toys", "last"): _amazon(
        "Toys", (0.096, 0.102, 0.111, 0.118), (0.057, 0.060, 0.0685, 0.073), "eSASRec .0970/.0580"
    ),
    ("ml-1m", "last"): Protocol(
        "MovieLens-1M, ratings of 4 and 5, last item of each user, full ranking",
        "last",
        (Measure("ndcg", 100, mixed_bar=0.205, mixed_aim=0.215),),
    ),
    ("ml-1m", "users"): Protocol(
        "MovieLens-1M, ratings of 4 and 5, held-out users with 80% of their history given",
        "users",
        (Measure("ndcg", 100),),
    ),
}
"""By (dataset, protocol), in the order of the page."""

"""The recorded calls: each function makes one part of the record, of plain values, by public names alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from tests.proof import spelling, tables

import shortlist as sl

__all__ = ["PARTS"]

WRITE_KEY = "w" * 20

CLOCKS = frozenset({"seconds", "took_ms", "examples_per_second", "created", "request_id"})
FILES = frozenset({"bundle", "fingerprint", "library", "version", "bytes"})
WORDS = frozenset({"detail", "hint", "summary", "description", "note", "verdict", "message", "reason"})
VOLATILE = CLOCKS | FILES | WORDS
"""Names of values that differ between two runs, or between two ways to say the same thing; they are left out."""


def _ids_model(bias: bool = False, **options: Any) -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.StringLookup("who"), dim=8, **options),
        candidate=sl.Tower(sl.StringLookup("what"), dim=8, bias=bias, **options),
    )


def _features_model() -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(
            sl.StringLookup("who"), sl.Category("land"), sl.Discretization("age", bins=4), dim=8, hidden=(16,)
        ),
        candidate=sl.Tower(
            sl.StringLookup("what"),
            sl.Text("title", buckets=64),
            sl.Category("genre"),
            sl.MultiCategory("tags"),
            sl.Normalization("price"),
            sl.Hashing("stock", 8),
            dim=8,
            cross=1,
        ),
    )


def _history_model(encoder: str) -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.History(encoder=encoder, length=10, dropout=0.0), dim=8),
        candidate=sl.Tower(sl.StringLookup("what"), dim=8),
    )


def _lasting(value: Any) -> Any:
    """``value`` without the entries of volatile names, at any depth."""
    if isinstance(value, dict):
        return {str(key): _lasting(one) for key, one in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [_lasting(one) for one in value]
    return value


def _losses(history: sl.TrainingHistory) -> list[dict[str, Any]]:
    return _lasting(history.to_frame().to_dicts())


def _fit(model: sl.TwoTower, train: sl.Dataset, task: Any = None, **options: Any) -> sl.TrainingHistory:
    given: dict[str, Any] = {"optimizer": sl.Adagrad(0.1), "epochs": 3, "batch_size": 128, "seed": 5, **options}
    return sl.fit(model, train, task=task, **given)


@cache
def _halves() -> sl.Split:
    return sl.split_random(tables.whole(), test=0.2, seed=1)


@cache
def _plain_halves() -> sl.Split:
    return sl.split_random(tables.plain(), test=0.2, seed=1)


def losses() -> dict[str, Any]:
    """Losses per epoch, of every kind of training."""
    train, test = _plain_halves()
    tasks = {
        "softmax": spelling.loss(),
        "softmax, scaled and corrected": spelling.loss(temperature=0.5, log_q="counts", mask_known=True),
        "softmax, smoothed": spelling.loss(label_smoothing=0.1),
        "softmax, learned temperature": spelling.loss(learn_temperature=True),
        "softmax, streaming": spelling.loss(log_q="streaming"),
        "softmax, hardest": spelling.loss(hardest=5),
        "softmax, sampled": spelling.loss(negatives="sampled", count=16, log_q="counts"),
        "softmax, sampled by popularity": spelling.loss(negatives="sampled", count=16, sample_power=0.75),
        "softmax, mixed": spelling.loss(negatives="mixed", count=16),
        "softmax, catalogue": spelling.loss(negatives="catalogue"),
        "softmax, mined": spelling.loss(mined=2),
        "bsl": spelling.loss("bsl", exponent=1.5),
        "bsl, sampled": spelling.loss("bsl", negatives="sampled", count=16, temperature=0.5),
        "bpr": spelling.loss("bpr"),
        "bpr, sampled": spelling.loss("bpr", negatives="sampled", count=16),
        "ccl": spelling.loss("ccl", margin=0.3, negative_weight=2.0),
        "ccl, sampled": spelling.loss("ccl", negatives="sampled", count=16),
    }
    record = {
        name: _losses(_fit(_ids_model(normalize=name.startswith("ccl")), train, task)) for name, task in tasks.items()
    }
    optimizers = {
        "SGD": sl.SGD(0.02),
        "Adam": sl.Adam(0.01),
        "AdamW": sl.AdamW(0.01, weight_decay=0.1),
        "row-wise Adagrad": sl.RowwiseAdagrad(0.1),
    }
    for name, optimizer in optimizers.items():
        record[name] = _losses(_fit(_ids_model(), train, optimizer=optimizer))
    record["validated"] = _losses(_fit(_ids_model(), train, validation=test, ks=(1, 5), exclude_seen=True))
    record["several heads"] = _losses(_fit(_two_heads(), train))
    record["bias"] = _losses(_fit(_ids_model(bias=True), train))
    record["als"] = _losses(spelling.als(_ids_model(), train, epochs=3, seed=5, regularization=0.05))
    rich, _ = _halves()
    record["features"] = _losses(_fit(_features_model(), rich))
    for encoder in ("mean", "ema", "gru", "transformer"):
        record[f"history, {encoder}"] = _losses(_fit(_history_model(encoder), rich))
    record["tutorial"] = _losses(_recipe("tutorial", train)[1])
    with tempfile.TemporaryDirectory() as folder:
        train.interactions.write_parquet(Path(folder) / "pairs.parquet")
        shards = sl.Shards.encode(
            Path(folder) / "pairs.parquet", Path(folder) / "shards", query="who", candidate="what", block_rows=64
        )
        record["from disk"] = _losses(sl.fit(_ids_model(), shards, epochs=2, batch_size=128, seed=5))
        kept = Path(folder) / "checkpoints"
        _fit(_ids_model(), train, epochs=2, checkpoints=sl.Checkpoints(kept))
        resumed = _fit(_ids_model(), train, epochs=3, checkpoints=sl.Checkpoints(kept, resume=True))
        record["resumed"] = _losses(resumed)
    return record


def _two_heads() -> sl.TwoTower:
    return sl.TwoTower(
        query=sl.Tower(sl.StringLookup("who"), dim=4, heads=2), candidate=sl.Tower(sl.StringLookup("what"), dim=4)
    )


def _recipe(name: str, train: sl.Dataset) -> Any:
    changes = {
        "tutorial": ["fit.epochs=3", "fit.batch_size=128", "model.dim=8"],
        "als": ["fit.epochs=3", "model.dim=8"],
    }
    return sl.recipes.load(name, changes[name]).train(train)


@cache
def _models() -> dict[str, Any]:
    """Trained once, asked often."""
    train, _ = _plain_halves()
    rich, _ = _halves()
    solved, _ = _recipe("als", train)
    tutorial, _ = _recipe("tutorial", train)
    features, history, heads = _features_model(), _history_model("ema"), _two_heads()
    for model, data in ((features, rich), (history, rich), (heads, train)):
        _fit(model, data)
    return {
        "als": solved,
        "tutorial": tutorial,
        "joined": sl.join([solved, tutorial], weights=[1.0, 0.5]),
        "features": features,
        "history": history,
        "heads": heads,
        "popularity": sl.popularity(train),
        "recent popularity": sl.popularity(rich, recent=True),
        "transitions": sl.Mixture.of(sl.popularity(rich), sl.Transitions().fit(rich), rich, share=1.0),
        "EASE": sl.Mixture.of(sl.popularity(train), sl.EASE().fit(train), train, share=1.0),
        "mixture": sl.Mixture.of(solved, sl.Cooccurrence().fit(train), train, share=0.4),
    }


RICH = ("features", "history", "recent popularity", "transitions")


def _seen(name: str) -> sl.Dataset:
    return (_halves() if name in RICH else _plain_halves()).train


def _held_out(name: str) -> sl.Dataset:
    return (_halves() if name in RICH else _plain_halves()).test


def _lists(found: Iterable[Any]) -> list[dict[str, Any]]:
    return [
        {"query": one.query, "known": one.known, "ids": one.ids, "scores": one.scores, "sources": one.sources}
        for one in found
    ]


def lists() -> dict[str, Any]:
    """Recommended lists: every model, every way to ask, after every kind of change."""
    asked = ["q00", "q07", "q31", "stranger"]
    record: dict[str, Any] = {}
    for name, model in _models().items():
        recommender = sl.Recommender(model, index=sl.BruteForce(), seen=_seen(name))
        record[f"{name}: plain"] = _lists(recommender.recommend(asked[:3] if name in RICH else asked, k=5))
    for name in ("als", "features", "mixture"):
        record |= {f"{name}: {way}": found for way, found in _ways(name).items()}
    return record


def _over_features(name: str) -> sl.Recommender:
    """A recommender whose candidates have columns to filter by."""
    rich = _halves().train
    if name == "features":
        model = _models()[name]
    else:
        model = _ids_model()
        spelling.als(model, rich, epochs=3, seed=5)
        if name == "mixture":
            model = sl.Mixture.of(model, sl.Cooccurrence().fit(rich), rich, share=0.4)
    return sl.Recommender(model, index=sl.BruteForce(), seen=rich)


KNOWN = ["q00", "q07", "q31"]
NEW = {
    "what": ["c41", "c03"],
    "title": ["red thing 41", "blue thing 3"],
    "genre": ["b", "a"],
    "tags": [["new"], ["old", "new"]],
    "price": [3.5, 90.0],
    "stock": [4, 0],
}


def _ways(name: str) -> dict[str, Any]:
    """One recommender asked in every way, changed, saved and read again."""
    recommender = _over_features(name)
    record: dict[str, Any] = {
        "plain": _lists(recommender.recommend(KNOWN, k=5)),
        "seen too": _lists(recommender.recommend(KNOWN, k=5, exclude_seen=False)),
        "where": _lists(recommender.recommend(KNOWN, k=5, where="genre = 'b' and price < 12")),
        "excluded": _lists(recommender.recommend(KNOWN, k=5, exclude=[["c01"], [], ["c02", "c03"]])),
        "allowed": _lists(recommender.recommend(KNOWN, k=5, allow=["c00", "c05", "c10", "c15"])),
        "denied": _lists(recommender.recommend(KNOWN, k=5, deny=["c00", "c04", "c07"])),
        "all there are": _lists(recommender.recommend(["q05"], k=40)),
        "similar": _lists(recommender.similar(["c03", "c10"], k=5)),
        "similar where": _lists(recommender.similar(["c03"], k=5, where="stock > 2")),
    }
    if name != "features":
        chosen = [["c00", "c04"], ["c01", "c05", "c09"]]
        record["by history"] = _lists(spelling.recommend_by_history(recommender, chosen, k=5))
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(Path(folder) / "before")
        again = sl.Recommender.load(Path(folder) / "before")
        record["read again"] = _lists(again.recommend(KNOWN, k=5))
        record["read again, where"] = _lists(again.recommend(KNOWN, k=5, where="genre = 'b' and price < 12"))
        if name == "features":
            again = recommender
            again.upsert(pl.DataFrame(NEW))
            record["upserted"] = _lists(again.recommend(KNOWN, k=40))
            record["upserted, similar"] = _lists(again.similar(["c03", "c41"], k=5))
        again.delete(["c24", "c11", "c06"])
        record["deleted"] = _lists(again.recommend(KNOWN, k=5))
        again.save(Path(folder) / "after")
        record["changed and read again"] = _lists(sl.Recommender.load(Path(folder) / "after").recommend(KNOWN, k=5))
    return record


def figures() -> dict[str, Any]:
    """What evaluate, compare, audit, diagnose and the report measure."""
    record: dict[str, Any] = {}
    found = {}
    for name, model in _models().items():
        found[name] = sl.evaluate(model, _held_out(name), seen=_seen(name), ks=(1, 5, 10), metrics=METRICS)
        record[name] = found[name].to_dict()
    halves = _halves()
    wide = sl.evaluate(
        _models()["features"],
        halves.test,
        seen=halves.train,
        ks=(5,),
        baselines=("popularity", "cooccurrence", "ease"),
        segments=("candidate_popularity", "genre"),
        intervals=True,
        weighted=True,
    )
    record["wide"] = wide.to_dict()
    one = sl.compare(found["als"], found["tutorial"], "top_5", resamples=500)
    record["compared"] = {"first": one.first, "second": one.second, "interval": list(one.interval), "p": one.p_value}
    record["audited"] = [finding.name for finding in sl.audit(halves.train, halves.test)]
    record["diagnosed"] = [finding.name for finding in sl.diagnose(_models()["features"], halves.test)]
    record["report of features"] = spelling.measured(_models()["features"], halves.test, halves.train)
    plain = _plain_halves()
    record["report of als"] = spelling.measured(_models()["als"], plain.test, plain.train)
    return _lasting(record)


METRICS = ("top", "recall", "ndcg", "mrr", "coverage")


def choice() -> dict[str, Any]:
    """What ``choose`` takes on two small tables, and every contender's figure."""
    record = {}
    for name, data in (("pairs", tables.plain(600)), ("times", tables.whole(600))):
        found = sl.choose(data, budget=3600.0, seed=7)
        record[name] = {
            "chosen": found.chosen.name,
            "split": found.split,
            "tried": {one.name: _lasting(one.to_dict()) for one in found.tried},
            "lists": _lists(sl.Recommender(found.model, seen=data).recommend(KNOWN, k=5)),
        }
    return record


class _Served:
    """``shortlist serve`` in a process of its own."""

    def __init__(self, bundle: Path, state: Path) -> None:
        command = [sys.executable, "-m", "shortlist", "serve", *spelling.serve_arguments(bundle, state)]
        environment = {**os.environ, "SHORTLIST_WRITE_KEYS": WRITE_KEY}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)

    def wait(self) -> None:
        """Until it says where it listens."""
        assert self._process.stderr is not None
        lines = []
        for line in self._process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self._port = int(found[1])
                threading.Thread(target=self._process.stderr.read, daemon=True).start()
                return
        raise AssertionError("".join(lines))

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {WRITE_KEY}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return self._of(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            return self._of(error.code, error.headers, error.read())

    def _of(self, status: int, headers: Any, content: bytes) -> dict[str, Any]:
        kind = headers["content-type"]
        if kind == "application/problem+json":
            problem = json.loads(content)
            return {"status": status, "kind": kind, "field": problem.get("field"), "keys": sorted(problem)}
        if kind.partition(";")[0].endswith("json"):
            return {"status": status, "kind": kind, "body": _lasting(json.loads(content))}
        names = sorted(set(re.findall(r"^# TYPE (\S+ \S+)$", content.decode(), re.MULTILINE)))
        return {"status": status, "kind": kind, "names": names}

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(120)


def replies() -> dict[str, Any]:
    """What the server answers on every route that it says it has."""
    record: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bundle in ("als", "features"):
            recommender = _over_features(bundle)
            if bundle == "features":
                recommender.export()
            recommender.save(folder / bundle)
        running = {one: _Served(folder / one, folder / f"{one}-state") for one in ("als", "features")}
        try:
            for served in running.values():
                served.wait()
            for bundle, served in running.items():
                record[bundle] = {
                    " ".join([method, path, *([json.dumps(body)] if body is not None else [])]): served.ask(
                        method, path, body
                    )
                    for method, path, body in _requests(bundle)
                }
                described = record[bundle]["GET /openapi.json"]["body"]["paths"]
                asked = {
                    (method, path.partition("?")[0].replace(f"/v1/models/{bundle}", "/v1/models/{model}"))
                    for method, path, _ in _requests(bundle)
                }
                every = {(method.upper(), path) for path, methods in described.items() for method in methods}
                assert every <= asked, every - asked
        finally:
            for served in running.values():
                served.stop()
    return record


def _requests(bundle: str) -> list[tuple[str, str, Any]]:
    who = [{"id": "q00"}, {"id": "q07"}]
    row = {"what": "c41", "title": "red thing 41", "genre": "b", "tags": ["new"], "price": 3.5, "stock": 4}
    return [
        ("GET", "/openapi.json", None),
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("GET", "/metrics", None),
        ("GET", "/v1/card", None),
        ("GET", "/v1/queries?text=q0&limit=4", None),
        ("GET", "/v1/candidates?text=blue&limit=4", None),
        ("GET", "/v1/history?query=q00", None),
        ("GET", "/v1/map?column=genre", None),
        ("GET", "/v1/map", None),
        ("GET", "/v1/history", None),
        ("GET", "/v1/nothing", None),
        ("GET", f"/v1/models/{bundle}", None),
        ("GET", f"/v1/models/{bundle}/metadata", None),
        ("POST", f"/v1/models/{bundle}:predict", {"instances": ["q00", "q07"]}),
        ("POST", f"/v1/models/{bundle}:predict", {"inputs": {"who": ["q00"]}}),
        ("POST", "/v1/recommend", {"queries": who, "k": 5}),
        ("POST", "/v1/recommend", {"queries": who, "k": 5, "exclude_seen": False, "columns": ["title", "price"]}),
        ("POST", "/v1/recommend", {"queries": who, "k": 5, "where": "genre = 'b' and price < 12"}),
        ("POST", "/v1/recommend", {"queries": who, "k": 5, "allow": ["c00", "c05"], "exact": True}),
        ("POST", "/v1/recommend", {"queries": who, "k": 5, "deny": ["c00", "c05"]}),
        ("POST", "/v1/recommend", {"queries": [{"id": "q00", "exclude": ["c01"]}], "k": 5}),
        ("POST", "/v1/recommend", {"queries": [{"id": None, "history": ["c00", "c04"]}], "k": 5}),
        ("POST", "/v1/recommend", {"queries": [{"id": "q00", "features": {"land": "west"}}], "k": 5}),
        ("POST", "/v1/recommend", {"queries": [{"id": "stranger"}], "k": 5}),
        ("POST", "/v1/recommend", {"queries": [], "k": 5}),
        ("POST", "/v1/recommend", {"queries": who, "k": 0}),
        ("POST", "/v1/recommend", {"queries": who, "where": "sum(price) > 3"}),
        ("POST", "/v1/similar", {"candidates": ["c03", "c10"], "k": 5, "columns": ["genre"]}),
        ("POST", "/v1/similar", {"candidates": ["c03"], "k": 5, "where": "stock > 2"}),
        ("POST", "/v1/similar", {"candidates": ["nothing"]}),
        ("POST", "/v1/score", {"queries": who, "candidates": ["c00", "c10", "nothing"]}),
        ("POST", "/v1/embed", {"queries": who}),
        ("POST", "/v1/embed", {"candidates": ["c00", "nothing"]}),
        ("POST", "/v1/events", {"events": [{"query": "q00", "candidate": "c08"}]}),
        ("POST", "/v1/events", {"events": [{"query": "q00", "candidate": 3}]}),
        ("POST", "/v1/impressions", {"impressions": [{"query": "q00", "items": [{"candidate": "c01"}]}]}),
        ("POST", "/v1/candidates", {"delete": ["c12"]}),
        ("POST", "/v1/candidates", {"upsert": [row]}),
        ("POST", "/v1/candidates", {"delete": ["nothing"]}),
        # and after those changes
        ("GET", "/v1/candidates?text=red&limit=100", None),
        ("GET", "/v1/history?query=q00&limit=1", None),
        ("GET", "/v1/candidates?text=thing&limit=100", None),
        ("POST", "/v1/similar", {"candidates": ["c41"], "k": 5}),
        ("POST", "/v1/recommend", {"queries": who, "k": 6}),
        ("POST", "/v1/recommend", {"queries": [{"id": "q00"}, {"id": "q31"}], "k": 40}),
    ]


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "losses": losses,
    "lists": lists,
    "figures": figures,
    "choice": choice,
    "replies": replies,
}

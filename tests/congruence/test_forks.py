"""A process forked from one that has used shortlist answers or refuses in words; it never hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

PROGRAM = """
import json, os, sys, warnings
import numpy as np
import shortlist as sl
warnings.simplefilter("ignore")
before = os.fork()
if before == 0:  # forked before the first use: everything works
    os.setsid()
table = {"u": [f"u{n % 40}" for n in range(400)], "i": [f"i{n * 7 % 90}" for n in range(400)]}
data = sl.Dataset(table, "u", "i")
model = sl.popularity(data)
recommender = sl.Recommender(model, index=sl.BruteForce(), seen=data)
first = recommender.recommend(["u1"], k=2)[0].ids
if before == 0:
    os._exit(0)
assert os.waitpid(before, 0)[1] == 0
recommender.save(sys.argv[1])
calls = {
    "recommend": lambda: recommender.recommend(["u1"], k=2)[0].ids == first,
    "recommend(columns)": lambda: recommender.recommend({"u": ["u1"]}),
    "recommend(where)": lambda: recommender.recommend(["u1"], where="i like 'i1%'"),
    "Dataset": lambda: sl.Dataset(table, "u", "i"),
    "load": lambda: sl.Recommender.load(sys.argv[1]),
    "als": lambda: sl.als(model, data, epochs=1),
    "fit": lambda: sl.fit(model, data, epochs=1),
    "evaluate": lambda: sl.evaluate(model, data),
    "Recommender": lambda: sl.Recommender(model),
    "Shards": lambda: sl.Shards.load(sys.argv[1]),
}
reading, writing = os.pipe()
if os.fork() == 0:
    said = {}
    for name, call in calls.items():
        try:
            said[name] = call()
        except sl.ConfigError as refused:
            said[name] = str(refused)
    os.write(writing, json.dumps(said).encode())
    os._exit(0)
os.close(writing)
print(os.fdopen(reading).read())
"""


def said_by(program: str, folder: Path, seconds: int) -> dict[str, Any]:
    """What a program prints as JSON that is told where to keep a bundle."""
    asked = [sys.executable, "-c", program, str(folder / "b.shortlist")]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_forked_process_answers_or_refuses_in_words(tmp_path: Path) -> None:
    said = said_by(PROGRAM, tmp_path, seconds=300)
    assert len(said) == 10
    assert said.pop("recommend") is True
    for name, words in said.items():
        assert "this process was forked" in str(words), (name, words)
        assert "hint: start processes with multiprocessing.get_context('spawn')" in words


ENTERS_TORCH = """
import copy, json, os, pickle, signal, sys, warnings
import torch
import shortlist as sl
from shortlist import loss
warnings.simplefilter("ignore")
torch.set_num_threads(2)
table = {"u": [f"u{n % 1200}" for n in range(6000)], "i": [f"i{n * 7 % 1300}" for n in range(6000)]}
data = sl.Dataset(table, "u", "i")
model = sl.TwoTower(sl.Tower(sl.StringLookup("u"), dim=64), sl.Tower(sl.StringLookup("i"), dim=64))
model.prepare(data)
recommender = sl.Recommender(model, index=sl.BruteForce(), seen=data)
query, candidate = (torch.randn(2000, 64, requires_grad=True) for _ in range(2))
pairs = (query, candidate, torch.arange(2000), torch.arange(2000))
columns = loss.Columns(torch.ones(2000))
heads = torch.randn(2000, 2, 64, requires_grad=True)
total, pairwise = loss.in_batch_softmax(*pairs), sl.Retrieval(loss=sl.BPR())(*pairs)
rows = torch.randn(20000, 64)
SLOTS = {one: one.slots(rows) for one in (sl.Adagrad(), sl.RowwiseAdagrad(), sl.Adam(), sl.AdamW(), sl.SGD())}
calls = {
    "in_batch_softmax": lambda: loss.in_batch_softmax(*pairs),
    "Retrieval": lambda: sl.Retrieval()(*pairs),
    "BPR": lambda: sl.Retrieval(loss=sl.BPR())(*pairs),
    "BSL": lambda: sl.Retrieval(loss=sl.BSL())(*pairs),
    "CCL": lambda: sl.Retrieval(loss=sl.CCL())(*pairs),
    "softmax_over": lambda: loss.softmax_over(*pairs, columns, loss.SoftmaxOptions()),
    "best_head_softmax": lambda: loss.best_head_softmax(heads, *pairs[1:], columns, loss.SoftmaxOptions()),
    "backward": total.backward,
    "backward of BPR": pairwise.backward,
    "query_vectors": lambda: model.query_vectors(data.queries),
    "candidate_vectors": lambda: model.candidate_vectors(data.candidates),
    "embed_candidates": lambda: recommender.embed_candidates(data.candidates),
    "save": lambda: recommender.save(sys.argv[1]),
    "export": recommender.export,
    "popularity": lambda: sl.popularity(data),
    "als": lambda: sl.als(model, data, epochs=1),
    "fit": lambda: sl.fit(model, data, epochs=1),
    "evaluate": lambda: sl.evaluate(model, data),
    "diagnose": lambda: sl.diagnose(model, data),
    "EASE": lambda: sl.EASE().fit(data),
    "tune": lambda: sl.tune(recommender, backends=["exact"]),
    **{
        f"{way.__name__} of a {type(one).__name__}": lambda way=way, one=one: way(one)
        for way in (copy.copy, copy.deepcopy, pickle.dumps)
        for one in (recommender, model, model.query)
    },
    **{type(one).__name__: lambda one=one: one.update(rows, rows, SLOTS[one]) for one in SLOTS},
}
said = {}
for name, call in calls.items():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends it, wherever it waits
        try:
            call()
            words = "done"
        except sl.ConfigError as refused:
            words = str(refused)
        os.write(writing, words.encode())
        os._exit(0)
    os.close(writing)
    said[name] = os.fdopen(reading).read()
    os.waitpid(child, 0)
print(json.dumps(said))
"""


def test_whatever_would_enter_the_threads_of_torch_refuses_in_words(tmp_path: Path) -> None:
    """Each in a process of its own, with enough numbers that torch shares them among threads."""
    said = said_by(ENTERS_TORCH, tmp_path, seconds=1800)
    assert len(said) == 35
    hung = [name for name, words in said.items() if "this process was forked" not in words]
    assert not hung, {name: said[name] for name in hung}

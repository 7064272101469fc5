"""A process forked from one that has used shortlist answers or refuses in words; it never hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_a_forked_process_answers_or_refuses_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "b.shortlist")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said) == 10
    assert said.pop("recommend") is True
    for name, words in said.items():
        assert "this process was forked" in str(words), (name, words)
        assert "hint: start processes with multiprocessing.get_context('spawn')" in words

"""Clients that are made from /openapi.json, in Python and in TypeScript, call every route of a server.

`make clients` installs what makes them next to the tests' own packages; without that, these tests skip.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.running import Running

CALLS = Path(__file__).parent / "clients"
PYTHON, NODE = Path(sys.prefix) / "clients", Path(sys.prefix) / "node" / "node_modules"
KEY = "w" * 20


@pytest.fixture
def writable_server(bundles: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(bundles / "one", "--no-log", "--state", tmp_path / "state", SHORTLIST_WRITE_KEYS=KEY)
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{running.url}/openapi.json", timeout=120).content)
    yield running
    running.process.kill()
    running.process.wait()


def run(*command: object, at: Path) -> str:
    """What a command prints."""
    done = subprocess.run([str(one) for one in command], cwd=at, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def names(folder: Path) -> dict[str, str]:
    """By route, the name of its reply."""
    document = json.loads((folder / "openapi.json").read_text())
    return {
        one["operationId"]: one["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for methods in document["paths"].values()
        for one in methods.values()
    }


def check(replies: dict[str, Any]) -> None:
    """Replies by route, of the bundle ``one``, whose figures are known."""
    (found,) = replies["recommend"]["results"]
    assert [(item["id"], item["score"]) for item in found["items"]] == [("a", 4.0), ("c", 1.0)]
    assert found["items"][0]["columns"] == {"kind": "x", "stock": 3}
    assert replies["score"]["results"][0]["scores"] == [4.0, None]
    assert replies["predict"]["predictions"][0]["output_2"][0] == "a"
    assert [one["id"] for one in replies["find_candidates"]["items"]] == ["a"]
    assert (replies["change_candidates"]["upserted"], replies["change_candidates"]["deleted"]) == (1, 1)
    assert replies["record_events"]["recorded"] == replies["record_impressions"]["recorded"] == 1


@pytest.mark.skipif(not PYTHON.is_dir(), reason="openapi-python-client is not installed; `make clients` does it")
def test_a_client_in_python_calls_every_route(writable_server: Running, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    options = ["--path", "openapi.json", "--meta", "none", "--output-path", "made", "--config", "config.yml"]
    said = run(PYTHON / "bin" / "openapi-python-client", "generate", *options, at=tmp_path)
    assert "warning" not in said.lower()
    found = json.loads(
        run(PYTHON / "bin" / "python", CALLS / "calls.py", tmp_path, writable_server.url, KEY, at=tmp_path)
    )
    assert {name.rstrip("_"): (status, kind) for name, (status, kind, _) in found.items()} == {
        name: (200, kind) for name, kind in names(tmp_path).items()
    }
    check({name.rstrip("_"): reply for name, (_, _, reply) in found.items()})


@pytest.mark.skipif(not NODE.is_dir(), reason="openapi-typescript is not installed; `make clients` does it")
def test_a_client_in_typescript_calls_every_route(writable_server: Running, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "calls.ts").write_bytes((CALLS / "calls.ts").read_bytes())
    run(NODE / ".bin" / "openapi-typescript", "openapi.json", "-o", "schema.d.ts", at=tmp_path)
    _, _, typed = (tmp_path / "schema.d.ts").read_text().partition("export interface components {")
    assert "Record<string, never>" not in typed.partition("export type $defs")[0]
    options = ["--strict", "--noUncheckedIndexedAccess", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    run(NODE / ".bin" / "tsc", *options, "calls.ts", at=tmp_path)
    found = json.loads(run("node", "calls.js", writable_server.url, KEY, at=tmp_path))
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(names(tmp_path), 200)
    check({name: reply for name, (_, reply) in found.items()})

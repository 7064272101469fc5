"""Paths and methods, and what is open to all."""

from __future__ import annotations

from typing import Any


def test_paths_and_methods(client: Any) -> None:
    assert client.get("/nowhere").status_code == 404
    reply = client.get("/v1/recommend")
    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"
    assert client.ask("DELETE", "/healthz").status_code == 405
    assert client.ask("HEAD", "/healthz").status_code == 200
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "bundle": client.app.service.loaded.bundle}
    client.app.service.ready = False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200

"""Changing candidates over HTTP, and what is recommended after it."""

from __future__ import annotations

from typing import Any

__all__ = ["KEY", "WRITE", "change", "ids"]

WRITE = "w" * 20
KEY = {"x-api-key": WRITE}


def ids(client: Any, query: str = "bob", **options: Any) -> list[str]:
    body = {"queries": [{"id": query}], "exclude_seen": False, **options}
    return [item["id"] for item in client.post("/v1/recommend", body).json()["results"][0]["items"]]


def change(client: Any, **body: Any) -> Any:
    return client.post("/v1/candidates", body, headers=KEY)

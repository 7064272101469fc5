"""Calls every route by the client that openapi-python-client made: `python calls.py FOLDER URL KEY`.

Prints, by route, its status, the class of what was read from the reply, and that as JSON.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from typing import Any

FOLDER, URL, KEY = sys.argv[1:]
ANN = {"queries": [{"id": "ann"}]}
CALLS: dict[str, dict[str, Any]] = {
    "alive": {},
    "ready": {},
    "card": {},
    "recommend": {"body": {**ANN, "k": 2, "exclude_seen": False, "columns": ["kind", "stock"], "where": "stock > 0"}},
    "similar": {"body": {"candidates": ["a"], "k": 1}},
    "score": {"body": {**ANN, "candidates": ["a", "nobody"]}},
    "embed": {"body": ANN},
    "predict": {"model": "one", "body": {"instances": [{"input_1": "ann"}]}},
    "model_status": {"model": "one"},
    "model_metadata": {"model": "one"},
    "find_queries": {"text": "a"},
    "find_candidates": {"text": "alp", "limit": 5},
    "history": {"query": "ann"},
    "map_": {},
    "change_candidates": {"body": {"upsert": [{"what": "e", "stock": 1}], "delete": ["d"]}},
    "record_events": {"body": {"events": [{"query": "ann", "candidate": "c"}]}},
    "record_impressions": {"body": {"impressions": [{"query": "ann", "items": [{"candidate": "a"}]}]}},
}

sys.path.insert(0, FOLDER)
made = importlib.import_module("made")
routes = importlib.import_module("made.api.default")
client = made.AuthenticatedClient(base_url=URL, token=KEY, raise_on_unexpected_status=True)
found = {}
assert {one.name for one in pkgutil.iter_modules(routes.__path__)} == set(CALLS)
for name, arguments in CALLS.items():
    call = importlib.import_module(f"made.api.default.{name}").sync_detailed
    if "body" in arguments:
        arguments["body"] = inspect.signature(call).parameters["body"].annotation.from_dict(arguments["body"])
    reply = call(client=client, **arguments)
    found[name] = [int(reply.status_code), type(reply.parsed).__name__, reply.parsed.to_dict()]
sys.stdout.write(json.dumps(found))

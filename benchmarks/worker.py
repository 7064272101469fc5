"""One side of a benchmark in a process of its own: `python -m benchmarks.worker MODULE FUNCTION`.

Runs in any side's environment, so it needs the standard library and nothing else. The conversation is one JSON
object a line:

1. in:  `{"data": FOLDER, "parameters": {...}}`
2. out: `{"ready": {"versions": ..., "threads": ..., "setup_seconds": ...}}` once the side has loaded its data and
   warmed up (`FUNCTION(folder, parameters)` returns the function that a run calls)
3. in:  `run`, out: `{"measures": {...}, "peak_rss_bytes": ...}`, again and again until the input ends

Whatever a library prints goes to stderr, so that it cannot break a line of the conversation.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    module_name, function_name = sys.argv[1:]
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    request = json.loads(sys.stdin.readline())
    started = time.perf_counter()
    side = importlib.import_module(module_name)
    if not hasattr(side, function_name):
        sys.exit(f"{module_name} has no side `{function_name}` yet")
    run = getattr(side, function_name)(Path(request["data"]), request["parameters"])
    _reply(replies, {"ready": {**side.describe(), "setup_seconds": time.perf_counter() - started}})

    for _ in sys.stdin:
        measures = run()
        _reply(replies, {"measures": measures, "peak_rss_bytes": peak_rss_bytes()})


def peak_rss_bytes() -> int:
    """Returns the most memory this process ever held. (ru_maxrss would include the parent's, through exec.)"""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _reply(replies, message: dict) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()

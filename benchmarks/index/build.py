"""`python -m benchmarks.index.build FOLDER SETTINGS`: builds and saves ScaNN, and writes `build.json` beside it."""

import json
import sys
from pathlib import Path

from benchmarks.index.ours import build

if __name__ == "__main__":
    place = Path(sys.argv[1])
    built = build(place, json.loads(sys.argv[2]))
    (place / "build.json").write_text(json.dumps(built, indent=1) + "\n")
    print(json.dumps(built))

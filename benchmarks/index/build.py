"""`python -m benchmarks.index.build FOLDER SETTINGS`: builds and saves ScaNN, and writes `build.json` beside it.

`python -m benchmarks.index.build FOLDER tune K`: tunes its settings at search, and writes `tuned.json`.
"""

import json
import sys
from pathlib import Path

from benchmarks.index.ours import build, tune

if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2] == "tune":
        name, made = "tuned", tune(place, int(sys.argv[3]))
    else:
        name, made = "build", build(place, json.loads(sys.argv[2]))
    (place / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps({key: value for key, value in made.items() if key != "curve"}))

"""`python -m benchmarks.index.build FOLDER SETTINGS`: builds and saves an index, and writes `build.json` next to it.

`python -m benchmarks.index.build FOLDER tune K RECALL QUERIES`: tunes its settings at search, and writes `tuned.json`.
"""

import json
import sys
from pathlib import Path

from benchmarks.index.ours import build, tune, tuned_file
from shortlist.index import index_from_settings

if __name__ == "__main__":
    place = Path(sys.argv[1])
    if sys.argv[2] == "tune":
        k, recall, which = sys.argv[3:]
        path, made = tuned_file(place, which), tune(place, int(k), float(recall), which)
    else:
        path, made = place / "build.json", build(place, index_from_settings(json.loads(sys.argv[2])))
    path.write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps({key: value for key, value in made.items() if key != "curve"}))

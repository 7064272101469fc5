"""`python -m benchmarks.peers.index FOLDER NAME`: builds and keeps one recipe of a peer."""

import sys
from pathlib import Path

from benchmarks.peers.index.sides import build

if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2])

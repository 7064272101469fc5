"""The peers' environments: one each, never the project's, made on demand in `benchmarks/.peers/`.

An environment is stamped with the hash of its requirements; other requirements mean a new environment.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE / ".peers"
FAILED: dict[str, str] = {}  # why a peer's environment could not be made, so that a run over many benchmarks tries once


class MissingPeerError(Exception):
    """Why a peer cannot be run."""


def peers() -> list[str]:
    """Returns every peer that has an environment, those of the index too."""
    return sorted(path.parent.name for path in HERE.glob("peers/*/requirements.txt"))


def peer_python(peer: str, install: bool) -> Path:
    """Returns the interpreter of a peer's environment, made now if `install`; raises MissingPeerError with the reason."""
    requirements = HERE / "peers" / peer / "requirements.txt"
    folder = ROOT / peer
    python = folder / "bin" / "python"
    stamp = folder / "stamp"
    wanted = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if not install:
        raise MissingPeerError("its environment is not installed: python -m benchmarks install")
    if peer in FAILED:
        raise MissingPeerError(FAILED[peer])

    print(f"installing {peer} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        _call(sys.executable, "-m", "venv", str(folder))
        _call(*pip, "--requirement", str(requirements))
    except MissingPeerError as reason:
        FAILED[peer] = str(reason)
        raise
    stamp.write_text(wanted)
    return python


def _call(*command: str) -> None:
    """Runs a command to its end; raises MissingPeerError with the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise MissingPeerError(f"cannot be installed: {' '.join(errors[-3:])[:400]}")

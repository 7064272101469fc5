"""Builds wheel and sdist, and installs each into bare environments of every Python that this machine has: `make packages`.

In each: the version, the front page, what doctor says, a bundle's recommendations without torch, and that what an extra
brings fails with the line to type. Then the wheel with its extra ``serve`` goes into a bare folder (pip install --target), and
two workers answer from there, read-only. Archives that passed are left in ``dist/``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
BUNDLE = """
import shortlist as sl
log = {"user": [f"u{n % 40}" for n in range(400)], "item": [n * 7 % 30 for n in range(400)]}
model, _ = sl.recipes.load("factorization", ["fit.batch_size=64"]).train(sl.Dataset(log, "user", "item"), epochs=1)
sl.Recommender(model, index=sl.BruteForce()).save("my.shortlist")
"""


def run(*command: object, cwd: Path, expect: int = 0) -> str:
    """What a command printed; stops everything where it ends otherwise than it should."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != expect or "Traceback" in done.stderr:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def pythons() -> dict[str, Path]:
    """The supported Pythons that can be found, by version."""
    found: dict[str, Path] = {}
    kept = sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    for candidate in [*(shutil.which(f"python{version}") for version in SUPPORTED), *kept]:
        if candidate is None:
            continue
        command = [str(candidate), "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.strip() in SUPPORTED:
            found.setdefault(said.stdout.strip(), Path(candidate))
    return found


def build(into: Path) -> list[Path]:
    """The wheel and the sdist."""
    tools = into / "tools"
    venv.create(tools, with_pip=True)
    run(tools / "bin/python", "-m", "pip", "install", "-q", "hatchling", cwd=into)
    run(tools / "bin/python", "-m", "hatchling", "build", "-d", into / "dist", cwd=ROOT)
    return sorted((into / "dist").iterdir())


def check(python: Path, archive: Path, folder: Path) -> None:
    """Installs one archive into a bare environment and uses it."""
    place = folder / "environment"
    run(python, "-m", "venv", "--clear", place, cwd=folder)
    run(place / "bin/python", "-m", "pip", "install", "-q", archive, cwd=folder)
    shortlist = place / "bin/shortlist"
    version = run(shortlist, "--version", cwd=folder)
    assert run(shortlist, cwd=folder).startswith("shortlist turns")
    assert 'pip install "shortlist[train]"' in run(shortlist, "doctor", cwd=folder)
    assert "u7" in run(shortlist, "recommend", "my.shortlist", "u7", "--k", "3", cwd=folder)
    for words, extra in ((("train", "a.csv", "--query", "a", "--candidate", "b", "--out", "o"), "train"), (("demo",), "train"), (("serve", "my.shortlist"), "serve")):  # fmt: skip
        assert f'pip install "shortlist[{extra}]"' in run(shortlist, *words, cwd=folder, expect=1)
    code = "import importlib.metadata as m; print(m.metadata('shortlist').get_payload())"
    shown = run(place / "bin/python", "-c", code, cwd=folder)
    assert "# shortlist" in shown
    assert re.findall(r"\]\((?!http|#).*?\)|<img", shown) == []  # nothing that an index of packages cannot show
    code = "import shortlist, pathlib; print((pathlib.Path(shortlist.__file__).parent / 'py.typed').is_file())"
    assert run(place / "bin/python", "-c", code, cwd=folder).strip() == "True"
    print(f"{python} · {archive.name}: {version.strip()}")


SERVE = """
import os, sys
sys.path.insert(0, sys.argv[1])
sys.argv = ["shortlist", "serve", *sys.argv[2:]]
os.chdir("/")
from shortlist.cli.main import main
main()
"""


def serve(python: Path, wheel: Path, folder: Path) -> None:
    """Installs the wheel into a bare folder and asks a server that runs from there."""
    site = folder / "site"
    run(python, "-m", "pip", "install", "-q", "--target", site, f"{wheel}[serve]", cwd=folder)
    for path in [site, *site.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [python, "-I", "-c", SERVE, site, folder / "my.shortlist", "--port", "0", "--workers", "2"]
    server = subprocess.Popen(
        [str(word) for word in command],
        stderr=subprocess.PIPE,
        text=True,
        env={"HOME": "/nonexistent", "TMPDIR": "/nonexistent"},
    )
    assert server.stderr is not None
    try:
        found = next((re.search(r"http://[^/]+/", line) for line in server.stderr if "http://" in line), None)
        assert found, "the server did not start"
        with urllib.request.urlopen(f"{found[0]}readyz", timeout=60) as reply:
            print(f"{python} · {wheel.name}[serve] in a bare folder: {reply.read().decode()}")
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()
        for path in [site, *site.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(sys.executable, "-c", BUNDLE, cwd=folder)
        archives = build(folder)
        found = pythons()
        for python in found.values():
            for archive in archives:
                check(python, archive, folder)
        serve(Path(sys.executable), next(one for one in archives if one.suffix == ".whl"), folder)
        (ROOT / "dist").mkdir(exist_ok=True)
        for archive in archives:
            shutil.copy(archive, ROOT / "dist")
            print(f"dist/{archive.name}: {archive.stat().st_size / 1e6:.1f} MB")
        print("not found here: " + (", ".join(sorted(set(SUPPORTED) - set(found))) or "none"))


if __name__ == "__main__":
    main()

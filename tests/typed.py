"""README's code and the examples under ``mypy --strict``, as a user's type checker reads them; with the package, in one run.

``python -m tests.typed`` is part of ``make check``; its cache makes it as fast as the package alone. Pyright reads them too, where
``make clients`` has brought it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MISSPELT = "import shortlist as sl\n\nsl.Nope  # type: ignore[attr-defined]\n"
"""Were the name accepted, the comment would be unused, which --strict reports."""


PYRIGHT = Path(sys.prefix) / "node" / "node_modules" / ".bin" / "pyright"
MISSPELT_FOR_PYRIGHT = "import shortlist as sl\n\nsl.Nope  # pyright: ignore[reportAttributeAccessIssue]\n"


def main() -> int:
    """Exit status: 0 where mypy and pyright find nothing."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    programs = {f"readme_{number}.py": code for number, code in enumerate(blocks)}
    return _mypy(programs) or _pyright(programs)


def _mypy(programs: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        outside = _written({**programs, "misspelt.py": MISSPELT}, Path(folder))
        paths = map(str, [*outside, *sorted((ROOT / "examples").glob("*.py"))])
        return subprocess.run([sys.executable, "-m", "mypy", "src", *paths], cwd=ROOT, check=False).returncode


def _pyright(programs: dict[str, str]) -> int:
    if not PYRIGHT.is_file():
        print("no pyright here (make clients): mypy alone has read the programs", file=sys.stderr)
        return 0
    examples = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    with tempfile.TemporaryDirectory() as folder:
        _written({**programs, **examples, "misspelt.py": MISSPELT_FOR_PYRIGHT}, Path(folder))
        settings = {"extraPaths": [str(ROOT / "src"), str(ROOT)], "reportUnnecessaryTypeIgnoreComment": "error"}
        (Path(folder) / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
        return subprocess.run([str(PYRIGHT), "-p", folder, "--pythonpath", sys.executable], check=False).returncode


def _written(programs: dict[str, str], folder: Path) -> list[Path]:
    """The files of some programs, written."""
    for name, text in programs.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in sorted(programs)]


if __name__ == "__main__":
    sys.exit(main())

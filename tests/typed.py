"""README's code and the examples under ``mypy --strict``, as a user's type checker reads them; with the package, in one run.

``python -m tests.typed`` is part of ``make check``; its cache makes it as fast as the package alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MISSPELT = "import shortlist as sl\n\nsl.Nope  # type: ignore[attr-defined]\n"
"""Were the name accepted, the comment would be unused, which --strict reports."""


def main() -> int:
    """Exit status of mypy."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    programs = {**{f"readme_{number}.py": code for number, code in enumerate(blocks)}, "misspelt.py": MISSPELT}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in programs.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        outside = sorted([*Path(folder).glob("*.py"), *(ROOT / "examples").glob("*.py")])
        return subprocess.run(
            [sys.executable, "-m", "mypy", "src", *map(str, outside)], cwd=ROOT, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())

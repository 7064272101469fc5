"""The licences of what an installation brings, read from the packages themselves.

Run as a program it writes ``docs/licences.md`` and ``docs/ko/licences.md``; what is not installed is fetched, to look into it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = {code: Path(__file__).parent / name for code, name in (("en", "licences.md"), ("ko", "ko/licences.md"))}
ALWAYS = {"en": "always", "ko": "언제나"}
WORDS = {
    "en": """# Licences

`shortlist` is under Apache-2.0. The packages that are installed with it have their own licences, as the packages
themselves name them:

| package | licence | brought by |
|---|---|---|
{rows}

The package contains Vega, Vega-Lite and Vega-Embed (BSD-3-Clause), for the report's charts; their licences are
next to them and in the wheel. MovieLens has its own terms (research use), is fetched on request and is never part
of a release.
""",
    "ko": """# 라이선스

`shortlist`의 라이선스는 Apache-2.0입니다. 함께 설치되는 패키지에는 저마다의 라이선스가 있으며, 다음은 그 패키지들이 스스로 밝힌
것입니다.

| 패키지 | 라이선스 | 설치되는 때 |
|---|---|---|
{rows}

리포트의 차트에 쓰는 Vega, Vega-Lite, Vega-Embed(BSD-3-Clause)는 패키지 안에 들어 있고, 그 라이선스도 그 옆과 휠에 함께 있습니다.
MovieLens에는 자체 이용 조건(연구용)이 있습니다. 요청할 때 받아 오며, 배포판에는 절대 들어 있지 않습니다.
""",
}
WORKSHOP = {"dev", "bench"}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
TEXTS = {"Apache License": "Apache-2.0", "BSD 3-Clause License": "BSD-3-Clause", "MIT License": "MIT"}


def direct() -> dict[str, list[str]]:
    """Each package that the project asks for by name, and the extras that bring it (none: the base)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, list[str]] = {_name(one): [] for one in project["dependencies"]}
    for extra, wanted in project["optional-dependencies"].items():
        for one in wanted if extra not in WORKSHOP else ():
            if _name(one) != "shortlist":
                found.setdefault(_name(one), []).append(extra)
    return found


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def licence_of(package: str) -> str | None:
    """The licence that an installed package names, or None where it is not installed."""
    try:
        return _licence(metadata.metadata(package))  # type: ignore[arg-type]
    except metadata.PackageNotFoundError:
        return None


def _licence(facts: Message) -> str:
    """The SPDX expression; else the classifier; else the first line of the text."""
    expression = facts.get("License-Expression")
    if expression:
        return str(expression)
    kinds = [one.split(" :: ")[-1] for one in facts.get_all("Classifier", []) if one.startswith("License :: OSI")]
    if kinds and kinds[0] in CLASSIFIERS:
        return CLASSIFIERS[kinds[0]]
    first = str(facts.get("License", "not named")).strip().splitlines()[0]
    return next((short for text, short in TEXTS.items() if text in first), first)


def _fetched(package: str) -> str:
    """The licence of a package that is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        subprocess.run(command, check=True, capture_output=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as content:
            name = next(one for one in content.namelist() if one.endswith(".dist-info/METADATA"))
            return _licence(Parser().parsestr(content.read(name).decode("utf-8")))


def page(code: str = "en") -> str:
    """The page in a language."""
    rows = []
    for package, extras in sorted(direct().items()):
        needed = ", ".join(f"`{extra}`" for extra in extras) or ALWAYS[code]
        rows.append(f"| {package} | {licence_of(package) or _fetched(package)} | {needed} |")
    return WORDS[code].format(rows="\n".join(rows))


if __name__ == "__main__":
    for language, place in PAGES.items():
        place.write_text(page(language), encoding="utf-8")

"""The documentation of several versions side by side.

Run as a program, ``python docs/versions.py FOLDER`` takes the site that ``make docs`` built into ``FOLDER/VERSION``, next to the
versions that are there. A host serves FOLDER. ``versions.json`` is what the theme's choice of a version reads, in the form of mike.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import shortlist

SITE = Path(__file__).parents[1] / "site"
LATEST = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>shortlist</title>
<meta http-equiv="refresh" content="0; url={version}/"><a href="{version}/">shortlist {version}</a></html>
"""


def add(site: Path, folder: Path, version: str) -> None:
    """Put the site of one version among the others; a build of the same version is replaced.

    Raises:
        FileNotFoundError: where no site was built.
    """
    if not (site / "index.html").is_file():
        raise FileNotFoundError(f"{site} has no index.html; run `make docs` first")
    fresh, place = folder / f".{version}", folder / version
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(site, fresh)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    _list(folder)


def _list(folder: Path) -> None:
    versions = sorted((one.name for one in folder.iterdir() if _parts(one.name)), key=_parts, reverse=True)
    entries = [{"version": one, "title": one, "aliases": ["latest"] if one == versions[0] else []} for one in versions]
    _write(folder / "versions.json", json.dumps(entries, indent=2) + "\n")
    _write(folder / "index.html", LATEST.format(version=versions[0]))


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if re.fullmatch(r"\d+(\.\d+)+", version) else ()


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}")
    part.write_text(text, "utf-8")
    part.replace(path)


def main() -> None:
    """Exit 1 where no folder is named or no site was built."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/versions.py FOLDER")
    try:
        add(SITE, Path(sys.argv[1]), shortlist.__version__)
    except FileNotFoundError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

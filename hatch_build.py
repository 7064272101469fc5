"""Compiles the package's libraries of C where that is possible, and writes the front page that an index of packages shows.

``CC`` chooses the compiler. Without one the package is built without the libraries. One shared library for each room that has C and each instruction set of x86-64 that pays, on Linux. They are not Python modules, so one wheel fits every Python.
An editable installation has them next to their source, a wheel inside.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

FOLDERS = (Path("src/shortlist/loss/native"), Path("src/shortlist/index/native"))
INSTRUCTIONS = ("x86-64-v4", "x86-64-v3")
PICTURE = re.compile(r"<picture>.*?</picture>\n*", re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#|mailto:)([^)\s]+)\)")
SOURCE = re.compile(r"(?<=\s)(src|srcset)=\"(?!https?:|data:)([^\"]+)\"")
FLAGS = ("-O3", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno")


class KernelHook(BuildHookInterface):
    """Compiles before the files of a wheel are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Marks the wheel as one for this platform where something was compiled."""
        try:
            for old in self._libraries():
                old.unlink()
            compiled = self.target_name == "wheel" and self._compiled()
        except OSError as error:  # a tree that cannot be written keeps the libraries that it has; those of another version are not used
            self.app.display_warning(f"The libraries of C are not compiled: {error}")
            compiled = bool(self._libraries())
        if not compiled:
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def _libraries(self) -> list[Path]:
        return [path for folder in FOLDERS for path in (Path(self.root) / folder).glob("*.so")]

    def _compiled(self) -> bool:
        """Whether every library was made; none is left otherwise."""
        if sys.platform != "linux" or platform.machine() != "x86_64" or not (compiler := _compiler()):
            return False
        made: list[Path] = []
        for folder in (Path(self.root) / name for name in FOLDERS):
            for instructions in INSTRUCTIONS:
                library = folder / f"kernel-{instructions}.so"
                sources = sorted(str(path) for path in folder.glob("*.c"))
                command = [*compiler, f"-march={instructions}", *FLAGS, *sources, "-o", str(library), "-lm"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    self.app.display_warning(f"{' '.join(command)}\n{done.stderr}")
                    for one in (*made, library):
                        one.unlink(missing_ok=True)
                    return False
                made.append(library)
        return True


class ReadmeHook(MetadataHookInterface):
    """README as the package's description."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Fills in ``project.readme``."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": described(text, address, metadata["version"]),
        }


def described(text: str, address: str | None, version: str) -> str:
    """README for a page elsewhere, where links to files of the repository lead nowhere.

    With the repository's address they lead to it, at the version's tag. Without one links are plain text, and pictures are left out.
    """
    if address is None:
        return LINK.sub(r"\1", PICTURE.sub("", text))
    text = SOURCE.sub(rf'\1="{address.rstrip("/")}/raw/v{version}/\2"', text)
    return LINK.sub(rf"[\1]({address.rstrip('/')}/blob/v{version}/\2)", text)


def _compiler() -> list[str]:
    """The words that start a C compiler: those of CC, where it is set; none where there is no compiler."""
    for words in (
        [shlex.split(chosen)] if (chosen := os.environ.get("CC", "")).strip() else [["cc"], ["gcc"], ["clang"]]
    ):
        if words and shutil.which(words[0]):
            return words
    return []

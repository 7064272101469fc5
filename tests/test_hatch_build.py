"""What a build makes of the package: libraries of C where there is a compiler, and a front page without links that lead nowhere."""

from __future__ import annotations

import importlib.util
import platform
import re
import subprocess
import sys
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Interface:
    """In the place of hatchling's: only a build has hatchling."""


@pytest.fixture
def hatch_build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("hatchling.builders.hooks.plugin.interface", "hatchling.metadata.plugin.interface"):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end])))
        for interface in ("BuildHookInterface", "MetadataHookInterface"):
            monkeypatch.setattr(sys.modules[name], interface, Interface, raising=False)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Build:
    """A build of a tree with both rooms of C, whose commands are noted instead of run; after ``fails`` of them they fail."""

    def __init__(self, hatch_build: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[list[str]] = []
        self.warnings: list[str] = []
        self.fails, self.data = 99, dict[str, Any]()
        self.hook = hatch_build.KernelHook()
        self.hook.root, self.hook.target_name = str(root), "wheel"
        self.hook.app = types.SimpleNamespace(display_warning=self.warnings.append)
        self.folders = [root / folder for folder in hatch_build.FOLDERS]
        for folder in self.folders:
            folder.mkdir(parents=True)
            (folder / "a.c").touch()
        monkeypatch.setattr(subprocess, "run", self._run)
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(hatch_build.shutil, "which", lambda name: f"/usr/bin/{name}" if name != "none" else None)
        monkeypatch.delenv("CC", raising=False)

    def _run(self, command: list[str], **_: Any) -> Any:
        self.commands.append(command)
        failed = len(self.commands) > self.fails
        if not failed:
            Path(command[command.index("-o") + 1]).write_bytes(b"new")
        return types.SimpleNamespace(returncode=int(failed), stderr="no room")

    def libraries(self) -> list[bytes]:
        return [path.read_bytes() for folder in self.folders for path in sorted(folder.glob("*.so"))]

    def leave(self) -> None:
        """A library of an earlier build in each folder."""
        for folder in self.folders:
            (folder / "kernel-x86-64-v2.so").write_bytes(b"old")


@pytest.fixture
def build(hatch_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    return Build(hatch_build, tmp_path, monkeypatch)


def test_both_rooms_are_compiled_anew_and_the_wheel_is_one_for_the_platform(build: Build) -> None:
    build.leave()
    build.hook.initialize("standard", build.data)
    assert build.libraries() == [b"new"] * 4
    assert build.data["pure_python"] is False
    assert build.data["tag"].startswith("py3-none-linux")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (None, ["cc"]),
        ("", ["cc"]),
        (" ", ["cc"]),
        ("clang", ["clang"]),
        ("/opt/gcc 14/bin/gcc", ["/opt/gcc", "14/bin/gcc"]),
        ("'/opt/gcc 14/bin/gcc'", ["/opt/gcc 14/bin/gcc"]),
        ("ccache gcc-14 -pipe", ["ccache", "gcc-14", "-pipe"]),
    ],
)
def test_the_variable_cc_chooses_the_compiler(
    build: Build, chosen: str | None, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is not None:
        monkeypatch.setenv("CC", chosen)
    build.hook.initialize("standard", build.data)
    assert [command[: len(words)] for command in build.commands] == [words] * 4
    assert all(command[len(words)].startswith("-march=") for command in build.commands)


def test_a_chosen_compiler_that_is_not_there_is_not_replaced(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "none")
    build.leave()
    build.hook.initialize("standard", build.data)
    assert (build.libraries(), build.data, build.commands) == ([], {}, [])


@pytest.mark.parametrize("fails", range(4))
def test_a_library_that_cannot_be_compiled_leaves_none(build: Build, fails: int) -> None:
    build.leave()
    build.fails = fails
    build.hook.initialize("standard", build.data)
    assert (build.libraries(), build.data) == ([], {})
    assert "no room" in build.warnings[0]


@pytest.mark.parametrize("old", [True, False])
def test_a_tree_that_cannot_be_written_is_installed_with_what_it_has(
    build: Build, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if old:
        build.leave()

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refused)
    build.fails = 0
    build.hook.initialize("editable", build.data)
    assert build.libraries() == [b"old"] * 2 * old
    assert bool(build.data) is old
    assert "Read-only" in build.warnings[-1]


RELATIVE = re.compile(r"\]\((?!https?:|#)[^)]*\)|(?:src|srcset)=\"(?!https?:)[^\"]*\"")


def test_an_index_of_packages_shows_no_link_that_leads_nowhere(hatch_build: ModuleType) -> None:
    assert len(RELATIVE.findall(README)) > 5
    described = hatch_build.described
    text = described(README, None, "1.2.3")
    assert RELATIVE.findall(text) == []
    assert "<picture>" not in text
    assert "Quality and\nperformance have the protocols" in text
    address = "https://example.org/us/shortlist"
    text = described(README, f"{address}/", "1.2.3")
    assert RELATIVE.findall(text) == []
    assert f'src="{address}/raw/v1.2.3/docs/page-light.png"' in text
    assert f"[Quality]({address}/blob/v1.2.3/docs/quality.md)" in text

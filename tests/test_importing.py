"""torch's libraries are loaded as the import loads them, in calls that do not hold the interpreter."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from shortlist import _importing as importing

PROGRAM = """
import sys
from shortlist._importing import load_torch_libraries

def mapped():
    return "libtorch_python" in open("/proc/self/maps").read()

before = mapped()
load_torch_libraries()
print(before, mapped(), "torch" in sys.modules)
import torch
print(torch.ones(3).sum().item(), torch.zeros(2, 2).matmul(torch.ones(2, 2)).sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what is mapped, in /proc")
def test_the_libraries_are_there_and_torch_is_not() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["False True False", "3.0 0.0"]


class Linker:
    """A process' own symbols, of which only ``dlopen`` is asked for."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.dlopen = lambda path, mode: self.loaded.append(Path(path.decode()).name)
        self.dlopen.argtypes = self.dlopen.restype = None  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="elsewhere nothing is loaded")
@pytest.mark.parametrize(
    ("imported", "origin", "loaded"),
    [
        (False, "torch/__init__.py", ["libtorch_global_deps.so", "libtorch_python.so"]),
        (True, "torch/__init__.py", []),
        (False, "elsewhere/__init__.py", []),
        (False, None, []),
    ],
)
def test_what_is_loaded(
    imported: bool, origin: str | None, loaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two by which torch begins, in its order; nothing where it is imported, or has no libraries, or is missing."""
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    for name in ("libtorch_python.so", "libtorch_global_deps.so", "libtorch_cpu.so"):
        (tmp_path / "torch" / "lib" / name).touch()
    linker, spec = Linker(), None
    if origin is not None:
        spec = type("Spec", (), {"origin": str(tmp_path / origin)})
    with monkeypatch.context() as patched:
        if imported:
            patched.setitem(sys.modules, "torch", ctypes)
        else:
            patched.delitem(sys.modules, "torch", raising=False)
        patched.setattr(importing.importlib.util, "find_spec", lambda name: spec)
        patched.setattr(importing.ctypes, "CDLL", lambda name: linker)
        importing.load_torch_libraries()
    assert linker.loaded == loaded


@pytest.mark.skipif(sys.platform == "win32", reason="elsewhere nothing is loaded")
def test_a_linker_that_cannot_be_asked_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: None) -> None:
        raise OSError("static")

    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "torch", raising=False)
        patched.setattr(importing.ctypes, "CDLL", refuse)
        importing.load_torch_libraries()

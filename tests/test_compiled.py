"""Which compiled library a processor gets, and why it gets none."""

from __future__ import annotations

from pathlib import Path

import pytest

from shortlist import compiled
from shortlist.compiled import VARIABLE, best_instructions, library_for, turned_off

AVX2 = "avx avx2 fma bmi1 bmi2 f16c abm movbe"
AVX512 = "avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (f"{AVX2} {AVX512}", "x86-64-v4"),
        (AVX2, "x86-64-v3"),
        (f"{AVX2} {AVX512}".replace("avx512vl", ""), "x86-64-v3"),
        (f"{AVX2} {AVX512}".replace(" fma", ""), None),
        ("sse2", None),
        ("", None),
    ],
)
def test_the_best_that_the_processor_has(flags: str, wanted: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        f"processor\t: 0\nflags\t\t: {flags}\nprocessor\t: 1\nflags\t\t: {flags}\n" if flags else "Features\t: neon\n"
    )
    monkeypatch.setattr(compiled.Path, "read_text", lambda *_, **__: text)
    assert best_instructions.__wrapped__() == wanted


def test_where_the_processor_cannot_be_read_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(compiled.Path, "read_text", missing)
    assert best_instructions.__wrapped__() is None


def test_a_library_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    assert "C compiler" in str(library_for(tmp_path, "x86-64-v3", 1))
    (tmp_path / "kernel-x86-64-v3.so").write_bytes(b"no library")
    assert str(tmp_path) in str(library_for(tmp_path, "x86-64-v3", 1))


def test_the_variable_turns_libraries_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert turned_off() is None
    monkeypatch.setenv(VARIABLE, "0")
    assert turned_off() == "SHORTLIST_KERNEL=0 is set"

"""The three forms of a manifest's checksum of itself; the digests were made with sha256sum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shortlist.store import seals
from shortlist.store.disk import DamageError

EMPTY = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of {}
A_1_B_2 = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"  # of {"a":1,"b":2}
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of abc
PATH = Path("here")


def test_a_key_over_the_other_keys(tmp_path: Path) -> None:
    assert seals.checksum({}) == EMPTY
    assert seals.checksum({"b": 2, "a": 1}) == A_1_B_2
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"b": 2, "checksum": A_1_B_2, "a": 1}, indent=3))
    assert seals.read_json(path, 1) == {"a": 1, "b": 2}
    path.write_text(json.dumps({"b": 2, "checksum": A_1_B_2, "a": 2}))
    with pytest.raises(DamageError, match=r"file\.json' was altered: its checksum differs"):
        seals.read_json(path, 1)
    path.write_text('{"format": 2}')
    with pytest.raises(seals.TooNewError, match="has format 2; this version of shortlist reads up to 1"):
        seals.read_json(path, 1)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"{}"])
def test_what_is_no_such_file_is_damage(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(text)
    with pytest.raises(DamageError):
        seals.read_json(tmp_path / "file", 1)


def test_zeros_in_the_text() -> None:
    text = b'{"a": "%s", "b": "%s"}' % (b"0" * 64, b"0" * 64)
    sealed = seals.seal_zeros(text)
    checksum = json.loads(sealed)["a"]
    assert sealed == text.replace(b"0" * 64, checksum.encode(), 1)
    seals.open_zeros(sealed, checksum, PATH)
    for altered, said in ((sealed + b" ", checksum), (sealed, ABC), (sealed, "")):
        with pytest.raises(DamageError, match="'here' was altered"):
            seals.open_zeros(altered, said, PATH)


def test_a_line_of_its_own() -> None:
    assert seals.seal_first_line(b"abc") == ABC.encode() + b"\nabc"
    assert seals.open_first_line(ABC.encode() + b"\nabc", PATH) == b"abc"
    for altered in (b"", b"abc", ABC.encode(), ABC.encode() + b"\nabd"):
        with pytest.raises(DamageError, match="'here' was altered"):
            seals.open_first_line(altered, PATH)

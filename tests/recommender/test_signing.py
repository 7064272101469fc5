"""Signed bundles: with the key they are as they were signed, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.recommender.saved import rewrite

from shortlist.errors import BundleError, ConfigError
from shortlist.recommender import bundle as room
from shortlist.recommender.signing import read_key, sign

KEY, OTHER = b"k" * 32, b"o" * 32


def test_a_signed_bundle_answers_as_before(bundle: Path) -> None:
    before = room.load(bundle)
    sign(bundle, KEY)
    after = room.load(bundle, key=KEY)
    assert after.fingerprint == before.fingerprint
    assert room.load(bundle).fingerprint == before.fingerprint  # who asks for no signature needs no key
    assert after.metadata.keys() - before.metadata.keys() == {"signature"}
    sign(bundle, OTHER)  # in the place of the first
    room.load(bundle, key=OTHER)
    with pytest.raises(BundleError, match="was not made with this key"):
        room.load(bundle, key=KEY)


def test_an_unsigned_bundle_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match="has no signature") as raised:
        room.load(bundle, key=KEY)
    assert "--sign" in str(raised.value.hint)


def _retitled(manifest: dict[str, Any]) -> None:
    manifest["metadata"]["note"] = "another"


def _older(manifest: dict[str, Any]) -> None:
    manifest["created"] = "1999-01-01T00:00:00+00:00"


def _no_signature(manifest: dict[str, Any]) -> None:
    manifest["metadata"]["signature"] = 7


@pytest.mark.parametrize("change", [_retitled, _older, _no_signature])
def test_a_manifest_that_was_changed_and_sealed_again_is_refused(bundle: Path, change: Any) -> None:
    """A checksum is anybody's to make; the signature is not."""
    sign(bundle, KEY)
    rewrite(bundle, change)
    room.load(bundle)
    with pytest.raises(BundleError, match="signature"):
        room.load(bundle, key=KEY)


def test_a_file_that_was_changed_with_its_digest_is_refused(bundle: Path) -> None:
    import hashlib

    sign(bundle, KEY)
    file = bundle / "seen.safetensors"
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)

    def fit(manifest: dict[str, Any]) -> None:
        manifest["files"]["seen.safetensors"]["sha256"] = hashlib.sha256(content).hexdigest()

    rewrite(bundle, fit)
    with pytest.raises(BundleError, match="was not made with this key"):
        room.load(bundle, key=KEY)


def test_a_signed_bundle_written_anew_in_other_words_is_still_signed(bundle: Path) -> None:
    """The signature is over what the manifest says, and not over its blanks."""
    sign(bundle, KEY)
    rewrite(bundle, lambda manifest: None)
    assert "\n" not in (bundle / "manifest.json").read_text()
    room.load(bundle, key=KEY)


def test_keys(tmp_path: Path) -> None:
    file = tmp_path / "bundle.key"
    file.write_bytes(b" " + KEY + b"\n")
    assert read_key(file) == KEY
    file.write_bytes(b"k" * 31)
    with pytest.raises(ConfigError, match="has 31 bytes; at least 32 were expected"):
        read_key(file)
    with pytest.raises(ConfigError, match="cannot read the key"):
        read_key(tmp_path / "none")
    with pytest.raises(BundleError):
        sign(tmp_path, KEY)


def test_the_signature_is_an_hmac_that_others_can_compute(bundle: Path) -> None:
    """As RFC 2104 has it, over the manifest with sorted keys, without blanks, checksum and signature."""
    import hashlib

    sign(bundle, KEY)
    manifest = json.loads((bundle / "manifest.json").read_text())
    value = manifest["metadata"].pop("signature")
    manifest["checksum"] = "0" * 64
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    block = KEY.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + text).digest()
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()
    assert value == f"hmac-sha256:{outer}"

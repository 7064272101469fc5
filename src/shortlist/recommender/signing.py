"""Signatures of bundles: who has the key has written, or seen and accepted, exactly this bundle.

The signature is an HMAC (RFC 2104) with SHA-256 over the manifest without its checksum and the signature itself. The manifest
names every file with its sha256, so that the signature covers all of them. It is kept in the manifest's metadata.

Who can check a signature can make one: the key belongs to those who write bundles and to the servers that read them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import msgspec

from shortlist.errors import BundleError, ConfigError
from shortlist.language import counted
from shortlist.recommender.folder import amend
from shortlist.recommender.manifest import UNSEALED, Manifest

__all__ = ["check_signature", "read_key", "sign"]

ENTRY = "signature"  # in the metadata
PREFIX = "hmac-sha256:"
SHORTEST = 32  # bytes of a key
MAKE_ONE = "openssl rand -hex 32 > bundle.key"


def read_key(path: Path) -> bytes:
    """The key in a file, without blanks around it.

    Raises:
        ConfigError: the file cannot be read, or holds fewer than 32 bytes.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"cannot read the key {str(path)!r}: {error.strerror}.", hint=MAKE_ONE) from None
    if len(key) < SHORTEST:
        raise ConfigError(
            f"the key {str(path)!r} has {counted(len(key), 'byte')}; at least {SHORTEST} were expected.", hint=MAKE_ONE
        )
    return key


def sign(path: Path, key: bytes) -> None:
    """Put a signature into the bundle at ``path``, in one step; one that is there is replaced.

    Raises:
        BundleError: there is no bundle, or the disk refuses.
    """

    def signed(manifest: Manifest) -> Manifest:
        metadata = {**manifest.metadata, ENTRY: PREFIX + _digest(manifest, key)}
        return msgspec.structs.replace(manifest, metadata=metadata)

    amend(Path(os.path.realpath(path)), signed)


def check_signature(manifest: Manifest, key: bytes, path: Path) -> None:
    """Nothing where the manifest has the signature that this key makes.

    Raises:
        BundleError: it has none, or another.
    """
    found = manifest.metadata.get(ENTRY)
    if not isinstance(found, str):
        raise BundleError(f"the bundle {str(path)!r} has no signature.", hint="shortlist export BUNDLE --sign KEYFILE")
    if not hmac.compare_digest(found.encode(), (PREFIX + _digest(manifest, key)).encode()):
        raise BundleError(
            f"the signature of the bundle {str(path)!r} was not made with this key, or the bundle was altered since.",
            hint="sign it again where it was written: `shortlist export BUNDLE --sign KEYFILE`",
        )


def _digest(manifest: Manifest, key: bytes) -> str:
    metadata = {name: value for name, value in manifest.metadata.items() if name != ENTRY}
    plain = msgspec.structs.replace(manifest, checksum=UNSEALED, metadata=metadata)
    return hmac.new(key, msgspec.json.encode(plain, order="sorted"), hashlib.sha256).hexdigest()

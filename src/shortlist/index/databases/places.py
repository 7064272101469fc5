"""Addresses of databases: as the command line writes them, and never with a credential."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from shortlist.errors import ConfigError

__all__ = ["check_no_secret", "is_folder"]

_SECRETS = frozenset({"password", "sslpassword", "token", "api_key", "apikey", "key", "secret", "passwd", "pwd"})
_HOST = re.compile(r"[\w.-]+:\d+")


def check_no_secret(title: str, uri: str, hint: str) -> None:
    """ConfigError for an address with a password or a token, which a bundle would store; the message does not repeat it."""
    if "://" not in uri:
        return
    try:
        parts = urlsplit(uri)
        secret = bool(parts.password) or any(name.lower() in _SECRETS for name, _ in parse_qsl(parts.query))
    except ValueError:
        secret = "@" in uri
    if secret:
        raise ConfigError(
            f"{title}'s uri contains a password or a token; an address without one was expected, because bundles store it.",
            hint=hint,
        )


def is_folder(uri: str) -> bool:
    """Whether an address is a folder on this machine."""
    return bool(uri) and "://" not in uri and _HOST.fullmatch(uri) is None

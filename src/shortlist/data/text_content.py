"""A text file's bytes, unpacked and in UTF-8; and the problems of other bytes."""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.formats import Format

__all__ = [
    "Content",
    "EmptyFileError",
    "TextError",
    "begin_of",
    "buffer_of",
    "check_utf8",
    "head_of",
    "line_of",
    "lines_of",
    "plain",
]

Content: TypeAlias = "Path | bytes"
CHUNK = 1 << 22
HEAD = 1 << 16
SAMPLE = 1 << 20  # bytes from which an encoding is guessed
ZSTD = ("compression.zstd", "backports.zstd", "zstandard")
LINE_END = re.compile(rb"[\r\n]")
ISOLATED = re.compile(rb"(?<![\x80-\xff])[\xa0-\xff](?![\x80-\xff])")
SINGLE = ("iso8859", "cp125", "cp437", "cp85", "koi8", "mac")  # encodings of one byte a letter
SCRIPTS = (  # encodings to guess from, letters by which they are recognised, and the least byte of their common letters
    ("cp949", "[\uac00-\ud7a3]", 0xA1),
    ("shift_jis", "[\u3040-\u30ff]", 0),
    ("gb18030", "[\u4e00-\u9fff]", 0xA1),
)


class TextError(ValueError):
    """A problem of a text file, and what to do; the caller, who knows the table's name, makes a DataError of it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class EmptyFileError(ValueError):
    """An empty file."""


def plain(content: Content, kind: Format, encoding: str | None, copy: Path | None) -> Content:
    """The text unpacked and in UTF-8: the file itself if it is plain already, else at ``copy`` or in memory.

    Raises:
        TextError: where it cannot be unpacked or is in another encoding.
    """
    utf8 = _is_utf8(encoding)
    if kind.packed is not None or not utf8:
        with _opened(content, kind.packed) as source:
            stream = source if utf8 else _Recoded(source, str(encoding))
            content = _kept(stream, copy)
    if utf8:
        _check_head(content)
    head = head_of(content)
    if head.startswith(codecs.BOM_UTF8):
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
            content = _kept(stream, None if content == copy else copy)
    if b"\r" in head and b"\n" not in head and b"\n" not in bytes(buffer_of(content)):
        return bytes(buffer_of(content)).replace(b"\r", b"\n")  # line ends of old Macs
    return content


def begin_of(content: Content, kind: Format, encoding: str | None) -> bytes:
    """The first lines as ``plain`` gives them, of which no more is read."""
    utf8 = _is_utf8(encoding)
    with _opened(content, kind.packed) as source:
        stream: Any = source if utf8 else _Recoded(source, str(encoding))
        begin = b""
        while (len(begin) < HEAD or not LINE_END.search(begin)) and (part := stream.read(HEAD)):
            begin += part
    if utf8:
        _check_head(begin)
    begin = begin.removeprefix(codecs.BOM_UTF8)
    return begin if b"\n" in begin else begin.replace(b"\r", b"\n")


def _is_utf8(encoding: str | None) -> bool:
    return encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def head_of(content: Content) -> bytes:
    """The first bytes."""
    if isinstance(content, bytes):
        return content[:HEAD]
    with content.open("rb") as file:
        return file.read(HEAD)


def buffer_of(content: Content) -> NDArray[np.uint8]:
    """All bytes, uint8 ``[bytes]``; of a file as a map of it."""
    if isinstance(content, bytes):
        return np.frombuffer(content, np.uint8)
    return np.memmap(content, np.uint8, "r") if content.stat().st_size else np.zeros(0, np.uint8)


def line_of(content: Content, place: int) -> int:
    """The number of the line that a byte is in."""
    return lines_of(content, [place])[0]


def lines_of(content: Content, places: Sequence[int]) -> list[int]:
    """The numbers of the lines that bytes are in, whose places rise; each byte is looked at once, a few million at a time."""
    view = buffer_of(content)
    lines = []
    line, start = 1, 0
    for place in places:
        for low in range(start, place, CHUNK):
            line += int(np.count_nonzero(view[low : min(low + CHUNK, place)] == 0x0A))
        start = place
        lines.append(line)
    return lines


def check_utf8(content: Content) -> None:
    """TextError if a text is not UTF-8, with the line, and the encoding that it seems to be in."""
    view = buffer_of(content)
    decoder = codecs.getincrementaldecoder("utf-8")()
    for low in range(0, len(view), CHUNK):
        first = low - len(decoder.getstate()[0])  # bytes of a letter that began in the part before
        try:
            decoder.decode(bytes(view[low : low + CHUNK]), final=low + CHUNK >= len(view))
        except UnicodeDecodeError as error:
            place = first + error.start
            guess = _guessed(bytes(view[:SAMPLE]))
            raise TextError(
                f"line {line_of(content, place)} is not UTF-8 (byte 0x{view[place]:02x}); it looks like {guess}",
                f'name the encoding: Reading(encoding="{guess}"), --encoding {guess}; or save it as UTF-8',
            ) from error


def _check_head(content: Content) -> None:
    """TextError for UTF-16 and for anything but text, which would be read as letters with zeros between."""
    head = head_of(content)
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise TextError(
            "line 1 is not UTF-8; it begins as UTF-32 does",
            'name the encoding: Reading(encoding="utf-32"), --encoding utf-32',
        )
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TextError(
            "line 1 is not UTF-8; it begins as UTF-16 does",
            'name the encoding: Reading(encoding="utf-16"), --encoding utf-16',
        )
    if b"\0" in head:
        guess = "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else None
        raise TextError(
            f"line {head[: head.index(0)].count(10) + 1} holds a zero byte, which text in UTF-8 does not",
            "check that it is a text file"
            if guess is None
            else f'it looks like UTF-16: Reading(encoding="{guess}"), --encoding {guess}',
        )


def _guessed(raw: bytes) -> str:
    """The encoding that the begin of a text seems to be in: one of a script whose letters most of it is, else Latin-1."""
    sample = raw.rpartition(b"\n")[0] or raw
    high = sum(byte > 127 for byte in sample)
    if len(ISOLATED.findall(sample)) > high / 2:  # an é among letters of ASCII
        return _western(sample)
    for encoding, letters, least in SCRIPTS:
        try:
            text = sample.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = [letter for letter in text if ord(letter) > 127]
        known = [letter for letter in foreign if re.match(letters, letter) and min(letter.encode(encoding)) >= least]
        if len(known) > len(foreign) / 2:
            return encoding
    return _western(sample)


def _western(sample: bytes) -> str:
    """Latin-1, or Windows' form of it, which has signs where Latin-1 has none."""
    return "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"


def _kept(stream: Any, copy: Path | None) -> Content:
    """The rest of a stream at ``copy`` or in memory, without a byte order mark at its begin."""
    begin = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
    if copy is None:
        held = io.BytesIO()
        held.write(begin)
        shutil.copyfileobj(stream, held, CHUNK)
        return held.getvalue()
    with copy.open("wb") as file:
        file.write(begin)
        shutil.copyfileobj(stream, file, CHUNK)
    return copy


class _Recoded:
    """A stream of bytes in another encoding, read as UTF-8."""

    def __init__(self, source: IO[bytes], encoding: str) -> None:
        self._source, self._encoding = source, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._utf8 = (
            codecs.getincrementaldecoder("utf-8")() if codecs.lookup(encoding).name.startswith(SINGLE) else None
        )
        self._ascii = True
        self._line = 1
        self._first = True

    def read(self, size: int = -1) -> bytes:
        while True:
            raw = self._source.read(size)
            try:
                text = self._decoder.decode(raw, final=not raw)
            except UnicodeError as error:
                start = getattr(error, "start", 0)
                line = self._line + raw[:start].count(b"\n")
                raise TextError(
                    f"line {line} is not {self._encoding}",
                    "name another encoding, Reading(encoding=…), --encoding; or none, for UTF-8",
                ) from error
            self._watch(raw)
            if self._first and text:
                text, self._first = text.removeprefix("\ufeff"), False
            self._line += text.count("\n")
            if text or not raw:
                return text.encode("utf-8")

    def _watch(self, raw: bytes) -> None:
        """TextError at the end of a text that is UTF-8: encodings of one byte a letter can read any bytes."""
        if self._utf8 is None:
            return
        try:
            self._utf8.decode(raw, final=not raw)
        except UnicodeDecodeError:
            self._utf8 = None
            return
        self._ascii = self._ascii and raw.isascii()
        if not raw and not self._ascii:
            raise TextError(f"it is UTF-8, not {self._encoding}", "leave encoding= (--encoding) out, or save it so")


@contextmanager
def _opened(content: Content, packed: str | None) -> Iterator[IO[bytes]]:
    """The bytes as a stream, unpacked. TextError where that fails."""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as raw:
        if packed is None:
            yield raw
            return
        try:
            yield _unpacked(raw, packed)
        except TextError:
            raise
        except Exception as error:  # zlib.error and ZstdError are not OSErrors
            raise TextError(
                f"it could not be unpacked as {packed[1:]}: {str(error).partition(chr(10))[0]}",
                "check that the file is complete and its extension says what it holds",
            ) from error


def _unpacked(raw: IO[bytes], packed: str) -> IO[bytes]:
    if packed == ".gz":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    for name in ZSTD:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if hasattr(module, "ZstdFile"):
            return module.ZstdFile(raw)  # type: ignore[no-any-return]
        return module.ZstdDecompressor().stream_reader(raw, read_across_frames=True)  # type: ignore[no-any-return]
    lines = pl.scan_csv(  # Polars has a decompressor of its own, but it returns frames only
        raw.read(), has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String}
    )
    text: str = lines.select(pl.col("line").fill_null("").str.join("\n")).collect().item()
    return io.BytesIO((text or "").encode())

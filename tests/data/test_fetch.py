"""The download of an archive, from a server on this machine."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import shortlist as sl
from shortlist.data.fetch import download


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as files:
        files.writestr("ml-1m/ratings.dat", "1::1193::5::978300760\n")
    return content.getvalue()


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/whole.zip":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(archive())))
            self.end_headers()
            self.wfile.write(archive())

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def test_what_arrives_is_what_was_sent(server: str, tmp_path: Path) -> None:
    path = download(f"{server}/whole.zip", tmp_path, hashlib.md5(archive()).hexdigest())
    assert path.read_bytes() == archive()


def test_a_wrong_checksum_is_refused(server: str, tmp_path: Path) -> None:
    with pytest.raises(sl.DownloadError):
        download(f"{server}/whole.zip", tmp_path, "0" * 32)


def test_a_missing_file_is_an_error(server: str, tmp_path: Path) -> None:
    with pytest.raises(sl.DownloadError):
        download(f"{server}/none.zip", tmp_path)

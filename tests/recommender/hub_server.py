"""A stand-in for the Hugging Face Hub: the routes of its API that pushing and loading use, over HTTP on this machine.

Files that are committed are kept in memory, by repository and commit. A token is asked for where ``token`` is set.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

OWNER = "someone"  # who is logged in


class Hub:
    """The repositories, and the requests that came: (method, path)."""

    def __init__(self) -> None:
        self.commits: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.private: dict[str, bool] = {}
        self.requests: list[tuple[str, str]] = []
        self.token: str | None = None
        self.address = ""

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and the files of a revision."""
        commits = self.commits.get(repo, [])
        if revision == "main":
            return commits[-1] if commits else None
        return next((one for one in commits if one[0] == revision), None)

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> str:
        """Apply the operations of a commit to the latest files."""
        files = dict(self.commits[repo][-1][1]) if self.commits[repo] else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        name = hashlib.sha1(f"{repo}{len(self.commits[repo])}".encode()).hexdigest()
        self.commits[repo].append((name, files))
        return name


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers at ``Hub.address``."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def reply(self, status: int, body: Any = None, **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else self.chunks()
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path))
            if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.reply(401, {"error": "Invalid username or password."}, X_Error_Message="Invalid token")
            return self.route(path, body)

        def chunks(self) -> bytes:
            content = b""
            while self.headers.get("Transfer-Encoding") == "chunked":
                count = int(self.rfile.readline(), 16)
                content += self.rfile.read(count)
                self.rfile.readline()
                if not count:
                    break
            return content

        def route(self, path: str, body: bytes) -> None:
            if path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked.get('organization') or OWNER}/{asked['name']}"
                hub.commits.setdefault(repo, [])
                hub.private.setdefault(repo, asked.get("private") or asked.get("visibility") == "private")
                return self.reply(200, {"url": f"{hub.address}/{repo}"})
            if path == "/api/validate-yaml":
                return self.reply(200, {"errors": [], "warnings": []})
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|revision|tree)/([^/]+)/?", path):
                repo, what, revision = found.groups()
                if repo not in hub.commits:
                    return self.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
                return getattr(self, what)(repo, revision, body)
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
                if found[1] not in hub.commits:
                    return self.reply(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
                return self.revision(found[1], "main", body)
            if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                return self.resolve(*found.groups())
            return self.reply(404, {"error": f"no such route: {path}"})

        def preupload(self, repo: str, revision: str, body: bytes) -> None:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self.reply(200, {"files": files})

        def commit(self, repo: str, revision: str, body: bytes) -> None:
            name = hub.commit(repo, [json.loads(line) for line in body.splitlines()])
            self.reply(200, {"commitUrl": f"{hub.address}/{repo}/commit/{name}", "commitOid": name, "success": True})

        def revision(self, repo: str, revision: str, body: bytes) -> None:
            found = hub.at(repo, revision)
            name, files = found or ("0" * 40, {})
            if found is None and revision != "main":
                return self.reply(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
            return self.reply(200, {"id": repo, "sha": name, "siblings": [{"rfilename": one} for one in files]})

        def tree(self, repo: str, revision: str, body: bytes) -> None:
            _, files = hub.at(repo, revision) or ("", {})
            self.reply(
                200,
                [
                    {"type": "file", "path": one, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for one, content in files.items()
                ],
            )

        def resolve(self, repo: str, revision: str, file: str) -> None:
            name, files = hub.at(repo, revision) or ("", {})
            if file not in files:
                return self.reply(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
            content = files[file]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.reply(200, content, ETag=etag, X_Repo_Commit=name, Accept_Ranges="bytes")

        do_GET = do_POST = do_HEAD = answer  # noqa: N815 - the names that the server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

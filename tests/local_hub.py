"""A hub on this machine: the requests by which transformers finds and reads a model's files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class LocalHub:
    """Repositories by id, and what was asked.

    Attributes:
        folders: Folder of each repository.
        gated: Repositories that need the token.
        token: The token that opens them.
        url: Where it listens.
        asked: Method and path of each request.
    """

    folders: dict[str, Path]
    gated: tuple[str, ...] = ()
    token: str = "hf_secret"
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    hub: LocalHub


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.server.hub, self.path.partition("?")[0].removeprefix("/")
        hub.asked.append((self.command, path))
        about = path.removeprefix("api/models/")
        for source, folder in hub.folders.items():
            if f"{about}/".startswith(f"{source}/"):
                self.answer(source, folder, about.removeprefix(source).strip("/").split("/"))
                return
        self.refuse(401, "RepoNotFound")

    def answer(self, source: str, folder: Path, parts: list[str]) -> None:
        """Answer a question on a repository: what, of which revision, and which file."""
        what, revision = parts[0], parts[1] if len(parts) > 1 else "main"
        if revision not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif what in ("auth-check", "resolve") and not self.may_read(source):
            self.refuse(403, "GatedRepo")
        elif what == "resolve":
            self.send_file(folder / "/".join(parts[2:]))
        elif what == "tree":
            files = [{"type": "file", "path": file.name, "oid": "0"} for file in folder.iterdir()]
            self.send(json.dumps([{**file, "size": 1} for file in files]).encode())
        else:
            gated = "manual" if source in self.server.hub.gated else False
            self.send(json.dumps({"id": source, "sha": COMMIT, "gated": gated}).encode())

    def may_read(self, source: str) -> bool:
        hub = self.server.hub
        opened = self.headers.get("Authorization") == f"Bearer {hub.token}"
        return source not in hub.gated or opened

    def send_file(self, path: Path) -> None:
        if path.is_file():
            self.send(path.read_bytes())
        else:
            self.refuse(404, "EntryNotFound")

    def send(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve(hub: LocalHub) -> Iterator[LocalHub]:
    """Serve repositories while the context lasts."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.hub = hub
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()

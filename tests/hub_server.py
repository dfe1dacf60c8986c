"""A server that answers the requests of ``huggingface_hub`` as the hub does: repositories, commits, LFS, downloads."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_secret"
COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Keeps what was committed.

    Attributes:
        files: path to content, for each repository.
        made: body of each request for a new repository.
        titles: title of each commit.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.made: list[dict] = []
        self.titles: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.strip("/").split("/")
        if self.path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            content = json.loads(body)
            self.server.made.append(content)
            name = f"{content.get('organization') or 'me'}/{content['name']}"
            self.server.files.setdefault(name, {})
            return self._send({"url": f"{self.server.address}/{name}"})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**entry, "actions": {"upload": {"href": f"{self.server.address}/blobs/{entry['oid']}"}}}
                for entry in json.loads(body)["objects"]
            ]
            return self._send({"transfer": "basic", "objects": objects})
        name = "/".join(parts[2:4])
        if parts[4] == "preupload":
            modes = [
                {
                    "path": entry["path"],
                    "uploadMode": "lfs" if entry["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for entry in json.loads(body)["files"]
            ]
            return self._send({"files": modes})
        assert parts[4] == "commit", self.path
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.server.titles.append(value["summary"])
            elif line["key"] == "file":
                self.server.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[name][value["path"]] = self.server.blobs[value["oid"]]
        self._send({"commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == self.path.rsplit("/", 1)[1]
        self.server.blobs[self.path.rsplit("/", 1)[1]] = content
        self._send({})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        if parts[0] == "api":
            files = self.server.files.get("/".join(parts[2:4]))
            if files is None:
                return self._send({"error": "Repository not found"}, 404)
            siblings = [{"rfilename": path} for path in sorted(files)]
            return self._send({"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": siblings})
        content = self.server.files["/".join(parts[:2])]["/".join(parts[4:])]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _send(self, content: dict, code: int = 200):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Serve in a thread."""
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield hub
        hub.shutdown()

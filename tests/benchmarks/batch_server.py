"""A Batch API in a process of its own, so that its CPU does not count. Not the emulator: that one thinks about each line.

`python -m tests.benchmarks.batch_server` prints its port and serves until its input closes.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.benchmarks import payloads

ANSWER: Final = 100
"""Characters of an answer."""
_ID: Final = re.compile(rb'^\{"custom_id":"([^"]+)"', re.MULTILINE)


class Service:
    """Files and jobs. A job has ended when it is created."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count()

    def add_file(self, content: bytes = b"") -> str:
        """Keep a file; returns its id."""
        id = f"file-{next(self._numbers)}"
        self.files[id] = content
        return id

    def add_job(self, file: str) -> dict[str, Any]:
        """Answer the lines of a file."""
        output = self.add_file(answer_lines(_ID.findall(self.files[file])))
        id = f"job-{next(self._numbers)}"
        self.jobs[id] = {"id": id, "input_file_id": file, "status": "COMPLETED", "progress": 100.0, "output_file_id": output}
        return self.jobs[id]


def answer_lines(ids: list[bytes]) -> bytes:
    """Return the output file with the answers to requests."""
    end = b',"response":{"status_code":200,"body":' + payloads.chat_reply(ANSWER) + b"}}\n"
    return b"".join(b'{"custom_id":"' + id + b'"' + end for id in ids)


class Handler(BaseHTTPRequestHandler):
    """The endpoints that a run of jobs needs."""

    protocol_version = "HTTP/1.1"
    service = Service()

    def log_message(self, format: str, *arguments: Any) -> None:
        return None

    def do_GET(self) -> None:
        """Files, their content, and jobs."""
        parts = self.path.partition("?")[0].split("/")[2:]
        service = self.service
        match parts:
            case ["files", id, "content"]:
                self._send(service.files[id], "application/octet-stream")
            case ["files", id]:
                self._json(self._file(id))
            case ["batches", id]:
                self._json(service.jobs[id])
            case ["batches"]:
                self._json([*service.jobs.values()])
            case _:
                self._json([])

    def do_POST(self) -> None:
        """Uploads and jobs."""
        body = self._body()
        match self.path.split("/")[2:]:
            case ["files"]:
                id = self.service.add_file()
                storage = f"http://{self.headers['host']}/storage/{id}"
                self._send(b"", status=302, location=storage, x_together_file_id=id)
            case ["batches"]:
                self._json({"job": self.service.add_job(json.loads(body)["input_file_id"])}, status=201)
            case parts:
                self._json(self._file(parts[1]))

    def do_PUT(self) -> None:
        """The storage."""
        self.service.files[self.path.rsplit("/", 1)[1]] = self._body()
        self._send(b"")

    def _file(self, id: str) -> dict[str, Any]:
        size = len(self.service.files[id])
        return {
            "id": id,
            "object": "file",
            "bytes": size,
            "processed": True,
            "processing_status": "COMPLETED",
            "purpose": "batch-api",
        }

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, content: bytes, content_type: str = "text/plain", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": content_type, "content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve until the input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

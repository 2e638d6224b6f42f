"""Uploads and downloads of large, sparse files, each in a separate process, so that its memory is measured without the emulator's."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from together_adapters.emulator import serve

MAX_MEMORY = 200 * 2**20


def sparse(path: Path, size: int) -> str:
    """Creates a large sparse file with a few bytes in each part; returns its checksum."""
    with path.open("wb") as file:
        file.truncate(size)
        for index in range(0, size, 100_000_000):
            file.seek(index)
            file.write(b"%020d" % index)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def upload(folder: Path, flavour: str, size: int, *more: str, maximum: int = MAX_MEMORY, http_library: str = "httpx") -> None:
    """Uploads a large file; it must arrive unchanged, in parts, with little memory."""
    path = folder / f"up-{flavour}.jsonl"
    checksum = sparse(path, size)
    with serve() as emulator:
        command = [
            sys.executable,
            "-m",
            "tests.large.client",
            flavour,
            http_library,
            emulator.base_url,
            "upload",
            str(path),
            *more,
        ]
        message = json.loads(subprocess.check_output(command))
        parts = sum(request.path.startswith("/uploads/") for request in emulator.requests)
        file_id = emulator._state.stores.files[message["id"]].content
        assert file_id.size == size
        assert file_id.digest() == checksum, "what arrived is something else"
        assert parts > 1
        assert message["memory"] < maximum, f"{message['memory'] / 2**20:.0f} MiB of memory"
    path.unlink()


def download(folder: Path, flavour: str, size: int, *more: str, maximum: int = MAX_MEMORY) -> None:
    """Downloads a large file while the process is killed twice; the result must be the same."""
    from together_adapters.emulator.store.disk import StoredContent
    from together_adapters.emulator.store.file_store import StoredFile

    source, target = folder / "source.jsonl", folder / f"down-{flavour}.jsonl"
    checksum = sparse(source, size)
    with serve() as emulator:
        file = StoredFile("large.jsonl", "batch-api", "jsonl")
        file.content = StoredContent(
            emulator._state.folder, [source], size, checksum, hashlib.md5(checksum.encode(), usedforsecurity=False).hexdigest()
        )
        emulator._state.stores.files.put(file)
        command = [
            sys.executable,
            "-m",
            "tests.large.client",
            flavour,
            "httpx",
            emulator.base_url,
            "download",
            file.id,
            str(target),
            *more,
        ]
        part, kills = target.with_name(target.name + ".part"), 0
        for fraction in (0.2, 0.6):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            while process.poll() is None and not (part.exists() and part.stat().st_size > fraction * size):
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += part.exists()
        assert kills == 2, "it was too fast to be killed twice"
        message = json.loads(subprocess.check_output(command))
        ranges = [request.headers.get("range") for request in emulator.requests]
        assert ranges[0] is None and None not in ranges[1:], ranges
        assert message["memory"] < maximum, f"{message['memory'] / 2**20:.0f} MiB of memory"
    with target.open("rb") as result:
        assert hashlib.file_digest(result, "sha256").hexdigest() == checksum, "what arrived is something else"
    assert sorted(path.name for path in folder.iterdir()) == [target.name, source.name] or not part.exists()
    source.unlink()
    target.unlink()

"""One upload or download in a separate process; prints the result and the memory used."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from together_adapters import AsyncTogether, Together

KEY = "sk-large"


def call(client: Any, what: str, arguments: list[str]) -> Any:
    """Starts `upload PATH [PART_SIZE]`, or `download ID PATH [PAUSE]` with a pause after each chunk."""
    if what == "upload":
        path, *sizes = arguments
        parts = {"multipart_threshold": int(sizes[0]), "part_size": int(sizes[0])} if sizes else {}
        return client.files.upload(path, purpose="batch-api", check=False, **parts)
    id, path, *pauses = arguments
    progress = (lambda updates: time.sleep(float(pauses[0]))) if pauses else None
    return client.files.retrieve_content(id, path, progress=progress)


async def later(options: dict[str, Any], begin: Callable[[Any], Any]) -> Any:
    """Performs it on the asynchronous client."""
    async with AsyncTogether(**options) as client:
        return await begin(client)


def most_memory() -> int:
    """Returns the peak memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the process that started this one had.
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(flavour: str, transport: str, base_url: str, what: str, *arguments: str) -> None:
    """Performs the operation and prints a report."""
    options: dict[str, Any] = {"api_key": KEY, "base_url": base_url, "transport": transport}

    def begin(client: Any) -> Any:
        return call(client, what, list(arguments))

    if flavour == "async":
        done = asyncio.run(later(options, begin))
    else:
        with Together(**options) as client:
            done = begin(client)
    sys.stdout.write(json.dumps({"id": done.id, "memory": most_memory()}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

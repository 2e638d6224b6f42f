"""One upload or download in a process of its own; says on stdout what came of it, and how much memory it took."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Callable
from typing import Any

from together_adapters import AsyncTogether, Together

KEY = "sk-large"


def call(client: Any, what: str, arguments: list[str]) -> Any:
    """Begin what is asked for."""
    if what == "upload":
        return client.files.upload(arguments[0], purpose="batch-api", check=False)
    return client.files.retrieve_content(arguments[0], arguments[1])


async def later(base_url: str, begin: Callable[[Any], Any]) -> Any:
    """Do it on the asynchronous client."""
    async with AsyncTogether(api_key=KEY, base_url=base_url) as client:
        return await begin(client)


def main(flavour: str, base_url: str, what: str, *arguments: str) -> None:
    """Do it, and report."""

    def begin(client: Any) -> Any:
        return call(client, what, list(arguments))

    if flavour == "async":
        done = asyncio.run(later(base_url, begin))
    else:
        with Together(api_key=KEY, base_url=base_url) as client:
            done = begin(client)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps({"id": done.id, "memory": memory}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

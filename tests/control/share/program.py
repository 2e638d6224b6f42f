"""A program of several that share limits: it says that it is ready, waits for a line, sends its requests and says what it saw.

Its argument is JSON: `control` has the arguments of `Control`, `flavour` is "sync" or "async".
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from together_adapters import AsyncTogether, Control, Together

KEY = "sk-test-4f1d2c3b5a69788796a5b4c3d2e1f000"
MODEL = "openai/gpt-oss-120b"


def main(*, control: dict[str, Any], base_url: str, name: str, requests: int, flavour: str) -> None:
    """Sends requests, as many at once as it may."""
    limits = Control(**control)
    options: dict[str, Any] = {"api_key": KEY, "base_url": base_url, "control": limits, "max_retries": 2}
    question: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": name}], "max_tokens": 200}
    client, aclient = Together(**options), AsyncTogether(**options)
    client.models.list()  # loads what a first request loads
    print("ready", flush=True)
    sys.stdin.readline()
    if flavour == "sync":
        with client, ThreadPoolExecutor(16) as pool:
            for future in [pool.submit(client.chat.completions.create, **question) for _ in range(requests)]:
                future.result()
    else:

        async def send() -> None:
            async with aclient:
                await asyncio.gather(*(aclient.chat.completions.create(**question) for _ in range(requests)))

        asyncio.run(send())
    state = limits.state()
    print(json.dumps([state.in_flight, state.waiting, limits.ledger.total().requests]), flush=True)


@contextmanager
def programs(*arguments: dict[str, Any]) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts programs, all of which are ready; kills those that have not ended."""
    command = [sys.executable, "-m", "tests.control.share.program"]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen([*command, json.dumps(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for each in arguments
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes


def run(processes: Sequence[subprocess.Popen[str]]) -> list[Any]:
    """Lets programs begin at the same time; returns what they say at their end."""
    begin(processes)
    outputs = [process.stdout.readline() for process in processes if process.stdout is not None]
    assert [process.wait() for process in processes] == [0] * len(processes)
    return [json.loads(output) for output in outputs]


def begin(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Lets programs begin at the same time."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))

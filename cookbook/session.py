"""Helpers of the recipes: the connection to the service, the command line, and the output in a terminal.

Nothing here is specific to LangChain or LlamaIndex; read a recipe first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

import httpx
from tqdm import tqdm

from together_adapters import AsyncTogether, ConfigurationError, Together, TogetherError

EMULATOR = "emulator (TOGETHER_API_KEY is not set); it answers in quotations"


class Session:
    """A client of the service that counts its requests.

    Attributes:
        client: The client that the adapters share, with one connection pool and one retry policy.
        requests: The number of responses so far, with those to retried requests.
        is_emulated: Whether the service is an emulator that this recipe started, where nothing costs anything.
    """

    def __init__(self, http_client: httpx.Client, **options: Any) -> None:
        http_client.event_hooks = {"response": [self.count]}
        self.client = Together(http_client=http_client, **options)
        self._options = options
        self.is_emulated = bool(options)
        self.requests = 0
        self._bar: tqdm[None] | None = None
        self._start = time.monotonic()

    def count(self, response: httpx.Response) -> None:
        """Counts a response. httpx calls this as soon as the headers of a response are received."""
        self.requests += 1
        if self._bar is not None and response.is_success and response.request.url.path.endswith("/embeddings"):
            self._bar.update(len(json.loads(response.request.content)["input"]))

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncTogether]:
        """Opens an asynchronous client of the same service; its responses are counted too."""

        async def count(response: httpx.Response) -> None:
            self.count(response)

        async with httpx.AsyncClient(event_hooks={"response": [count]}, trust_env=not self._options) as http_client:
            yield AsyncTogether(http_client=http_client, **self._options)

    @contextmanager
    def progress(self, task: str, total: int) -> Iterator[None]:
        """Shows a progress bar for embeddings, if stderr is a terminal."""
        with tqdm(total=total, desc=task, unit=" passages", ncols=_width(), disable=None) as self._bar:
            yield
        self._bar = None

    def print_summary(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Prints the number of requests, the tokens and the time."""
        seconds = time.monotonic() - self._start
        print(
            f"\n{self.requests} requests; {prompt_tokens:,} tokens in and {answer_tokens:,} out for the answer; {seconds:.1f} s"
        )


@contextmanager
def connect(title: str, question: str = "") -> Iterator[Session]:
    """Connects to the service or to a new emulator; on an error of the service, prints one line and exits.

    Uses `TOGETHER_BASE_URL` if it is set; else the live service if `TOGETHER_API_KEY` is set; else an emulator.
    Exit codes: 2 for wrong settings, 3 for errors of the service or the network.
    """
    print(f"{title}\n{'=' * len(title)}")
    if question:
        print(f"Question: {question}")
    try:
        with ExitStack() as stack:
            base_url = os.environ.get("TOGETHER_BASE_URL") or os.environ.get("TOGETHER_API_BASE")
            is_emulated = not base_url and not os.environ.get("TOGETHER_API_KEY")
            options = _start_emulator(stack) if is_emulated else {}
            session = Session(stack.enter_context(httpx.Client(trust_env=not is_emulated)), **options)
            print(f"Service:  {EMULATOR if is_emulated else session.client.base_url}")
            yield session
    except TogetherError as error:
        print(flush=True)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigurationError) else 3) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _start_emulator(stack: ExitStack) -> dict[str, str]:
    """Starts an emulator that streams at reading speed."""
    from together_adapters.emulator import Behaviour, serve

    emulator = stack.enter_context(serve(behaviour=Behaviour(delay=0.01)))
    return {"base_url": emulator.base_url, "api_key": "any"}


def question(default: str, description: str = "Ask the Python language reference.") -> str:
    """Returns the question from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--question", default=default, help="the question (default: %(default)s)")
    return str(parser.parse_args().question)


class Screen:
    """Prints text as it streams in, with line breaks between words.

    Attributes:
        text: The text so far.
    """

    def __init__(self) -> None:
        self.text = ""
        self._word = ""
        self._column = 0

    def write(self, chunk: str) -> None:
        """Prints the complete words of a chunk."""
        if not self.text.strip():
            chunk = chunk.lstrip()
        self.text += chunk
        *words, self._word = re.split(r"(?<=\s)", self._word + chunk)
        for word in words:
            self._write_word(word)

    def end(self) -> str:
        """Prints the last word and a line end; returns the text."""
        self._write_word(self._word + "\n")
        self._word = ""
        return self.text.rstrip("\n")

    def _write_word(self, word: str) -> None:
        """Prints a word with the white space after it, on a new line if it does not fit on this one."""
        visible = word.rstrip()
        if self._column and self._column + 1 + len(visible) > _width():
            self._column = 0
            print()
        space = " " if self._column and visible else ""
        print(space + visible, end="", flush=True)
        self._column += len(space + visible)
        if "\n" in word:
            print()
            self._column = 0


def print_stream(chunks: Iterable[str]) -> str:
    """Prints text as it streams in, after an empty line; returns the text."""
    print()
    screen = Screen()
    for chunk in chunks:
        screen.write(chunk)
    return screen.end()


def print_citations(answer: str, titles: Sequence[str]) -> None:
    """Prints the titles of the passages that an answer cites as [1] or [1, 2]."""
    marks = re.findall(r"\[(\d+(?:, *\d+)*)\]", answer)
    numbers = sorted({int(number) for mark in marks for number in mark.split(",")} & set(range(1, len(titles) + 1)))
    print("\nPassages cited:" if numbers else "\nNo passage is cited.")
    for number in numbers:
        print(f"  [{number}] {titles[number - 1]}")


def note_missing_rerank(error: Exception) -> None:
    """Prints a note that the passages could not be reranked."""
    reason = " ".join(str(error).split())
    print(f"note: continuing without reranking; {reason}", file=sys.stderr)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 80) - 1

"""What the recipes share besides the corpus: the service they talk to, what it is asked, and how an answer looks in a terminal.

Nothing here belongs to LangChain or to LlamaIndex; read a recipe first.
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

EMULATED = "emulator (TOGETHER_API_KEY is not set); it answers in quotations"


class Session:
    """A client of the service, and counts of what passes through it.

    Attributes:
        client: For the adapters to share: one connection pool, one retry policy.
        requests: Answers that came back so far, those to retried requests included.
        emulated: Whether an emulator was started for the occasion, where nothing costs anything.
    """

    def __init__(self, http_client: httpx.Client, **options: Any) -> None:
        http_client.event_hooks = {"response": [self.count]}
        self.client = Together(http_client=http_client, **options)
        self._options = options
        self.emulated = bool(options)
        self.requests = 0
        self._bar: tqdm[None] | None = None
        self._begun = time.monotonic()

    def count(self, response: httpx.Response) -> None:
        """Count an answer. httpx calls this for each, as soon as its headers are there."""
        self.requests += 1
        if self._bar is not None and response.is_success and response.request.url.path.endswith("/embeddings"):
            self._bar.update(len(json.loads(response.request.content)["input"]))

    @asynccontextmanager
    async def asynchronous(self) -> AsyncIterator[AsyncTogether]:
        """Make an asynchronous client of the same service, whose answers are counted as well."""

        async def count(response: httpx.Response) -> None:
            self.count(response)

        async with httpx.AsyncClient(event_hooks={"response": [count]}, trust_env=not self._options) as http_client:
            yield AsyncTogether(http_client=http_client, **self._options)

    @contextmanager
    def progress(self, task: str, total: int) -> Iterator[None]:
        """Show a bar that fills as texts are embedded, where there is a terminal to show it."""
        with tqdm(total=total, desc=task, unit=" passages", ncols=_width(), disable=None) as self._bar:
            yield
        self._bar = None

    def close_with(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Print the closing line."""
        seconds = time.monotonic() - self._begun
        print(
            f"\n{self.requests} requests; {prompt_tokens:,} tokens in and {answer_tokens:,} out for the answer; {seconds:.1f} s"
        )


@contextmanager
def connect(title: str, question: str = "") -> Iterator[Session]:
    """Connect to the service, or to an emulator started for the occasion; end the program with one line if that goes wrong.

    A base URL that is set is used. Otherwise a key that is set means the live service, and none the emulator.
    Exit codes: 2 wrong settings, 3 the service or the network.
    """
    print(f"{title}\n{'=' * len(title)}")
    if question:
        print(f"Question: {question}")
    try:
        with ExitStack() as stack:
            given = os.environ.get("TOGETHER_BASE_URL") or os.environ.get("TOGETHER_API_BASE")
            emulated = not given and not os.environ.get("TOGETHER_API_KEY")
            options = _emulator(stack) if emulated else {}
            session = Session(stack.enter_context(httpx.Client(trust_env=not emulated)), **options)
            print(f"Service:  {EMULATED if emulated else session.client.base_url}")
            yield session
    except TogetherError as problem:
        print(flush=True)
        print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
        raise SystemExit(2 if isinstance(problem, ConfigurationError) else 3) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _emulator(stack: ExitStack) -> dict[str, str]:
    """Start an emulator that speaks at reading speed."""
    from together_adapters.emulator import Behaviour, serve

    emulator = stack.enter_context(serve(behaviour=Behaviour(delay=0.01)))
    return {"base_url": emulator.base_url, "api_key": "any"}


def question(default: str, description: str = "Ask the Python language reference.") -> str:
    """Return the question of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--question", default=default, help="what to ask (default: %(default)s)")
    return str(parser.parse_args().question)


class Screen:
    """Prints text piece by piece as it streams in, broken between words.

    Attributes:
        text: All that was printed.
    """

    def __init__(self) -> None:
        self.text = ""
        self._word = ""
        self._column = 0

    def write(self, piece: str) -> None:
        """Print a piece, but for a word that may still go on."""
        if not self.text.strip():
            piece = piece.lstrip()
        self.text += piece
        *complete, self._word = re.split(r"(?<=\s)", self._word + piece)
        for word in complete:
            self._write_word(word)

    def end(self) -> str:
        """Print what is left, end the line, and return all the text."""
        self._write_word(self._word + "\n")
        self._word = ""
        return self.text.rstrip("\n")

    def _write_word(self, word: str) -> None:
        """Print a word that ends in white space, on the next line if it does not fit on this one."""
        shown = word.rstrip()
        if self._column and self._column + 1 + len(shown) > _width():
            self._column = 0
            print()
        space = " " if self._column and shown else ""
        print(space + shown, end="", flush=True)
        self._column += len(space + shown)
        if "\n" in word:
            print()
            self._column = 0


def show(pieces: Iterable[str]) -> str:
    """Print text as it streams in, after an empty line; return all of it."""
    print()
    screen = Screen()
    for piece in pieces:
        screen.write(piece)
    return screen.end()


def list_cited(answer: str, titles: Sequence[str]) -> None:
    """Print the titles of the passages that an answer cites, as [1] or [1, 2]."""
    marks = re.findall(r"\[(\d+(?:, *\d+)*)\]", answer)
    cited = sorted({int(number) for mark in marks for number in mark.split(",")} & set(range(1, len(titles) + 1)))
    print("\nPassages cited:" if cited else "\nNo passage is cited.")
    for number in cited:
        print(f"  [{number}] {titles[number - 1]}")


def advise_on_rerank(problem: Exception) -> None:
    """Say what to do when the service does not rerank."""
    reason = " ".join(str(problem).split())
    print(f"note: going on without reranking; most rerank models need a dedicated endpoint ({reason})", file=sys.stderr)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 80) - 1

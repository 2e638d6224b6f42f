"""Helpers of the recipes: the connection to the service, the models that it serves, the command line, and the output in a terminal.

Nothing here is specific to LangChain or LlamaIndex; read a recipe first. Variables of the environment choose the service and its models:

- `TOGETHER_BASE_URL`, `TOGETHER_API_KEY`: the service. Without both, a recipe starts an emulator and costs nothing.
- `TOGETHER_EMULATOR`: `default` or `strict` starts an emulator although there is a key. A strict one serves only what the service
  offers today, so no embedding model; the default one serves more.
- `TOGETHER_CHAT_MODEL`: the chat model, instead of those that a recipe names.
- `EMBEDDING_BASE_URL`, `EMBEDDING_API_KEY`, `EMBEDDING_MODEL`: a server of embeddings, such as one on this machine. It never gets the
  key of Together. See docs/embeddings-elsewhere.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from together_adapters import (
    AsyncTogether,
    ConfigurationError,
    InvalidRequestError,
    ModelNotAvailableError,
    ModelRemovedWarning,
    Together,
    TogetherError,
)
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, alternatives, capabilities

if TYPE_CHECKING:
    from types import TracebackType

    from together_adapters.emulator import Emulator


def _print_missing(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Says what to install where a recipe, or what it uses, imports a package that is missing."""
    if issubclass(kind, ModuleNotFoundError):
        recipe = os.path.basename(sys.argv[0])
        print(f'{error}: once, in the clone, `pip install ".[cookbook]"`; or `uv run cookbook/{recipe}`', file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _print_missing  # before the next import, and those of the recipe, which imports this module first

from tqdm import tqdm  # noqa: E402

EMULATOR_MODES = ("default", "strict")
EMBEDDING_TOKENS = {"prompt_tokens": "embedded"}
TOO_MANY_REQUESTS = 429
RANKING_TOKENS = {"prompt_tokens": "in", "completion_tokens": "out"}


@dataclass(frozen=True)
class Embedder:
    """An embedding model, and a client of the server that has it."""

    client: Together
    model: str


class Session:
    """A client of the service that counts its requests and finds models that are served.

    Attributes:
        client: The client that the adapters share, with one connection pool and one retry policy.
        requests: The number of responses so far, with those to retried requests.
        refused: The number of those that say that a limit is reached.
        emulator: The emulator that this recipe has started, where nothing costs anything; None if there is a service.
    """

    def __init__(self, stack: ExitStack, emulator: Emulator | None = None) -> None:
        options: dict[str, Any] = {} if emulator is None else {"base_url": emulator.base_url, "api_key": "any"}
        self._stack = stack
        self._options = options
        self.emulator = emulator
        self.client = Together(http_client=self._http_client(trust_env=not options), **options)
        self.requests = self.refused = 0
        self._served: set[str] = set()
        self._search_tokens: Counter[str] = Counter()
        self._bar: tqdm[None] | None = None
        self._start = time.monotonic()

    def _http_client(self, **options: Any) -> httpx.Client:
        """Opens an HTTP client whose responses are counted; it is closed with the session."""
        hooks = {"response": [self.count, self._count_tokens]}
        return self._stack.enter_context(httpx.Client(event_hooks=hooks, **options))

    def count(self, response: httpx.Response) -> None:
        """Counts a response. httpx calls this as soon as the headers of a response are received."""
        self.requests += 1
        self.refused += response.status_code == TOO_MANY_REQUESTS
        if self._bar is not None and response.is_success and response.request.url.path.endswith("/embeddings"):
            self._bar.update(len(json.loads(response.request.content)["input"]))

    def _count_tokens(self, response: httpx.Response) -> None:
        """Adds up the tokens of responses that are no streams: in a recipe that streams its answer, those of the search."""
        is_file = response.request.url.path.endswith("/content")  # which the client writes to disk as it arrives
        if response.headers.get("content-type", "").startswith("application/json") and not is_file:
            response.read()
            kinds = EMBEDDING_TOKENS if response.request.url.path.endswith("/embeddings") else RANKING_TOKENS
            with suppress(ValueError, AttributeError):  # what is no JSON object has no usage
                usage = response.json().get("usage") or {}
                self._search_tokens.update({kind: usage.get(name) or 0 for name, kind in kinds.items()})

    def chat_model(self, name: str) -> str:
        """Returns the model to use where a recipe names this one: the same, or if it is gone, a living one.

        Models go within months, and the catalogue of the service keeps some that are gone; so each candidate is asked for one token.
        If none answers, it is the model of the recipe, whose first request will say why. `TOGETHER_CHAT_MODEL` takes precedence and
        is not checked.
        """
        if wanted := os.environ.get("TOGETHER_CHAT_MODEL"):
            return wanted
        model = next(filter(self._is_served, self._candidates(name)), name)
        if model != name:
            facts = capabilities(name)
            state = f"gone since {facts.removed_on}" if facts.is_removed else "not served"
            print_note(f"{name} is {state}; this run uses {model} (TOGETHER_CHAT_MODEL names another one)")
        return model

    def _candidates(self, name: str) -> Iterator[str]:
        """Yields the model unless the table says that it is gone, similar ones of the table, then chat models of the catalogue."""
        if not capabilities(name).is_removed:
            yield name
        similar = alternatives(name)
        yield from similar
        catalogue = (str(model.id) for model in self.client.models.list() if model.type == "chat")
        yield from (model for model in catalogue if model not in (name, *similar) and not capabilities(model).is_removed)

    def _is_served(self, model: str) -> bool:
        """Whether a model answers; the service recommends a request for one token to find out."""
        if model not in self._served:
            try:
                self.client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
            except ModelNotAvailableError:
                return False
            self._served.add(model)
        return True

    def embedder(self) -> Embedder | None:
        """Returns an embedding model that can be reached, or None; prints which.

        It is the one of the server that `EMBEDDING_BASE_URL` names, or one of the service itself. That is asked once, because it may
        have none.
        """
        model = os.environ.get("EMBEDDING_MODEL") or DEFAULT_EMBEDDING_MODEL
        if base_url := os.environ.get("EMBEDDING_BASE_URL"):
            # Without an `api_key`, the client would send the key of Together to a server of this machine.
            key = os.environ.get("EMBEDDING_API_KEY") or "none"
            try:
                client = Together(base_url=base_url, api_key=key, http_client=self._http_client())
            except ConfigurationError as error:
                raise ConfigurationError(f"EMBEDDING_BASE_URL or EMBEDDING_API_KEY is wrong: {error}") from None
            print(f"Vectors:  {model} at {client.base_url}")
            return Embedder(client, model)
        try:
            self.client.embeddings.create(model=model, input="Python")
        except (ModelNotAvailableError, InvalidRequestError):
            print("Vectors:  none, as the service serves no embedding model")
            return None
        print(f"Vectors:  {model}")
        return Embedder(self.client, model)

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

    def print_summary(self, prompt_tokens: int, answer_tokens: int, *, with_search: bool = False) -> None:
        """Prints the number of requests, the tokens and the time; `with_search`, where the answer alone is streamed, all tokens."""
        seconds = time.monotonic() - self._start
        print()
        if with_search:
            tokens = self._search_tokens
            print(
                f"{tokens['embedded']:,} tokens embedded; {tokens['in']:,} tokens in and {tokens['out']:,} out to rank passages"
            )
        print(f"{self.requests} requests; {prompt_tokens:,} tokens in and {answer_tokens:,} out for the answer; {seconds:.1f} s")


@contextmanager
def connect(title: str, question: str = "", **emulator_options: Any) -> Iterator[Session]:
    """Connects to the service or to a new emulator, with options of `serve`; on an error of the service, prints one line and exits.

    Uses an emulator if `TOGETHER_EMULATOR` is set; else `TOGETHER_BASE_URL` if it is set; else the live service if
    `TOGETHER_API_KEY` is set; else an emulator. Exit codes: 2 for wrong settings, 3 for errors of the service or the network.
    """
    print(f"{title}\n{'=' * len(title)}")
    if question:
        print(f"Question: {question}")
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", ModelRemovedWarning)  # `Session` finds out, and says so in a line
            reason = _reason_to_emulate()
            session = Session(stack, _start_emulator(stack, **emulator_options) if reason else None)
            print(f"Service:  {f'emulator ({reason}); it answers in quotations' if reason else session.client.base_url}")
            yield session
    except TogetherError as error:
        print(flush=True)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigurationError) else 3) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _reason_to_emulate() -> str:
    """Says why an emulator is used; empty if another service is."""
    mode = os.environ.get("TOGETHER_EMULATOR")
    if mode and mode not in EMULATOR_MODES:
        raise ConfigurationError(f"TOGETHER_EMULATOR must be {' or '.join(EMULATOR_MODES)}, not {mode!r}")
    if mode:
        return f"TOGETHER_EMULATOR={mode}"
    is_configured = any(map(os.environ.get, ("TOGETHER_API_KEY", "TOGETHER_BASE_URL", "TOGETHER_API_BASE")))
    return "" if is_configured else "TOGETHER_API_KEY is not set"


def _start_emulator(stack: ExitStack, **options: Any) -> Emulator:
    """Starts an emulator that streams at reading speed."""
    from together_adapters.emulator import Behaviour, serve

    strict = os.environ.get("TOGETHER_EMULATOR") == "strict"
    return stack.enter_context(serve(behaviour=Behaviour(delay=0.01, strict=strict), **options))


def question(default: str, description: str = "Ask the Python language reference.") -> str:
    """Returns the question from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--question", default=default, help="the question (default: %(default)s)")
    text = str(parser.parse_args().question)
    if not text.strip():
        parser.error("--question must not be empty")
    return text


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
    """Prints a note that the model did not rerank."""
    print_note(f"continuing without reranking ({' '.join(str(error).split())})")


def print_note(text: str) -> None:
    """Prints what is not as the reader of a recipe expects."""
    print(f"note: {text}", file=sys.stderr)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 80) - 1

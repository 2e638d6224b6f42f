"""The calls of a user: each written once, as a generator, and performed on both flavours.

A call yields what must be awaited on the asynchronous client, and `Next` for an item of a stream. It appends the text that it gets,
piece by piece, so that what came before an error is known.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import anyio

from tests.soak.faults import ANSWER, Kind, file_content, right_text, vector
from together_adapters import errors
from together_adapters.transport import async_driver, streams, sync_driver

MODEL: Final = "deepseek-ai/DeepSeek-V4.1-Flash"
QUESTION: Final[dict[str, Any]] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
_END: Final = object()
_PACE: Final = 1000  # pauses between attempts are so many times shorter
pauses: ContextVar[list[float] | None] = ContextVar("pauses", default=None)


@dataclass(frozen=True)
class Script:
    """One call: its kind, its number, and what is drawn for it."""

    kind: Kind
    number: int
    call: str
    retries: int
    faults: int
    has_limit: bool

    def options(self, ports: Any, flavour: str) -> dict[str, Any]:
        """Returns the options of its client."""
        limit = {"max_elapsed": 300.0} if self.has_limit else {}
        url = f"http://127.0.0.1:{getattr(ports, self.kind.port)}/{self.name(flavour)}"
        return {"base_url": url, "max_retries": self.retries, "timeout": 120.0, **limit, **self.kind.options}

    def name(self, flavour: str) -> str:
        """Returns the segment of the path by which the server knows the call."""
        return f"{self.kind.name}.{self.number}.{flavour}.{self.faults}"

    def expectation(self) -> tuple[list[str], range]:
        """Returns the results that are right, and the numbers of requests."""
        kind, is_retried = self.kind, self.kind.is_retried(self.number, self.call)
        tolerated = kind.hops or (0 if is_retried is False else self.retries)
        results = kind.errors(self.number)
        most = kind.max_requests or (min(self.faults, tolerated) + 1 if kind.error else 1)
        if kind.error and self.faults <= tolerated:
            results = [ANSWER] if is_retried or kind.hops else [*results, ANSWER]
        is_exact = is_retried is not None and not (kind.max_requests or kind.is_timed or self.call.startswith("cancel"))
        return results, range(most if is_exact else 0, most + 1)


class Outcome(NamedTuple):
    """What came of a call."""

    result: str  # `answer`, or the class of the error
    text: str
    attempts: int | None = None  # as an error gives them
    message: str = ""
    pauses: tuple[float, ...] = ()
    seconds: float = 0.0


@dataclass
class Context:
    """What a call works with."""

    client: Any
    script: Script
    is_async: bool
    pieces: list[str] = field(default_factory=list)

    @property
    def clients(self) -> dict[str, Any]:
        """The client as the adapters take it."""
        return {"async_client" if self.is_async else "client": self.client}

    def method(self, owner: Any, name: str) -> Any:
        """Returns a method of a framework, which has another name where it is asynchronous."""
        return getattr(owner, f"a{name}" if self.is_async else name)


class Next(NamedTuple):
    """The next item of a stream."""

    stream: Any


Steps = Generator[Any, Any, None]


def chat(context: Context) -> Steps:
    completion = yield context.client.chat.completions.create(**QUESTION)
    context.pieces.append(joined(choice.message and choice.message.content for choice in completion.choices))


def completion(context: Context) -> Steps:
    completion = yield context.client.completions.create(model=MODEL, prompt="hi")
    context.pieces.append(joined(choice.text for choice in completion.choices))


def embed(context: Context) -> Steps:
    response = yield context.client.embeddings.create(model="m/e", input=["0", "1", "2"])
    context.pieces.append(vectors_text(context, [item.embedding for item in response.data], 3))


def embed_many(context: Context) -> Steps:
    response = yield context.client.embeddings.create(model="m/e", input=list("01234"), batch_size=2, max_concurrency=2)
    context.pieces.append(vectors_text(context, [item.embedding for item in response.data], 5))


def rerank(context: Context) -> Steps:
    response = yield context.client.rerank.create(model="m/r", query="q", documents=["a", "b", "c"])
    context.pieces.append(ranking_text(context, {result.index: result.relevance_score for result in response.results}))


def models(context: Context) -> Steps:
    response = yield context.client.models.list()
    context.pieces.append(joined(model.id for model in response))


def batch(context: Context) -> Steps:
    response = yield context.client.batches.create("file-1")
    context.pieces.append(str(response.id))


def content(context: Context) -> Steps:
    data = yield context.client.files.content("file-1")
    context.pieces.append(file_text(context, data))


def stream(context: Context) -> Steps:
    chunks = yield context.client.chat.completions.create(stream=True, **QUESTION)
    while (item := (yield Next(chunks))) is not _END:
        context.pieces.append(joined(choice.delta.content for choice in item.choices if not choice.index))


def leave(context: Context) -> Steps:
    chunks = yield context.client.chat.completions.create(stream=True, **QUESTION)
    item = yield Next(chunks)
    context.pieces.append(joined(choice.delta.content for choice in item.choices))
    yield chunks.close()


def drop(context: Context) -> Steps:
    chunks = yield context.client.chat.completions.create(stream=True, **QUESTION)
    item = yield Next(chunks)
    context.pieces.append(joined(choice.delta.content for choice in item.choices))


def langchain_chat(context: Context) -> Steps:
    message = yield context.method(langchain("ChatTogether", context), "invoke")("hi")
    context.pieces.append(content_text(message))


def langchain_stream(context: Context) -> Steps:
    chunks = context.method(langchain("ChatTogether", context), "stream")("hi")
    while (item := (yield Next(chunks))) is not _END:
        context.pieces.append(content_text(item))


def langchain_embed(context: Context) -> Steps:
    embeddings = langchain("TogetherEmbeddings", context)
    rows = yield context.method(embeddings, "embed_documents")(["0", "1", "2"])
    context.pieces.append(vectors_text(context, rows, 3))


def langchain_rerank(context: Context) -> Steps:
    ranking = yield context.method(langchain("TogetherRerank", context), "rerank")(["a", "b", "c"], "q")
    context.pieces.append(ranking_text(context, {result["index"]: result["relevance_score"] for result in ranking}))


def llama_chat(context: Context) -> Steps:
    response = yield context.method(llama("TogetherLLM", context), "chat")(user_message())
    context.pieces.append(response.message.content or "")


def llama_stream(context: Context) -> Steps:
    chunks = yield context.method(llama("TogetherLLM", context), "stream_chat")(user_message())
    while (item := (yield Next(chunks))) is not _END:
        context.pieces.append(item.delta or "")


def llama_embed(context: Context) -> Steps:
    embedding = llama("TogetherEmbedding", context)
    name = "aget_text_embedding_batch" if context.is_async else "get_text_embedding_batch"
    rows = yield getattr(embedding, name)(["0", "1", "2"])
    context.pieces.append(vectors_text(context, rows, 3))


def llama_rerank(context: Context) -> Steps:
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in "abc"]
    rerank = llama("TogetherRerank", context)
    ranked = yield context.method(rerank, "postprocess_nodes")(nodes, query_bundle=QueryBundle("q"))
    context.pieces.append(ranking_text(context, {"abc".index(node.node.get_content()): node.score for node in ranked}))


def upload(context: Context) -> Steps:
    file = yield context.client.files.upload(upload_file(), purpose="batch-api", check=False)
    context.pieces.append(file.filename or "")


def upload_parts(context: Context) -> Steps:
    file = yield context.client.files.upload(upload_file(), purpose="batch-api", check=False, multipart_threshold=0)
    context.pieces.append(file.filename or "")


def download(context: Context) -> Steps:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "file.jsonl")
        yield context.client.files.retrieve_content("file-1", target)
        context.pieces.append(file_text(context, target.read_bytes()))


CALLS: Final[dict[str, Callable[[Context], Steps]]] = {
    "chat": chat,
    "completion": completion,
    "embed": embed,
    "embed-many": embed_many,
    "rerank": rerank,
    "models": models,
    "batch": batch,
    "content": content,
    "stream": stream,
    "leave": leave,
    "drop": drop,
    "cancel": chat,
    "cancel-stream": stream,
    "langchain-chat": langchain_chat,
    "langchain-stream": langchain_stream,
    "langchain-embed": langchain_embed,
    "langchain-rerank": langchain_rerank,
    "llama-chat": llama_chat,
    "llama-stream": llama_stream,
    "llama-embed": llama_embed,
    "llama-rerank": llama_rerank,
    "upload": upload,
    "upload-parts": upload_parts,
    "download": download,
}


def langchain(name: str, context: Context) -> Any:
    import langchain_together_adapters

    model = {} if name == "ChatTogether" else {"model": "m/e"}
    return getattr(langchain_together_adapters, name)(**model, **context.clients)


def llama(name: str, context: Context) -> Any:
    import llama_index_together_adapters

    model = {"model": MODEL} if name == "TogetherLLM" else {"model": "m/e"}
    return getattr(llama_index_together_adapters, name)(**model, **context.clients)


def user_message() -> list[Any]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content="hi")]


@cache
def upload_file() -> Path:
    folder = tempfile.mkdtemp(prefix="soak-")
    atexit.register(shutil.rmtree, folder)
    path = Path(folder, "rows.jsonl")
    path.write_text('{"custom_id": "1"}\n' * 20)
    return path


def joined(texts: Any) -> str:
    return "".join(text or "" for text in texts)


def content_text(message: Any) -> str:
    value = message.content
    return value if isinstance(value, str) else joined(block.get("text") for block in value)


def vectors_text(context: Context, rows: Any, count: int) -> str:
    number = context.script.number
    rows = [list(row) for row in rows]
    return right_text(number) if rows == [vector(number, index) for index in range(count)] else f"vectors {rows}"


def ranking_text(context: Context, scores: dict[int, float | None]) -> str:
    return right_text(context.script.number) if scores == {0: 0.25, 1: 0.5, 2: 0.75} else f"scores {scores}"


def file_text(context: Context, data: bytes) -> str:
    number = context.script.number
    return right_text(number) if data == file_content(number) else f"{len(data)} bytes {hashlib.md5(data).hexdigest()}"


# The two drivers.


def perform(script: Script, client: Any) -> Outcome:
    """Performs a call on the synchronous client."""
    context = Context(client, script, is_async=False)
    steps = CALLS[script.call](context)
    waits: list[float] = []
    token = pauses.set(waits)
    start = time.monotonic()
    try:
        value = None
        while True:
            step = steps.send(value)
            value = next(step.stream, _END) if isinstance(step, Next) else step
    except StopIteration:
        return _outcome(context, None, waits, start)
    except Exception as error:
        return _outcome(context, error, waits, start)
    finally:
        pauses.reset(token)
        steps.close()


async def perform_async(script: Script, client: Any) -> Outcome:
    """Performs a call on the asynchronous client; some calls are cancelled at a random moment."""
    context = Context(client, script, is_async=True)
    waits: list[float] = []
    start = time.monotonic()
    try:
        if script.call.startswith("cancel"):
            await _cancel(asyncio.create_task(_walk(context, waits)), script)
        else:
            await _walk(context, waits)
    except (Exception, asyncio.CancelledError) as error:
        return _outcome(context, error, waits, start)
    return _outcome(context, None, waits, start)


async def _cancel(task: asyncio.Task[None], script: Script) -> None:
    await asyncio.wait([task], timeout=Random(script.number).random() * 0.6)
    task.cancel()
    await task


async def _walk(context: Context, waits: list[float]) -> None:
    pauses.set(waits)
    steps = CALLS[context.script.call](context)
    try:
        value = None
        while True:
            try:
                step = steps.send(value)
            except StopIteration:
                return
            if isinstance(step, Next):
                value = await anext(step.stream, _END)
            else:
                value = await step if hasattr(step, "__await__") else step
    finally:
        steps.close()


def _outcome(context: Context, error: BaseException | None, waits: list[float], start: float) -> Outcome:
    seconds = time.monotonic() - start
    text = "".join(context.pieces)
    if error is None:
        return Outcome(ANSWER, text, None, "", tuple(waits), seconds)
    attempts = error.attempts if isinstance(error, errors.TogetherError) else None
    return Outcome(_class_of(error), text, attempts, str(error), tuple(waits), seconds)


def _class_of(error: BaseException) -> str:
    """Returns the name of a documented error; that of any other with its module."""
    kind = type(error)
    if not isinstance(error, errors.TogetherError):
        return f"{kind.__module__}.{kind.__qualname__}" if not isinstance(error, asyncio.CancelledError) else "CancelledError"
    return next(kind.__name__ for kind in kind.__mro__ if kind.__module__ == errors.__name__)


class _WithSleep:
    """A module with another function `sleep`."""

    def __init__(self, module: Any, sleep: Callable[[float], Any]) -> None:
        self.sleep = sleep
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def prepare() -> None:
    """Imports what calls need, and makes their pauses short."""
    import langchain_together_adapters
    import llama_index_together_adapters

    for package in (langchain_together_adapters, llama_index_together_adapters):
        for name in package.__all__:
            getattr(package, name)
    _shorten_pauses()


def _shorten_pauses() -> None:
    """Makes pauses between attempts short, and records them for each call; what waits for the end of a stream waits less too."""

    def note(seconds: float) -> float:
        waits = pauses.get()
        if waits is not None:
            waits.append(seconds)
        return seconds / _PACE

    async def sleep(seconds: float) -> None:
        await anyio.sleep(note(seconds))

    setattr(sync_driver, "time", _WithSleep(time, lambda seconds: time.sleep(note(seconds))))
    setattr(async_driver, "anyio", _WithSleep(anyio, sleep))
    streams.DRAIN_SECONDS = 0.05

"""The description of the provider under test, and the fixtures of the checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation import get_dispatcher

from .wire import WireServer

T = TypeVar("T")
KEY = "sk-conformance-5d41402abc4b2a76b9719d911017c592"
FOREIGN_KEY = "sk-foreign-key-that-must-never-be-sent"
ELSEWHERE = "https://elsewhere.invalid/v1"  # not this machine, whose servers may need no key
Factory = Callable[..., Any]


@dataclass(frozen=True)
class Provider:
    """A provider's classes, and how they differ from those of other providers.

    Attributes:
        llm: Makes the LLM: the class, or a function where names or flags differ. It is called with `api_base`, `api_key` and
            `model`, and with what a check is about: `max_retries`, `timeout`, `temperature`, `max_tokens`, `is_chat_model`,
            `is_function_calling_model`, `system_prompt`, `logprobs`, `callback_manager`, `rate_limiter`,
            `pydantic_program_mode`.
        embedding: Makes the embedding model, called likewise, without `model`: `embed_batch_size`, `num_workers`, `model_name`,
            `embeddings_cache`, `query_instruction`, `text_instruction`, `dimensions`, ... None when there is none.
        rerank: Makes the node postprocessor, called likewise: `top_n`, ... None when there is none.
        key_variable: The environment variable that holds the key.
        model: A chat model with tools, whose context window is known.
        context_window: Its context window, in tokens.
        parameters: Request parameters of the provider that LlamaIndex does not know, with values, given per call.
        think_tags: Whether a `<think>` block at the head of an answer is reasoning.
        replay: Options that let reasoning in the history go back to the model.
        by_schema: Options that ask for structured output by JSON schema.
        context_length_error: What is raised when a prompt is too long.
        lacks: Ids of checks that the provider is known to fail, such as `"R07"`; they are skipped.
    """

    llm: Factory
    embedding: Factory | None = None
    rerank: Factory | None = None
    key_variable: str = "OPENAI_API_KEY"
    model: str = "wire-model"
    context_window: int = 131_072
    parameters: Mapping[str, Any] = field(default_factory=dict)
    think_tags: bool = True
    replay: Mapping[str, Any] = field(default_factory=dict)
    by_schema: Mapping[str, Any] = field(default_factory=dict)
    context_length_error: type[Exception] = Exception
    lacks: frozenset[str] = frozenset()


class Events(BaseEventHandler):
    """Collects the events of LlamaIndex's instrumentation."""

    events: list[Any] = []

    @classmethod
    def class_name(cls) -> str:
        """The handler's name."""
        return "ConformanceEvents"

    def handle(self, event: Any, **kwargs: Any) -> None:
        """Collect an event."""
        self.events.append(event)

    def named(self, *names: str) -> list[Any]:
        """Return the events of some classes."""
        return [event for event in self.events if type(event).__name__ in names]

    def count(self, name: str) -> int:
        """Return the number of events of a class."""
        return len(self.named(name))


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run an asynchronous scenario in a new event loop."""
    return asyncio.run(scenario)


async def collect(stream: Any) -> list[Any]:
    """Return the items of an asynchronous stream, or of a coroutine that returns one."""
    source = await stream if hasattr(stream, "__await__") else stream
    return [item async for item in source]


def user(text: str = "Hi") -> list[ChatMessage]:
    """Return a conversation of one question."""
    return [ChatMessage(role="user", content=text)]


def total_tokens(response: Any) -> int:
    """Return the token count of a response, from `raw`, where LlamaIndex's counters read it: a mapping or an object."""
    usage = dict(response.raw)["usage"]
    return int(usage["total_tokens"] if isinstance(usage, Mapping) else usage.total_tokens)


def texts_of(event: Any) -> str:
    """Return the content of an event as text, for a search for secrets."""
    try:
        return f"{event!r} {event.model_dump_json(fallback=repr)}"
    except Exception:
        return f"{event!r} {vars(event)!r}"


@pytest.fixture(scope="session")
def _wire_server() -> Iterator[WireServer]:
    with WireServer() as server:
        yield server


@pytest.fixture
def wire(_wire_server: WireServer) -> Iterator[WireServer]:
    """The server, with nothing recorded and nothing scripted."""
    _wire_server.reset()
    yield _wire_server
    _wire_server.reset()


@pytest.fixture
def provider() -> Provider:
    """The provider under test: a test module overrides this."""
    raise NotImplementedError("define a fixture named provider that returns a Provider")


@pytest.fixture(autouse=True)
def _skip_known_failures(request: pytest.FixtureRequest, provider: Provider) -> None:
    check = request.node.name.removeprefix("test_").split("_", 1)[0].split("[", 1)[0].upper()
    if check in provider.lacks:
        pytest.skip(f"{check} is known to fail with this provider")


@pytest.fixture
def llm_factory(provider: Provider, wire: WireServer) -> Factory:
    """Makes LLMs that talk to the server."""
    return lambda **options: provider.llm(**{"api_base": wire.url, "api_key": KEY, "model": provider.model, **options})


@pytest.fixture
def embedding_factory(provider: Provider, wire: WireServer) -> Factory:
    """Makes embedding models that talk to the server."""
    return _factory(provider.embedding, wire, "embedding model")


@pytest.fixture
def rerank_factory(provider: Provider, wire: WireServer) -> Factory:
    """Makes rerankers that talk to the server."""
    return _factory(provider.rerank, wire, "reranker")


def _factory(make: Factory | None, wire: WireServer, what: str) -> Factory:
    if make is None:
        pytest.skip(f"the provider has no {what}")
    return lambda **options: make(**{"api_base": wire.url, "api_key": KEY, **options})


@pytest.fixture
def llm(llm_factory: Factory) -> Any:
    """An LLM with the provider's defaults."""
    return llm_factory()


@pytest.fixture
def events() -> Iterator[Events]:
    """The events of LlamaIndex's instrumentation during a check."""
    handler = Events(events=[])
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)

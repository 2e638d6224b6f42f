"""The LangChain adapter against raw httpx plus the cost of LangChain itself, which a fake model with the same responses shows.

LangChain is imported where an operation is made, so that the client is measured without it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks import frameworks, payloads, peers, raw
from tests.benchmarks.frameworks import in_both_flavours
from tests.benchmarks.measure import Bench, Builder, Goal, Operation, Row, Work
from tests.benchmarks.payloads import KEY

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import BaseMessage


def fake_model(tokens: list[str]) -> BaseChatModel:
    """Return a chat model that streams these tokens at once: the remaining cost is LangChain's."""
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

    class FakeChat(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "fake"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(tokens)))])

        async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            return self._generate(messages)

        def _stream(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> Iterator[ChatGenerationChunk]:
            for token in tokens:
                yield ChatGenerationChunk(message=AIMessageChunk(content=token))

        async def _astream(
            self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
        ) -> AsyncIterator[ChatGenerationChunk]:
            for token in tokens:
                yield ChatGenerationChunk(message=AIMessageChunk(content=token))

    return FakeChat()


def invoke(model: Any) -> Work:
    """Return a chat that is not streamed."""
    messages = _messages()

    def work() -> str:
        return model.invoke(messages).content  # type: ignore[no-any-return]

    return work


def ainvoke(model: Any) -> Work:
    """Return the same, asynchronous."""
    messages = _messages()

    async def work() -> str:
        return (await model.ainvoke(messages)).content  # type: ignore[no-any-return]

    return work


def stream(model: Any) -> Work:
    """Return a streamed chat."""
    messages = _messages()

    def work() -> str:
        return "".join([chunk.content for chunk in model.stream(messages)])

    return work


def astream(model: Any) -> Work:
    """Return the same, asynchronous."""
    messages = _messages()

    async def work() -> str:
        return "".join([chunk.content async for chunk in model.astream(messages)])

    return work


def embed(embeddings: Any, texts: list[str]) -> Work:
    """Return embeddings of many documents."""

    def work() -> list[list[float]]:
        return embeddings.embed_documents(texts)  # type: ignore[no-any-return]

    return work


def _messages() -> list[BaseMessage]:
    from langchain_core.messages import HumanMessage, SystemMessage

    return [SystemMessage("You are a helpful assistant."), HumanMessage(payloads.QUESTION)]


def _model(bench: Bench, answer: str) -> Any:
    from langchain_together_adapters import ChatTogether

    options: dict[str, Any] = {"model": payloads.MODEL, "api_key": KEY, "base_url": bench.url(answer)}
    return ChatTogether(**options)


def _peers(bench: Bench, answer: str) -> dict[str, Any]:
    options = {"model": payloads.MODEL, "api_key": KEY, "base_url": bench.url(answer)}
    return peers.made("langchain-together", "langchain_together", "ChatTogether", **options)


def _invoke(name: str, bench: Bench, *, asynchronous: bool) -> Operation:
    by, base = (ainvoke, raw.achat) if asynchronous else (invoke, raw.chat)
    floor = by(fake_model([payloads.text(1_000)]))
    peer_works = {peer: by(model) for peer, model in _peers(bench, "small").items()}
    return Operation(
        name, by(_model(bench, "small")), (base(bench, "small", payloads.chat_body()), floor), Goal(1.3), peers=peer_works
    )


def _stream(name: str, bench: Bench, *, answer: str, chunks: int, asynchronous: bool) -> Operation:
    by, base = (astream, raw.astream) if asynchronous else (stream, raw.stream)
    floor = by(fake_model(payloads.pieces(chunks)))
    peer_works = {peer: by(model) for peer, model in _peers(bench, answer).items()}
    base_work = base(bench, answer, payloads.chat_body())
    return Operation(name, by(_model(bench, answer)), (base_work, floor), Goal(1.1), per=chunks, peers=peer_works)


def _embeddings(bench: Bench) -> Any:
    from langchain_together_adapters import TogetherEmbeddings

    options: dict[str, Any] = {"model": payloads.EMBEDDING_MODEL, "api_key": KEY, "base_url": bench.url("documents")}
    return TogetherEmbeddings(**options)


def _embed(name: str, bench: Bench) -> Operation:
    options = {"model": payloads.EMBEDDING_MODEL, "api_key": KEY, "base_url": bench.url("documents")}
    peer_models = peers.made("langchain-together", "langchain_together", "TogetherEmbeddings", **options)
    return frameworks.embedding(name, bench, embed, _embeddings(bench), peer_models, 1.2)


def _requests(name: str, bench: Bench) -> Row:
    return frameworks.embedding_requests(name, bench, embed, _embeddings(bench))


def _construction(name: str, bench: Bench) -> Operation:
    return frameworks.construction(name, partial(_model, bench, "small"), type(fake_model([])), partial(_peers, bench, "small"))


OPERATIONS: Final[dict[str, Builder]] = {
    **in_both_flavours("LangChain", "invoke", build=_invoke),
    **in_both_flavours("LangChain", "stream coalesced, a chunk", build=_stream, answer="coalesced", chunks=payloads.CHUNKS),
    **in_both_flavours("LangChain", "stream paced, a chunk", build=_stream, answer="paced", chunks=payloads.PACED_CHUNKS),
    "LangChain embed 10k documents, a document": _embed,
    "LangChain embed 10k documents, requests": _requests,
    "LangChain construction": _construction,
}

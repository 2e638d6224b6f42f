"""The LlamaIndex adapter against raw httpx plus the cost of LlamaIndex itself, which a fake model with the same responses shows.

LlamaIndex is imported where an operation is made, so that the client is measured without it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks import frameworks, payloads, peers, raw
from tests.benchmarks.frameworks import in_both_flavours
from tests.benchmarks.measure import Bench, Builder, Goal, Operation, Row, Work
from tests.benchmarks.payloads import KEY

if TYPE_CHECKING:
    from llama_index.core.llms import LLM, ChatMessage


def fake_model(tokens: list[str]) -> LLM:
    """Return a model that streams these tokens at once: the remaining cost is LlamaIndex's."""
    from llama_index.core.llms import ChatMessage, ChatResponse, CustomLLM, LLMMetadata, MessageRole
    from llama_index.core.llms.callbacks import llm_chat_callback

    full_text = "".join(tokens)

    class FakeLLM(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata()

        @llm_chat_callback()
        def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=full_text))

        @llm_chat_callback()
        async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
            return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=full_text))

        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            def answer() -> Any:
                text = ""
                for token in tokens:
                    text += token
                    yield ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), delta=token)

            return answer()

        @llm_chat_callback()
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def answer() -> Any:
                text = ""
                for token in tokens:
                    text += token
                    yield ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), delta=token)

            return answer()

        # Both are abstract in `LLM`; the benchmark only chats.
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    return FakeLLM()


def chat(model: Any) -> Work:
    """Return a chat that is not streamed."""
    messages = _messages()

    def work() -> str:
        return model.chat(messages).message.content  # type: ignore[no-any-return]

    return work


def achat(model: Any) -> Work:
    """Return the same, asynchronous."""
    messages = _messages()

    async def work() -> str:
        return (await model.achat(messages)).message.content  # type: ignore[no-any-return]

    return work


def stream(model: Any) -> Work:
    """Return a streamed chat."""
    messages = _messages()

    def work() -> str:
        return "".join([response.delta or "" for response in model.stream_chat(messages)])

    return work


def astream(model: Any) -> Work:
    """Return the same, asynchronous."""
    messages = _messages()

    async def work() -> str:
        return "".join([response.delta or "" async for response in await model.astream_chat(messages)])

    return work


def embed(embedding: Any, texts: list[str]) -> Work:
    """Return embeddings of many documents."""

    def work() -> list[list[float]]:
        return embedding.get_text_embedding_batch(texts)  # type: ignore[no-any-return]

    return work


def _messages() -> list[ChatMessage]:
    from llama_index.core.llms import ChatMessage

    return [ChatMessage("You are a helpful assistant.", role="system"), ChatMessage(payloads.QUESTION)]


def _model(bench: Bench, answer: str) -> Any:
    from llama_index_together_adapters import TogetherLLM

    return TogetherLLM(model=payloads.MODEL, api_key=KEY, api_base=bench.url(answer))


def _peers(bench: Bench, answer: str) -> dict[str, Any]:
    options = {"model": payloads.MODEL, "api_key": KEY, "api_base": bench.url(answer)}
    return peers.made("llama-index-llms-together", "llama_index.llms.together", "TogetherLLM", **options)


def _chat(name: str, bench: Bench, *, asynchronous: bool) -> Operation:
    by, base = (achat, raw.achat) if asynchronous else (chat, raw.chat)
    floor = by(fake_model([payloads.text(1_000)]))
    peer_works = {peer: by(model) for peer, model in _peers(bench, "small").items()}
    base_work = base(bench, "small", payloads.chat_body())
    return Operation(name, by(_model(bench, "small")), (base_work, floor), Goal(1.3), peers=peer_works)


def _stream(name: str, bench: Bench, *, answer: str, chunks: int, asynchronous: bool) -> Operation:
    by, base = (astream, raw.astream) if asynchronous else (stream, raw.stream)
    floor = by(fake_model(payloads.pieces(chunks)))
    peer_works = {peer: by(model) for peer, model in _peers(bench, answer).items()}
    base_work = base(bench, answer, payloads.chat_body())
    return Operation(name, by(_model(bench, answer)), (base_work, floor), Goal(1.1), per=chunks, peers=peer_works)


def _embedding(bench: Bench) -> Any:
    from llama_index_together_adapters import TogetherEmbedding

    return TogetherEmbedding(model_name=payloads.EMBEDDING_MODEL, api_key=KEY, api_base=bench.url("documents"))


def _embed(name: str, bench: Bench) -> Operation:
    options = {"model_name": payloads.EMBEDDING_MODEL, "api_key": KEY, "api_base": bench.url("documents")}
    peer_models = peers.made("llama-index-embeddings-together", "llama_index.embeddings.together", "TogetherEmbedding", **options)
    return frameworks.embedding(name, bench, embed, _embedding(bench), peer_models, 1.5)


def _requests(name: str, bench: Bench) -> Row:
    return frameworks.embedding_requests(name, bench, embed, _embedding(bench))


def _construction(name: str, bench: Bench) -> Operation:
    return frameworks.construction(name, partial(_model, bench, "small"), type(fake_model([])), partial(_peers, bench, "small"))


OPERATIONS: Final[dict[str, Builder]] = {
    **in_both_flavours("LlamaIndex", "chat", build=_chat),
    **in_both_flavours("LlamaIndex", "stream_chat coalesced, a chunk", build=_stream, answer="coalesced", chunks=payloads.CHUNKS),
    **in_both_flavours("LlamaIndex", "stream_chat paced, a chunk", build=_stream, answer="paced", chunks=payloads.PACED_CHUNKS),
    "LlamaIndex embed 10k documents, a document": _embed,
    "LlamaIndex embed 10k documents, requests": _requests,
    "LlamaIndex construction": _construction,
}

"""Rate limiters: acquired once for each call or batch, with an estimate of its tokens."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM
from llama_index_together_adapters.rate_limits import request_tokens, text_tokens
from pydantic import BaseModel

from together_adapters.emulator import Emulator

pytestmark = pytest.mark.skipif("rate_limiter" not in BaseEmbedding.model_fields, reason="this LlamaIndex has no rate limiters")

QUESTION = [ChatMessage(role="user", content="x" * 400)]
WAYS = ["sync", "async", "stream", "astream"]
FLAVOURS = ["sync", "async"]


class Recorder:
    """A rate limiter that records the tokens it is acquired with, and by which method."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.flavours: list[str] = []

    def acquire(self, num_tokens: int = 0) -> None:
        """Record."""
        self.tokens.append(num_tokens)
        self.flavours.append("sync")

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Record."""
        self.tokens.append(num_tokens)
        self.flavours.append("async")


class OfRequests:
    """A rate limiter of one's own that knows requests alone."""

    def __init__(self) -> None:
        self.count = 0

    def acquire(self) -> None:
        """Count."""
        self.count += 1

    async def async_acquire(self) -> None:
        """Count."""
        self.count += 1


class Ball(BaseModel):
    """A ball."""

    title: str


@pytest.fixture
def limiter() -> Recorder:
    return Recorder()


@pytest.fixture
def connect(emulator: Emulator, limiter: Recorder) -> dict[str, Any]:
    return {"api_key": "k", "base_url": emulator.base_url, "max_retries": 0, "rate_limiter": limiter}


async def run(llm: Any, way: str, method: str, value: Any, **kwargs: Any) -> None:
    prefix = {"sync": "", "async": "a", "stream": "stream_", "astream": "astream_"}[way]
    result = getattr(llm, prefix + method)(value, **kwargs)
    if way.startswith("a"):
        result = await result
    if way == "stream":
        list(result)
    elif way == "astream":
        [item async for item in result]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("method", "value"), [("chat", QUESTION), ("complete", "x" * 400)])
@pytest.mark.parametrize("is_chat", [True, False])
async def test_a_call_acquires_prompt_and_response(
    connect: Any, limiter: Recorder, is_chat: bool, method: str, value: Any, way: str
) -> None:
    llm = TogetherLLM(is_chat_model=is_chat, max_tokens=50, **connect)
    await run(llm, way, method, value)
    await run(llm, way, method, value, max_tokens=250)
    assert 150 <= limiter.tokens[0] < 190
    assert limiter.tokens[1] == limiter.tokens[0] + 200
    assert limiter.flavours == ["async" if way.startswith("a") else "sync"] * 2
    assert llm.rate_limiter is limiter


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_structured_output_acquires_once(connect: Any, emulator: Emulator, limiter: Recorder, flavour: str) -> None:
    emulator.reply(lambda _: '{"title": "red"}')
    llm, prompt = TogetherLLM(max_tokens=50, **connect), PromptTemplate("{thing}")
    predict = llm.structured_predict if flavour == "sync" else llm.astructured_predict
    output = predict(Ball, prompt, thing="a ball")
    assert (output if flavour == "sync" else await output) == Ball(title="red")
    assert len(limiter.tokens) == 1
    assert limiter.tokens[0] > 60  # the schema is part of the request


async def test_tools_and_a_format_may_take_two_requests(connect: Any, limiter: Recorder) -> None:
    tools = [FunctionTool.from_defaults(lambda: "", name="go", description="Go.").metadata.to_openai_tool()]
    llm = TogetherLLM(max_tokens=1000, **connect)
    llm.chat(QUESTION, tools=tools)
    llm.chat(QUESTION, tools=tools, response_format=Ball)
    assert 1100 < limiter.tokens[0] < 2000 < limiter.tokens[1]
    assert len(limiter.tokens) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_limit_on_tokens_delays_calls(connect: Any, flavour: str) -> None:
    from llama_index.core.rate_limiter import TokenBucketRateLimiter

    llm = TogetherLLM(**{**connect, "rate_limiter": TokenBucketRateLimiter(tokens_per_minute=60_000)})  # 1000 in a second

    async def seconds(max_tokens: int) -> float:
        start = time.monotonic()
        await run(llm, flavour, "chat", QUESTION, max_tokens=max_tokens)
        return time.monotonic() - start

    await asyncio.wait_for(seconds(100_000), 20)  # more than the limiter ever has
    assert await seconds(500) > 0.4


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_each_batch_acquires_its_tokens(connect: Any, limiter: Recorder, flavour: str) -> None:
    embedding = TogetherEmbedding(embed_batch_size=2, text_instruction="passage:", query_instruction="q", **connect)
    texts = ["x" * 392, "y" * 792, "z" * 1992]
    if flavour == "sync":
        vectors = embedding.get_text_embedding_batch(texts)
        embedding.get_text_embedding(texts[0])
        embedding.get_query_embedding("x" * 399)
    else:
        vectors = await embedding.aget_text_embedding_batch(texts)
        await embedding.aget_text_embedding(texts[0])
        await embedding.aget_query_embedding("x" * 399)
    assert len(vectors) == 3
    assert limiter.tokens == [300, 500, 100, 100]
    assert limiter.flavours == [flavour] * 4
    assert embedding.rate_limiter is limiter


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_cached_embeddings_acquire_nothing(connect: Any, limiter: Recorder, flavour: str) -> None:
    embedding = TogetherEmbedding(embeddings_cache=SimpleKVStore(), **connect)
    for _ in range(2):
        if flavour == "sync":
            embedding.get_text_embedding_batch(["x" * 400, "y" * 400])
        else:
            await embedding.aget_text_embedding_batch(["x" * 400, "y" * 400])
    assert limiter.tokens == [200]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_limit_on_tokens_delays_batches(connect: Any, flavour: str) -> None:
    from llama_index.core.rate_limiter import TokenBucketRateLimiter

    limiter = TokenBucketRateLimiter(tokens_per_minute=60_000)
    embedding = TogetherEmbedding(**{**connect, "rate_limiter": limiter}, embed_batch_size=1)
    limiter.acquire(60_000)
    start = time.monotonic()
    if flavour == "sync":
        embedding.get_text_embedding_batch(["a b " * 200, "c d " * 300])
    else:
        await embedding.aget_text_embedding_batch(["a b " * 200, "c d " * 300])
    assert time.monotonic() - start > 0.4


async def test_a_limiter_that_takes_no_tokens(connect: Any) -> None:
    limiter = OfRequests()
    llm = TogetherLLM(**{**connect, "rate_limiter": limiter})
    embedding = TogetherEmbedding(**{**connect, "rate_limiter": limiter})
    for way in WAYS:
        await run(llm, way, "chat", QUESTION)
    embedding.get_text_embedding("a")
    await embedding.aget_text_embedding("a")
    assert limiter.count == 6


def test_estimates() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    message = {"role": "user", "content": [{"type": "text", "text": "x"}, image]}
    assert request_tokens({"messages": [message], "max_tokens": 10}, None) < 1100
    assert request_tokens({"prompt": "x" * 40, "n": 3}, 100) == 310
    assert request_tokens({"prompt": "x" * 40, "extra_body": {"max_completion_tokens": 5}}, 100) == 15
    assert request_tokens({"prompt": "x" * 40}, None) == 266
    schema = {"type": ["string", "null"]}
    assert request_tokens({"prompt": "", "max_tokens": 1, "response_format": {"schema": schema}}, None) > 4
    assert text_tokens(["", "a", "\ud800", "ä" * 100]) == 1 + 1 + 1 + 50

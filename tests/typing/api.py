"""The public types as editors show them: checked by both type checkers, never run. A misspelt name is an error."""

from collections.abc import Coroutine
from typing import Any, assert_type

import together_adapters
from together_adapters import AsyncStream, AsyncTogether, Stream, Together, bulk
from together_adapters.bulk import BulkResults
from together_adapters.resources.realtime.connection import AsyncRealtimeConnection, RealtimeConnection
from together_adapters.transport.call import RawResponse
from together_adapters.types.account.costs import CostReport
from together_adapters.types.account.deployments import Deployment, ProjectEndpoint
from together_adapters.types.account.identity import Identity
from together_adapters.types.audio import Transcription
from together_adapters.types.chat import ChatCompletion, ChatCompletionChunk
from together_adapters.types.completions import Completion, CompletionChunk
from together_adapters.types.embeddings import EmbeddingResponse
from together_adapters.types.fine_tuning import FinetuneResponse
from together_adapters.types.models import ModelList
from together_adapters.types.rerank import RerankResponse


def synchronous(client: Together) -> None:
    together_adapters.Togethre  # type: ignore[attr-defined]  # pyright: ignore  # noqa: B018
    chat = client.chat.completions
    messages = [{"role": "user", "content": "hi"}]
    assert_type(chat.create(model="m", messages=messages), ChatCompletion)
    assert_type(chat.create(model="m", messages=messages, stream=True), Stream[ChatCompletionChunk])
    assert_type(chat.with_raw_response.create(model="m", messages=messages), RawResponse[ChatCompletion])
    assert_type(client.completions.create(model="m", prompt="p"), Completion)
    assert_type(client.completions.create(model="m", prompt="p", stream=True), Stream[CompletionChunk])
    assert_type(client.embeddings.create(model="m", input=["a"]), EmbeddingResponse)
    assert_type(client.embeddings.create(model="m", input="a").data[0].embedding, list[float])
    assert_type(client.rerank.create(model="m", query="q", documents=["d"]), RerankResponse)
    assert_type(client.rerank.create(model="m", query="q", documents=[{"a": 1}], method="listwise"), RerankResponse)
    assert_type(client.rerank.with_raw_response.create(model="m", query="q", documents=["d"]), RawResponse[RerankResponse])
    assert_type(client.models.list(), ModelList)
    assert_type(client.batches.run([], checkpoint="run.sqlite"), BulkResults[ChatCompletion])
    assert_type(client.batches.run([], endpoint="/v1/completions"), BulkResults[Any])
    assert_type([item.response for item in client.batches.run([])], list[ChatCompletion | None])
    assert_type(bulk.run(client, "prompts.jsonl", via="auto"), BulkResults[ChatCompletion])
    assert_type(bulk.run(client, [], endpoint="/v1/embeddings"), BulkResults[Any])
    assert_type(client.whoami(), Identity)
    assert_type(client.usage.costs(month="2026-10"), CostReport)
    assert_type(client.endpoints.deployments.retrieve("d", endpoint_id="e"), Deployment)
    assert_type(client.with_raw_response.projects.endpoints.retrieve("e"), RawResponse[ProjectEndpoint])
    assert_type(client.with_raw_response.whoami(), RawResponse[Identity])
    assert_type(client.with_raw_response.models.list(), RawResponse[ModelList])
    assert_type(client.request("GET", "/v1/models"), Any)
    assert_type(client.fine_tuning.create(training_file="f", model="m", lora_r=8), FinetuneResponse)
    assert_type(client.audio.transcriptions.create(file="a.wav", diarize=True), Transcription)
    assert_type(client.audio.with_raw_response.transcriptions.create(file="a.wav"), RawResponse[Transcription])
    client.fine_tuning.create(training_file="f", lora_rank=8)  # type: ignore[call-arg]  # pyright: ignore
    assert_type(client.audio.transcriptions.realtime(model="m"), RealtimeConnection)
    client.audio.transcriptions.realtime(language="de")  # type: ignore[call-overload]  # pyright: ignore
    client.audio.transcriptions.create(model="m")  # type: ignore[call-arg]  # pyright: ignore
    client.rerank.create(model="m", query="q", documents=["d"], top=1)  # type: ignore[call-arg]  # pyright: ignore
    client.rerank.create(model=1, query="q", documents=["d"])  # type: ignore[arg-type]  # pyright: ignore
    chat.create(model="m", messages=messages, temprature=0.1)  # type: ignore[call-overload]  # pyright: ignore


async def asynchronous(client: AsyncTogether) -> None:
    assert_type(await client.batches.run([]), BulkResults[ChatCompletion])
    assert_type(await bulk.run(client, []), BulkResults[ChatCompletion])
    assert_type(client.audio.transcriptions.realtime(model="m"), AsyncRealtimeConnection)
    chat = client.chat.completions
    messages = [{"role": "user", "content": "hi"}]
    assert_type(await chat.create(model="m", messages=messages), ChatCompletion)
    assert_type(await chat.create(model="m", messages=messages, stream=True), AsyncStream[ChatCompletionChunk])
    assert_type(await client.completions.create(model="m", prompt="p", stream=True), AsyncStream[CompletionChunk])
    pending: Coroutine[Any, Any, EmbeddingResponse] = client.embeddings.create(model="m", input=["a"])
    assert_type(await pending, EmbeddingResponse)
    assert_type(await client.whoami(), Identity)
    assert_type(await client.with_raw_response.models.list(), RawResponse[ModelList])
    assert_type(await client.models.with_raw_response.list(), RawResponse[ModelList])

"""What a user would write with httpx and orjson alone, at its best: the yardstick of every operation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import orjson

from tests.benchmarks import payloads
from tests.benchmarks.measure import Bench, Work

HEADERS: Final = {"authorization": f"Bearer {payloads.KEY}", "content-type": "application/json"}
BATCH: Final = 128


def chat(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return a whole chat: the text of the answer."""
    client = bench.keep(httpx.Client(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    def work() -> str:
        reply = client.post(target, content=orjson.dumps(body), headers=HEADERS)
        return orjson.loads(reply.content)["choices"][0]["message"]["content"]  # type: ignore[no-any-return]

    return work


def achat(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return the same, asynchronous."""
    client = bench.keep(httpx.AsyncClient(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    async def work() -> str:
        reply = await client.post(target, content=orjson.dumps(body), headers=HEADERS)
        return orjson.loads(reply.content)["choices"][0]["message"]["content"]  # type: ignore[no-any-return]

    return work


def stream(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return a streamed chat: its pieces, joined."""
    client = bench.keep(httpx.Client(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    def work() -> str:
        parts: list[str] = []
        content = orjson.dumps({**body, "stream": True})
        with client.stream("POST", target, content=content, headers=HEADERS) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    parts.append(orjson.loads(line[6:])["choices"][0]["delta"]["content"])
        return "".join(parts)

    return work


def astream(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return the same, asynchronous."""
    client = bench.keep(httpx.AsyncClient(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    async def work() -> str:
        parts: list[str] = []
        content = orjson.dumps({**body, "stream": True})
        async with client.stream("POST", target, content=content, headers=HEADERS) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    parts.append(orjson.loads(line[6:])["choices"][0]["delta"]["content"])
        return "".join(parts)

    return work


def retried(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return a chat that is asked again when the service says so."""
    client = bench.keep(httpx.Client(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    def work() -> str:
        while True:
            reply = client.post(target, content=orjson.dumps(body), headers=HEADERS)
            if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return orjson.loads(reply.content)["choices"][0]["message"]["content"]  # type: ignore[no-any-return]
            time.sleep(float(reply.headers["retry-after-ms"]) / 1000)

    return work


def aretried(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return the same, asynchronous."""
    client = bench.keep(httpx.AsyncClient(timeout=60))
    target = f"{bench.url(answer)}/chat/completions"

    async def work() -> str:
        while True:
            reply = await client.post(target, content=orjson.dumps(body), headers=HEADERS)
            if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return orjson.loads(reply.content)["choices"][0]["message"]["content"]  # type: ignore[no-any-return]
            await asyncio.sleep(float(reply.headers["retry-after-ms"]) / 1000)

    return work


def embed(bench: Bench, answer: str, texts: Sequence[str], batch: int = BATCH) -> Work:
    """Return embeddings of any number of texts, as lists."""
    client = bench.keep(httpx.Client(timeout=60))
    target = f"{bench.url(answer)}/embeddings"

    def work() -> list[list[float]]:
        vectors: list[list[float]] = []
        for begin in range(0, len(texts), batch):
            body = {"model": payloads.EMBEDDING_MODEL, "input": texts[begin : begin + batch]}
            reply = client.post(target, content=orjson.dumps(body), headers=HEADERS)
            vectors += [row["embedding"] for row in orjson.loads(reply.content)["data"]]
        return vectors

    return work


def aembed(bench: Bench, answer: str, texts: Sequence[str], batch: int = BATCH) -> Work:
    """Return the same, asynchronous."""
    client = bench.keep(httpx.AsyncClient(timeout=60))
    target = f"{bench.url(answer)}/embeddings"

    async def work() -> list[list[float]]:
        vectors: list[list[float]] = []
        for begin in range(0, len(texts), batch):
            body = {"model": payloads.EMBEDDING_MODEL, "input": texts[begin : begin + batch]}
            reply = await client.post(target, content=orjson.dumps(body), headers=HEADERS)
            vectors += [row["embedding"] for row in orjson.loads(reply.content)["data"]]
        return vectors

    return work


def rerank(bench: Bench, answer: str, body: Mapping[str, Any]) -> Work:
    """Return `(index, score)` of every document."""
    client = bench.keep(httpx.Client(timeout=60))
    target = f"{bench.url(answer)}/rerank"

    def work() -> list[tuple[int, float]]:
        reply = client.post(target, content=orjson.dumps(body), headers=HEADERS)
        return [(result["index"], result["relevance_score"]) for result in orjson.loads(reply.content)["results"]]

    return work

"""The client against raw httpx and orjson, and on httpx2 against itself on httpx: whole chats, streams, retries, embeddings, rerank, bursts, construction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import httpx
import orjson

from tests.benchmarks import payloads, peers, raw
from tests.benchmarks.measure import Bench, Builder, Goal, Operation, Work
from tests.benchmarks.payloads import KEY
from together_adapters import AsyncTogether, Together

BURST: Final = 200


def chat(client: Any, body: dict[str, Any]) -> Work:
    """Return a whole chat, through a client in the manner of the vendor's SDK."""

    def work() -> str:
        return client.chat.completions.create(**body).choices[0].message.content  # type: ignore[no-any-return]

    return work


def achat(client: Any, body: dict[str, Any]) -> Work:
    """Return the same, asynchronous."""

    async def work() -> str:
        return (await client.chat.completions.create(**body)).choices[0].message.content  # type: ignore[no-any-return]

    return work


def stream(client: Any, body: dict[str, Any]) -> Work:
    """Return a streamed chat."""

    def work() -> str:
        parts: list[str] = []
        for chunk in client.chat.completions.create(**body, stream=True):
            parts.append(chunk.choices[0].delta.content)
        return "".join(parts)

    return work


def astream(client: Any, body: dict[str, Any]) -> Work:
    """Return the same, asynchronous."""

    async def work() -> str:
        parts: list[str] = []
        async for chunk in await client.chat.completions.create(**body, stream=True):
            parts.append(chunk.choices[0].delta.content)
        return "".join(parts)

    return work


def embed(client: Any, texts: list[str], **options: Any) -> Work:
    """Return embeddings, as lists."""

    def work() -> list[list[float]]:
        answer = client.embeddings.create(model=payloads.EMBEDDING_MODEL, input=texts, **options)
        return [item.embedding for item in answer.data]

    return work


def aembed(client: Any, texts: list[str], **options: Any) -> Work:
    """Return the same, asynchronous."""

    async def work() -> list[list[float]]:
        answer = await client.embeddings.create(model=payloads.EMBEDDING_MODEL, input=texts, **options)
        return [item.embedding for item in answer.data]

    return work


def rerank(client: Any, body: dict[str, Any]) -> Work:
    """Return `(index, score)` of every document."""

    def work() -> list[tuple[int, float]]:
        return [(result.index, result.relevance_score) for result in client.rerank.create(**body).results]

    return work


def burst(one: Callable[[], Any]) -> Work:
    """Return many calls at once."""

    async def work() -> set[str]:
        return set(await asyncio.gather(*(one() for _ in range(BURST))))

    return work


def _client(bench: Bench, answer: str, *, asynchronous: bool, **options: Any) -> Any:
    return bench.keep((AsyncTogether if asynchronous else Together)(api_key=KEY, base_url=bench.url(answer), **options))


def _peer_clients(bench: Bench, answer: str, *, asynchronous: bool) -> dict[str, Any]:
    return {name: bench.keep(client) for name, client in peers.clients(bench.url(answer), KEY, asynchronous=asynchronous).items()}


def _chat(name: str, bench: Bench, *, answer: str, prompt: str = payloads.QUESTION, asynchronous: bool) -> Operation:
    body = payloads.chat_body(prompt)
    by, base = (achat, raw.achat) if asynchronous else (chat, raw.chat)
    peer_work = {peer: by(client, body) for peer, client in _peer_clients(bench, answer, asynchronous=asynchronous).items()}
    adapter = by(_client(bench, answer, asynchronous=asynchronous), body)
    return Operation(name, adapter, (base(bench, answer, body),), Goal(1.15), peers=peer_work)


def _stream(name: str, bench: Bench, *, answer: str, chunks: int, goal: float, asynchronous: bool) -> Operation:
    body = payloads.chat_body()
    by, base = (astream, raw.astream) if asynchronous else (stream, raw.stream)
    peer_work = {peer: by(client, body) for peer, client in _peer_clients(bench, answer, asynchronous=asynchronous).items()}
    adapter = by(_client(bench, answer, asynchronous=asynchronous), body)
    return Operation(name, adapter, (base(bench, answer, body),), Goal(goal), per=chunks, peers=peer_work)


def _on_httpx2(name: str, bench: Bench, *, answer: str, streamed: bool, per: int, asynchronous: bool) -> Operation:
    by = (astream if asynchronous else stream) if streamed else (achat if asynchronous else chat)
    ours, base = (
        by(_client(bench, answer, asynchronous=asynchronous, http_library=library), payloads.chat_body())
        for library in ("httpx2", "httpx")
    )
    return Operation(name, ours, (base,), Goal(1), per=per)


def _on_fast(name: str, bench: Bench, *, answer: str, goal: float, streamed: bool, per: int, asynchronous: bool) -> Operation:
    body = payloads.chat_body()
    client = _client(bench, answer, asynchronous=asynchronous, transport="fast")
    if streamed:
        by, base = (astream, raw.astream) if asynchronous else (stream, raw.stream)
    else:
        by, base = (achat, raw.achat) if asynchronous else (chat, raw.chat)
    return Operation(name, by(client, body), (base(bench, answer, body),), Goal(goal), per=per)


def _burst_on_fast(name: str, bench: Bench) -> Operation:
    body = payloads.chat_body()
    adapter = burst(achat(_client(bench, "small", asynchronous=True, transport="fast"), body))
    return Operation(name, adapter, (burst(raw.achat(bench, "small", body)),), Goal(0.2), per=BURST)


def _retry(name: str, bench: Bench, *, asynchronous: bool) -> Operation:
    body = payloads.chat_body()
    by, base = (achat, raw.aretried) if asynchronous else (chat, raw.retried)
    peer_work = {peer: by(client, body) for peer, client in _peer_clients(bench, "retry", asynchronous=asynchronous).items()}
    return Operation(
        name, by(_client(bench, "retry", asynchronous=asynchronous), body), (base(bench, "retry", body),), peers=peer_work
    )


def _vectors(name: str, bench: Bench, *, asynchronous: bool) -> Operation:
    texts = payloads.documents(256)
    by, base = (aembed, raw.aembed) if asynchronous else (embed, raw.embed)
    peer_work = {
        peer: by(client, texts, **({"encoding_format": "float"} if peer.startswith("openai") else {}))
        for peer, client in _peer_clients(bench, "vectors", asynchronous=asynchronous).items()
    }
    adapter = by(_client(bench, "vectors", asynchronous=asynchronous), texts, batch_size=len(texts))
    return Operation(name, adapter, (base(bench, "vectors", texts, len(texts)),), Goal(1.05), "ms", peers=peer_work)


def _numpy(name: str, bench: Bench, *, encoding_format: Any = None) -> Operation:
    texts = payloads.documents(256)
    client = _client(bench, encoding_format or "vectors", asynchronous=False)
    base = raw.embed(bench, "vectors", texts, len(texts))
    options = {"batch_size": len(texts), "encoding_format": encoding_format}

    def adapter() -> None:
        client.embeddings.create(model=payloads.EMBEDDING_MODEL, input=texts, **options).to_numpy()

    def lists() -> None:
        base()

    return Operation(name, adapter, (lists,), Goal(0.5), "ms")


def _documents(name: str, bench: Bench) -> Operation:
    texts = payloads.documents(10_000)
    adapter = embed(_client(bench, "documents", asynchronous=False), texts)
    return Operation(name, adapter, (raw.embed(bench, "documents", texts),), per=len(texts))


def _rerank(name: str, bench: Bench) -> Operation:
    body = payloads.rerank_body()
    others = peers.made("together", "together", "Together", base_url=bench.url("rerank"), api_key=KEY)
    peer_work = {peer: rerank(bench.keep(client), body) for peer, client in others.items()}
    adapter = rerank(_client(bench, "rerank", asynchronous=False), body)
    return Operation(name, adapter, (raw.rerank(bench, "rerank", body),), Goal(1.3), peers=peer_work)


def _burst(name: str, bench: Bench, *, answer: str, goal: Goal | None) -> Operation:
    body = payloads.chat_body()
    adapter = burst(achat(_client(bench, answer, asynchronous=True), body))
    peer_work = {peer: burst(achat(client, body)) for peer, client in _peer_clients(bench, answer, asynchronous=True).items()}
    return Operation(name, adapter, (burst(raw.achat(bench, answer, body)),), goal, per=BURST, peers=peer_work)


def _aiohttp_burst(name: str, bench: Bench) -> Operation:
    from httpx_aiohttp import HttpxAiohttpClient

    body = payloads.chat_body()
    client = _client(bench, "small", asynchronous=True, http_client=bench.keep(HttpxAiohttpClient()))
    return Operation(name, burst(achat(client, body)), (burst(raw.achat(bench, "small", body)),), Goal(0.2), per=BURST)


def _construction(name: str, bench: Bench, *, asynchronous: bool) -> Operation:
    url = bench.url("small")
    kind, plain = (AsyncTogether, httpx.AsyncClient) if asynchronous else (Together, httpx.Client)

    def adapter() -> None:
        kind(api_key=KEY, base_url=url)

    def base() -> None:
        plain()

    return Operation(name, adapter, (base,), Goal(1, "value"), "ms")


def _first_call(name: str, bench: Bench) -> Operation:
    body, context = payloads.chat_body(), httpx.create_ssl_context()
    target = f"{bench.url('small')}/chat/completions"

    def adapter() -> str:
        with Together(api_key=KEY, base_url=bench.url("small")) as client:
            return chat(client, body)()  # type: ignore[no-any-return]

    def base() -> str:
        with httpx.Client(verify=context) as client:
            reply = client.post(target, content=orjson.dumps(body), headers=raw.HEADERS)
            return orjson.loads(reply.content)["choices"][0]["message"]["content"]  # type: ignore[no-any-return]

    return Operation(name, adapter, (base,), unit="ms")


def _of_both(name: str, **settings: Any) -> dict[str, Builder]:
    build = settings.pop("build")
    return {
        f"client{mark} {name}": partial(build, asynchronous=asynchronous, **settings)
        for mark, asynchronous in (("", False), (" async", True))
    }


OPERATIONS: Final[dict[str, Builder]] = {
    **_of_both("chat 1 KB", build=_chat, answer="small"),
    **_of_both("chat 100 KB answer", build=_chat, answer="large"),
    **_of_both("chat 100 KB prompt", build=_chat, answer="small", prompt=payloads.text(100_000)),
    **_of_both("stream coalesced, a chunk", build=_stream, answer="coalesced", chunks=payloads.CHUNKS, goal=1.2),
    **_of_both("stream paced, a chunk", build=_stream, answer="paced", chunks=payloads.PACED_CHUNKS, goal=1.1),
    **_of_both("chat 1 KB on httpx2, vs httpx", build=_on_httpx2, answer="small", streamed=False, per=1),
    **_of_both("stream coalesced on httpx2, vs httpx", build=_on_httpx2, answer="coalesced", streamed=True, per=payloads.CHUNKS),
    **_of_both("chat 1 KB on fast", build=_on_fast, answer="small", goal=0.5, streamed=False, per=1),
    **_of_both(
        "stream coalesced on fast, a chunk", build=_on_fast, answer="coalesced", goal=1.2, streamed=True, per=payloads.CHUNKS
    ),
    **_of_both(
        "stream paced on fast, a chunk", build=_on_fast, answer="paced", goal=0.35, streamed=True, per=payloads.PACED_CHUNKS
    ),
    **_of_both("429 and retry", build=_retry),
    **_of_both("embed 256 x 1024 floats", build=_vectors),
    "client embed 256 x 1024 floats to numpy, vs lists": _numpy,
    "client embed 256 x 1024 in base64 to numpy, vs lists": partial(_numpy, encoding_format="base64"),
    "client embed 10k documents, a document": _documents,
    "client rerank 100 documents": _rerank,
    "client 200 chats at once, a chat": partial(_burst, answer="small", goal=Goal(0.7)),
    "client 200 chats at once of 50 ms, a chat": partial(_burst, answer="slow", goal=None),
    "client 200 chats at once, httpx-aiohttp": _aiohttp_burst,
    "client 200 chats at once on fast": _burst_on_fast,
    **_of_both("construction", build=_construction),
    "client construction and call, vs shared TLS": _first_call,
}

"""Answers of every kind with a wrong value at every place: documented errors only, and the same outcome everywhere."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank
from langchain_together_adapters import Together as CompletionModel
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM
from llama_index_together_adapters import TogetherRerank as NodeRerank

from together_adapters import AsyncTogether, Together, TogetherError

pytestmark = pytest.mark.long

MODEL = "acme/chat"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Ho", "logprob": -1.5}]}]}
CALL = {"id": "c1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a": 1}'}}
HEAD = {"id": "o1", "created": 1, "model": MODEL}
CHAT = {
    **HEAD,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "seed": 5,
            "logprobs": LOGPROBS,
            "message": {"role": "assistant", "content": "Hi", "reasoning": "Hm", "tool_calls": [CALL]},
        }
    ],
    "usage": USAGE,
}
CLASSIC_LOGPROBS = {"tokens": ["Hi"], "token_logprobs": [-0.5], "token_ids": [7], "top_logprobs": [{"Ho": -1.5}]}
CLASSIC = {**CHAT, "choices": [{**CHAT["choices"][0], "logprobs": CLASSIC_LOGPROBS, "text": "Hi"}]}  # type: ignore[index]
COMPLETION = {
    **HEAD,
    "object": "text.completion",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": CLASSIC_LOGPROBS}],
    "usage": USAGE,
}
RERANK = {
    **HEAD,
    "object": "rerank",
    "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}, {"index": 0, "relevance_score": 0.1}],
    "usage": USAGE,
}
EMBEDDINGS = {
    "object": "list",
    "model": MODEL,
    "data": [{"object": "embedding", "index": index, "embedding": [0.5, -0.25, 1.0]} for index in range(2)],
    "usage": {"prompt_tokens": 3, "total_tokens": 3},
}


def _chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": None, "delta": delta, **choice}]}


CHUNKS: list[Any] = [
    _chunk({"role": "assistant", "content": "", "reasoning": "Hm"}),
    _chunk({"content": "H", "token_id": 7}, logprobs=-0.5, top_logprobs={"Ho": -1.5}, text="H"),
    _chunk({"content": "i"}, logprobs=LOGPROBS),
    _chunk({"tool_calls": [CALL]}),
    {**_chunk({"content": ""}, finish_reason="tool_calls"), "usage": USAGE},
]
COMPLETION_CHUNKS: list[Any] = [
    {**HEAD, "choices": [{"index": 0, "text": "H", "delta": {"content": "H"}}], "token": {"id": 7, "text": "H"}},
    {**HEAD, "choices": [{"index": 0, "text": "i", "logprobs": -0.5, "finish_reason": "stop"}], "usage": USAGE},
]
SEED = 11
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", "x", "\ud83d", "9" * 5000, [], [None], ["x"], [[]], {}, {"x": None},
    {"text": "x"}, [{"type": "text", "text": "x"}], [{"text": None}], {"error": {"message": "no"}}, {"message": "x", "code": 1},
)  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


CHANGES = ("missing", "doubled", "listed", *range(len(WRONG)))


def mutations(sample: Any) -> Iterator[Any]:
    """Yields a value with every place in turn wrong, missing, doubled, or in a list."""
    for path in paths(sample):
        for change in CHANGES if path else range(len(WRONG)):
            yield mutate(sample, path, change)


def mutate(sample: Any, path: tuple[Any, ...], change: str | int) -> Any:
    """Returns a copy of a value with one place changed: to one of `WRONG`, or in its container."""
    if not path:
        return WRONG[int(change)]
    answer = json.loads(json.dumps(sample))
    parent, key = answer, path[-1]
    for step in path[:-1]:
        parent = parent[step]
    if isinstance(change, int):
        parent[key] = WRONG[change]
    elif change == "missing":
        del parent[key]
    elif change == "listed":
        parent[key] = [parent[key]]
    elif isinstance(parent, list):
        parent.append(parent[key])
    return answer


def twice(sample: Any, count: int) -> Iterator[Any]:
    """Yields values with two places at random changed."""
    choice = random.Random(SEED).choice
    for _ in range(count):
        answer = sample
        for _ in range(2):
            inner = list(paths(answer))[1:]
            answer = mutate(answer, choice(inner), choice(CHANGES)) if inner else answer
        yield answer


class Service:
    """Answers with what it is told, to clients, LangChain and LlamaIndex of both flavours."""

    def __init__(self) -> None:
        self.body = b""
        self.content_type = "application/json"
        transport = httpx.MockTransport(self._handle)
        options: Any = {"api_key": "k" * 16, "max_retries": 0}
        self.sync = Together(http_client=httpx.Client(transport=transport), **options)
        self.asynchronous = AsyncTogether(http_client=httpx.AsyncClient(transport=transport), **options)
        clients: Any = {"client": self.sync, "async_client": self.asynchronous}
        self.chat = ChatTogether(model=MODEL, **clients)
        self.completion = CompletionModel(model=MODEL, **clients)
        self.llm = TogetherLLM(MODEL, **clients)
        self.base = TogetherLLM(MODEL, is_chat_model=False, **clients)
        self.embeddings = TogetherEmbeddings(model=MODEL, **clients)
        self.embedding = TogetherEmbedding(model_name=MODEL, **clients)
        self.compressor = TogetherRerank(model=MODEL, **clients)
        self.postprocessor = NodeRerank(model=MODEL, **clients)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self.body, headers={"content-type": self.content_type})

    def answer(self, value: Any) -> None:
        self.body, self.content_type = json.dumps(value).encode(), "application/json"

    def stream(self, chunks: Any) -> None:
        events = chunks if isinstance(chunks, list) else [chunks]
        self.body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
        self.content_type = "text/event-stream"


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


Outcome = Any
Read = Callable[[], Any]


def outcome(read: Read) -> Outcome:
    """Returns what a call gives: its result, or the class of a documented error."""
    try:
        return read()
    except TogetherError as error:
        return _documented(error)


async def outcome_async(read: Callable[[], Any]) -> Outcome:
    try:
        return await read()
    except TogetherError as error:
        return _documented(error)


def _documented(error: TogetherError) -> str:
    assert str(error).strip()
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "together_adapters.errors"]
    return names[0]


def of_completion(answer: Any) -> Any:
    message = answer.choices[0].message
    if message is None:
        return answer.choices[0].text, "", []
    text = message.content if message.content is not None else answer.choices[0].text or ""
    calls = [call.function.name for call in message.tool_calls or () if call.function and call.function.name]
    return text, message.thinking or "", calls


def of_langchain(message: AIMessage) -> Any:
    calls = [call["name"] for call in [*message.tool_calls, *message.invalid_tool_calls] if call["name"]]
    return message.text, message.additional_kwargs.get("reasoning_content") or "", calls


def of_llama_index(response: Any) -> Any:
    blocks = response.message.blocks
    calls = [block.tool_name for block in blocks if isinstance(block, ToolCallBlock) and block.tool_name]
    reasoning = "".join(block.content or "" for block in blocks if block.block_type == "thinking")
    return response.message.content or "", reasoning, calls


def merge(chunks: Any) -> Any:
    first, *others = chunks
    return of_langchain(first + others)


def text_of(chunks: Any) -> str:
    return "".join((chunk.choices[0].text or "") if chunk.choices else "" for chunk in chunks)


QUESTION: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
PROMPT: Any = {"model": MODEL, "prompt": "Hi"}
RANKED: Any = {"model": MODEL, "query": "q", "documents": ["a", "b"]}
NODES = [NodeWithScore(node=TextNode(text=text)) for text in "ab"]
DOCUMENTS = [Document(text) for text in "ab"]


async def chat(service: Service, value: Any) -> list[Outcome]:
    service.answer(value)
    return [
        outcome(lambda: of_completion(service.sync.chat.completions.create(**QUESTION))),
        outcome(lambda: of_langchain(service.chat.invoke("Hi"))),
        outcome(lambda: of_llama_index(service.llm.chat([ChatMessage("Hi")]))),
        await outcome_async(lambda: _then(service.asynchronous.chat.completions.create(**QUESTION), of_completion)),
        await outcome_async(lambda: _then(service.chat.ainvoke("Hi"), of_langchain)),
        await outcome_async(lambda: _then(service.llm.achat([ChatMessage("Hi")]), of_llama_index)),
    ]


async def streamed_chat(service: Service, value: Any) -> list[Outcome]:
    service.stream(value)

    async def astream() -> Any:
        return merge([chunk async for chunk in service.chat.astream("Hi")])

    async def astream_chat() -> Any:
        return of_llama_index([part async for part in await service.llm.astream_chat([ChatMessage("Hi")])][-1])

    async def acreate() -> Any:
        return [chunk async for chunk in await service.asynchronous.chat.completions.create(stream=True, **QUESTION)] and None

    outcomes = [
        outcome(lambda: merge(list(service.chat.stream("Hi")))),
        outcome(lambda: of_llama_index(list(service.llm.stream_chat([ChatMessage("Hi")]))[-1])),
        await outcome_async(astream),
        await outcome_async(astream_chat),
    ]
    plain = [
        outcome(lambda: list(service.sync.chat.completions.create(stream=True, **QUESTION)) and None),
        await outcome_async(acreate),
    ]
    assert all((isinstance(one, str) and one) == (isinstance(outcomes[0], str) and outcomes[0]) for one in plain), (
        plain,
        outcomes,
    )
    return outcomes


async def completion(service: Service, value: Any) -> list[Outcome]:
    service.answer(value)
    return [
        outcome(lambda: ("ok", service.sync.completions.create(**PROMPT).choices[0].text or "")),
        outcome(lambda: ("ok", service.completion.invoke("Hi"))),
        outcome(lambda: ("ok", service.base.complete("Hi").text)),
        await outcome_async(lambda: _then(service.asynchronous.completions.create(**PROMPT), _completion_text)),
        await outcome_async(lambda: _then(service.completion.ainvoke("Hi"), lambda text: ("ok", text))),
        await outcome_async(lambda: _then(service.base.acomplete("Hi"), lambda response: ("ok", response.text))),
    ]


def _completion_text(answer: Any) -> Any:
    return "ok", answer.choices[0].text or ""


async def streamed_completion(service: Service, value: Any) -> list[Outcome]:
    service.stream(value)

    async def astream() -> Any:
        return "ok", "".join([text async for text in service.completion.astream("Hi")])

    async def astream_complete() -> Any:
        return "ok", "".join([part.delta or "" async for part in await service.base.astream_complete("Hi")])

    outcomes = [
        outcome(lambda: ("ok", "".join(service.completion.stream("Hi")))),
        outcome(lambda: ("ok", "".join(part.delta or "" for part in service.base.stream_complete("Hi")))),
        await outcome_async(astream),
        await outcome_async(astream_complete),
    ]
    plain = outcome(lambda: list(service.sync.completions.create(stream=True, **PROMPT)) and None)
    assert isinstance(plain, str) == isinstance(outcomes[0], str)
    return outcomes


async def ranking(service: Service, value: Any) -> list[Outcome]:
    service.answer(value)
    client = service.sync.rerank
    return [
        outcome(lambda: [(one.index, one.relevance_score) for one in client.create(**RANKED).results]),
        outcome(lambda: [(one["index"], one["relevance_score"]) for one in service.compressor.rerank(["a", "b"], "q")]),
        outcome(lambda: [_rank(node) for node in service.postprocessor.postprocess_nodes(NODES, query_str="q")]),
        await outcome_async(lambda: _then(service.compressor.acompress_documents(DOCUMENTS, "q"), _document_ranks)),
        await outcome_async(lambda: _then(service.asynchronous.rerank.create(**RANKED), _ranks)),
    ]


def _rank(node: Any) -> Any:
    return "ab".index(node.node.text), node.score


def _document_ranks(documents: Any) -> Any:
    return [("ab".index(document.page_content), document.metadata["relevance_score"]) for document in documents]


def _ranks(response: Any) -> Any:
    return [(one.index, one.relevance_score) for one in response.results]


async def embedding(service: Service, value: Any) -> list[Outcome]:
    service.answer(value)
    return [
        outcome(lambda: [one.embedding for one in service.sync.embeddings.create(model=MODEL, input=["a", "b"]).data]),
        outcome(lambda: service.embeddings.embed_documents(["a", "b"])),
        outcome(lambda: service.embedding.get_text_embedding_batch(["a", "b"])),
        await outcome_async(lambda: service.embeddings.aembed_documents(["a", "b"])),
        await outcome_async(lambda: service.embedding.aget_text_embedding_batch(["a", "b"])),
    ]


async def _then(result: Any, read: Callable[[Any], Any]) -> Any:
    return read(await result)


KINDS: dict[str, tuple[Any, Any]] = {
    "chat": (CHAT, chat),
    "chat of a classic engine": (CLASSIC, chat),
    "streamed chat": (CHUNKS, streamed_chat),
    "completion": (COMPLETION, completion),
    "streamed completion": (COMPLETION_CHUNKS, streamed_completion),
    "ranking": (RERANK, ranking),
    "embeddings": (EMBEDDINGS, embedding),
}


async def check(service: Service, kind: str, answers: list[Any]) -> None:
    read = KINDS[kind][1]
    problems = []
    for answer in answers:
        try:
            outcomes = await read(service, answer)
        except Exception as error:  # of any kind: it is not documented
            problems.append(f"{error!r} for {json.dumps(answer)}")
            continue
        if any(one != outcomes[0] for one in outcomes):
            problems.append(f"{outcomes} for {json.dumps(answer)}")
    assert not problems, "\n".join([f"{len(problems)} answers", *problems[:20]])


@pytest.mark.parametrize("kind", KINDS)
async def test_valid_answers_are_read_alike(service: Service, kind: str) -> None:
    sample, read = KINDS[kind]
    outcomes = await read(service, sample)
    assert all(one == outcomes[0] for one in outcomes), outcomes
    assert not isinstance(outcomes[0], str)


@pytest.mark.parametrize("kind", KINDS)
async def test_mutated_answers(service: Service, kind: str) -> None:
    sample = KINDS[kind][0]
    await check(service, kind, random.Random(SEED).sample(list(mutations(sample)), 60) + list(twice(sample, 30)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_all_mutated_answers(service: Service, kind: str) -> None:
    """20,800 answers in all."""
    sample = KINDS[kind][0]
    await check(service, kind, list(mutations(sample)) + list(twice(sample, 2000)))

"""The ledger is the bill: mixed calls of clients and both frameworks, from threads and tasks, while the server fails in every way."""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KEY, eventually
from together_adapters import AsyncTogether, BudgetExceededError, Control, Together, TogetherError
from together_adapters.control import LedgerRow
from together_adapters.emulator import Emulator
from together_adapters.emulator.store.bill import BillRow

langchain = pytest.importorskip("langchain_together_adapters")
llama_index = pytest.importorskip("llama_index_together_adapters")
from langchain_core.documents import Document
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode

CHAT, SMALL, VECTORS = "openai/gpt-oss-120b", "Qwen/Qwen3.5-9B", "BAAI/bge-base-en-v1.5"
RERANKER, IMAGES, SPEECH, WHISPER = (
    "Salesforce/Llama-Rank-V1",
    "black-forest-labs/FLUX.1-schnell",
    "hexgrad/Kokoro-82M",
    "openai/whisper-large-v3",
)
OF_MEDIA = {IMAGES: 0.00001, SPEECH: 0.00002, WHISPER: 0.00003}
PRICES = {model: {"request": price} for model, price in OF_MEDIA.items()}
COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
PASSAGES = [f"Llama number {number} eats grass." for number in range(12)]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Get the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
BEFORE_WORK = ["500", "503; retry-after-ms=1", "500; times=3", "502-html", "400", "drop"] * 4
REFUSED = "429; retry-after-ms=1; type=dynamic_request_limited"
AFTER_WORK = ["late-error", "late-error; times=3"]  # the error has the usage
BROKEN = ["cut", "cut; after=4", "bad-json", "no-done", "stream-error; after=1", "cut-after-finish", "drop; reset=true"]
SLOW = ["slow; seconds=0.02", "no-done; finished=true"]
IMPATIENT = "slow; seconds=0.4"  # than those who wait for it

pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.errors.ModelRemovedWarning")  # rerank models are gone
call_number: ContextVar[int | None] = ContextVar("call_number", default=None)


def conversation(number: int) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You are a careful assistant. " * (number % 12)},
        {"role": "user", "content": f"Say the number {number} twice."},
    ]


async def once(result: Any) -> Any:
    """Returns the result of a call of either flavour."""
    return await result if inspect.isawaitable(result) else result


async def read(stream: Any) -> None:
    """Reads the whole stream of either flavour."""
    stream = await once(stream)
    if hasattr(stream, "__aiter__"):
        async for _ in stream:
            pass
    else:
        for _ in stream:
            pass


@dataclass(frozen=True)
class Kit:
    """A client of one flavour, and the adapters of both frameworks that share it."""

    client: Any
    recording: bytes

    @property
    def is_async(self) -> bool:
        """Whether its calls are awaited."""
        return isinstance(self.client, AsyncTogether)

    def adapter(self, kind: Any, model: str, **options: Any) -> Any:
        """Returns an adapter."""
        return kind(model=model, **{"async_client" if self.is_async else "client": self.client}, **options)

    def method(self, adapter: Any, name: str) -> Any:
        """Returns a method, or the asynchronous one of the same name."""
        return getattr(adapter, f"a{name}" if self.is_async else name)


Work = Callable[[Kit, int], Coroutine[Any, Any, object]]
WORKS: dict[str, tuple[int, Work]] = {}
"""Calls with how often they are made."""


def work(weight: int) -> Callable[[Work], Work]:
    def add(function: Work) -> Work:
        WORKS[function.__name__] = (weight, function)
        return function

    return add


@work(14)
async def chat(kit: Kit, number: int) -> None:
    model = (CHAT, SMALL, "deepseek-ai/DeepSeek-V4-Pro-0813")[number % 3]
    await once(kit.client.chat.completions.create(model=model, messages=conversation(number), max_tokens=30 + number % 100))


@work(8)
async def chat_stream(kit: Kit, number: int) -> None:
    await read(kit.client.chat.completions.create(model=CHAT, messages=conversation(number), stream=True, max_tokens=60))


@work(5)
async def chat_tools(kit: Kit, number: int) -> None:
    question = [{"role": "user", "content": f"What is the weather in Paris on day {number}?"}]
    await once(kit.client.chat.completions.create(model=CHAT, messages=question, tools=[TOOL]))


@work(2)
async def chat_impatient(kit: Kit, number: int) -> None:
    hasty = kit.client.with_options(timeout=0.15, max_retries=0)
    await once(hasty.chat.completions.create(model=CHAT, messages=conversation(number)))


@work(5)
async def completion(kit: Kit, number: int) -> None:
    await once(kit.client.completions.create(model=CHAT, prompt=f"{number}, {number + 1},", max_tokens=20))


@work(3)
async def completion_stream(kit: Kit, number: int) -> None:
    await read(kit.client.completions.create(model=CHAT, prompt=f"{number}, {number + 1},", stream=True, max_tokens=20))


@work(3)
async def embeddings(kit: Kit, number: int) -> None:
    await once(kit.client.embeddings.create(model=VECTORS, input=[f"Text {number}", "a shorter one"]))


@work(1)
async def embeddings_big(kit: Kit, number: int) -> None:
    await once(kit.client.embeddings.create(model=VECTORS, input=[f"{number} of {i}" for i in range(130)], batch_size=32))


@work(3)
async def rerank(kit: Kit, number: int) -> None:
    await once(kit.client.rerank.create(model=RERANKER, query=f"llama {number}", documents=PASSAGES))


@work(2)
async def rerank_by_chat(kit: Kit, number: int) -> None:
    await once(kit.client.rerank.create(model=SMALL, query=f"llama {number}", documents=PASSAGES))


@work(2)
async def image(kit: Kit, number: int) -> None:
    await once(kit.client.images.generate(model=IMAGES, prompt=f"Llama {number}", width=64, height=64))


@work(2)
async def speech(kit: Kit, number: int) -> None:
    await once(kit.client.audio.speech.create(model=SPEECH, input=f"Llama {number}.", voice="af_alloy"))


@work(1)
async def transcription(kit: Kit, number: int) -> None:
    file = (f"{number}.wav", kit.recording)
    await once(kit.client.audio.transcriptions.create(model=WHISPER, file=file, response_format="verbose_json"))


@work(6)
async def langchain_chat(kit: Kit, number: int) -> None:
    llm = kit.adapter(langchain.ChatTogether, CHAT, max_tokens=40)
    await once(kit.method(llm, "invoke")(f"Say {number} twice."))


@work(3)
async def langchain_stream(kit: Kit, number: int) -> None:
    await read(kit.method(kit.adapter(langchain.ChatTogether, CHAT), "stream")(f"Say {number} twice."))


@work(2)
async def langchain_completion(kit: Kit, number: int) -> None:
    await once(kit.method(kit.adapter(langchain.Together, CHAT, max_tokens=20), "invoke")(f"{number}, {number + 1},"))


@work(2)
async def langchain_tools(kit: Kit, number: int) -> None:
    llm = kit.adapter(langchain.ChatTogether, CHAT).bind_tools([TOOL])
    await once(kit.method(llm, "invoke")(f"What is the weather in Rome on day {number}?"))


@work(2)
async def langchain_embeddings(kit: Kit, number: int) -> None:
    embedding = kit.adapter(langchain.TogetherEmbeddings, VECTORS, chunk_size=5)
    await once(kit.method(embedding, "embed_documents")([*PASSAGES, f"Text {number}"]))


@work(2)
async def langchain_rerank(kit: Kit, number: int) -> None:
    documents = [Document(passage) for passage in PASSAGES[:5]]
    reranker = kit.adapter(langchain.TogetherRerank, SMALL if number % 2 else RERANKER)
    await once(kit.method(reranker, "compress_documents")(documents, f"llama {number}"))


@work(4)
async def llama_index_complete(kit: Kit, number: int) -> None:
    await once(kit.method(kit.adapter(llama_index.TogetherLLM, CHAT, max_tokens=40), "complete")(f"Say {number} twice."))


@work(3)
async def llama_index_stream(kit: Kit, number: int) -> None:
    llm = kit.adapter(llama_index.TogetherLLM, CHAT)
    await read(kit.method(llm, "stream_chat")([ChatMessage(role="user", content=f"Say {number} twice.")]))


@work(2)
async def llama_index_embeddings(kit: Kit, number: int) -> None:
    embedding = kit.adapter(llama_index.TogetherEmbedding, VECTORS, embed_batch_size=8)
    method = embedding.aget_text_embedding_batch if kit.is_async else embedding.get_text_embedding_batch
    await once(method([*PASSAGES, f"Text {number}"]))


@work(2)
async def llama_index_rerank(kit: Kit, number: int) -> None:
    nodes = [NodeWithScore(node=TextNode(text=passage)) for passage in PASSAGES[:5]]
    reranker = kit.adapter(llama_index.TogetherRerank, SMALL if number % 2 else RERANKER)
    method = reranker.apostprocess_nodes if kit.is_async else reranker.postprocess_nodes
    await once(method(nodes, query_str=f"llama {number}"))


OF_MANY_REQUESTS = {"embeddings_big", "langchain_embeddings"}  # if one fails, nobody waits for the others
NAMES = [name for name, (weight, _) in WORKS.items() for _ in range(weight)]


@dataclass
class Plan:
    """What call is made under each number, with which fault; and the ids of the responses that it got."""

    count: int
    fault_share: float = 0.3
    names: list[str] = field(init=False)
    faults: dict[int, str] = field(init=False)
    ids: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        choice = random.Random(self.count)
        names = [name for name in NAMES if self.fault_share or name != "chat_impatient"]
        self.names = [*dict.fromkeys(names), *choice.choices(names, k=self.count - len(set(names)))]  # each at least once
        faults = [*BEFORE_WORK, *AFTER_WORK * 4, *BROKEN * 2, *SLOW * 2]
        self.faults = {number: choice.choice(faults) for number in range(self.count) if choice.random() < self.fault_share}
        if self.fault_share:  # at the end, because a limiter becomes slow when it is refused
            self.faults |= dict.fromkeys(range(self.count - 20, self.count, 4), REFUSED)
        self.faults |= {number: IMPATIENT for number in range(self.count) if self.names[number] == "chat_impatient"}

    def send(self, request: httpx.Request) -> None:
        """Asks for the fault of the call that sends a request."""
        number = call_number.get()
        assert number is not None
        if fault := self.faults.get(number):
            request.headers["x-emulator-fault"] = f"{fault}; id={number}"

    def receive(self, response: httpx.Response) -> None:
        """Notes whose response this is."""
        number = call_number.get()
        assert number is not None
        self.ids[number].append(response.headers.get("x-request-id", ""))

    async def perform(self, kit: Kit, control: Control, number: int) -> None:
        """Makes one call; an error that this library names is one of the things that happen."""
        token = call_number.set(number)
        try:
            with control.tag(call=str(number)):
                await WORKS[self.names[number]][1](kit, number)
        except TogetherError as error:
            self.errors[type(error).__name__] += 1
        finally:
            call_number.reset(token)


def finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Performs a coroutine in which nothing is awaited."""
    with suppress(StopIteration):
        coroutine.send(None)
        raise AssertionError("it waits")


def perform_all(plan: Plan, control: Control, emulator: Emulator, *, threads: int, tasks: int) -> None:
    """Performs the even calls in threads and the odd ones in tasks, at the same time."""
    with Together(api_key=KEY, base_url=emulator.base_url) as plain:
        recording = plain.audio.speech.create(model=SPEECH, input="Hello.", voice="af_alloy", response_format="wav").content
    emulator.clear()
    options: dict[str, Any] = {"api_key": KEY, "base_url": emulator.base_url, "control": control}
    connections: dict[str, Any] = {"limits": httpx.Limits(max_connections=None, max_keepalive_connections=64), "timeout": 30}

    async def perform_odd_calls() -> None:
        room = asyncio.Semaphore(tasks)

        async def send(request: httpx.Request) -> None:
            plan.send(request)

        async def receive(response: httpx.Response) -> None:
            plan.receive(response)

        async def perform(number: int) -> None:
            async with room:
                await plan.perform(kit, control, number)

        async with httpx.AsyncClient(event_hooks={"request": [send], "response": [receive]}, **connections) as http_client:
            kit = Kit(AsyncTogether(http_client=http_client, **options), recording)
            await asyncio.gather(*map(perform, range(1, plan.count, 2)))

    hooks: Any = {"request": [plan.send], "response": [plan.receive]}
    with httpx.Client(event_hooks=hooks, **connections) as http_client, ThreadPoolExecutor(threads) as pool:
        kit = Kit(Together(http_client=http_client, **options), recording)
        futures = [pool.submit(lambda n: finish(plan.perform(kit, control, n)), number) for number in range(0, plan.count, 2)]
        asyncio.run(perform_odd_calls())
        for future in futures:
            future.result()


def sums(rows: list[LedgerRow] | list[BillRow]) -> tuple[int, ...]:
    """Returns tokens, and picodollars without media, for which the emulator has no price."""
    cost = sum(round((row.cost or 0.0) * 1e12) for row in rows if row.model not in OF_MEDIA)
    return (*(sum(getattr(row, name) for row in rows) for name in COUNTS), cost)


def check(plan: Plan, control: Control, emulator: Emulator) -> Counter[str]:
    """Compares the rows of each call with what its requests are billed."""
    gc.collect()
    assert eventually(lambda: emulator.in_flight == 0)
    assert (control.state().in_flight, control.state().waiting) == (0, 0)
    rows: defaultdict[int, list[LedgerRow]] = defaultdict(list)
    for row in control.ledger:
        rows[int(row.tags["call"])].append(row)
    assert sorted(rows) == list(range(plan.count))
    bill = {row.request_id: row for row in emulator.bill.rows()}
    result: Counter[str] = Counter()
    exact: list[LedgerRow] = []
    exactly_billed: list[BillRow] = []
    for number in range(plan.count):
        billed = [bill.pop(name) for name in plan.ids[number] if name in bill]
        if any(row.estimated for row in rows[number]):
            result["estimated"] += 1
            result["differ"] += sums(rows[number]) != sums(billed)
            name, fault = plan.names[number], plan.faults[number]
            assert fault in (*BROKEN, IMPATIENT) or name in OF_MANY_REQUESTS, (name, fault)
            continue
        assert sums(rows[number]) == sums(billed), (plan.names[number], plan.faults.get(number), rows[number], billed)
        exact += rows[number]
        exactly_billed += billed
    total = control.ledger.total()
    assert len(bill) <= sum(
        row.attempts for group in rows.values() for row in group if row.estimated
    )  # responses that nobody saw
    assert sums(exact) == sums(exactly_billed)
    result |= Counter(calls=plan.count, rows=total.requests, attempts=total.attempts, billed=emulator.bill.total().requests)
    assert total.attempts >= emulator.bill.total().requests
    for row in exact:
        if row.model in OF_MEDIA:
            assert row.cost == (0 if row.error else pytest.approx(OF_MEDIA[row.model]))
    return result


def run(count: int, path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)
    plan, control = Plan(count), Control(budget=1_000, ledger=path, prices=PRICES)
    perform_all(plan, control, emulator, threads=8, tasks=16)
    result = check(plan, control, emulator)
    control.close()
    print(result, plan.errors)
    return result


def test_five_hundred_calls(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(500, tmp_path / "usage.sqlite", emulator, monkeypatch)
    assert result["estimated"] < 500 * 0.2


@pytest.mark.slow
def test_ten_thousand_calls(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(10_000, tmp_path / "usage.sqlite", emulator, monkeypatch)
    assert result["estimated"] < 10_000 * 0.2


def test_what_is_overspent_is_less_than_the_estimates_in_flight(emulator: Emulator) -> None:
    plan, control = Plan(800, fault_share=0), Control(budget=0.004, prices=PRICES)
    guard = control.budget_guard
    assert guard is not None
    in_flight: list[float] = []
    refusals: list[BudgetExceededError] = []
    reserve = guard.reserve

    def observed_reserve(estimate: float, kind: str, model: str) -> int:
        try:
            reservation = reserve(estimate, kind, model)
        except BudgetExceededError as error:
            refusals.append(error)
            raise
        in_flight.append(guard._reservations / 1e12)
        return reservation

    guard.reserve = observed_reserve  # type: ignore[method-assign]
    perform_all(plan, control, emulator, threads=50, tasks=200)
    total = control.ledger.total()
    assert plan.errors.pop(BudgetExceededError.__name__) == len(refusals)
    print(
        f"{total.requests} calls cost {total.cost:.6f}, {len(refusals)} were refused, {max(in_flight):.6f} were reserved at most",
        plan.errors,
    )
    assert not plan.errors
    assert total.requests + len(refusals) >= 800  # some make several requests
    assert total.requests
    assert refusals
    for error in refusals:  # each would not have fitted: how much is spent in the end depends on how fast answers come
        assert error.spent + error.reserved + error.estimate > error.budget
    assert 0 < total.cost <= 0.004 + max(in_flight)
    assert control.state().in_flight == guard._reservations == 0

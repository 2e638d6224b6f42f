"""Batches that travel as one job: everything but the way of the requests is as without."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.exceptions import ContextOverflowError, ModelError, ModelInvalidRequestError, ModelRateLimitError
from langchain_core.load import dumpd, dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_together_adapters import ChatTogether, load
from langchain_together_adapters.bulk.ancestry import batch_runs
from langchain_together_adapters.bulk.raw_map import RawMap
from langchain_together_adapters.errors import RefusedError
from langchain_together_adapters.responses import ParseOptions, chat_result
from pydantic import BaseModel, SecretStr

from tests.conftest import KEY
from tests.langchain.conftest import MODEL, REASONER
from together_adapters import BudgetExceededError, ConfigurationError, Control, RateLimitError
from together_adapters import Together as Client
from together_adapters.bulk import BatchAPI, BulkProgress, BulkResults
from together_adapters.bulk.calls import _outcome
from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.inputs import read_requests
from together_adapters.bulk.outcomes import read_line
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.resources.chat import complete
from together_adapters.transport.call import Response

BATCH = BatchAPI(poll_interval=0.02, window=0.3)
LINES = "lines of a batch"
PROMPT = ChatPromptTemplate.from_template("{name} lives in {city}, and is {age} years old. Who is it?")
NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana")
CITIES = ("Rome", "Oslo", "Turin", "Bern", "Lima")


class Person(BaseModel):
    """A person."""

    name: str
    city: str
    age: int


class PersonDict(TypedDict):
    """A person."""

    name: str
    city: str


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


def people(count: int, seed: int = 0) -> list[dict[str, Any]]:
    source = random.Random(seed)
    return [{"name": source.choice(NAMES), "city": source.choice(CITIES), "age": 18 + number} for number in range(count)]


def jobs(emulator: Emulator) -> int:
    return sum(request.method == "POST" and request.path == "/v1/batches" for request in emulator.requests)


def billed(emulator: Emulator) -> int:
    """The number of answers."""
    return emulator.bill.total().requests


def chats(emulator: Emulator) -> int:
    return sum(request.path == "/v1/chat/completions" for request in emulator.requests)


def comparable(value: Any) -> Any:
    """A result without what differs from request to request."""
    if isinstance(value, BaseMessage):
        metadata = {k: v for k, v in value.response_metadata.items() if k not in ("id", "created", "seed")}
        return value.model_copy(update={"id": None, "response_metadata": metadata})
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    if isinstance(value, Exception):
        return (type(value), getattr(value, "code", None))
    return value


WAYS = ["batch", "abatch", "batch_as_completed", "abatch_as_completed"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(way: str, runnable: Any, inputs: Sequence[Any], config: Any = None, **options: Any) -> list[Any]:
    """The results in the order of the inputs. Synchronous methods run in a thread, as in a program without an event loop."""
    if way == "batch":
        return list(await asyncio.to_thread(runnable.batch, inputs, config, **options))
    if way == "abatch":
        return list(await runnable.abatch(inputs, config, **options))
    if way == "batch_as_completed":
        found = await asyncio.to_thread(lambda: dict(runnable.batch_as_completed(inputs, config, **options)))
    else:
        found = dict([item async for item in runnable.abatch_as_completed(inputs, config, **options)])
    return [found[index] for index in range(len(found))]


@pytest.fixture
def batched(llm: ChatTogether) -> ChatTogether:
    return llm.model_copy(update={"batch_api": BATCH})


def chains(llm: ChatTogether) -> dict[str, Any]:
    """Ways in which a chain reaches its model, each of which is one job."""
    structured = llm.with_structured_output(Person)
    return {
        "model": PROMPT | llm,
        "bound": PROMPT | llm.bind(temperature=0.5) | StrOutputParser(),
        "json_schema": PROMPT | llm.with_structured_output(Person, method="json_schema"),
        "function_calling": PROMPT | llm.with_structured_output(PersonDict, method="function_calling"),
        "json_mode": PROMPT | llm.with_structured_output(None, method="json_mode"),
        "raw": PROMPT | llm.with_structured_output(Person, include_raw=True),
        "tools": PROMPT | llm.bind_tools([weather]),
        "retry": PROMPT | structured.with_retry(stop_after_attempt=2),
        "fallbacks": (PROMPT | structured).with_fallbacks([RunnableLambda(lambda _: None)]),
        "configurable": PROMPT | llm.configurable_fields(temperature=ConfigurableField(id="temperature")),
        "parallel": RunnableParallel(person=PROMPT | structured, text=PROMPT | llm),
        "assign": RunnablePassthrough.assign(person=PROMPT | structured),
        "lambda": PROMPT | RunnableLambda(llm.invoke, llm.ainvoke),
        "config": (PROMPT | structured).with_config(tags=["nightly"]),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", chains(ChatTogether(model=MODEL, api_key=SecretStr(KEY), base_url="http://127.0.0.1:9")))
async def test_a_chain_is_one_job_with_equal_results(
    name: str, way: str, llm: ChatTogether, batched: ChatTogether, emulator: Emulator
) -> None:
    inputs = people(4)
    online = [comparable(chains(llm)[name].invoke(value)) for value in inputs]
    emulator.clear()
    results = await run(way, chains(batched)[name], inputs)
    assert [comparable(result) for result in results] == online
    assert (jobs(emulator), chats(emulator)) == (1, 0)
    assert not batch_runs._runs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_is_equal_online_and_by_batch(
    seed: int, method: Any, llm: ChatTogether, batched: ChatTogether, emulator: Emulator
) -> None:
    inputs = people(40, seed)
    prompt = PROMPT + " Answer in JSON with the keys 'name', 'city' and 'age'." if method == "json_mode" else PROMPT
    online = (prompt | llm.with_structured_output(Person, method=method)).batch(inputs)
    emulator.clear()
    results = (prompt | batched.with_structured_output(Person, method=method)).batch(inputs)
    assert results == online
    assert {type(result) for result in results} == {Person}
    assert (jobs(emulator), chats(emulator)) == (1, 0)


def recorded_answers() -> list[Any]:
    folder = os.environ.get("TOGETHER_RECORDINGS", "")
    exchanges = [json.loads(path.read_text()) for path in sorted(Path(folder, "exchanges").glob("*.json"))] if folder else []
    return [
        pytest.param(exchange["request"]["body"], body, id=exchange["id"])
        for exchange in exchanges
        if exchange["kind"].startswith("chat") and exchange["response"]["status"] == 200
        if isinstance(body := exchange["response"].get("json", exchange["response"].get("parsed")), dict) and body.get("choices")
    ]


@pytest.mark.parametrize(("request_body", "answer"), recorded_answers())
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_recorded_answers_are_equal_online_and_by_batch(version: str, request_body: Any, answer: Any, tmp_path: Path) -> None:
    options = ParseOptions(("<think>", "</think>"), version == "v1")
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    online = complete(**body).untyped().parse(Response(200, {}, json.dumps(answer).encode()))
    checkpoint = Checkpoint(tmp_path / "run.sqlite", "/v1/chat/completions")
    checkpoint.read_inputs(read_requests([body], "/v1/chat/completions", None), max_lines=1)
    line = json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": answer}}).encode() + b"\n"
    checkpoint.answer(0, "m", line, read_line(line, "/v1/chat/completions")[1])
    [item] = BulkResults[Any](checkpoint, None)
    assert chat_result(_outcome(item), options) == chat_result(online, options)
    checkpoint.close()


class Events(BaseCallbackHandler):
    """What a handler of callbacks gets to know."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.runs: dict[Any, dict[str, Any]] = {}
        self.lock = threading.Lock()

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> None:
        with self.lock:
            names = ("tags", "metadata", "parent_run_id", "name", "options", "invocation_params")
            self.runs[run_id] = {"text": messages[0][-1].text, **{name: kwargs.get(name) for name in names}}
            self.events.append(("start", run_id))

    def on_llm_new_token(self, *args: Any, run_id: Any, **kwargs: Any) -> None:
        self.events.append(("token", run_id))

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        with self.lock:
            self.runs[run_id]["result"] = response.model_copy(update={"run": None})
            self.events.append(("end", run_id))

    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        with self.lock:
            self.runs[run_id]["error"] = error
            self.events.append(("error", run_id))


async def test_callbacks_per_input(way: str, llm: ChatTogether, batched: ChatTogether, emulator: Emulator) -> None:
    def configs(events: Events) -> list[Any]:
        return [{"callbacks": [events], "tags": [f"t{n}"], "metadata": {"number": n}, "run_name": f"run {n}"} for n in range(3)]

    seen = []
    for model in (llm, batched):
        events = Events()
        await run(way, model.bind(top_k=3), ["a", "b", "c"], configs(events))
        assert sorted(kind for kind, _ in events.events) == ["end"] * 3 + ["start"] * 3
        runs = sorted(events.runs.values(), key=lambda each: each["text"])
        for each in runs:
            generation = each.pop("result").generations[0][0]
            each["message"] = comparable(generation.message)
        seen.append(runs)
    assert seen[0] == seen[1]
    assert seen[1][2]["tags"] == ["t2"]
    assert seen[1][2]["metadata"]["number"] == 2
    assert seen[1][2]["name"] == "run 2"
    assert seen[1][2]["message"].usage_metadata["output_tokens"] > 0


async def test_all_runs_start_before_anything_is_sent(way: str, batched: ChatTogether, emulator: Emulator) -> None:
    sent: list[int] = []

    class Watch(Events):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            super().on_chat_model_start(*args, **kwargs)
            sent.append(len(emulator.requests))

    events = Watch()
    await run(way, batched, ["a", "b", "c"], {"callbacks": [events]})
    assert sent == [0, 0, 0]
    assert [kind for kind, _ in events.events] == ["start"] * 3 + ["end"] * 3


async def test_a_handler_that_forbids_a_request(way: str, batched: ChatTogether, emulator: Emulator) -> None:
    class Guard(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            if messages[0][0].text == "b":
                raise PermissionError("not this one")

    results = await run(way, batched, ["a", "b", "c"], {"callbacks": [Guard()]}, return_exceptions=True)
    assert [type(result) for result in results] == [AIMessage, PermissionError, AIMessage]
    assert billed(emulator) == 2


async def test_asynchronous_handlers(way: str, batched: ChatTogether) -> None:
    kinds: list[str] = []

    class Watch(AsyncCallbackHandler):
        async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            await asyncio.sleep(0.001)
            kinds.append("start")

        async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            kinds.append("end")

    await run(way, batched, ["a", "b"], {"callbacks": [Watch()]})
    assert kinds == ["start", "start", "end", "end"]


async def test_usage(way: str, batched: ChatTogether) -> None:
    usage = UsageMetadataCallbackHandler()
    messages = await run(way, batched, ["a", "b"], {"callbacks": [usage]})
    assert usage.usage_metadata[MODEL]["total_tokens"] == sum(message.usage_metadata["total_tokens"] for message in messages)


async def test_run_ids(way: str, batched: ChatTogether) -> None:
    from uuid import uuid4

    ids = [uuid4(), uuid4()]
    messages = await run(way, batched, ["a", "b"], [{"run_id": each} for each in ids])
    assert [message.id for message in messages] == [f"lc_run--{each}-0" for each in ids]


class TestErrors:
    async def test_one_line_fails(self, way: str, llm: ChatTogether, batched: ChatTogether, emulator: Emulator) -> None:
        emulator.inject(Fault("400", path=LINES, times=1))
        events = Events()
        results = await run(way, batched, ["a", "b", "c"], {"callbacks": [events]}, return_exceptions=True)
        failed = [result for result in results if isinstance(result, Exception)]
        assert len(failed) == 1
        assert isinstance(failed[0], ModelInvalidRequestError)
        assert [each["error"] for each in events.runs.values() if "error" in each] == failed
        assert sum("result" in each for each in events.runs.values()) == 2
        emulator.inject(Fault("400"))
        with pytest.raises(ModelInvalidRequestError) as online:
            llm.invoke("a")
        assert type(failed[0]) is type(online.value)

    async def test_without_return_exceptions(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        emulator.inject(Fault("400", path=LINES, times=1))
        with pytest.raises(ModelInvalidRequestError, match="request"):
            await run(way, PROMPT | batched, people(3))

    async def test_a_second_round(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        emulator.inject(Fault("429", path=LINES, times=2))
        assert len(await run(way, batched, ["a", "b", "c"])) == 3
        assert jobs(emulator) == 2
        emulator.inject(Fault("429", path=LINES, times=None))
        results = await run(way, batched, ["a", "b"], return_exceptions=True)
        emulator.clear()
        assert all(isinstance(result, ModelRateLimitError) and isinstance(result, RateLimitError) for result in results)
        assert results[0] is not results[1]

    async def test_context_overflow(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        message = "the prompt exceeds the maximum context length of this model"
        emulator.inject(Fault("400", path=LINES, times=1, code="context_length_exceeded", message=message))
        [error] = await run(way, batched, ["a"], return_exceptions=True)
        assert isinstance(error, ContextOverflowError)

    async def test_the_job_cannot_be_paid(self, way: str, connect: Any, emulator: Emulator) -> None:
        prices = {MODEL: {"input": 1_000_000, "output": 1_000_000}}
        llm = ChatTogether(model=MODEL, **connect, control=Control(prices=prices), batch_api=BatchAPI(max_price=0.01))
        events = Events()
        results = await run(way, llm, ["a", "b"], {"callbacks": [events]}, return_exceptions=True)
        assert all(isinstance(result, BudgetExceededError) and isinstance(result, ModelError) for result in results)
        assert results[0] is not results[1]
        assert len(str(results[0])) < 500
        assert [kind for kind, _ in events.events] == ["start"] * 2 + ["error"] * 2
        assert not emulator.requests

    async def test_headers_of_single_requests(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        with pytest.raises(ConfigurationError, match="default_headers"):
            await run(way, batched.bind(extra_headers={"x-a": "b"}), ["a", "b"])
        assert not emulator.requests

    async def test_refusals(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        emulator.reply(lambda _: {"refusal": "I will not."})
        [message] = await run(way, batched, ["a"])
        assert message.additional_kwargs["refusal"] == "I will not."
        [error] = await run(way, PROMPT | batched.with_structured_output(Person), people(1), return_exceptions=True)
        emulator.clear()
        assert isinstance(error, RefusedError)

    async def test_a_refused_tool_choice_is_dropped(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        emulator.inject(Fault("400", path=LINES, times=1, code="invalid", message="tool_choice is not supported by this model"))
        chain = PROMPT | batched.with_structured_output(Person, method="function_calling")
        results = await run(way, chain, people(2))
        assert sum(isinstance(result, Person) for result in results) >= 1  # the other is asked with `tool_choice="auto"`
        assert jobs(emulator) == 2


class TestRounds:
    async def test_tools_before_a_format(self, way: str, llm: ChatTogether, batched: ChatTogether, emulator: Emulator) -> None:
        """The service refuses both in one request: inputs that need a second one share a second job."""
        inputs = ["What is the weather in Paris?", "Ann lives in Rome and is 30 years old.", "Bob lives in Oslo, aged 31."]
        online = [comparable(llm.with_structured_output(Person, tools=[weather]).invoke(value)) for value in inputs]
        emulator.clear()
        results = await run(way, batched.with_structured_output(Person, tools=[weather]), inputs)
        assert [comparable(result) for result in results] == online
        assert jobs(emulator) <= 2
        assert chats(emulator) == 0

    async def test_several_models_in_one_chain(
        self, way: str, connect: Any, batched: ChatTogether, emulator: Emulator, tmp_path: Path
    ) -> None:
        settings = BatchAPI(poll_interval=0.02, window=0.3, checkpoint=tmp_path / "run.sqlite")
        first = batched.model_copy(update={"batch_api": settings})
        second = ChatTogether(model=REASONER, **connect, batch_api=settings)
        chain = PROMPT | first | StrOutputParser() | second
        assert len(await run(way, chain, people(3))) == 3
        assert jobs(emulator) == 2
        both = RunnableParallel(first=PROMPT | first, second=PROMPT | second)
        assert len(await run(way, both, people(3, seed=1))) == 3
        assert (jobs(emulator), chats(emulator)) == (4, 0)

    async def test_agents(self, batched: ChatTogether, emulator: Emulator) -> None:
        """Each turn of all agents of a batch is a job."""
        from langchain.agents import create_agent

        agent = create_agent(batched, [weather])
        inputs: list[Any] = [{"messages": [HumanMessage(f"What is the weather in {city}?")]} for city in CITIES]
        states = await agent.abatch(inputs)
        assert [state["messages"][-2].content for state in states] == [f"It rains in {city}." for city in CITIES]
        assert (jobs(emulator), chats(emulator)) == (2, 0)
        agent.invoke(inputs[0])
        assert (jobs(emulator), chats(emulator)) == (2, 2)


class TestCheckpoint:
    async def test_answers_are_not_paid_again(self, way: str, batched: ChatTogether, emulator: Emulator, tmp_path: Path) -> None:
        settings = BatchAPI(poll_interval=0.02, window=0.3, checkpoint=tmp_path / "run.sqlite")
        chain = PROMPT | batched.model_copy(update={"batch_api": settings}).with_structured_output(Person)
        first = await run(way, chain, people(4))
        assert await run(way, chain, people(4)) == first
        assert jobs(emulator) == 1
        assert [person.age for person in await run(way, chain, people(2, seed=7))] == [18, 19]
        assert jobs(emulator) == 2

    async def test_batches_at_the_same_time(self, batched: ChatTogether, emulator: Emulator, tmp_path: Path) -> None:
        llm = batched.model_copy(update={"batch_api": BatchAPI(poll_interval=0.02, checkpoint=tmp_path / "run.sqlite")})
        results = await asyncio.gather(
            llm.abatch(["a", "b"]), llm.abatch(["c"]), asyncio.to_thread(llm.batch, ["d"]), asyncio.to_thread(llm.batch, ["e"])
        )
        assert [len(result) for result in results] == [2, 1, 1, 1]
        assert chats(emulator) == 0

    @pytest.mark.parametrize("way", ["batch", "batch_as_completed"])
    def test_an_interruption(self, way: str, batched: ChatTogether, emulator: Emulator, tmp_path: Path) -> None:
        def interrupt(progress: BulkProgress) -> None:
            if progress.phase == "wait":
                raise KeyboardInterrupt

        settings = BatchAPI(poll_interval=0.02, checkpoint=tmp_path / "run.sqlite", progress=interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(getattr(batched.bind(batch_api=settings), way)(["a", "b", "c"]))
        again = batched.bind(batch_api=BatchAPI(poll_interval=0.02, checkpoint=tmp_path / "run.sqlite"))
        assert len(again.batch(["a", "b", "c"])) == 3
        assert jobs(emulator) == 1

    async def test_progress(self, way: str, batched: ChatTogether) -> None:
        seen: list[BulkProgress] = []
        settings = BatchAPI(poll_interval=0.02, progress=seen.append)
        await run(way, batched.model_copy(update={"batch_api": settings}), ["a", "b"])
        assert (seen[-1].done, seen[-1].total, seen[-1].failed) == (2, 2, 0)


class TestCache:
    async def test_it_is_asked_first_and_shared_with_requests_online(
        self, way: str, llm: ChatTogether, emulator: Emulator
    ) -> None:
        cache = InMemoryCache()
        online = llm.model_copy(update={"cache": cache})
        batched = online.model_copy(update={"batch_api": BATCH})
        message = online.invoke("a")
        results = await run(way, batched, ["a", "b"])
        assert comparable(results[0]).content == message.content
        assert (jobs(emulator), billed(emulator)) == (1, 2)
        again = await run(way, batched, ["a", "b"])
        assert [result.content for result in again] == [result.content for result in results]
        assert online.invoke("b").content == results[1].content
        assert (jobs(emulator), billed(emulator)) == (1, 2)


class TestSizes:
    async def test_none(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        assert await run(way, batched, []) == []
        assert await run(way, PROMPT | batched, []) == []
        assert not emulator.requests

    async def test_one(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        assert len(await run(way, PROMPT | batched, people(1))) == 1
        assert (jobs(emulator), chats(emulator)) == (1, 0)

    async def test_too_few_for_a_job(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        llm = batched.model_copy(update={"batch_api": BatchAPI(min_requests=3, poll_interval=0.02), "max_retries": 0})
        emulator.inject(Fault("400", times=1))
        results = await run(way, llm, ["a", "b"], return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["AIMessage", "BadRequestError"]
        assert (jobs(emulator), chats(emulator)) == (0, 2)
        assert len(await run(way, llm, ["a", "b", "c"])) == 3
        assert (jobs(emulator), chats(emulator)) == (1, 2)

    async def test_max_concurrency_does_not_divide_a_job(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        await run(way, batched, ["a", "b", "c"], {"max_concurrency": 1})
        assert jobs(emulator) == 1

    async def test_equal_inputs_are_sent_once(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        messages = await run(way, batched, ["a", "b", "a"])
        assert messages[0].content == messages[2].content
        assert messages[0].id != messages[2].id
        assert billed(emulator) == 2

    async def test_other_counts_of_configs(self, way: str, batched: ChatTogether) -> None:
        with pytest.raises(ValueError, match="configs"):
            await run(way, batched, ["a", "b"], [{}])


class TestOnline:
    async def test_single_calls(self, batched: ChatTogether, emulator: Emulator) -> None:
        chain = PROMPT | batched.with_structured_output(Person)
        [value] = people(1)
        chain.invoke(value)
        await chain.ainvoke(value)
        list(chain.stream(value))
        [chunk async for chunk in batched.astream("a")]
        RunnableParallel(a=chain, b=chain).invoke(value)
        await RunnableParallel(a=chain, b=chain).ainvoke(value)
        batched.generate([[HumanMessage("a")], [HumanMessage("b")]])
        assert (jobs(emulator), chats(emulator)) == (0, 10)

    async def test_other_models_in_handlers(self, llm: ChatTogether, batched: ChatTogether, emulator: Emulator) -> None:
        """A call that a handler makes does not travel with the batch to which the handler belongs."""
        other = ChatTogether(model=MODEL, api_key=SecretStr(KEY), base_url=emulator.base_url, batch_api=BATCH)

        class Judge(AsyncCallbackHandler):
            async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
                await other.ainvoke("Is it allowed?", {"callbacks": []})

        await batched.abatch(["a", "b"], {"callbacks": [Judge()]})
        assert (jobs(emulator), chats(emulator)) == (1, 2)

    async def test_streaming_does_not_concern_jobs(self, way: str, batched: ChatTogether, emulator: Emulator) -> None:
        llm = ChatTogether(**{name: getattr(batched, name) for name in ("batch_api", "model_name")}, streaming=True,
                           api_key=SecretStr(KEY), base_url=emulator.base_url)  # fmt: skip
        events = Events()
        await run(way, llm, ["a", "b"], {"callbacks": [events]})
        assert "token" not in {kind for kind, _ in events.events}
        assert (jobs(emulator), chats(emulator)) == (1, 0)
        async for _ in RunnableLambda(lambda value: llm.batch(value)).astream_events(["a", "c"]):
            pass
        assert (jobs(emulator), chats(emulator)) == (2, 0)

    async def test_a_rate_limiter_is_not_asked(self, way: str, batched: ChatTogether) -> None:
        class Never(BaseRateLimiter):
            def acquire(self, *, blocking: bool = True) -> bool:
                raise AssertionError("asked")

            async def aacquire(self, *, blocking: bool = True) -> bool:
                raise AssertionError("asked")

        llm = batched.model_copy(update={"rate_limiter": Never()})
        assert len(await run(way, llm, ["a", "b"])) == 2
        with pytest.raises(AssertionError):
            llm.invoke("a")


async def test_response_headers(way: str, connect: Any) -> None:
    llm = ChatTogether(model=MODEL, **connect, include_response_headers=True, batch_api=BATCH)
    with pytest.warns(UserWarning, match="no headers"):
        messages = await run(way, llm, ["a", "b"])
    assert not [message for message in messages if "headers" in message.response_metadata]
    assert llm.invoke("a").response_metadata["headers"]


async def test_content_blocks(way: str, connect: Any) -> None:
    llm = ChatTogether(model=REASONER, **connect, output_version="v1")
    online = llm.invoke("a")
    [message] = await run(way, llm.model_copy(update={"batch_api": BATCH}), ["a"])
    assert comparable(message) == comparable(online)


def test_a_batch_in_a_running_loop(batched: ChatTogether, emulator: Emulator) -> None:
    async def main() -> tuple[Any, Any]:
        return batched.batch(["a", "b"]), list(batched.batch_as_completed(["c", "d"]))

    first, second = asyncio.run(main())
    assert (len(first), len(second), jobs(emulator)) == (2, 2, 2)


def test_a_stopped_iteration(batched: ChatTogether, emulator: Emulator) -> None:
    for _ in batched.batch_as_completed(["a", "b", "c"]):
        break
    assert len(batched.batch(["d"])) == 1


async def test_cancellation(batched: ChatTogether, emulator: Emulator) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for((PROMPT | batched).abatch(people(3)), 0.05)
    assert len(await batched.abatch(["a"])) == 1


def test_the_client_of_synchronous_calls_is_used(emulator: Emulator) -> None:
    import httpx

    with httpx.Client(headers={"x-mine": "yes"}) as http_client:
        llm = ChatTogether(
            model=MODEL, api_key=SecretStr(KEY), base_url=emulator.base_url, http_client=http_client, batch_api=BATCH
        )
        llm.batch(["a", "b"])
    assert {request.headers.get("x-mine") for request in emulator.requests if request.path.startswith("/v1/")} == {"yes"}


def test_a_control_has_a_row_for_the_job(connect: Any) -> None:
    control = Control()
    llm = ChatTogether(model=MODEL, **connect, control=control, batch_api=BATCH)
    with control.tag(job="nightly"):
        messages = llm.batch(["a", "b"])
    [row] = [row for row in control.ledger.rows() if row.kind == "batch"]
    usages: list[Any] = [message.usage_metadata for message in messages]
    assert row.output_tokens == sum(usage["output_tokens"] for usage in usages)
    assert row.tags["job"] == "nightly"


def test_a_shared_client(emulator: Emulator) -> None:
    with Client(api_key=KEY, base_url=emulator.base_url) as client:
        assert len(ChatTogether(model=MODEL, client=client, batch_api=BATCH).batch(["a", "b"])) == 2
    assert jobs(emulator) == 1


class TestSettings:
    def test_dumps_leave_it_out(self, connect: Any, batched: ChatTogether, llm: ChatTogether, monkeypatch: Any) -> None:
        assert dumps(batched) == dumps(llm)
        assert "batch_api" not in repr(batched)
        assert batched.asdict() == llm.asdict()
        assert batched._get_llm_string() == llm._get_llm_string()
        monkeypatch.setenv("TOGETHER_API_KEY", KEY)
        assert load(dumpd(PROMPT | batched.bind_tools([weather]))).batch(people(2))[0].content
        assert load(dumpd(RawMap(steps__={"raw": batched}))).invoke("a")["raw"].content

    def test_copies_keep_it(self, batched: ChatTogether, emulator: Emulator) -> None:
        for duplicate in (
            copy.copy(batched),
            copy.deepcopy(batched),
            pickle.loads(pickle.dumps(batched)),
            batched.model_copy(update={"temperature": 0.5}),
            batched.with_config(tags=["x"]),
        ):
            assert len(duplicate.batch(["a", "b"])) == 2
        assert (jobs(emulator), chats(emulator)) == (5, 0)

    async def test_as_a_keyword(self, way: str, llm: ChatTogether, emulator: Emulator) -> None:
        assert len(await run(way, llm.bind(batch_api=BATCH), ["a", "b"])) == 2
        assert len(await run(way, PROMPT | llm.with_structured_output(Person, batch_api=BATCH), people(2))) == 2
        assert (jobs(emulator), chats(emulator)) == (2, 0)
        llm.bind(batch_api=BATCH).invoke("a")
        assert "batch_api" not in json.dumps(emulator.requests[-1].json)

    def test_none_as_a_keyword(self, batched: ChatTogether, emulator: Emulator) -> None:
        batched.bind(batch_api=None).batch(["a", "b"])
        assert (jobs(emulator), chats(emulator)) == (0, 2)

    def test_another_value(self, connect: Any) -> None:
        with pytest.raises(ConfigurationError, match="BatchAPI"):
            ChatTogether(model=MODEL, **connect, batch_api=True)


def test_a_checkpoint_of_something_else(batched: ChatTogether, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"notes\.txt"):
        batched.bind(batch_api=BatchAPI(checkpoint=path)).batch(["a", "b"])

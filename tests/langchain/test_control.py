"""Adapters under a control: every class takes it, chains keep tags, a budget ends an agent."""

from __future__ import annotations

import importlib.util
import pickle
from typing import Any

import pytest
from langchain.agents import create_agent, middleware
from langchain_core.exceptions import ModelError
from langchain_core.load import dumpd
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank
from pydantic import BaseModel

from tests.langchain.conftest import REASONER
from together_adapters import AsyncTogether, BudgetExceededError, ConfigurationError, Control
from together_adapters import Together as Client
from together_adapters.emulator import Emulator

EXPENSIVE = {REASONER: {"input": 0, "output": 1_000_000}}
TEXTS = ["Llamas eat grass.", "Pandas eat bamboo."]


class Animal(BaseModel):
    """An animal."""

    name: str


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


async def run(flavour: str, runnable: Any, value: Any, config: Any = None) -> Any:
    return runnable.invoke(value, config) if flavour == "sync" else await runnable.ainvoke(value, config)


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_every_adapter_takes_a_control(way: str, connect: Any, emulator: Emulator) -> None:
    control = Control()
    chat = ChatTogether(**connect, control=control)
    await run(way, chat, "Hello")
    await run(way, Together(**connect, control=control), "Hello")
    await run(way, chat.with_structured_output(Animal), "The name of the llama is Ada.")
    await run(way, chat.bind_tools([weather]), "What is the weather in Paris?")
    embeddings = TogetherEmbeddings(**connect, control=control)
    rerank = TogetherRerank(**connect, control=control)
    if way == "sync":
        embeddings.embed_documents(TEXTS)
        list(chat.stream("Hello"))
        rerank.rerank(TEXTS, "grass")
    else:
        await embeddings.aembed_documents(TEXTS)
        [chunk async for chunk in chat.astream("Hello")]
        await rerank.arerank(TEXTS, "grass")
    rows = control.ledger.rows()
    assert [row.kind for row in rows] == ["chat", "completion", "chat", "chat", "embeddings", "chat", "rerank"]
    assert control.ledger.total().attempts == len(emulator.requests)
    assert rows[5].streamed
    assert not any(row.estimated for row in rows)
    assert control.state().in_flight == 0


async def test_the_usage_of_a_message_is_that_of_the_row(way: str, connect: Any) -> None:
    control = Control()
    message = await run(way, ChatTogether(**connect, control=control), "Hello")
    (row,) = control.ledger.rows()
    assert (row.input_tokens, row.output_tokens) == tuple(
        message.usage_metadata[name] for name in ("input_tokens", "output_tokens")
    )


async def test_a_control_of_a_shared_client_stays(connect: Any) -> None:
    control, other = Control(), Control()
    client = Client(**connect, control=control)
    ChatTogether(client=client).invoke("Hello")
    ChatTogether(client=client, control=other).invoke("Hello")
    await ChatTogether(async_client=AsyncTogether(**connect, control=control)).ainvoke("Hello")
    assert (control.ledger.total().requests, other.ledger.total().requests) == (2, 1)


@pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherEmbeddings, TogetherRerank])
def test_copies_and_dumps(kind: Any, connect: Any) -> None:
    control, other = Control(budget=3), Control()
    adapter = kind(**connect, control=control)
    assert adapter._clients.config.control is control
    assert adapter.model_copy()._clients.config.control is control
    assert adapter.model_copy(deep=True)._clients.config.control is control
    assert adapter.model_copy(update={"control": other})._clients.config.control is other
    assert repr(pickle.loads(pickle.dumps(adapter))._clients.config.control) == repr(control)
    assert "control" not in adapter.model_dump()
    assert "control" not in repr(adapter)
    assert dumpd(adapter) == dumpd(kind(**connect))


def test_a_control_is_a_control(connect: Any) -> None:
    with pytest.raises(ConfigurationError, match="control must be a"):
        ChatTogether(**connect, control="x")


async def test_tags_hold_in_batches(way: str, connect: Any) -> None:
    control = Control(max_concurrency=4)
    chain = RunnableLambda(lambda text: f"Say {text}") | ChatTogether(**connect, control=control)
    with control.tag(job="nightly"):
        if way == "sync":
            chain.batch(["a", "b", "c", "d"], {"max_concurrency": 3})
        else:
            await chain.abatch(["a", "b", "c", "d"])
        with control.tag(user="ann"):
            embeddings = TogetherEmbeddings(**connect, control=control, chunk_size=1)
            await (
                embeddings.aembed_documents(TEXTS * 20) if way == "async" else _completed(embeddings.embed_documents(TEXTS * 20))
            )
    sums = dict(control.ledger.by("tag.job", "tag.user", "kind"))
    assert {key: usage.requests for key, usage in sums.items()} == {
        ("nightly", None, "chat"): 4,
        ("nightly", "ann", "embeddings"): 1,
    }


async def _completed(value: Any) -> Any:
    return value


def _retries() -> list[Any]:
    """Middleware that retries what can be retried, in versions of LangChain that ask the error."""
    retry = importlib.util.find_spec("langchain.agents.middleware._retry")
    asks = retry and hasattr(importlib.import_module(retry.name), "default_retry_on")
    return [middleware.ModelRetryMiddleware(max_retries=3, initial_delay=30)] if asks else []


async def test_a_budget_ends_an_agent(way: str, connect: Any, emulator: Emulator) -> None:
    """The first call fits, the second, with the result of the tool, does not."""
    control = Control(budget=480, prices=EXPENSIVE)
    llm = ChatTogether(**connect, model=REASONER, max_tokens=480, control=control)
    agent = create_agent(llm, [weather], middleware=_retries())
    with pytest.raises(BudgetExceededError, match="Nothing was sent") as caught:
        await run(way, agent, {"messages": [("user", "What is the weather in Paris?")]})
    assert isinstance(caught.value, ModelError)
    assert not caught.value.is_retryable
    assert pickle.loads(pickle.dumps(caught.value)).budget == 480
    assert len(emulator.requests) == control.ledger.total().requests == 1
    assert control.state().in_flight == 0


async def test_a_budget_with_retries_and_fallbacks_of_langchain(way: str, connect: Any, emulator: Emulator) -> None:
    control = Control(budget=0, prices=EXPENSIVE)
    llm = ChatTogether(**connect, model=REASONER, control=control)
    with pytest.raises(BudgetExceededError):
        await run(way, llm.with_retry(stop_after_attempt=2, wait_exponential_jitter=False), "Hello")
    with pytest.raises(BudgetExceededError):
        await run(way, llm.with_fallbacks([llm.model_copy()]), "Hello")
    assert emulator.requests == []
    assert (await run(way, llm.with_fallbacks([ChatTogether(**connect)]), "Hello")).text
    with pytest.raises(BudgetExceededError):
        if way == "sync":
            list(llm.stream("Hello"))
        else:
            [chunk async for chunk in llm.astream("Hello")]
    assert len(emulator.requests) == 1


async def test_batches_return_budget_errors(way: str, connect: Any) -> None:
    control = Control(budget=300, prices=EXPENSIVE)
    llm = ChatTogether(**connect, model=REASONER, max_tokens=90, control=control)
    inputs = ["Hello"] * 30
    results = llm.batch(inputs, return_exceptions=True) if way == "sync" else await llm.abatch(inputs, return_exceptions=True)
    errors = [result for result in results if isinstance(result, Exception)]
    assert {type(error).__name__ for error in errors} == {"BudgetExceededError"}
    assert control.ledger.total().requests == 30 - len(errors) > 0
    assert control.ledger.total().cost <= 300


async def test_the_rate_limiter_of_langchain_works_beside_it(way: str, connect: Any) -> None:
    control = Control(max_concurrency=1)
    limiter = InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001)
    await run(way, ChatTogether(**connect, control=control, rate_limiter=limiter), "Hello")
    assert limiter.available_tokens < 1000
    assert control.ledger.total().requests == 1


async def test_a_stream_that_is_left_early(way: str, connect: Any) -> None:
    control = Control(max_concurrency=1)
    llm = ChatTogether(**connect, control=control)
    if way == "sync":
        stream = llm.stream("Count to 2000.")
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    else:
        astream = llm.astream("Count to 2000.")
        await anext(astream)
        await astream.aclose()  # type: ignore[attr-defined]
    (row,) = control.ledger.rows()
    assert row.estimated
    assert control.state().in_flight == 0

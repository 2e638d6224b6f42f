"""Components under a control: every class takes it, tags hold in workers, a budget ends agents and workflows."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank
from pydantic import BaseModel

from tests.conftest import KEY
from together_adapters import AsyncTogether, BudgetExceededError, ConfigurationError, Control, Together
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
EXPENSIVE = {MODEL: {"input": 0, "output": 1_000_000}}
NODES = [NodeWithScore(node=TextNode(text=text)) for text in ("Llamas eat grass.", "Pandas eat bamboo.")]


class Animal(BaseModel):
    """An animal."""

    name: str


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


@pytest.fixture
def connect(emulator: Emulator) -> dict[str, Any]:
    return {"api_key": KEY, "api_base": emulator.base_url}


def test_every_component_takes_a_control(connect: Any, emulator: Emulator) -> None:
    control = Control()
    llm = TogetherLLM(MODEL, **connect, control=control)
    llm.complete("Hello")
    list(llm.stream_complete("Hello"))
    llm.as_structured_llm(Animal).complete("The name of the llama is Ada.")
    llm.predict_and_call([FunctionTool.from_defaults(weather)], "What is the weather in Paris?")
    TogetherEmbedding(**connect, control=control).get_text_embedding_batch(["a", "b"])
    TogetherRerank(**connect, control=control).postprocess_nodes(NODES, query_str="grass")
    rows = control.ledger.rows()
    assert [row.kind for row in rows] == ["chat"] * 4 + ["embeddings", "rerank"]
    assert control.ledger.total().attempts == len(emulator.requests)
    assert not any(row.estimated for row in rows)


async def test_every_component_takes_a_control_in_tasks(connect: Any, emulator: Emulator) -> None:
    control = Control()
    llm = TogetherLLM(MODEL, **connect, control=control)
    await llm.acomplete("Hello")
    [chunk async for chunk in await llm.astream_complete("Hello")]
    await llm.as_structured_llm(Animal).acomplete("The name of the llama is Ada.")
    await TogetherEmbedding(**connect, control=control).aget_text_embedding_batch(["a", "b"])
    await TogetherRerank(**connect, control=control).apostprocess_nodes(NODES, query_str="grass")
    rows = control.ledger.rows()
    assert [row.kind for row in rows] == ["chat"] * 3 + ["embeddings", "rerank"]
    assert control.ledger.total().attempts == len(emulator.requests)
    assert not any(row.estimated for row in rows)


@pytest.mark.parametrize("kind", [TogetherLLM, TogetherEmbedding, TogetherRerank])
def test_copies_and_dumps(kind: Any, connect: Any) -> None:
    control, other = Control(budget=3), Control()
    component = kind(**connect, control=control)
    assert component.sync_client.config.control is component.asynchronous_client.config.control is control
    assert component.model_copy(deep=True).sync_client.config.control is control
    assert component.model_copy(update={"control": other}).sync_client.config.control is other
    assert repr(pickle.loads(pickle.dumps(component)).sync_client.config.control) == repr(control)
    assert "control" not in component.to_dict()
    assert "control" not in repr(component)
    component.control = other
    assert component.sync_client.config.control is other
    with pytest.raises(ConfigurationError, match="control must be a"):
        kind(**connect, control="x")


async def test_a_control_of_a_shared_client_stays(emulator: Emulator) -> None:
    control = Control()
    client = Together(api_key=KEY, base_url=emulator.base_url, control=control)
    TogetherLLM(MODEL, client=client).complete("Hello")
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as async_client:
        await TogetherLLM(MODEL, async_client=async_client).acomplete("Hello")
    assert control.ledger.total().requests == 2


async def test_tags_hold_in_workers(connect: Any) -> None:
    control = Control(max_concurrency=4)
    embedding = TogetherEmbedding(**connect, control=control, embed_batch_size=2, num_workers=4)
    nodes = [TextNode(text=f"Text {number}") for number in range(20)]
    with control.tag(job="ingest"):
        IngestionPipeline(transformations=[embedding]).run(nodes=nodes)
        await IngestionPipeline(transformations=[embedding]).arun(nodes=nodes)
    assert {key for key, _ in control.ledger.by("tag.job")} == {("ingest",)}
    assert control.ledger.total().attempts == 20
    assert control.state().in_flight == 0


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_budget_ends_an_agent(streaming: bool, connect: Any, emulator: Emulator) -> None:
    """The first call fits, the second, with the result of the tool, does not."""
    control = Control(budget=480, prices=EXPENSIVE)
    llm = TogetherLLM(MODEL, **connect, max_tokens=480, control=control)
    agent = FunctionAgent(llm=llm, tools=[weather], streaming=streaming)
    async with asyncio.timeout(30):
        with pytest.raises(BudgetExceededError, match="Nothing was sent"):
            await agent.run("What is the weather in Paris?")
    assert len(emulator.requests) == control.ledger.total().requests == 1
    assert control.state().in_flight == 0


async def test_a_budget_ends_a_workflow(connect: Any, emulator: Emulator) -> None:
    llm = TogetherLLM(MODEL, **connect, control=Control(budget=0, prices=EXPENSIVE))

    class Flow(Workflow):
        @step
        async def ask(self, event: StartEvent) -> StopEvent:
            return StopEvent(result=str(await llm.acomplete("Hello")))

    async with asyncio.timeout(30):
        with pytest.raises(BudgetExceededError):
            await Flow(timeout=20).run()
    assert emulator.requests == []


def test_structured_output_does_not_repeat_what_the_budget_refuses(connect: Any, emulator: Emulator) -> None:
    control = Control(budget=0, prices=EXPENSIVE)
    llm = TogetherLLM(MODEL, **connect, control=control, validation_retries=3)
    with pytest.raises(BudgetExceededError):
        llm.as_structured_llm(Animal).complete("The name of the llama is Ada.")
    assert emulator.requests == []


def test_the_rate_limiter_of_llama_index_works_beside_it(connect: Any) -> None:
    limits = pytest.importorskip("llama_index.core.rate_limiter")
    control = Control(max_concurrency=1)
    limiter = limits.TokenBucketRateLimiter(requests_per_minute=600)
    TogetherLLM(MODEL, **connect, control=control, rate_limiter=limiter).complete("Hello")
    assert control.ledger.total().requests == 1

"""`TogetherLLM(batch_api=...)`: calls that wait at the same time travel as one job, and their answers are those of single requests."""

from __future__ import annotations

import asyncio
import pickle
import re
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.evaluation import BatchEvalRunner, FaithfulnessEvaluator, RelevancyEvaluator
from llama_index.core.extractors import KeywordExtractor, QuestionsAnsweredExtractor, SummaryExtractor, TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM
from pydantic import BaseModel

from tests.conftest import HANG, KEY, NEVER, eventually_async
from together_adapters import AsyncTogether, Control
from together_adapters.bulk import BatchAPI
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import (
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
)

MODEL = "openai/gpt-oss-120b"
BASE_MODEL = "meta-llama/Llama-3-70b-hf"
LINES = "lines of a batch"
PROMPT = PromptTemplate("Describe the animal {name}.")
NODES = [TextNode(text=f"Llama {number} eats grass on hill {number}.") for number in range(6)]


class Animal(BaseModel):
    """An animal."""

    name: str


class Recorder(BaseEventHandler):
    """Keeps the events of LlamaIndex."""

    seen: list[Any] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


def settings(**changes: Any) -> BatchAPI:
    return BatchAPI(**{"window": 0.1, "poll_interval": 0.02, **changes})


@pytest.fixture
async def connect(emulator: Emulator) -> AsyncIterator[dict[str, Any]]:
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, max_retries=0) as client:
        yield {"model": MODEL, "async_client": client}


@pytest.fixture
def llm(connect: dict[str, Any]) -> TogetherLLM:
    return TogetherLLM(**connect, batch_api=settings())


def jobs(emulator: Emulator) -> int:
    return sum((request.method, request.path) == ("POST", "/v1/batches") for request in emulator.requests)


def single_requests(emulator: Emulator) -> int:
    return sum(request.path in ("/v1/chat/completions", "/v1/completions") for request in emulator.requests)


def lines(emulator: Emulator) -> int:
    return emulator.bill.total(kind="batch").requests


def echo(emulator: Emulator) -> None:
    """Lets the emulator answer with the question, so that an answer shows whose it is."""
    emulator.reply(lambda body: body["messages"][-1]["content"])


def slow_job(emulator: Emulator) -> None:
    """Lets the next job end a second late, as far as clients can see."""
    emulator.inject(Fault("slow", path="/v1/batches/", seconds=1))


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(text)]


def without_ids(value: Any) -> Any:
    """Returns what a response holds, without what differs between two equal requests."""
    if isinstance(value, dict):
        return {name: without_ids(each) for name, each in value.items() if name not in ("id", "created")}
    return [without_ids(each) for each in value] if isinstance(value, list) else value


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Exception as error:
        return error


async def every_kind(llm: TogetherLLM) -> list[Any]:
    """Makes calls of every kind at once."""
    objects = llm.as_structured_llm(Animal)
    calls = [
        llm.achat(user("Hello"), logprobs=1, seed=3),
        llm.achat([ChatMessage("Be brief.", role="system"), *user("Is snow cold?")]),
        llm.acomplete("Name one prime number.", max_tokens=5),
        llm.astructured_predict(Animal, PROMPT, name="Ada"),
        objects.achat(user("The name of the llama is Ada.")),
        objects.acomplete("The name of the panda is Bob."),
        llm.apredict(PROMPT, name="Carl"),
    ]
    return [each.model_dump() if isinstance(each, BaseModel) else each for each in await asyncio.gather(*calls)]


async def test_calls_of_every_kind_travel_as_one_job(emulator: Emulator, connect: Any, llm: TogetherLLM) -> None:
    online = await every_kind(TogetherLLM(**connect))
    emulator.clear()
    assert without_ids(await every_kind(llm)) == without_ids(online)
    assert (jobs(emulator), single_requests(emulator), lines(emulator)) == (1, 0, 7)
    assert online[0]["raw"]["usage"]["completion_tokens"] == online[0]["additional_kwargs"]["completion_tokens"] > 0


async def test_completions_of_base_models_have_a_job_of_their_own(emulator: Emulator, connect: Any) -> None:
    base = TogetherLLM(**{**connect, "model": BASE_MODEL}, is_chat_model=False, batch_api=settings(), context_window=8000)
    chat = TogetherLLM(**connect, batch_api=settings())
    online = await base.acomplete("One, two,", batch_api=None)
    answers = await asyncio.gather(base.acomplete("One, two,"), base.achat(user("Three, four,")), chat.acomplete("Hello"))
    assert answers[0].text == online.text
    assert (jobs(emulator), lines(emulator)) == (2, 3)  # of the two endpoints


async def test_events_and_spans_are_those_of_single_requests(connect: Any, emulator: Emulator) -> None:
    dispatcher, recorder, spans = get_dispatcher(), Recorder(), SimpleSpanHandler()
    dispatcher.add_event_handler(recorder)
    dispatcher.add_span_handler(spans)
    seen = []
    try:
        for batch_api in (None, settings()):
            llm = TogetherLLM(**connect, batch_api=batch_api)
            recorder.seen.clear()
            spans.completed_spans.clear()
            emulator.inject(Fault("400", path="/chat/completions" if batch_api is None else LINES))
            answers = await asyncio.gather(*(outcome(call) for call in (llm.achat(user("a")), llm.acomplete("b"))))
            assert sorted(type(answer).__name__ for answer in answers)[0] == "BadRequestError"
            # Either call may be the one that fails, so the names of ends and of spans leave out which it was.
            names = Counter(re.sub(r"(Chat|Completion)(?=EndEvent)", "", type(event).__name__) for event in recorder.seen)
            ids = (re.sub(r"-[0-9a-f-]{36}$", "", span.id_) for span in spans.completed_spans)
            seen.append((names, Counter(re.sub(r"achat|acomplete", "call", id) for id in ids)))
    finally:
        dispatcher.event_handlers.remove(recorder)
        dispatcher.span_handlers.remove(spans)
    assert seen[0] == seen[1]
    assert seen[0][0]["LLMChatStartEvent"] == seen[0][0]["LLMCompletionStartEvent"] == 1


async def test_each_call_has_its_own_error(emulator: Emulator, llm: TogetherLLM) -> None:
    echo(emulator)
    emulator.inject(Fault("400", path=LINES, message="no such thing"))
    answers = await asyncio.gather(*(outcome(llm.acomplete(f"question {number}")) for number in range(4)))
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert [type(error) for error in failed] == [BadRequestError]
    assert "no such thing" in str(failed[0])
    assert [answer.text for answer in answers if not isinstance(answer, Exception)] == [
        f"question {number}" for number, answer in enumerate(answers) if not isinstance(answer, Exception)
    ]


async def test_what_ends_the_whole_job_is_the_error_of_each(emulator: Emulator, connect: Any) -> None:
    llm = TogetherLLM(**connect, batch_api=settings(max_price=0.0))
    answers = await asyncio.gather(*(outcome(llm.acomplete(f"question {number}")) for number in range(3)))
    assert [type(error) for error in answers] == [BudgetExceededError] * 3
    assert len({id(error) for error in answers}) == 3
    assert not any(request.method == "POST" for request in emulator.requests)


async def test_a_price_limit_counts_all_windows(emulator: Emulator, connect: Any, tmp_path: Path) -> None:
    for checkpoint in (None, tmp_path / "run.sqlite"):
        emulator.clear()
        online = TogetherLLM(**connect, batch_api=settings())
        await online.acomplete("question 0", max_tokens=1_000)
        cost = emulator.bill.total().cost
        llm = TogetherLLM(**connect, batch_api=settings(max_price=cost + 1_001 * 0.6e-6, checkpoint=checkpoint))
        await llm.acomplete("question 0", max_tokens=1_000)
        with pytest.raises(BudgetExceededError):
            await llm.acomplete("question 1" + " and more" * 50, max_tokens=1_000)


async def test_a_window_closes_when_no_call_has_come_for_a_while(emulator: Emulator, connect: Any) -> None:
    llm = TogetherLLM(**connect, batch_api=settings(window=0.5))

    async def ask(delay: float) -> None:
        await asyncio.sleep(delay)
        await llm.acomplete(f"question {delay}")

    await asyncio.gather(*map(ask, (0.0, 0.25, 0.5, 0.75)))
    assert (jobs(emulator), lines(emulator)) == (1, 4)
    await ask(0.0)
    await ask(0.1)
    assert (jobs(emulator), lines(emulator)) == (3, 6)


async def test_a_window_does_not_stay_open_for_ever(emulator: Emulator, connect: Any) -> None:
    llm = TogetherLLM(**connect, batch_api=settings(window=0.05))  # 30 windows are 1.5 seconds
    tasks = []
    for number in range(100):
        tasks.append(asyncio.create_task(outcome(llm.acomplete(f"question {number}"))))
        await asyncio.sleep(0.02)
        if jobs(emulator):
            break
    assert len(tasks) < 100
    await asyncio.gather(*tasks)
    assert lines(emulator) == len(tasks)


async def test_too_few_calls_for_a_job_are_sent_one_by_one(emulator: Emulator, connect: Any) -> None:
    llm = TogetherLLM(**connect, batch_api=settings(min_requests=3))
    emulator.inject(Fault("429", path="/chat/completions"))
    answers = await asyncio.gather(outcome(llm.acomplete("a")), outcome(llm.acomplete("b")))
    assert sorted(type(answer).__name__ for answer in answers) == ["CompletionResponse", "RateLimitError"]
    assert (jobs(emulator), single_requests(emulator)) == (0, 2)
    await asyncio.gather(*(llm.acomplete(text) for text in "abc"))
    assert (jobs(emulator), single_requests(emulator)) == (1, 2)


async def test_a_task_that_is_cancelled_leaves_the_others_their_job(emulator: Emulator, connect: Any) -> None:
    echo(emulator)
    llm = TogetherLLM(**connect, batch_api=settings())
    slow_job(emulator)
    tasks = [asyncio.create_task(llm.acomplete(f"question {number}")) for number in range(4)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()  # before the window has closed: it is not sent
    assert await eventually_async(lambda: jobs(emulator) > 0)
    tasks[2].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answers[number]) for number in (0, 2)] == [asyncio.CancelledError] * 2
    assert [answers[number].text for number in (1, 3)] == ["question 1", "question 3"]
    assert (jobs(emulator), lines(emulator)) == (1, 3)


async def test_nobody_waits_for_a_job_without_tasks(emulator: Emulator, connect: Any) -> None:
    """Neither before the window has closed nor while the job runs; the next call begins anew."""
    llm, loop = TogetherLLM(**connect, batch_api=settings()), asyncio.get_running_loop()
    slow_job(emulator)
    for started in (0, 1):
        tasks = [asyncio.create_task(llm.acomplete(f"question {started} {number}")) for number in range(2)]
        await asyncio.sleep(0.01)
        if started:
            assert await eventually_async(lambda: jobs(emulator) > 0)
        for task in tasks:
            task.cancel()
        assert all(isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*tasks, return_exceptions=True))
        assert await eventually_async(lambda: len(asyncio.all_tasks(loop)) == 1)
        assert jobs(emulator) == started
    assert (await llm.acomplete("Hello")).text
    assert jobs(emulator) == 2


def test_an_event_loop_that_ends_leaves_no_task(emulator: Emulator) -> None:
    llm = TogetherLLM(api_key=KEY, api_base=emulator.base_url, batch_api=settings(window=NEVER))

    async def leave() -> None:
        task = asyncio.create_task(llm.acomplete("Hello"))
        await asyncio.sleep(0.05)
        assert not task.done()

    asyncio.run(leave())
    assert not emulator.requests


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_several_event_loops(emulator: Emulator, tmp_path: Path, with_checkpoint: bool) -> None:
    """Each has windows of its own. Those with the same checkpoint take turns."""
    echo(emulator)
    llm = TogetherLLM(
        api_key=KEY,
        api_base=emulator.base_url,
        batch_api=settings(checkpoint=tmp_path / "run.sqlite" if with_checkpoint else None),
    )

    async def ask(loop: int) -> list[str]:
        async with asyncio.timeout(HANG):
            answers = await asyncio.gather(*(llm.acomplete(f"loop {loop} question {number}") for number in range(5)))
        return [answer.text for answer in answers]

    with ThreadPoolExecutor(3) as executor:
        results = list(executor.map(lambda loop: asyncio.run(ask(loop)), range(3)))
    assert results == [[f"loop {loop} question {number}" for number in range(5)] for loop in range(3)]
    assert (jobs(emulator), lines(emulator)) == (3, 15)


async def test_a_checkpoint_answers_what_was_asked_before(emulator: Emulator, connect: Any, tmp_path: Path) -> None:
    """Also where the calls of a later run come together in other windows."""
    echo(emulator)
    batch_api = settings(checkpoint=tmp_path / "run.sqlite")
    llm = TogetherLLM(**connect, batch_api=batch_api)
    await asyncio.gather(*(llm.acomplete(f"question {number}") for number in range(4)))
    await asyncio.gather(*(llm.acomplete(f"question {number}") for number in range(4, 6)))
    assert (jobs(emulator), lines(emulator)) == (2, 6)
    again = TogetherLLM(**connect, batch_api=batch_api)
    answers = await asyncio.gather(*(again.acomplete(f"question {number}") for number in (5, 0, 9, 3)))
    assert [answer.text for answer in answers] == ["question 5", "question 0", "question 9", "question 3"]
    assert (jobs(emulator), lines(emulator)) == (3, 7)


async def test_a_job_whose_tasks_were_cancelled_is_found_in_the_checkpoint(
    emulator: Emulator, connect: Any, tmp_path: Path
) -> None:
    echo(emulator)
    llm = TogetherLLM(**connect, batch_api=settings(checkpoint=tmp_path / "run.sqlite"))
    slow_job(emulator)
    tasks = [asyncio.create_task(llm.acomplete(f"question {number}")) for number in range(3)]
    assert await eventually_async(lambda: jobs(emulator) > 0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    answers = await asyncio.gather(*(llm.acomplete(f"question {number}") for number in range(3)))
    assert [answer.text for answer in answers] == ["question 0", "question 1", "question 2"]
    assert (jobs(emulator), lines(emulator)) == (1, 3)


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


async def test_what_stays_online(emulator: Emulator, llm: TogetherLLM) -> None:
    """Synchronous calls, streams, agents, and what is called with `batch_api=None`."""
    llm.complete("Hello")
    llm.chat(user("Hello"))
    llm.structured_predict(Animal, PROMPT, name="Ada")
    [item async for item in await llm.astream_complete("Hello")]
    await llm.acomplete("Hello", batch_api=None)
    await llm.astructured_predict(Animal, PROMPT, {"batch_api": None}, name="Ada")
    for streaming in (True, False):
        agent = FunctionAgent(tools=[weather], llm=llm, streaming=streaming)
        assert "rains" in str(await agent.run("What is the weather in Paris?"))
    await llm.apredict_and_call([FunctionTool.from_defaults(weather)], "What is the weather in Rome?")
    assert jobs(emulator) == 0
    assert single_requests(emulator) == 6 + 2 * 2 + 1


async def test_objects_by_tools_travel_as_a_job(emulator: Emulator, connect: Any) -> None:
    """The model must call the tool, so that this is no turn of an agent."""
    llm = TogetherLLM(**connect, should_use_structured_outputs=False, batch_api=settings())
    names = [f"Ada{number}" for number in range(3)]
    animals = await asyncio.gather(*(llm.astructured_predict(Animal, PROMPT, name=name) for name in names))
    assert [type(animal) for animal in animals] == [Animal] * 3
    assert (jobs(emulator), single_requests(emulator), lines(emulator)) == (1, 0, 3)


async def test_calls_with_different_tags_have_a_row_each(connect: Any, emulator: Emulator) -> None:
    control = Control()
    llm = TogetherLLM(**connect, control=control, batch_api=settings())

    async def ask(job: str, number: int) -> None:
        with control.tag(job=job):
            await llm.acomplete(f"{job} {number}")

    await asyncio.gather(*(ask(job, number) for job in ("day", "night") for number in range(3)))
    rows = {row.tags["job"]: row for row in control.ledger.rows()}
    assert {name: row.kind for name, row in rows.items()} == {"day": "batch", "night": "batch"}
    assert sum(row.output_tokens for row in rows.values()) == emulator.bill.total().output_tokens
    assert jobs(emulator) == 2


async def test_a_rate_limiter_is_for_single_requests(connect: Any) -> None:
    class Limiter:
        count = 0

        def acquire(self, num_tokens: int = 0) -> None:
            self.count += 1

        async def async_acquire(self, num_tokens: int = 0) -> None:
            self.count += 1

    limiter = Limiter()
    llm = TogetherLLM(**connect, batch_api=settings())
    if "rate_limiter" not in TogetherLLM.model_fields:
        pytest.skip("this llama-index-core has no rate limiters")
    llm.__dict__["rate_limiter"] = limiter
    await llm.acomplete("Hello")
    assert limiter.count == 0
    await llm.acomplete("Hello", batch_api=None)
    assert limiter.count == 1


async def test_headers_of_a_call_do_not_travel(emulator: Emulator, llm: TogetherLLM) -> None:
    with pytest.raises(ConfigurationError, match="cannot have headers or query parameters of its own"):
        await llm.achat(user("Hello"), extra_headers={"x-user": "ann"})
    assert not emulator.requests


async def test_an_upload_that_fails_is_the_error_of_each(emulator: Emulator, llm: TogetherLLM) -> None:
    emulator.inject(Fault("401", times=None, path="/files"))
    answers = await asyncio.gather(*(outcome(llm.acomplete(text)) for text in "ab"))
    assert [type(error).__name__ for error in answers] == ["AuthenticationError"] * 2


def test_dumps_copies_and_pickles() -> None:
    connect, batch_api = {"api_key": KEY}, settings(checkpoint="run.sqlite")
    llm = TogetherLLM(**connect, batch_api=batch_api)
    assert "batch_api" not in llm.to_dict()
    assert "batch_api" not in repr(llm)
    assert pickle.loads(pickle.dumps(llm)).batch_api == batch_api
    assert llm.model_copy(deep=True).batch_api == batch_api
    assert llm.model_copy(update={"batch_api": None}).batch_api is None
    with pytest.raises(ConfigurationError, match="batch_api must be a together_adapters.bulk.BatchAPI, not bool"):
        TogetherLLM(**connect, batch_api=True)


# What LlamaIndex makes of such calls. As many travel together as its workers wait for at a time.


async def test_extractors(emulator: Emulator, connect: Any, llm: TogetherLLM) -> None:
    online = TogetherLLM(**connect)

    def extractors(model: TogetherLLM) -> list[Any]:
        kinds: list[Any] = [KeywordExtractor, SummaryExtractor, QuestionsAnsweredExtractor]
        titles = TitleExtractor(llm=model, nodes=1, show_progress=False)  # asks for one node after the other
        return [*(kind(llm=model, num_workers=100, show_progress=False) for kind in kinds), titles]

    expected = [await extractor.aextract(NODES) for extractor in extractors(online)]
    for extractor, metadata in zip(extractors(llm), expected, strict=True):
        emulator.clear()
        assert await extractor.aextract(NODES) == metadata
        assert single_requests(emulator) == 0
        assert jobs(emulator) == (2 if isinstance(extractor, TitleExtractor) else 1)


async def test_ingestion_pipelines(emulator: Emulator, connect: Any, llm: TogetherLLM) -> None:
    documents = [Document(text=f"Llama {number} eats grass.", id_=str(number)) for number in range(8)]

    def pipeline(model: TogetherLLM) -> IngestionPipeline:
        extractor = KeywordExtractor(llm=model, num_workers=100, show_progress=False)
        return IngestionPipeline(transformations=[SentenceSplitter(), extractor], disable_cache=True)

    expected = await pipeline(TogetherLLM(**connect)).arun(documents=documents)
    emulator.clear()
    nodes = await pipeline(llm).arun(documents=documents)
    assert [node.metadata for node in nodes] == [node.metadata for node in expected]
    assert (jobs(emulator), single_requests(emulator)) == (1, 0)


async def test_query_engines(emulator: Emulator, connect: Any, llm: TogetherLLM) -> None:
    embed_model = TogetherEmbedding("BAAI/bge-base-en-v1.5", async_client=connect["async_client"])
    index = VectorStoreIndex(NODES, embed_model=embed_model)
    questions = [f"What does llama {number} eat?" for number in range(5)]
    expected = [await index.as_query_engine(llm=TogetherLLM(**connect)).aquery(question) for question in questions]
    emulator.clear()
    engine = index.as_query_engine(llm=llm)
    answers = await asyncio.gather(*map(engine.aquery, questions))
    assert [(str(answer), len(answer.source_nodes)) for answer in answers] == [
        (str(answer), len(answer.source_nodes)) for answer in expected
    ]
    assert (jobs(emulator), single_requests(emulator)) == (1, 0)


async def test_evaluators(emulator: Emulator, connect: Any, llm: TogetherLLM) -> None:
    count = 5
    data: dict[str, Any] = {
        "queries": [f"What does llama {number} eat?" for number in range(count)],
        "response_strs": [f"Llama {number} eats grass." for number in range(count)],
        "contexts_list": [[node.text] for node in NODES[:count]],
    }

    def runner(model: TogetherLLM) -> BatchEvalRunner:
        kinds = {"faithful": FaithfulnessEvaluator, "relevant": RelevancyEvaluator}
        with warnings.catch_warnings(action="ignore"):  # some versions of LlamaIndex find fault with themselves
            return BatchEvalRunner({name: kind(llm=model) for name, kind in kinds.items()}, workers=100)

    def feedback(results: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return {name: [(result.passing, result.score, result.feedback) for result in each] for name, each in results.items()}

    expected = await runner(TogetherLLM(**connect)).aevaluate_response_strs(**data)
    emulator.clear()
    results = await runner(llm).aevaluate_response_strs(**data)
    assert feedback(results) == feedback(expected)
    assert all(len(each) == count for each in results.values())
    assert single_requests(emulator) == 0
    assert jobs(emulator) <= 2  # an evaluator that asks twice asks in a second job

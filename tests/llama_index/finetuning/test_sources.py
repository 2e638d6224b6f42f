"""What else LlamaIndex programs hold: stores, memories, handlers, agents' events, engines' responses, evaluations."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentInput, AgentOutput
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.base.response.schema import Response
from llama_index.core.evaluation import EvaluationResult
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters.finetuning import from_llama_index

from together_adapters.finetune.formats.rag import RagPrompt
from together_adapters.finetune.records import Example, Refusal

CHAT = [ChatMessage("Hi"), ChatMessage("Hello!", role="assistant")]
ROWS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def weather(city: str) -> str:
    """Say how the weather is."""
    return f"sunny in {city}"


def only(source: Any, **options: Any) -> Any:
    [record] = from_llama_index(source, **options).records()
    return record


def test_stores_and_memories_give_whole_conversations() -> None:
    store = SimpleChatStore()
    store.set_messages("ann", CHAT)
    buffer = ChatMemoryBuffer.from_defaults(token_limit=1, chat_store=store, chat_store_key="ann")
    for source in (store, {"store": {"ann": CHAT}}, buffer, [buffer]):
        record = only(source)
        assert (record.row, record.group) == ({"messages": ROWS}, "ann")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_memory() -> None:
    memory = Memory.from_defaults(session_id="s1")
    memory.put_messages(CHAT)
    record = only(memory)
    assert (record.row, record.group) == ({"messages": ROWS}, "s1")
    del memory, record
    gc.collect()  # what LlamaIndex leaves open is closed here, and not in another test


def test_a_handlers_events() -> None:
    events = {
        "1": {"messages": CHAT[:1], "response": CHAT[1]},
        "2": {"messages": CHAT[:1], "response": CHAT[0]},
        "3": {"messages": CHAT[:1], "response": ChatMessage(role="assistant", blocks=[])},
        "4": {"messages": [*CHAT], "response": CHAT[1]},
    }
    complete, pending, empty, appended = from_llama_index(SimpleNamespace(get_finetuning_events=lambda: events)).records()
    assert complete.row == appended.row == {"messages": ROWS}  # type: ignore[union-attr]
    assert (pending.code, pending.skipped) == ("run_pending", True)  # type: ignore[union-attr]
    assert empty.row["messages"][1] == {"role": "assistant", "content": ""}  # type: ignore[union-attr]


def test_a_handlers_file(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    functions = [{"name": "f", "parameters": {"type": "object", "properties": {}}}]
    file.write_text(json.dumps({"messages": ROWS, "functions": functions}) + "\n")
    [row] = from_llama_index(file)
    assert row["messages"] == ROWS
    [row] = from_llama_index([json.loads(file.read_text())])
    assert row["tools"] == [{"type": "function", "function": functions[0]}]


def test_tools() -> None:
    tool = FunctionTool.from_defaults(weather)
    for tools in ([tool], lambda _: [tool]):
        assert only([CHAT], tools=tools).row["tools"][0]["function"]["name"] == "weather"


def test_agents_events() -> None:
    def agent_input(name: str, *messages: ChatMessage) -> AgentInput:
        return AgentInput(input=[*messages], current_agent_name=name)

    def output(name: str, message: ChatMessage) -> AgentOutput:
        return AgentOutput(response=message, current_agent_name=name)

    bye = ChatMessage("Bye!", role="assistant")
    events = [
        agent_input("a", CHAT[0]),
        output("a", CHAT[1]),
        agent_input("a", *CHAT, ChatMessage("Bye")),
        output("a", bye),
        agent_input("b", CHAT[0]),
        output("b", bye),
    ]
    for source in (events, [events]):
        first, second = from_llama_index(source)
        assert [one["content"] for one in first["messages"]] == ["Hi", "Hello!", "Bye", "Bye!"]
        assert [one["content"] for one in second["messages"]] == ["Hi", "Bye!"]


def test_questions_with_answers() -> None:
    assert only([("Hi", "Hello!")]).row == {"messages": ROWS}
    assert only([("Hi", "Hello!")], form="instruction").row == {"prompt": "Hi", "completion": "Hello!"}
    response = Response("Hello!", source_nodes=[NodeWithScore(node=TextNode(text="People greet."))])
    prompt = only([("Hi", response)]).row["messages"][0]["content"]
    assert "People greet." in prompt
    assert (
        only([("Hi", response)], template=lambda query, contexts: f"{contexts} {query}").row["messages"][0]["content"]
        == "['People greet.'] Hi"
    )
    assert only([("Hi", "")]).code == "content_missing"


def test_rag_data_sets() -> None:
    examples = [SimpleNamespace(query=f"q{n}", reference_contexts=[f"c{n}"], reference_answer=f"a{n}") for n in range(4)]
    rows = list(from_llama_index(SimpleNamespace(examples=examples), template=RagPrompt(distractors=2)))
    assert len(rows) == 4
    assert sum(f"c{n}" in rows[0]["messages"][0]["content"] for n in range(4)) == 3
    mapping = MappingProxyType({"query": "q", "reference_contexts": ["c"], "reference_answer": "a"})
    assert only([mapping], template=lambda query, contexts: f"{contexts} {query}").row["messages"][0]["content"] == "['c'] q"
    responses = SimpleNamespace(queries={"1": "Hi"}, responses={"1": "Hello!"})
    assert only(responses).row == {"messages": ROWS}
    with pytest.raises(TypeError, match="embedding"):
        from_llama_index(SimpleNamespace(queries={}, corpus={}, relevant_docs={}))


def test_evaluations() -> None:
    def result(query: str, response: str, score: float | None) -> EvaluationResult:
        return EvaluationResult(query=query, response=response, score=score, passing=None if score is None else score > 0.5)

    results = [
        result("q", "bad", 0.1),
        result("q", "good", 0.9),
        result("r", "one", 0.7),
        result("s", "a", 1.0),
        result("s", "b", 1.0),
        result("t", "x", None),
    ]
    records = list(from_llama_index(results).records())
    [pair] = [one for one in records if isinstance(one, Example)]
    assert pair.row["preferred_output"][0]["content"] == "good"
    assert pair.row["non_preferred_output"][0]["content"] == "bad"
    assert sorted(one.code for one in records if isinstance(one, Refusal)) == ["pref_tie", "pref_unpaired", "run_failed"]
    assert [row["messages"][1]["content"] for row in from_llama_index(results, evaluated="passing")] == ["good", "one", "a", "b"]


def test_comparisons_need_the_answers() -> None:
    def result(score: float, source: str) -> EvaluationResult:
        return EvaluationResult(query="q", response="Answer 1 is better.", score=score, passing=True, pairwise_source=source)

    comparisons = [
        (result(1.0, "original"), "A", "B"),
        (result(1.0, "flipped"), "A", "B"),
        (result(0.0, "flipped"), "A", "B"),
        (result(0.5, "neither"), "A", "B"),
    ]
    first, second, third, tie = from_llama_index(comparisons).records()
    assert [one.row["preferred_output"][0]["content"] for one in (first, second, third)] == ["A", "B", "A"]  # type: ignore[union-attr]
    assert (tie.code, tie.skipped) == ("pref_tie", True)  # type: ignore[union-attr]
    assert only([result(1.0, "original")]).code == "record_unknown"


def test_expansion() -> None:
    rows = list(from_llama_index([*CHAT, *CHAT], expand="every_assistant_turn"))
    assert [[one["weight"] for one in row["messages"]] for row in rows] == [[0, 1], [0, 0, 0, 1]]


def test_what_is_no_source() -> None:
    with pytest.raises(TypeError):
        from_llama_index(3)
    assert only([3]).code == "record_unknown"

"""What else LangChain programs hold: pairs, sessions, agents' work, examples and runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.agents import AgentAction, AgentActionMessageLog
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.finetuning import from_langchain
from langsmith.schemas import Example as SmithExample
from pydantic import BaseModel

from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.accounting import meaning_of
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.records import Example, Refusal


@tool
def weather(city: str) -> str:
    """Say how the weather is."""
    return f"sunny in {city}"


class Person(BaseModel):
    """A person."""

    name: str


CALL = AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": "1"}])
AGENT = [
    HumanMessage("Rome?"),
    CALL,
    ToolMessage("sunny", tool_call_id="1"),
    AIMessage("Sunny."),
    HumanMessage("Oslo?"),
    AIMessage("Rain."),
]


def only(source: Any, **options: Any) -> Any:
    [record] = from_langchain(source, **options).records()
    return record


def test_tools_for_all_rows_or_for_each() -> None:
    for tools in (
        [weather, Person, {"type": "function", "function": {"name": "f", "parameters": {}}}],
        lambda _: [weather, Person, {"name": "f", "parameters": {}, "description": ""}],
    ):
        [row] = from_langchain([AGENT], tools=tools)
        assert [one["function"]["name"] for one in row["tools"]] == ["weather", "Person", "f"]
    [row] = from_langchain(
        {"messages": AGENT, "functions": [{"name": "own", "description": "", "parameters": {}}]}, tools=[weather]
    )
    assert [one["function"]["name"] for one in row["tools"]] == ["own"]


def test_pairs() -> None:
    assert only([("What is 2+2?", "4")]).row == {"prompt": "What is 2+2?", "completion": "4"}
    chat_rows = [{"role": "user", "content": "What is 2+2?"}, {"role": "assistant", "content": "4"}]
    assert only([("What is 2+2?", "4")], form="conversation").row == {"messages": chat_rows}
    assert only([("What is 2+2?", AIMessage("4"))]).row == {"messages": chat_rows}
    assert only([([HumanMessage("What is 2+2?")], "4")]).row == {"messages": chat_rows}
    assert only([(Document("What is 2+2?"), "4")]).row == {"prompt": "What is 2+2?", "completion": "4"}
    assert only([{"input": "What is 2+2?", "output": AIMessage("4")}]).row == {"messages": chat_rows}
    assert only([("What is 2+2?", {"raw": AIMessage("4"), "parsed": None})]).row == {"messages": chat_rows}
    assert only([{"q": "2", "a": "4", "id": 1}], input_key="q", output_key="a").row == {"prompt": "2", "completion": "4"}
    assert only([{"q": "2", "a": "4"}]).code == "columns_undeclared"
    assert only([("Who?", Person(name="Ann"))]).row == {"prompt": "Who?", "completion": '{"name":"Ann"}'}


def test_chat_sessions() -> None:
    session = {"messages": [HumanMessage("a"), HumanMessage("b")]}
    refusal = only([session])
    assert (refusal.code, "map_ai_messages" in refusal.message) == ("no_assistant_message", True)
    loader = SimpleNamespace(lazy_load=lambda: iter([{"messages": AGENT}]))
    data = from_langchain(loader)
    assert len(list(data)) == len(list(data)) == 1


def test_expansion() -> None:
    rows = list(from_langchain([AGENT], expand="every_assistant_turn", tools=[weather]))
    assert [len(row["messages"]) for row in rows] == [2, 4, 6]
    assert [[one["weight"] for one in row["messages"]] for row in rows] == [[0, 1], [0, 0, 0, 1], [0, 0, 0, 0, 0, 1]]
    [row] = from_langchain([AGENT], expand="last_turn")
    assert [one["weight"] for one in row["messages"]] == [0, 0, 0, 0, 0, 1]


def test_prefixes_collapse_when_asked() -> None:
    records = list(from_langchain([AGENT[:4], AGENT, [HumanMessage("x"), AIMessage("y")]], collapse_prefixes=True).records())
    assert [isinstance(record, Example) for record in records] == [False, True, True]
    assert (records[0].code, records[0].skipped) == ("prefix_of_longer", True)  # type: ignore[union-attr]


def test_an_executors_steps() -> None:
    steps = [(AgentAction("weather", "Rome", "Thought: I look.\nAction: weather\nAction Input: Rome"), "sunny")]
    row = only([{"input": "Rome?", "output": "Sunny.", "intermediate_steps": steps}], tools=[weather]).row
    assert [one["role"] for one in row["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert row["messages"][1]["content"] == "I look."
    logged_steps = [(AgentActionMessageLog("weather", {"city": "Rome"}, "", message_log=[CALL]), "sunny")]
    row = only([{"input": "Rome?", "output": "Sunny.", "intermediate_steps": logged_steps, "chat_history": AGENT[4:]}]).row
    assert [one.get("tool_call_id") for one in row["messages"]] == [None, None, None, None, "1", None]
    given_up = {"input": "x", "output": "Agent stopped due to iteration limit or time limit.", "intermediate_steps": []}
    assert (only([given_up]).code, only([given_up]).skipped) == ("answer_unfinished", True)


def test_a_graphs_state_is_grouped_by_its_thread(llm: ChatTogether) -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    agent = create_agent(llm, [weather], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t7"}}
    state = agent.invoke({"messages": [HumanMessage("What is the weather in Rome?")]}, config)
    for source in (state, agent.get_state(config), [agent.get_state(config)]):
        [record] = from_langchain(source, tools=[weather]).records()
        assert isinstance(record, Example)
        assert [one["role"] for one in record.row["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert record.group == "t7"


def test_runs_that_a_tracer_collected(llm: ChatTogether) -> None:
    flat, collector = RunCollectorCallbackHandler(), RunCollectorCallbackHandler()
    collector._schema_format = "original+chat"
    callbacks: list[BaseCallbackHandler] = [flat, collector]
    llm.bind_tools([weather]).invoke("What is the weather in Rome?", config={"callbacks": callbacks})
    [refusal] = from_langchain(flat.traced_runs).records()
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.skipped, refusal.path) == ("messages_joined", False, "inputs.prompts")
    assert "FinetuneRecorder" in RULES[refusal.code].hint
    [record] = from_langchain(collector.traced_runs).records()
    assert isinstance(record, Example)
    assert all(meaning_of(name) is True for name in record.left_out)
    assert [one["role"] for one in record.row["messages"]] == ["user", "assistant"]
    assert record.row["tools"][0]["function"]["name"] == "weather"
    assert record.group


def test_an_agents_run_takes_the_system_prompt_and_tools_of_its_model_runs(llm: ChatTogether, tmp_path: Path) -> None:
    flat, collector = RunCollectorCallbackHandler(), RunCollectorCallbackHandler()
    collector._schema_format = "original+chat"
    agent = create_agent(llm, [weather], system_prompt="Be brief.")
    callbacks: list[BaseCallbackHandler] = [flat, collector]
    state = agent.invoke({"messages": [HumanMessage("What is the weather in Rome?")]}, config={"callbacks": callbacks})
    [row] = from_langchain(collector.traced_runs)
    assert row["messages"][0] == {"role": "system", "content": "Be brief."}
    assert row["tools"][0]["function"]["name"] == "weather"
    for number, (source, has_tools) in enumerate([([state], False), (flat.traced_runs, True)]):
        [row] = from_langchain(source)
        assert row["messages"][0]["role"] == "user"
        assert ("tools" in row) is has_tools
        report = write_jsonl(from_langchain(source), tmp_path / f"{number}.jsonl").report
        assert report.issue_counts["system_prompt_absent"] == 1
        assert not report.changed
        [row] = from_langchain(source, system="Be kind.")
        assert row["messages"][0] == {"role": "system", "content": "Be kind."}
        none = write_jsonl(from_langchain(source, system=""), tmp_path / f"{number}-none.jsonl").report
        assert "system_prompt_absent" not in none.issue_counts


def test_system_prompts_of_model_runs_that_differ_are_not_guessed() -> None:
    def call(system: str) -> dict[str, Any]:
        return run(inputs={"messages": [[dumpd(SystemMessage(system)), dumpd(HumanMessage("Hi"))]]})

    outputs = {"messages": [HumanMessage("Hi"), AIMessage("Hello!")]}
    inner = run(run_type="chain", child_runs=[call("a")])
    other = run(run_type="tool", child_runs=[call("b")], inputs={"tools": ["names", "only"]})
    for children, first in [
        ([inner, other], "a"), ([inner, call("b")], "Hi"), ([run()], "Hi"), ([], "Hi"),
    ]:  # fmt: skip
        record = only([run(run_type="chain", inputs={}, outputs=outputs, child_runs=children)])
        assert record.row["messages"][0]["content"] == first
        assert ("system_prompt_absent" in record.changed) is (first == "Hi" and children != [run()])


def test_fields_of_the_class_of_runs_are_no_data_of_a_user() -> None:
    class NextRun(BaseModel):
        """A run of a later version."""

        model_config = {"extra": "allow"}
        run_type: str
        inputs: dict[str, Any]
        outputs: dict[str, Any]
        zigzag: str = "z"
        dangerously_allow_filesystem: bool = False

    fields = {name: value for name, value in run().items() if name in ("run_type", "inputs", "outputs")}
    left_out = only([NextRun.model_validate({**fields, "mine": "m", "feedback_stats": {"user": 0}})]).left_out
    assert {name for name in left_out if meaning_of(name) is None} == {"trace.mine"}
    assert meaning_of("trace.feedback_stats") not in (True, None)


def run(**fields: Any) -> dict[str, Any]:
    generations = {"generations": [[{"message": dumpd(AIMessage("Hello!")), "text": "Hello!"}]]}
    return {
        "id": "r", "trace_id": "t", "run_type": "llm", "error": None, "extra": {},
        "inputs": {"messages": [[dumpd(HumanMessage("Hi"))]]}, "outputs": generations, **fields,
    }  # fmt: skip


def test_runs() -> None:
    chat_rows = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    for record in (run(), SimpleNamespace(**run())):
        record_read = only([record])
        assert (record_read.row, record_read.group) == ({"messages": chat_rows}, "t")
        assert not record_read.left_out
    assert only([run(feedback_stats={"user": 0})]).left_out == {"trace.feedback_stats": {"user": 0}}
    openai = run(inputs={"messages": [chat_rows[0]]}, outputs={"choices": [{"message": chat_rows[1], "finish_reason": "stop"}]})
    assert only([openai]).row == {"messages": chat_rows}
    for code, record in {
        "run_failed": run(error="Timeout"),
        "run_pending": run(outputs=None),
        "run_not_of_model": run(run_type="tool"),
        "answer_unfinished": run(
            outputs={"generations": [[{"text": "He", "generation_info": {"finish_reason": "length"}, "message": chat_rows[1]}]]}
        ),
    }.items():
        assert (only([record]).code, only([record]).skipped) == (code, True)


def test_only_messages_are_made_of_runs() -> None:
    evil = {"lc": 1, "type": "constructor", "id": ["langchain", "llms", "Evil"], "kwargs": {"x": 1}}
    assert only([run(inputs={"messages": [[evil]]})]).code == "foreign_class"


def example(inputs: dict[str, Any], outputs: dict[str, Any] | None, **fields: Any) -> SmithExample:
    from datetime import UTC, datetime
    from uuid import UUID

    identity = UUID(int=1)
    return SmithExample(id=identity, dataset_id=identity, inputs=inputs, outputs=outputs, created_at=datetime.now(UTC), **fields)


def test_examples() -> None:
    chat_rows = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    assert only([example({"question": "Hi"}, {"answer": "Hello!"})]).row == {"prompt": "Hi", "completion": "Hello!"}
    for outputs in (
        {"message": chat_rows[1]},
        {"messages": chat_rows},
        {"messages": chat_rows[1:]},
        {"output": "Hello!"},
        {"generations": [{"message": chat_rows[1]}]},
    ):
        assert only([example({"messages": [chat_rows[0]]}, outputs)]).row == {"messages": chat_rows}, outputs
    assert only([example({"a": "Hi", "b": "x"}, {"c": "Hello!"})]).code == "columns_undeclared"
    assert only([example({"a": "Hi", "b": "x"}, {"c": "Hello!"})], input_key="a", output_key="c").row["prompt"] == "Hi"
    assert only([example({"a": "Hi"}, None)]).code == "example_without_output"
    assert only([{"inputs": {"a": "Hi"}, "outputs": {"b": "Yo"}, "attachments": {"x": 1}}]).code == "attachments_unsupported"


def test_an_iterator_is_read_once_and_says_so() -> None:
    data = from_langchain(iter([AGENT]))
    assert len(list(data)) == 1
    with pytest.raises(DatasetError, match="iterator"):
        list(data)


def test_what_is_no_source() -> None:
    with pytest.raises(TypeError, match="int"):
        from_langchain(3)
    with pytest.raises(ValueError, match="schema"):
        from_langchain([], schema="other")  # type: ignore[arg-type]
    assert isinstance(only([3]), Refusal)


SAVED = [{"type": "human", "content": "q"}, {"type": "ai", "content": "a", "tool_calls": []}]


@pytest.mark.parametrize(
    "source",
    [
        [{"type": message["type"], "data": message} for message in SAVED],
        {"values": {"messages": SAVED}, "next": [], "config": {"configurable": {"thread_id": "t"}}},
        {"checkpoint": {"channel_values": {"messages": SAVED}}, "metadata": {}},
        {"chat_memory": {"messages": SAVED}},
    ],
)
def test_saved_states_are_read_by_both_readers(source: Any):
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}]
    assert list(from_langchain(source)) == rows
    assert list(load(source)) == rows


@pytest.mark.parametrize("source", [[HumanMessage("q")], [[HumanMessage("q")]], [{"messages": [HumanMessage("q")]}]])
def test_load_names_the_reader_of_objects(source: Any):
    with pytest.raises(DatasetError, match=r"langchain_together_adapters\.finetuning\.from_langchain"):
        load(source)


def test_steps_of_an_agent_as_json():
    result = {"input": "q", "output": "a", "intermediate_steps": [[{"tool": "t", "tool_input": {"x": 1}, "log": ""}, "r"]]}
    (row,) = from_langchain([result])
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert [row] == list(load([result]))


def test_rows_are_those_of_the_records() -> None:
    chat = [HumanMessage("q"), AIMessage("a")]
    with_parts = [HumanMessage([{"type": "text", "text": "q"}]), AIMessage("a")]
    options: dict[str, Any]
    for options in ({}, {"tools": [{"name": "add", "description": "", "parameters": {}}]}, {"expand": "last_turn"}):
        data = from_langchain([chat, with_parts, chat], **options)
        assert [*data] == [record.row for record in data.records() if isinstance(record, Example)]
        assert len([*data]) == 3

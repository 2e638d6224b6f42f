"""LangSmith's runs and examples: every kind of record is read alike by `load` and by `from_langchain`, which share one decoder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)
from langchain_core.outputs import ChatGeneration
from langchain_together_adapters.finetuning import from_langchain

from tests.cases import each
from tests.finetune.formats.reading import says, user
from together_adapters.finetune import load
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.records import Record, Refusal

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
URL = f"data:image/png;base64,{PNG}"
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
AI_CALL = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}])
AGENT = [SystemMessage("s"), HumanMessage("q"), AI_CALL, ToolMessage("2", tool_call_id="c1")]
AGENT_ROWS = [
    {"role": "system", "content": "s"}, user(), {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"},
]  # fmt: skip
CHAT = {"messages": [user(), says()]}
PAIR = {"prompt": "q", "completion": "a"}
LEGACY_CALL = {"function_call": {"name": "add", "arguments": '{"a": 1}'}}


def run(answer: Any = None, messages: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "id": "r1", "trace_id": "t1", "run_type": "llm", "status": "success", "error": None,
        "inputs": {"messages": [[dumpd(HumanMessage("q"))]] if messages is None else messages},
        "outputs": {"generations": [[{"text": "a", "message": dumpd(AIMessage("a")) if answer is None else answer}]]},
        "extra": {}, **fields,
    }  # fmt: skip


def example(inputs: Any, outputs: Any, **fields: Any) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, **fields}


def run_with_answer(message: AIMessage, *before: Any) -> dict[str, Any]:
    return run(dumpd(message), [[dumpd(one) for one in before or (HumanMessage("q"),)]])


@pytest.mark.parametrize("hints", [{}, {"name": "ChatOther"}, {"extra": {"metadata": {"ls_model_type": "chat"}}}])
def test_messages_that_a_tracer_joined_are_refused(hints: dict[str, Any], tmp_path: Path) -> None:
    text = "Human: q\nAI: [{'name': 'add'}]\nTool: 2"
    outputs = {"generations": [[{"text": "a"}]]}
    record = run(inputs={"prompts": [text]}, **({"outputs": outputs, **hints} if hints else {}))
    path = tmp_path / "runs.json"
    path.write_text(json.dumps([record]))
    for source in ([record], path):
        [refusal] = load(source).records()
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.skipped) == ("messages_joined", False)
    [row] = load([run(inputs={"prompts": [text]}, outputs=outputs, extra={"metadata": {"ls_model_type": "llm"}})])
    assert row["prompt"] == text


def run_with_question(content: Any) -> dict[str, Any]:
    return run(None, [[dumpd(HumanMessage(content))]])


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def with_image(url: str = URL) -> dict[str, Any]:
    parts = [text_part("see"), {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [user(parts), says([text_part("a")])]}


READ: dict[str, tuple[Any, Any]] = {
    # runs: how messages are written
    "run: constructors, in a batch": (run(), CHAT),
    "run: constructors, a list": (run(None, [dumpd(HumanMessage("q"))]), CHAT),
    "run: constructors of another package": (
        run({**dumpd(AIMessage("a")), "id": ["langchain_other", "messages", "AIMessage"]}), CHAT,
    ),
    "run: messages_to_dict": (run(message_to_dict(AIMessage("a")), [message_to_dict(HumanMessage("q"))]), CHAT),
    "run: model_dump": (run(AIMessage("a").model_dump(), [HumanMessage("q").model_dump()]), CHAT),
    "run: roles as types": (run({"type": "assistant", "content": "a"}, [{"type": "user", "content": "q"}]), CHAT),
    "run: OpenAI's": (run(says(), [user()]), CHAT),
    "run: pairs": (run(None, [["human", "q"]]), CHAT),
    "run: an object": (SimpleNamespace(**run()), CHAT),
    "run: chunks": (run(dumpd(AIMessageChunk(content="a"))), CHAT),
    "run: ChatMessage": (
        run(dumpd(ChatMessage(content="a", role="assistant")), [[dumpd(ChatMessage(content="q", role="user"))]]), CHAT,
    ),
    "run: names": (
        run_with_answer(AIMessage("a", name="bot"), HumanMessage("q", name="ann")), {"messages": [user(name="ann"), says(name="bot")]},
    ),
    # runs: where answers are
    "run: generations, a list": (run(outputs={"generations": [{"message": dumpd(AIMessage("a"))}]}), CHAT),
    "run: a serialised generation": (run(outputs={"generations": [[dumpd(ChatGeneration(message=AIMessage("a")))]]}), CHAT),
    "run: text generation": (run(outputs={"generations": [[{"text": "a"}]]}), CHAT),
    "run: choices": (run(outputs={"choices": [{"message": says(), "finish_reason": "stop"}]}), CHAT),
    "run: message": (run(outputs={"message": dumpd(AIMessage("a"))}), CHAT),
    "run: output, a text": (run(outputs={"output": "a"}), CHAT),
    "run: output, a message": (run(outputs={"output": dumpd(AIMessage("a"))}), CHAT),
    "run: the outputs are a message": (run(outputs=says()), CHAT),
    "run: messages in the outputs": (run(outputs={"messages": [dumpd(AIMessage("a"))]}), CHAT),
    "run: prompts and texts": (run(inputs={"prompts": ["q"]}, outputs={"generations": [[{"text": "a"}]]}), PAIR),
    "run: a prompt and a text": (run(inputs={"prompt": "q"}, outputs={"generations": [[{"text": "a"}]]}), PAIR),
    "run: prompts and a message": (run(inputs={"prompts": ["q"]}), CHAT),
    "run: prompts with tools": (
        run(inputs={"prompts": ["q"], "tools": [TOOL]}, outputs={"generations": [[{"text": "a"}]]}), {**CHAT, "tools": [TOOL]},
    ),
    "run: JSON texts": (
        run(inputs='{"messages": [{"role": "user", "content": "q"}]}', outputs='{"message": {"role": "assistant", "content": "a"}}'),
        CHAT,
    ),
    # runs: of which kind, and with what
    "run: chat_model": (run(run_type="chat_model"), CHAT),
    "run: a chain with messages": (
        run(run_type="chain", inputs={"input": "q"}, outputs={"messages": [dumpd(HumanMessage("q")), dumpd(AIMessage("a"))]}), CHAT,
    ),
    "run: a chain with child runs": (run(run_type="chain", outputs={"messages": [user(), says()]}, child_runs=[run()]), CHAT),
    "run: tools": (run(extra={"invocation_params": {"tools": [TOOL]}}), {**CHAT, "tools": [TOOL]}),
    "run: functions": (run(extra={"invocation_params": {"functions": [TOOL["function"]]}}), {**CHAT, "tools": [TOOL]}),
    "run: tools in the inputs": (run(inputs={"messages": [user()], "tools": [TOOL]}), {**CHAT, "tools": [TOOL]}),
    "run: functions in the inputs": (
        run(inputs={"messages": [user()], "functions": [TOOL["function"]]}), {**CHAT, "tools": [TOOL]},
    ),
    "run: Anthropic's tools": (
        run(extra={"invocation_params": {"tools": [{"name": "add", "description": "d", "input_schema": {"type": "object"}}]}}),
        {**CHAT, "tools": [{"type": "function", "function": {**TOOL["function"], "description": "d"}}]},  # type: ignore[dict-item]
    ),
    "run: a thread": (run(extra={"metadata": {"thread_id": "t7"}}), CHAT),
    # calls of tools
    "run: calls and results": (run_with_answer(AIMessage("a"), *AGENT), {"messages": [*AGENT_ROWS, says()]}),
    "run: OpenAI's calls": (run(says(), [user(), says(None, tool_calls=[CALL]), {**AGENT_ROWS[3]}]), {
        "messages": [*AGENT_ROWS[1:], says()]
    }),
    "run: calls with objects as arguments": (
        run(says(None, tool_calls=[{**CALL, "function": {"name": "add", "arguments": {"a": 1}}}]), [user()]),
        {"messages": AGENT_ROWS[1:3]},
    ),
    "run: calls in additional_kwargs": (
        run({"type": "ai", "content": "", "additional_kwargs": {"tool_calls": [CALL]}}), {"messages": AGENT_ROWS[1:3]},
    ),
    "run: calls in blocks alone": (
        run({"type": "ai", "content": [text_part("t"), {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]}),
        {"messages": [user(), says("t", tool_calls=[CALL])]},
    ),
    "run: function_call": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), AIMessage("", additional_kwargs=LEGACY_CALL), FunctionMessage(content="2", name="add")),
        {"messages": [user(), {"role": "assistant", "tool_calls": [{**CALL, "id": "call_1"}]},
                      {"role": "tool", "tool_call_id": "call_1", "content": "2", "name": "add"}, says()]},
    ),
    "run: results without an id": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), AI_CALL, ToolMessage("2", tool_call_id="")),
        {"messages": [*AGENT_ROWS[1:], says()]},
    ),
    "run: calls without an id": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": None}]),
                 ToolMessage("2", tool_call_id="x")),
        {"messages": [user(), {"role": "assistant", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "2"}, says()]},
    ),
    "run: results that no call asked for": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), ToolMessage("2", tool_call_id="")),
        {"messages": [user(), {"role": "tool", "tool_call_id": "", "content": "2"}, says()]},
    ),
    "run: results in a user's message": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), AI_CALL,
                 HumanMessage([{"type": "tool_result", "tool_use_id": "c1", "content": "2"}])),
        {"messages": [*AGENT_ROWS[1:], says()]},
    ),
    "run: a tool that failed": (
        run_with_answer(AIMessage("a"), HumanMessage("q"), AI_CALL, ToolMessage("2", tool_call_id="c1", status="error")),
        {"messages": [*AGENT_ROWS[1:3], {**AGENT_ROWS[3], "status": "error"}, says()]},
    ),
    # reasoning
    "run: reasoning_content": (
        run_with_answer(AIMessage("a", additional_kwargs={"reasoning_content": "hm"})), {"messages": [user(), says(reasoning="hm")]},
    ),
    "run: thinking": (
        run_with_answer(AIMessage([{"type": "thinking", "thinking": "hm"}, text_part("a")])), {"messages": [user(), says(reasoning="hm")]},
    ),
    "run: signed thinking": (
        run_with_answer(AIMessage([{"type": "thinking", "thinking": "hm", "signature": "EqQB"}, text_part("a")])),
        {"messages": [user(), says(reasoning="hm")]},
    ),
    "run: a summary of reasoning": (
        run_with_answer(AIMessage([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, text_part("a")])),
        {"messages": [user(), says(reasoning="hm")]},
    ),
    "run: a refusal": (run_with_answer(AIMessage("", additional_kwargs={"refusal": "a"})), CHAT),
    # contents
    "run: one text part": (run_with_question([text_part("q")]), CHAT),
    "run: text parts of a user": (
        run_with_question([text_part("q"), text_part("r")]), {"messages": [user([text_part("q"), text_part("r")]), says([text_part("a")])]},
    ),
    "run: text parts of a system": (
        run_with_answer(AIMessage("a"), SystemMessage([text_part("s"), "t"]), HumanMessage("q")),
        {"messages": [{"role": "system", "content": "s\nt"}, user(), says()]},
    ),
    "run: text parts of an answer": (
        run_with_answer(AIMessage([text_part("a"), text_part("b")])), {"messages": [user(), says("ab")]},
    ),
    "run: an image, OpenAI's": (run_with_question([text_part("see"), {"type": "image_url", "image_url": {"url": URL}}]), with_image()),
    "run: an image, LangChain's": (run_with_question([text_part("see"), {"type": "image", "base64": PNG, "mime_type": "image/png"}]), with_image()),
    "run: an image without its type": (run_with_question([text_part("see"), {"type": "image", "base64": PNG}]), with_image()),
    "run: an image, older": (
        run_with_question([text_part("see"), {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"}]), with_image(),
    ),
    "run: an image, Anthropic's": (
        run_with_question([text_part("see"), {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]),
        with_image(),
    ),
    "run: an image, Google's": (run_with_question([text_part("see"), {"type": "media", "mime_type": "image/png", "data": PNG}]), with_image()),
    "run: an image by its address": (
        run_with_question([text_part("see"), {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]),
        with_image("https://a.example/b.png"),
    ),
    "run: OpenAI's parts": (
        run(says([text_part("a")]), [user([text_part("see"), {"type": "image_url", "image_url": {"url": URL}}])]), with_image(),
    ),
    # examples
    "example: texts": (example({"question": "q"}, {"answer": "a"}), PAIR),
    "example: input and output": (example({"input": "q"}, {"output": "a"}), PAIR),
    "example: an object": (SimpleNamespace(inputs={"question": "q"}, outputs={"answer": "a"}, attachments=None, metadata=None), PAIR),
    "example: text and message": (example({"input": "q"}, {"output": says()}), CHAT),
    "example: messages and a text": (example({"messages": [user()]}, {"output": "a"}), CHAT),
    "example: messages and an answer of another name": (example({"messages": [user()]}, {"reply": "a"}), CHAT),
    "example: messages and message": (example({"messages": [user()]}, {"message": says()}), CHAT),
    "example: messages and messages": (example({"messages": [user()]}, {"messages": [says()]}), CHAT),
    "example: messages repeated": (example({"messages": [user()]}, {"messages": [user(), says()]}), CHAT),
    "example: generations": (example({"messages": [user()]}, {"generations": [{"message": says()}]}), CHAT),
    "example: generations of a batch": (example({"messages": [user()]}, {"generations": [[{"message": says()}]]}), CHAT),
    "example: choices": (example({"messages": [user()]}, {"choices": [{"message": says()}]}), CHAT),
    "example: the outputs are a message": (example({"messages": [user()]}, says()), CHAT),
    "example: constructors": (
        example({"messages": [dumpd(HumanMessage("q"))]}, {"message": dumpd(AIMessage("a"))}), CHAT,
    ),
    "example: pairs": (example({"messages": [["user", "q"]]}, {"messages": [["ai", "a"]]}), CHAT),
    "example: messages beside other inputs": (example({"messages": [user()], "k": 3}, {"message": says()}), CHAT),
    "example: an answer beside other outputs": (example({"messages": [user()]}, {"output": "a", "score": 1}), CHAT),
    "example: messages within an input": (example({"input": {"messages": [user()]}}, {"output": "a"}), CHAT),
    "example: tools in the inputs": (example({"messages": [user()], "tools": [TOOL]}, {"message": says()}), {**CHAT, "tools": [TOOL]}),
    "example: functions in the inputs": (
        example({"messages": [user()], "functions": [TOOL["function"]]}, {"message": says()}), {**CHAT, "tools": [TOOL]},
    ),
    "example: tools in the outputs": (example({"messages": [user()]}, {"message": says(), "tools": [TOOL]}), {**CHAT, "tools": [TOOL]}),
    "example: tools in the metadata": (
        example({"messages": [user()]}, {"message": says()}, metadata={"tools": [TOOL]}), {**CHAT, "tools": [TOOL]},
    ),
    "example: a thread": (example({"question": "q"}, {"answer": "a"}, metadata={"thread_id": "t7"}), PAIR),
    "example: an agent's work": (
        example({"messages": [user()]}, {"messages": [dumpd(AI_CALL), dumpd(AGENT[3]), dumpd(AIMessage("a"))]}),
        {"messages": [*AGENT_ROWS[1:], says()]},
    ),
    "example: JSON texts": (
        example('{"messages": [{"role": "user", "content": "q"}]}', '{"message": {"role": "assistant", "content": "a"}}'), CHAT,
    ),
}  # fmt: skip
"""Each kind of record, and the row that it is."""

REFUSALS: dict[str, tuple[Any, str]] = {
    "run: failed": (run(error="Timeout"), "run_failed"),
    "run: no outputs": (run(outputs=None), "run_pending"),
    "run: pending": (run(status="pending"), "run_pending"),
    "run: of a tool": (run(run_type="tool"), "run_not_of_model"),
    "run: a chain without messages": (run(run_type="chain"), "run_not_of_model"),
    "run: cut off, in generation_info": (
        run(outputs={"generations": [[{"message": says(), "generation_info": {"finish_reason": "length"}}]]}), "answer_unfinished",
    ),
    "run: cut off, in response_metadata": (
        run_with_answer(AIMessage("a", response_metadata={"stop_reason": "max_tokens"})), "answer_unfinished",
    ),
    "run: cut off, in upper case": (
        run_with_answer(AIMessage("a", response_metadata={"finish_reason": "MAX_TOKENS"})), "answer_unfinished",
    ),
    "run: fewer answers than questions": (run(None, [[user()], [user()]]), "batch_uneven"),
    "run: no question": (run(None, []), "messages_empty"),
    "run: another class": (run({"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}), "foreign_class"),
    "run: a call that cannot be parsed": (
        run_with_answer(AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "x"}])), "tool_call_invalid",
    ),
    "run: audio": (run_with_question([{"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}]), "content_part_unsupported"),
    "run: encrypted reasoning": (
        run_with_answer(AIMessage([{"type": "redacted_thinking", "data": "x"}, text_part("a")])), "reasoning_unreadable",
    ),
    "example: no outputs": (example({"q": "q"}, None), "example_without_output"),
    "example: several inputs": (example({"q": "q", "k": "3"}, {"a": "a"}), "columns_undeclared"),
    "example: several outputs": (example({"messages": [user()]}, {"a": "a", "b": "b"}), "columns_undeclared"),
    "example: attachments": (example({"q": "q"}, {"a": "a"}, attachments={"x": 1}), "attachments_unsupported"),
    "example: no answer": (example({"messages": [user()]}, {"messages": [user()]}), "answer_missing"),
}  # fmt: skip


def schema_of(record: Any) -> Any:
    return "examples" if not hasattr(record, "run_type") and "run_type" not in getattr(record, "keys", list)() else "llm_runs"


def both(record: Any, **options: Any) -> list[Record]:
    """What the two ways of entry read, which must be the same."""
    schema = schema_of(record)
    from_load = list(load([record], schema, **options).records())
    from_adapter = list(from_langchain([record], schema=schema, **options).records())
    assert [one._replace(source=None) for one in from_load] == [one._replace(source=None) for one in from_adapter]
    return from_load


@each("kind", READ)
def test_a_record_is_read_alike(kind: str) -> None:
    record, row = READ[kind]
    [read] = both(record)
    assert not isinstance(read, Refusal), read
    assert read.row == row
    assert read.group == (
        ("t7" if kind.endswith("a thread") else "t1") if kind.startswith("run") else "t7" if kind.endswith("a thread") else None
    )


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_record_is_refused_alike(kind: str) -> None:
    record, code = REFUSALS[kind]
    [read] = both(record)
    assert isinstance(read, Refusal)
    assert read.code == code
    assert code in RULES


@each("kind", READ)
def test_a_record_is_recognised(kind: str) -> None:
    record, row = READ[kind]
    if kind.endswith("JSON texts"):
        return
    assert list(from_langchain([record])) == list(load([record])) == [row]


def test_a_batch_makes_a_row_for_each_answer() -> None:
    outputs = {
        "generations": [[{"message": says("a")}, {"message": says("b")}], [{"message": says("c"), "finish_reason": "length"}]]
    }
    first, second, cut_off = both(run(inputs={"messages": [[user("x")], [user("y")]]}, outputs=outputs), collapse_prefixes=False)
    assert [one.row["messages"] for one in (first, second)] == [[user("x"), says("a")], [user("x"), says("b")]]  # type: ignore[union-attr]
    assert first.changed == ("one_of_several_answers",)  # type: ignore[union-attr]
    assert (cut_off.code, cut_off.skipped) == ("answer_unfinished", True)  # type: ignore[union-attr]


def test_several_reference_answers_make_several_rows() -> None:
    first, second = both(example({"messages": [user()]}, {"generations": [{"message": says("a")}, {"message": says("b")}]}))
    assert [one.row["messages"][-1] for one in (first, second)] == [says("a"), says("b")]  # type: ignore[union-attr]


def test_declared_keys_and_form() -> None:
    record = example({"q": "q", "k": "3"}, {"a": "a", "b": "b"})
    assert both(record, input_key="q", output_key="a")[0].row == PAIR  # type: ignore[union-attr]
    assert both(record, input_key="q", output_key="a", form="conversation")[0].row == CHAT  # type: ignore[union-attr]
    assert both(record, input_key="x", output_key="a")[0].code == "column_missing"  # type: ignore[union-attr]
    run_of_texts, _ = READ["run: prompts and texts"]
    assert both(run_of_texts, form="conversation")[0].row == CHAT  # type: ignore[union-attr]


def test_objects_of_langchain_within_examples() -> None:
    record = example({"messages": [HumanMessage("q"), ("ai", "b"), ("user", "q")]}, {"message": AIMessage("a")})
    assert list(from_langchain([record])) == [{"messages": [user(), says("b"), user(), says()]}]
    record = example({"page": Document("q")}, {"raw": AIMessage("a"), "parsed": None})
    assert list(from_langchain([record], input_key="page", output_key="raw")) == [CHAT]
    assert list(from_langchain([example({"page": Document("q")}, {"text": "a"})])) == [PAIR]

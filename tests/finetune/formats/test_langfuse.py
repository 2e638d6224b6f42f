"""Langfuse's generations as its integrations write them: a conversation without the exporter's keys; calls are never speech."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from tests.finetune.formats.reading import examples, only_refusal, says, user
from together_adapters.finetune import load
from together_adapters.finetune.formats.chat_template import transcript_of
from together_adapters.finetune.records import Unconvertible

Q, A, S = "Is it open?", "Until six.", "Be brief."
SYSTEM = {"role": "system", "content": S}
TALK = [user(Q), says(A)]
WITH_SYSTEM = [SYSTEM, *TALK]
TOOL = {"type": "function", "function": {"name": "hours", "parameters": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "hours", "arguments": '{"day": 1}'}}
CALLS = [user(Q), {"role": "assistant", "tool_calls": [CALL]}]
BLOCKS = {"role": "user", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": Q}]}
PARTS = [{"role": "user", "parts": [{"type": "text", "content": Q}]}]


def constructor(name: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "messages", name], "kwargs": fields}


WRITTEN: dict[str, tuple[Any, Any, list[Any]]] = {
    "openai": ({"messages": [SYSTEM, user(Q)], "temperature": 0}, says(A, refusal=None, annotations=[]), WITH_SYSTEM),
    "openai calls": ({"messages": [user(Q)], "tools": [TOOL]}, {"role": "assistant", "content": None, "tool_calls": [CALL]}, CALLS),
    "openai legacy": ([user(Q)], {"choices": [{"message": says(A), "finish_reason": "stop"}]}, TALK),
    "responses": ({"instructions": S, "input": Q}, {"output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": A}]}]}, WITH_SYSTEM),
    "responses calls": ([user(Q)], [{"type": "function_call", "call_id": "c1", "name": "hours", "arguments": '{"day": 1}'}], CALLS),
    "langchain": ([user(Q), {"role": "tool", "content": TOOL}], {
        "role": "assistant", "content": "", "additional_kwargs": {"refusal": None},
        "tool_calls": [{"name": "hours", "args": {"day": 1}, "id": "c1", "type": "tool_call"}]}, CALLS),
    "langchain types": ([{"type": "human", "content": Q, "additional_kwargs": {}}], {
        "type": "ai", "content": A, "id": "run", "response_metadata": {"model": "m"}, "usage_metadata": {"input_tokens": 1}}, TALK),
    "langchain dumps": ({"messages": [[constructor("HumanMessage", content=Q)]]}, {
        "generations": [[{"text": A, "message": constructor("AIMessage", content=A)}]]}, TALK),
    "llama-index": ({"messages": [BLOCKS]}, {"message": {"role": "assistant", "blocks": [{"block_type": "text", "text": A}]}}, TALK),
    "vercel": ({"messages": json.dumps([user([{"type": "text", "text": Q}])])}, {"text": A, "finishReason": "stop", "toolCalls": []}, TALK),
    "vercel calls": ([user(Q)], {"text": "", "toolCalls": [{"toolCallId": "c1", "toolName": "hours", "args": {"day": 1}}]}, CALLS),
    "litellm": ({"messages": [user(Q)]}, says(A, tool_calls=None, provider_specific_fields={"x": 1}), TALK),
    "otel": (json.dumps(PARTS), json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": A}], "finish_reason": "stop"}]), TALK),
    "otel calls": (PARTS, [{"role": "assistant", "parts": [
        {"type": "tool_call", "id": "c1", "name": "hours", "arguments": {"day": 1}}]}], CALLS),
    "pydantic-ai": (
        json.dumps([user(Q, **{"gen_ai.message.index": 0, "event.name": "gen_ai.user.message"})]),
        json.dumps({"index": 0, "message": {"role": "assistant", "tool_calls": [CALL]}, "event.name": "gen_ai.choice"}), CALLS),
    "crewai": ([SYSTEM, user(Q)], A, WITH_SYSTEM),
    "autogen": (f"system: {S}\nuser: {Q}", A, WITH_SYSTEM),
    "haystack": ({"messages": [user([{"text": Q}], meta={}, name=None)]}, {"replies": [says([{"text": A}], meta={"index": 0})]}, TALK),
    "dspy": ({"prompt": None, "messages": [SYSTEM, user(Q)], "kwargs": {}}, [A], WITH_SYSTEM),
    "bedrock": ({"modelId": "m", "system": [{"text": S}], "messages": [user([{"text": Q}])]}, {
        "output": {"message": says([{"text": A}])}, "stopReason": "end_turn"}, WITH_SYSTEM),
    "bedrock calls": ({"messages": [user([{"text": Q}])]}, {"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "c1", "name": "hours", "input": {"day": 1}}}]}, CALLS),
    "anthropic": ({"system": S, "messages": [user(Q)]}, {
        "id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": A}], "stop_reason": "end_turn"}, WITH_SYSTEM),
    "anthropic calls": ([user(Q)], json.dumps([{"type": "tool_use", "id": "c1", "name": "hours", "input": {"day": 1}}]), CALLS),
    "google": ({"model": "g", "contents": Q, "config": {"system_instruction": S}}, {
        "candidates": [{"content": {"role": "model", "parts": [{"text": A}]}, "finishReason": "STOP"}]}, WITH_SYSTEM),
    "smolagents": ({"messages": [user([{"type": "text", "text": Q}])]}, says(A, raw={"x": 1}, token_usage={"x": 1}), TALK),
    "agno": ({"messages": [user(Q, created_at=3, from_history=False)]}, says(A, metrics={"x": 1}), TALK),
    "mastra": ({"messages": [user(Q)]}, {"text": A, "files": [], "reasoning": []}, TALK),
    "flowise": ({"question": Q}, {"text": A, "chatId": "x"}, TALK),
    "dify": ([{"role": "user", "text": Q, "files": []}], {"answer": A}, TALK),
    "observe": ({"args": [], "kwargs": {"messages": [user(Q)]}}, A, TALK),
    "calls as text": ([user(Q)], json.dumps([CALL]), CALLS),
    "calls of langchain as text": ([user(Q)], json.dumps([{"name": "hours", "args": {"day": 1}, "id": "c1"}]), CALLS),
    "calls of vercel as text": ([user(Q)], json.dumps([{"toolCallId": "c1", "toolName": "hours", "args": '{"day": 1}'}]), CALLS),
    "an answer that is JSON": ([user(Q)], '{"open": true, "name": "Ely"}', [user(Q), says('{"open": true, "name": "Ely"}')]),
    "an answer that is a list": ([user(Q)], "[1, 2]", [user(Q), says("[1, 2]")]),
}  # fmt: skip


def generation(input: Any, output: Any) -> dict[str, Any]:
    return {"id": "o", "traceId": "t", "type": "GENERATION", "input": input, "output": output}


@each("as_text", [False, True])
@each("name", WRITTEN)
def test_what_an_integration_writes_is_a_conversation(name: str, as_text: bool) -> None:
    input, output, messages = WRITTEN[name]
    input, output = ((json.dumps(one) if as_text and not isinstance(one, str) else one) for one in (input, output))
    if as_text and name in ("dspy", "mastra", "flowise", "dify"):
        output = WRITTEN[name][1]  # as text it could be the answer itself
    (example,) = examples(load([generation(input, output)]))
    for message in example.row["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]))
    assert example.row["messages"] == messages


def test_what_stands_beside_the_question_is_named() -> None:
    (example,) = examples(load([generation({"question": Q, "context": "Hours: 9-6", "temperature": 0}, A)]))
    assert example.left_out["input.context"] == "Hours: 9-6"
    assert "input.temperature" not in example.left_out


@pytest.mark.parametrize("text", [f"user: {Q}\nuser: Hello?\nassistant: {A}", f"user: {Q}\nassistant: {A}"])
def test_a_transcript_with_uncertain_turns_is_refused(text: str) -> None:
    refusal = only_refusal(load([generation(text, A)]))
    assert refusal.code == "transcript_unclear"
    assert "rendered transcript" in refusal.message
    with pytest.raises(Unconvertible):
        transcript_of(text)


@pytest.mark.parametrize("text", [Q, "user: only one speaker", "The user: a person.\nThe system: a thing.", ""])
def test_a_question_is_no_transcript(text: str) -> None:
    assert transcript_of(text) is None


OBSERVATION = {"id": "o1", "traceId": "t1", "type": "GENERATION", "input": [user(Q)], "output": says(A)}


def test_cells_that_are_null_have_no_value(tmp_path: Path) -> None:
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in OBSERVATION.items()}
    rows = [cells | {"scores": "[]", "metadata": "null"}, cells | {"output": "null", "scores": "null"}]
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["scores", "metadata", *cells])
        writer.writeheader()
        writer.writerows(rows)
    data = load(tmp_path / "a.csv")
    (example,) = examples(data)
    assert (example.row["messages"], dict(example.left_out)) == (TALK, {"trace.id": "o1"})
    assert only_refusal(load([rows[1]], "langfuse")).code == "run_pending"
    assert only_refusal(load([cells | {"input": "null"}], "langfuse")).code == "messages_empty"


def test_a_call_without_an_answer_is_one_of_langfuse() -> None:
    failed = OBSERVATION | {"output": None, "level": "ERROR"}
    assert only_refusal(load([failed])).code == "run_failed"
    assert [example.row["messages"] for example in examples(load([failed, OBSERVATION]))] == [TALK]


@each("page", [{"meta": {"page": 1, "totalItems": 2}}, {"object": "list", "has_more": False}, {}])
@pytest.mark.parametrize("kind", ["object", "iterator", "json", "jsonl"])
def test_records_stand_in_pages_of_an_api(kind: str, page: dict[str, Any], tmp_path: Path) -> None:
    pages = [{"data": [OBSERVATION, OBSERVATION | {"output": None}], **page}]
    source: Any = pages[0] if kind == "object" else iter(pages)
    if kind.startswith("json"):
        source = tmp_path / f"a.{kind}"
        source.write_text(json.dumps(pages[0]) + "\n")
    data = load(source)
    results = list(data.records())
    assert [getattr(result, "code", "") for result in results] == ["", "run_pending"]
    assert [result.number for result in results] == ([1, 1] if kind in ("jsonl", "iterator") else [1, 2])

"""Requests with their responses, of any provider; data sets of function calling; batches, which are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from tests.finetune.formats.reading import examples, only_refusal, only_row, says, user
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.errors import SchemaDetectionError

QUESTION = {"role": "user", "parts": [{"text": "Which fish?"}]}
FISH = [{"role": "system", "content": "Be brief."}, user("Which fish?"), says("Carp.")]
ITEM = {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [
    {"type": "output_text", "text": "Carp.", "annotations": [], "logprobs": []}]}  # fmt: skip
LOGS: dict[str, Any] = {
    "gemini tuning": {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
        QUESTION, {"role": "model", "parts": [{"text": "Carp."}]}]},
    "gemini": {"request": {"system_instruction": "Be brief.", "contents": [QUESTION]}, "response": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Carp."}]}, "finishReason": "STOP"}], "usageMetadata": {"n": 1}}},
    "responses": {"instructions": "Be brief.", "input": "Which fish?", "output": [ITEM], "text": {"format": {"type": "text"}},
                  "reasoning": {"effort": "low", "summary": None}},
    "responses request": {"request": {"instructions": "Be brief.", "input": [user("Which fish?")]}, "response": {"output": [ITEM]}},
    "chat completions": {"request": {"messages": FISH[:2], "temperature": 0.1}, "response": {
        "id": "x", "object": "chat.completion", "choices": [{"index": 0, "message": {**FISH[2], "refusal": None}, "finish_reason": "stop"}]}},
    "as text": {"request": json.dumps({"messages": FISH[:2]}), "response": json.dumps({"choices": [{"message": FISH[2]}]})},
    "with bodies": {"request": {"method": "POST", "body": {"messages": FISH[:2]}}, "response": {"body": {"choices": [{"message": FISH[2]}]}}},
    "beside": {"messages": FISH[:2], "choices": [{"message": FISH[2]}]},
    "answer beside": {"messages": FISH[:2], "response": "Carp."},
    "anthropic": {"request": {"system": "Be brief.", "messages": [FISH[1]]}, "response": {
        "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Carp."}], "stop_reason": "end_turn"}},
    "bedrock": {"modelId": "m", "system": [{"text": "Be brief."}], "messages": [user([{"text": "Which fish?"}])],
                "output": {"message": says([{"text": "Carp."}])}, "stopReason": "end_turn"},
    "ollama": {"messages": FISH[:2], "response": {"model": "m", "message": FISH[2], "done": True}},
    "cohere": {"preamble": "Be brief.", "chat_history": [], "message": "Which fish?", "text": "Carp."},
}  # fmt: skip


@pytest.mark.parametrize("name", LOGS)
def test_requests_with_their_responses(name: str, tmp_path: Path) -> None:
    assert only_row(load([LOGS[name]]))["messages"] == FISH
    (tmp_path / "log.json").write_text(json.dumps(LOGS[name]))
    assert write_jsonl(load(tmp_path / "log.json"), tmp_path / "rows.jsonl").report.valid == 1


def test_calls_and_reasoning_of_responses() -> None:
    items = [
        user("Which fish?"), {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Ask."}], "encrypted_content": None},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "fish", "arguments": '{"pond": 1}', "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "carp"},
    ]  # fmt: skip
    tools = [{"type": "function", "name": "fish", "parameters": {"type": "object", "properties": {}}, "strict": True}]
    row = only_row(load([{"input": items, "output": [ITEM], "tools": tools}]))
    call = {"id": "c1", "type": "function", "function": {"name": "fish", "arguments": '{"pond": 1}'}}
    assert row["messages"] == [
        user("Which fish?"), {"role": "assistant", "reasoning": "Ask.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "carp"}, says("Carp."),
    ]  # fmt: skip
    assert row["tools"][0]["function"]["name"] == "fish"
    hosted = {"type": "web_search_call", "id": "w", "status": "completed"}
    refusal = only_refusal(load([{"input": "Which fish?", "output": [hosted, ITEM]}], "requests"))
    assert "web_search_call" in refusal.message


def test_results_in_the_history_of_cohere() -> None:
    history = [
        {"role": "USER", "message": "Which fish?"},
        {"role": "CHATBOT", "message": "", "tool_calls": [{"name": "fish", "parameters": {"pond": 1}}]},
        {"role": "TOOL", "tool_results": [{"call": {"name": "fish", "parameters": {"pond": 1}}, "outputs": [{"is": "carp"}]}]},
    ]
    row = only_row(
        load([{"chat_history": [*history, {"role": "CHATBOT", "message": "Carp."}], "message": "Sure?", "text": "Yes."}])
    )
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert json.loads(row["messages"][2]["content"]) == {"outputs": [{"is": "carp"}]}


def test_what_a_log_says_besides_is_named() -> None:
    (example,) = examples(load([{**LOGS["chat completions"], "latency": 3}]))
    assert {"request.temperature", "response.id", "response.object"} <= example.left_out.keys()
    assert example.row["latency"] == 3
    (example,) = examples(load([{**LOGS["gemini tuning"], "text": "more", "output": "more"}]))
    assert example.left_out == {"text": "more", "output": "more"}


def test_answers_that_were_cut_off_are_dropped() -> None:
    log = {"request": {"messages": FISH[:2]}, "response": {"choices": [{"message": FISH[2], "finish_reason": "length"}]}}
    assert only_refusal(load([log])).code == "answer_unfinished"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (
            {"custom_id": "1", "response": {"status_code": 200, "body": {"choices": [{"message": says()}]}}, "error": None},
            "input file",
        ),
        ({"custom_id": "1", "result": {"type": "succeeded", "message": {"content": []}}}, "input file"),
        ({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [user()]}}, "no answers"),
        ({"custom_id": "1", "params": {"messages": [user()]}}, "no answers"),
    ],
)
def test_batches_are_refused_with_a_way_on(record: Any, word: str) -> None:
    with pytest.raises(SchemaDetectionError, match=word):
        load([record])


@pytest.mark.parametrize("as_text", [False, True])
def test_xlam(as_text: bool) -> None:
    calls = [{"name": "fish", "arguments": {"pond": 1}}, {"name": "fish", "arguments": {"pond": 2}}]
    tools = [
        {
            "name": "fish",
            "parameters": {"pond": {"type": "int", "description": "Which", "required": True}, "deep": {"type": "bool, optional"}},
        }
    ]
    record = {"query": "Which fish?", "answers": calls, "tools": tools}
    row = only_row(load([{key: json.dumps(value) if as_text and key != "query" else value for key, value in record.items()}]))
    assert [json.loads(call["function"]["arguments"]) for call in row["messages"][1]["tool_calls"]] == [{"pond": 1}, {"pond": 2}]
    assert row["tools"][0]["function"]["parameters"] == {
        "type": "object", "properties": {"pond": {"type": "integer", "description": "Which"}, "deep": {"type": "boolean"}},
        "required": ["pond"],
    }  # fmt: skip
    refusal = only_refusal(load([{**record, "answers": "[]"}], "xlam"))
    assert (refusal.code, refusal.path) == ("tool_call_invalid", "answers")


def test_glaive() -> None:
    tool = {"name": "fish", "description": "Asks.", "parameters": {"type": "object", "properties": {}}}
    system = (
        f"SYSTEM: You are helpful with access to the following functions. Use them if required -\n{json.dumps(tool, indent=4)}\n"
    )
    chat = (
        'USER: Which fish?\n\n\nASSISTANT: <functioncall> {"name": "fish", "arguments": \'{"pond": 1}\'} <|endoftext|>\n\n\n'
        'FUNCTION RESPONSE: {"is": "carp"}\n\n\nASSISTANT: Carp. <|endoftext|>\n\n\n'
    )
    row = only_row(load([{"system": system, "chat": chat}]))
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert row["messages"][0]["content"].startswith("You are helpful")
    assert (row["messages"][3]["content"], row["messages"][4]["content"]) == ('{"is": "carp"}', "Carp.")
    assert row["tools"] == [{"type": "function", "function": tool}]
    plain = {"system": "SYSTEM: No functions.", "chat": "USER: Hi\n\n\nASSISTANT: Hello <|endoftext|>"}
    assert only_row(load([plain])) == {"messages": [{"role": "system", "content": "No functions."}, user("Hi"), says("Hello")]}


def test_toolbench() -> None:
    turns = [
        {"from": "system", "value": "You have tools."}, {"from": "user", "value": "Which fish?"},
        {"from": "assistant", "value": '\nThought: Ask.\nAction: fish\nAction Input: {\n  "pond": 1\n}'},
        {"from": "function", "value": '{"is": "carp"}'}, {"from": "assistant", "value": "\nThought: \nAction: Finish\nAction Input: {}"},
    ]  # fmt: skip
    row = only_row(load([{"conversations": turns}]))
    assert [call["function"]["name"] for message in row["messages"] for call in message.get("tool_calls", ())] == [
        "fish",
        "Finish",
    ]
    assert row["messages"][2]["content"] == "Thought: Ask."


def test_a_batch_whose_sides_are_joined_is_read() -> None:
    response = {"status_code": 200, "body": {"choices": [{"message": says()}]}}
    record = {
        "custom_id": "1",
        "url": "/v1/chat/completions",
        "body": {"messages": [user()]},
        "response": response,
        "error": None,
    }
    assert only_row(load([record]))["messages"] == [user(), says()]


@pytest.mark.parametrize("failed_first", [False, True])
@each("response", [None, "null"])
def test_a_request_that_failed_is_a_request(response: Any, failed_first: bool) -> None:
    request = {"messages": [user()]}
    record = {"request": request, "response": {"choices": [{"message": says()}]}}
    if response == "null":
        record = {name: json.dumps(value) for name, value in record.items()}
    records = [record, record | {"response": response}]
    rows = [one.row["messages"] for one in examples(load(records[::-1] if failed_first else records))]
    assert sorted(rows, key=len) == [[user()], [user(), says()]]

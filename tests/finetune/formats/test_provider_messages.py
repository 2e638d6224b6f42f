"""Messages of other providers: what their blocks say comes out as content, reasoning, calls and results, or is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.formats.reading import examples, only_refusal, only_row, says, user
from together_adapters.finetune import load

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP8z4AdMOEQH6QSAM1BAQ/oQeJvAAAAAElFTkSuQmCC"
PARAMETERS = {"type": "object", "properties": {"dish": {"type": "string"}}}
ANTHROPIC = [
    user("What is in it?"),
    says([
        {"type": "thinking", "thinking": "Look it up.", "signature": "c2ln"}, {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "t1", "name": "recipe", "input": {"dish": "soup"}},
    ]),
    user([{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Leek"}]}]),
    says([{"type": "text", "text": "Leek.", "citations": None}]),
]  # fmt: skip
BEDROCK = [
    user([{"text": "What is in it?"}]),
    says([
        {"reasoningContent": {"reasoningText": {"text": "Look it up.", "signature": "c2ln"}}}, {"text": "Wait."},
        {"toolUse": {"toolUseId": "t1", "name": "recipe", "input": {"dish": "soup"}}},
    ]),
    user([{"toolResult": {"toolUseId": "t1", "content": [{"text": "Leek"}], "status": "success"}}]),
    says([{"text": "Leek."}]),
]  # fmt: skip
GEMINI = [
    {"role": "user", "parts": [{"text": "What is in it?"}]},
    {"role": "model", "parts": [
        {"text": "Look it up.", "thought": True}, {"text": "Wait."},
        {"functionCall": {"name": "recipe", "args": {"dish": "soup"}}, "thoughtSignature": "c2ln"},
    ]},
    {"role": "function", "parts": [{"functionResponse": {"name": "recipe", "response": "Leek"}}]},
    {"role": "model", "parts": [{"text": "Leek."}]},
]  # fmt: skip
VERCEL = [
    {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "What is in it?"}]},
    {"id": "m2", "role": "assistant", "parts": [
        {"type": "step-start"}, {"type": "reasoning", "text": "Look it up.", "state": "done"}, {"type": "text", "text": "Wait."},
        {"type": "tool-recipe", "toolCallId": "t1", "state": "output-available", "input": {"dish": "soup"}, "output": "Leek"},
        {"type": "step-start"}, {"type": "text", "text": "Leek.", "state": "done"},
    ]},
]  # fmt: skip
VERCEL_INVOCATIONS = [
    user("What is in it?"),
    {"role": "assistant", "parts": [
        {"type": "reasoning", "reasoning": "Look it up.", "details": []}, {"type": "text", "text": "Wait."},
        {"type": "tool-invocation", "toolInvocation": {
            "state": "result", "toolCallId": "t1", "toolName": "recipe", "args": {"dish": "soup"}, "result": "Leek"}},
        {"type": "text", "text": "Leek."},
    ]},
]  # fmt: skip
VERCEL_MODEL = [
    user("What is in it?"),
    says([
        {"type": "reasoning", "text": "Look it up."}, {"type": "text", "text": "Wait."},
        {"type": "tool-call", "toolCallId": "t1", "toolName": "recipe", "input": {"dish": "soup"}},
    ]),
    {"role": "tool", "content": [
        {"type": "tool-result", "toolCallId": "t1", "toolName": "recipe", "output": {"type": "text", "value": "Leek"}}]},
    says([{"type": "text", "text": "Leek."}]),
]  # fmt: skip
OTEL = [
    {"role": "user", "parts": [{"type": "text", "content": "What is in it?"}]},
    {"role": "assistant", "parts": [
        {"type": "reasoning", "content": "Look it up."}, {"type": "text", "content": "Wait."},
        {"type": "tool_call", "id": "t1", "name": "recipe", "arguments": {"dish": "soup"}},
    ]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "Leek"}]},
    {"role": "assistant", "parts": [{"type": "text", "content": "Leek."}]},
]  # fmt: skip
OLLAMA = [
    user("What is in it?"),
    says(
        "Wait.", thinking="Look it up.", tool_calls=[{"function": {"index": 0, "name": "recipe", "arguments": {"dish": "soup"}}}]
    ),
    {"role": "tool", "tool_name": "recipe", "content": "Leek"},
    says("Leek."),
]
COHERE = [
    {"role": "User", "message": "What is in it?"},
    {"role": "Chatbot", "content": "Wait.", "tool_plan": "Look it up.",
     "tool_calls": [{"name": "recipe", "parameters": {"dish": "soup"}}]},
    {"role": "tool", "content": [{"type": "document", "document": {"data": "Leek"}}]},
    {"role": "CHATBOT", "message": "Leek."},
]  # fmt: skip
MISTRAL = [
    user("What is in it?"),
    says(
        [{"type": "thinking", "thinking": [{"type": "text", "text": "Look it up."}]}, {"type": "text", "text": "Wait."}],
        tool_calls=[{"id": "t1", "function": {"name": "recipe", "arguments": '{"dish": "soup"}'}}], prefix=False,
    ),
    {"role": "tool", "name": "recipe", "tool_call_id": "t1", "content": "Leek"},
    says("Leek."),
]  # fmt: skip
PROVIDERS: dict[str, list[Any]] = {
    "anthropic": ANTHROPIC, "bedrock": BEDROCK, "gemini": GEMINI, "vercel": VERCEL, "vercel invocations": VERCEL_INVOCATIONS,
    "vercel model": VERCEL_MODEL, "otel": OTEL, "ollama": OLLAMA, "cohere": COHERE, "mistral": MISTRAL,
}  # fmt: skip


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what providers do not have: the ids of calls and the names of results."""
    messages = json.loads(json.dumps(row["messages"]))
    for message in messages:
        message.pop("name", None)
        message.pop("tool_call_id", None)
        for call in message.get("tool_calls", ()):
            assert call.pop("id")
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return {**row, "messages": messages}


@pytest.mark.parametrize("column", ["messages", "conversations"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_messages_of_each_provider_say_the_same(provider: str, column: str) -> None:
    if column == "conversations" and any("content" not in message for message in PROVIDERS[provider]):
        column = "messages"
    row = only_row(load([{column: PROVIDERS[provider], "tools": [{"name": "recipe", "parameters": PARAMETERS}]}]))
    assert plain(row) == {
        "messages": [
            user("What is in it?"),
            {"role": "assistant", "content": "Wait.", "reasoning": "Look it up.", "tool_calls": [
                {"type": "function", "function": {"name": "recipe", "arguments": {"dish": "soup"}}}]},
            {"role": "tool", "content": "Leek"},
            says("Leek."),
        ],
        "tools": [{"type": "function", "function": {"name": "recipe", "parameters": PARAMETERS}}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "recipe", "input_schema": PARAMETERS}],
        [{"type": "function", "name": "recipe", "parameters": PARAMETERS}],
        [{"functionDeclarations": [{"name": "recipe", "parameters": {"type": "OBJECT", "properties": {"dish": {"type": "STRING"}}}}]}],
        {"tools": [{"toolSpec": {"name": "recipe", "inputSchema": {"json": PARAMETERS}}}]},
        {"recipe": {"inputSchema": PARAMETERS}},
        [{"name": "recipe", "parameters": {"dish": {"type": "str", "default": "soup"}}}],
        [{"name": "recipe", "parameters": {"type": "dict", "properties": {"dish": {"type": "str"}}}, "required": None}],
        json.dumps([{"name": "recipe", "parameters": json.dumps(PARAMETERS)}]),
    ],
)  # fmt: skip
def test_tools_of_each_provider_declare_the_same(tools: Any) -> None:
    function = only_row(load([{"messages": ANTHROPIC, "tools": tools}]))["tools"][0]["function"]
    parameters = function["parameters"]
    parameters["properties"]["dish"].pop("default", None)
    assert (function["name"], parameters) == ("recipe", PARAMETERS)


@pytest.mark.parametrize(
    ("block", "code", "word"),
    [
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            "content_part_unsupported",
            "server_tool_use",
        ),
        ({"type": "redacted_thinking", "data": "eA=="}, "reasoning_unreadable", "encrypted"),
        ({"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}, "content_part_unsupported", "input_audio"),
        ({"executableCode": {"code": "1"}}, "content_part_unsupported", "executable_code"),
        ({"fileData": {"fileUri": "gs://a/b.pdf", "mimeType": "application/pdf"}}, "content_part_unsupported", "file_data"),
    ],
)
def test_what_a_row_cannot_hold_is_refused_by_name(block: Any, code: str, word: str) -> None:
    refusal = only_refusal(load([{"messages": [user(), says([block, {"type": "text", "text": "a"}])]}]))
    assert refusal.code == code
    assert word in refusal.message
    assert refusal.path.startswith("messages[1]")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{PNG}"},
    ],
)
def test_images_of_each_provider(block: Any) -> None:
    row = only_row(load([{"messages": [user([block, {"type": "text", "text": "Which?"}]), says()]}]))
    assert row["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}, {"type": "text", "text": "Which?"}
    ]  # fmt: skip


def test_conversions_are_counted() -> None:
    (example,) = examples(load([{"messages": [{"role": "User", "content": "q"}, {"role": "model", "parts": [{"text": "a"}]}]}]))
    assert example.changed == ("role_renamed", "blocks_converted")
    errors = [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": "No such dish"}]
    (example,) = examples(load([{"messages": [*ANTHROPIC[:2], user(errors), ANTHROPIC[3]]}]))
    assert "tool_error" in example.changed


BLOCKS = st.sampled_from([
    ("text", lambda text: {"type": "text", "text": text}), ("text", lambda text: {"text": text}),
    ("reasoning", lambda text: {"type": "thinking", "thinking": text, "signature": "s"}),
    ("reasoning", lambda text: {"text": text, "thought": True}),
    ("call", lambda text: {"type": "tool_use", "name": "f", "input": {"a": text}}),
    ("call", lambda text: {"functionCall": {"name": "f", "args": {"a": text}}}),
    ("call", lambda text: {"type": "tool-call", "toolName": "f", "args": {"a": text}}),
])  # fmt: skip


@given(st.lists(BLOCKS, min_size=1, max_size=6))
def test_no_text_of_a_block_is_lost(blocks: list[Any]) -> None:
    marks = [f"mark{index}" for index in range(len(blocks))]
    answer = says([make(mark) for (_, make), mark in zip(blocks, marks, strict=True)])
    (example,) = examples(load([{"messages": [user(), answer]}]))
    text = json.dumps(example.row)
    assert all(mark in text for mark in marks)
    assert len(example.row["messages"][1].get("tool_calls", ())) == [kind for kind, _ in blocks].count("call")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (says(None, refusal="I may not."), says("I may not.")),
        (says("a", reasoning="r", reasoning_details=[{"type": "reasoning.text", "text": "r"}]), says("a", reasoning="r")),
        (says("a", reasoning_details=[{"text": "r"}, {"summary": "s"}]), says("a", reasoning="rs")),
        (says("a", reasoning_content="r", refusal=None, annotations=[], audio=None, tool_calls=None), says("a", reasoning="r")),
        (
            {"role": "model", "parts": [{"type": "source-url", "sourceId": "1", "url": "https://x.invalid"}, {"text": "a"}]},
            says("a"),
        ),
    ],
)
def test_what_stands_under_other_names(answer: Any, expected: Any) -> None:
    assert only_row(load([{"messages": [user(), answer]}]))["messages"][1] == expected


def test_images_beside_the_text_of_a_question() -> None:
    row = only_row(load([{"messages": [user("Which?", images=[PNG]), says()]}]))
    assert row["messages"][0]["content"][0]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def test_results_that_are_objects_become_text() -> None:
    result = {"role": "tool", "tool_call_id": "t1", "name": "recipe", "content": {"leek": 2}}
    row = only_row(load([{"messages": [*ANTHROPIC[:2], result, says()]}]))
    assert row["messages"][2]["content"] == '{"leek": 2}'


def test_items_without_a_role_stand_among_messages() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "recipe", "arguments": "{}"}
    row = only_row(
        load([{"messages": [user(), call, {"type": "function_call_output", "call_id": "c1", "output": "Leek"}, says()]}])
    )
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "tool", "assistant"]

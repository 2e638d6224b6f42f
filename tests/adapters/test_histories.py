"""Histories of other providers' models and tools: they never end a run, and what is not sent is named in one warning."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_together_adapters.messages import wire_messages as langchain_messages
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index_together_adapters.requests import wire_messages as llama_index_messages
from pydantic import BaseModel

from tests.cases import each
from together_adapters.adapters.foreign_blocks import History
from together_adapters.adapters.tool_arguments import UNREADABLE, json_arguments
from together_adapters.errors import HistoryWarning

pytestmark = pytest.mark.long

BINARY = "iVBORw0KGgo" * 40

TOLD: list[Any] = [
    # Anthropic
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "mark1"}},
    {
        "type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [
            {"type": "web_search_result", "title": "mark1", "url": "https://x/mark2", "encrypted_content": BINARY, "page_age": None}
        ],
    },
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "web_search_tool_result_error", "error_code": "mark1"}},
    {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"type": "code_execution_result", "stdout": "mark1\n", "return_code": 0}},
    {"type": "bash_code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "mark1", "stderr": "mark2"}},
    {"type": "text_editor_code_execution_tool_result", "tool_use_id": "s", "content": {"lines": ["mark1", "mark2"]}},
    {"type": "mcp_tool_use", "id": "m", "name": "mark1", "server_name": "mark2", "input": {"city": "mark3"}},
    {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": [{"type": "text", "text": "mark1"}]},
    {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "url": "mark1", "content": {
        "type": "document", "title": "mark2", "source": {"type": "text", "media_type": "text/plain", "data": "mark3"}}}},
    {"type": "search_result", "title": "mark1", "source": "mark2", "content": [{"type": "text", "text": "mark3"}]},
    {"type": "text", "text": "mark1", "citations": [{"type": "char_location", "cited_text": "c"}]},
    {"type": "compaction", "content": "mark1"},
    # OpenAI Responses
    {"type": "output_text", "text": "mark1", "annotations": [{"type": "url_citation", "url": "https://x"}]},
    {"type": "refusal", "refusal": "mark1"},
    {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "mark1"}},
    {"type": "file_search_call", "id": "fs", "queries": ["mark1"], "results": [{"filename": "mark2", "text": "mark3", "score": 0.5}]},
    {"type": "code_interpreter_call", "id": "ci", "code": "print('mark1')", "outputs": [{"type": "logs", "logs": "mark2"}]},
    {"type": "mcp_call", "id": "m", "server_label": "mark1", "name": "mark2", "arguments": '{"a": "mark3"}', "output": "mark4"},
    {"type": "mcp_approval_request", "id": "m", "name": "mark1", "arguments": "{}", "server_label": "mark2"},
    {"type": "computer_call", "call_id": "c", "action": {"type": "type", "text": "mark1"}},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "mark1"},
    {"type": "local_shell_call", "action": {"command": ["mark1", "mark2"]}},
    # Gemini
    {"type": "executable_code", "executable_code": "print('mark1')", "language": "python"},
    {"type": "code_execution_result", "code_execution_result": "mark1", "outcome": 1},
    {"executable_code": {"language": "PYTHON", "code": "mark1"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "mark1"}},
    {"text": "mark1", "thought_signature": "c2ln"},
    {"inline_data": {"mime_type": "text/plain", "data": "bWFyazE="}},
    # Bedrock Converse
    {"text": "mark1"},
    {"guardContent": {"text": {"text": "mark1"}}},
    {"document": {"format": "txt", "name": "n", "source": {"text": "mark1"}}},
    {"toolResult": {"toolUseId": "t", "content": [{"text": "mark1"}, {"json": {"a": "mark2"}}]}},
    {"citationsContent": {"content": [{"text": "mark1"}], "citations": []}},
    # LangChain
    {"type": "server_tool_call", "id": "1", "name": "web_search", "args": {"query": "mark1"}},
    {"type": "server_tool_result", "tool_call_id": "1", "status": "success", "output": {"sources": [{"url": "mark1", "id": "mark2"}]}},
    {"type": "non_standard", "value": {"type": "web_search_call", "action": {"query": "mark1"}}},
    {"type": "non_standard", "value": {"text": "mark1"}},
    {"type": "text-plain", "text": "mark1", "title": "mark2", "mime_type": "text/plain"},
    {"type": "file", "base64": "bWFyazE=", "mime_type": "text/plain"},
    {"type": "json", "json": {"a": ["mark1"]}},
    # MCP
    {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "mark1"}},
    {"type": "resource_link", "uri": "https://x/mark1", "name": "mark2", "description": "mark3"},
    "mark1",
]  # fmt: skip
"""What is told in full, without a warning: each `mark` arrives."""

SILENT: list[Any] = [
    {"type": "redacted_thinking", "data": BINARY},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": BINARY},
    {"type": "thinking", "thinking": "hm", "signature": BINARY},
    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
    {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}},
    {"type": "function_call_signature", "signature": "s", "index": 0},
    {"text": "hm", "thought": True},
    {"cachePoint": {"type": "default"}},
    {"type": "cache_point"},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "reference", "reference_ids": [1]},
    {"type": "text", "text": ""},
    {"type": "text", "index": 0},
    {"type": "input_json_delta", "partial_json": "{"},
    {"type": "compaction", "encrypted_content": BINARY},
]
"""What carries nothing for another model."""

NOTED: list[tuple[Any, str, str]] = [
    ({"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}, "image (image/png)", "[image, image/png]"),
    ({"type": "image_url", "image_url": {"url": "https://x/a.png"}}, "image", "[image, https://x/a.png]"),
    ({"type": "image", "file_id": "f"}, "image", "[image]"),
    ({"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}, "image (image/png)", "[image, image/png]"),
    ({"type": "audio", "data": "UklG", "mimeType": "audio/wav"}, "audio", "[audio"),
    ({"type": "video", "url": "https://x/a.mp4"}, "video", "https://x/a.mp4"),
    (
        {"type": "file", "url": "https://x/a.pdf", "mime_type": "application/pdf"},
        "file (application/pdf)",
        "https://x/a.pdf",
    ),
    ({"type": "file", "file": {"file_id": "f", "filename": "a.pdf"}}, "file", "[file, a.pdf]"),
    ({"type": "resource", "resource": {"uri": "file:///a.bin", "mimeType": "application/zip", "blob": BINARY}}, "zip", "a.bin"),
    ({"type": "image_generation_call", "id": "ig", "result": BINARY, "output_format": "png"}, "image (image/png)", "[image"),
    ({"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}, "image (image/png)", "[image, image/png]"),
    (
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": b"%PDF"}}},
        "application/pdf",
        "[file, application/pdf, a]",
    ),
    ({"type": "media", "mime_type": "image/png", "file_uri": "gs://b/a.png"}, "image (image/png)", "gs://b/a.png"),
    ({"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "t"}]}, "mcp_list_tools", ""),
    ({"type": "container_upload", "file_id": "f"}, "container_upload", ""),
    ({"type": "hologram", "caption": "a llama"}, "hologram", "caption: a llama"),
    ({"hologram": {"caption": "a llama"}, "depth": 3}, "object", "caption: a llama"),
    ({"text": "a", "unknown": "b"}, "object", "unknown: b"),
    (
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": BINARY}},
        "binary data",
        "[440 bytes]",
    ),
    (b"\x00\x01", "bytes", ""),
    (3.5, "float", "3.5"),
]
"""What the model gets a note of, or nothing."""


def told_to_langchain(block: Any, role: str) -> Iterator[dict[str, Any]]:
    kind = AIMessage if role == "assistant" else ToolMessage
    message = kind.model_construct(content=[block], tool_call_id="1", additional_kwargs={}, type="x", tool_calls=[], name=None)
    message.__dict__ |= {"invalid_tool_calls": [], "artifact": None}
    return iter(langchain_messages([message]))


class _Foreign(BaseModel):
    """A block that LlamaIndex does not have yet."""

    model_config = {"extra": "allow"}


def told_to_llama_index(block: Any, role: str) -> Iterator[dict[str, Any]]:
    message = ChatMessage(role=role)
    is_object = isinstance(block, dict) and isinstance(block.get("type"), str)
    fields = {("block_type" if key == "type" else key): value for key, value in block.items()} if is_object else {}
    message.blocks.append(_Foreign.model_construct(**fields) if is_object else block)  # type: ignore[arg-type]
    return iter(llama_index_messages([message]))


FRAMEWORKS = [told_to_langchain, told_to_llama_index]
ROLES = ["assistant", "tool"]


def marks(value: Any) -> set[str]:
    text = json.dumps(value, default=str).replace("bWFyazE=", "mark1")
    return {f"mark{number}" for number in range(1, 5) if f"mark{number}" in text}


@pytest.mark.parametrize("told", FRAMEWORKS)
@each("role", ROLES)
@each("block", TOLD)
def test_foreign_blocks_are_told_as_text(block: Any, role: str, told: Any) -> None:
    [message] = told(block, role)
    assert marks(block) <= {mark for mark in marks(block) if mark in message["content"]}
    assert BINARY not in message["content"]


@pytest.mark.parametrize("told", FRAMEWORKS)
@each("role", ROLES)
@each("block", SILENT)
def test_what_carries_nothing_is_left_out(block: Any, role: str, told: Any) -> None:
    [message] = told(block, role)
    assert not message["content"]


@pytest.mark.parametrize("told", FRAMEWORKS)
@each("role", ROLES)
@each("block, label, note", NOTED)
def test_the_rest_is_named_in_a_warning(block: Any, label: str, note: str, role: str, told: Any) -> None:
    with pytest.warns(HistoryWarning) as caught:
        [message] = told(block, role)
    assert len(caught) == 1
    assert label in str(caught[0].message)
    assert f"in a{'n' if role == 'assistant' else ''} {role} message" in str(caught[0].message)
    assert note in message["content"]


def test_one_warning_counts_the_blocks_of_a_request() -> None:
    picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    messages = [AIMessage([picture, {"type": "hologram"}]), ToolMessage([picture, picture], tool_call_id="1")]
    with pytest.warns(HistoryWarning) as caught:
        langchain_messages(messages)
    listing = "1 x image (image/png) in an assistant message, 1 x hologram in an assistant message, 2 x image (image/png) in a tool message"
    assert [str(warning.message).endswith(listing) for warning in caught] == [True]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
KINDS = st.sampled_from(
    [
        block["type"]
        for block in [*TOLD, *SILENT, *(block for block, _, _ in NOTED)]
        if isinstance(block, dict) and "type" in block
    ]
)
KEYS = st.sampled_from(
    "type text content id data url source image output input args name summary base64 mime_type".split()
) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS | KINDS, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)  # fmt: skip
BLOCKS = VALUES | st.builds(lambda kind, fields: {**fields, "type": kind}, KINDS, st.dictionaries(KEYS, VALUES, max_size=5))
KNOWN = st.sampled_from([*TOLD, *SILENT, *(block for block, _, _ in NOTED)])


@given(blocks=st.lists(BLOCKS | KNOWN, max_size=4), role=st.sampled_from(ROLES))
def test_no_history_ends_a_run(blocks: list[Any], role: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HistoryWarning)
        for told in FRAMEWORKS:
            for message in told(blocks, role):
                assert isinstance(message["content"], str | None)
                json.dumps(message, allow_nan=False).encode()
                for call in message.get("tool_calls", ()):
                    assert isinstance(json.loads(call["function"]["arguments"]), dict)


def test_values_without_an_end() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    circle: dict[str, Any] = {"type": "web_search_call"}
    circle["action"] = circle
    for value in (deep, circle, {"type": "mcp_call", "output": deep}):
        for told in (told_to_langchain, told_to_llama_index):
            with pytest.warns(HistoryWarning):
                list(told(value, "tool"))


def test_halves_of_surrogate_pairs_are_joined_or_replaced() -> None:
    assert History().text("\ud83d\ude00 \ud83d", "tool") == "\U0001f600 \ufffd"
    assert (
        History().text([{"type": "text", "text": "\ud83d"}, {"type": "text", "text": "\ude00"}], "assistant", "") == "\U0001f600"
    )


ARGUMENTS: list[tuple[Any, Any]] = [
    (None, {}),
    ("", {}),
    ("  ", {}),
    ("null", {}),
    ({}, {}),
    ('{"a": 1}', {"a": 1}),
    ('"{\\"a\\": 1}"', {"a": 1}),
    (json.dumps(json.dumps(json.dumps({"a": 1}))), {"a": 1}),
    ("{'a': True, 'b': None}", {"a": True, "b": None}),
    ('{"a": "x\ny"}', {"a": "x\ny"}),
    ('{"a": NaN}', {"a": "nan"}),
    ({"a": float("inf")}, {"a": "inf"}),
    ({"a": {1, 2}, "b": b"x", 3: ("y",)}, {"a": [1, 2], "b": "b'x'", "3": ["y"]}),
    (b'{"a": 1}', {"a": 1}),
    ("[1, 2]", {UNREADABLE: "[1, 2]"}),
    ([1, 2], {UNREADABLE: "[1, 2]"}),
    ("true", {UNREADABLE: "true"}),
    (7, {UNREADABLE: "7"}),
    ('{"city": "Par', {UNREADABLE: '{"city": "Par'}),
    ("city=Paris", {UNREADABLE: "city=Paris"}),
    ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
    ("[" * 100_000, {UNREADABLE: "[" * 100_000}),
    ("{'a': '\\d'}", {UNREADABLE: "{'a': '\\d'}"}),
]


@pytest.mark.parametrize(("value", "expected"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_arguments_are_always_an_object(value: Any, expected: Any) -> None:
    assert json.loads(json_arguments(value)) == expected


@given(VALUES | st.text() | st.text(alphabet="{}[]\",:\\ \n0aN'", max_size=30))
def test_any_arguments_are_an_object(value: Any) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    text = json_arguments(value)
    assert isinstance(json.loads(text, parse_constant=refuse), dict)
    text.encode()


@pytest.mark.parametrize(("value", "expected"), ARGUMENTS, ids=lambda value: str(value)[:40])
def test_arguments_in_both_frameworks(value: Any, expected: Any) -> None:
    call = {"name": "f", "args": value, "id": None, "type": "tool_call"}
    message = AIMessage("").model_copy(update={"tool_calls": [call] if isinstance(value, dict) else []})
    message.invalid_tool_calls = [] if isinstance(value, dict) else [call]  # type: ignore[list-item]
    block = ToolCallBlock.model_construct(tool_call_id=None, tool_name="f", tool_kwargs=value)
    other = ChatMessage(role="assistant")
    other.blocks.append(block)
    for wire in (langchain_messages([message]), llama_index_messages([other])):
        [sent] = wire[0]["tool_calls"]
        assert (sent["id"], sent["function"]["name"]) == ("", "f")
        assert json.loads(sent["function"]["arguments"]) == expected


def test_reasoning_of_others_is_sent_back_on_request() -> None:
    blocks: list[Any] = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": BINARY},
        {"type": "thinking", "thinking": "b", "signature": "s"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "c"}]},
        {"reasoningContent": {"reasoningText": {"text": "d"}}},
        {"type": "reasoning_content", "reasoning_content": {"text": "e"}},
        {"text": "f", "thought": True},
        {"type": "redacted_thinking", "data": BINARY},
        {"type": "text", "text": "4"},
    ]
    assert langchain_messages([AIMessage(blocks)]) == [{"role": "assistant", "content": "4"}]
    assert langchain_messages([AIMessage(blocks)], replay_reasoning=True)[0]["reasoning"] == "abcdef"
    assert langchain_messages([AIMessage(blocks[:-1])]) == [{"role": "assistant", "content": ""}]


def test_what_other_integrations_keep_beside_the_content() -> None:
    extra: dict[str, Any] = {
        "tool_outputs": [TOLD[14]],
        "executed_tools": [{"type": "search", "arguments": "{}", "output": "mark2"}],
    }
    with pytest.warns(HistoryWarning, match="1 x search in an assistant message"):
        [message] = langchain_messages([AIMessage("So.", additional_kwargs=extra)])
    assert marks(message) == {"mark1", "mark2"}
    assert message["content"].endswith("So.")
    for extra in ({"refusal": "No."}, {"audio": {"id": "a", "data": BINARY, "transcript": "No."}}):
        assert langchain_messages([AIMessage("", additional_kwargs=extra)])[0]["content"] == "No."
        assert langchain_messages([AIMessage("So.", additional_kwargs=extra)])[0]["content"] == "So.\nNo."
    legacy = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{'a': 1}"}})
    assert langchain_messages([legacy])[0]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}


def test_structured_content_without_other_content() -> None:
    result = ToolMessage([], tool_call_id="1", artifact={"structured_content": {"celsius": 4}})
    assert langchain_messages([result])[0]["content"] == '{"celsius": 4}'


def test_user_messages_are_refused_by_name() -> None:
    for block, *_ in NOTED[13:15]:
        with pytest.raises(ValueError, match="in a user message cannot be sent"):
            langchain_messages([HumanMessage([block])])

"""The messages, content blocks and tools of a request."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.messages import wire_messages

from together_adapters.emulator import Emulator
from together_adapters.errors import HistoryWarning

PNG = "iVBORw0KGgo="
NOTES = b64encode(b"notes").decode()


def wire(*messages: BaseMessage, **options: Any) -> Any:
    messages_out = wire_messages(list(messages), **options)
    return messages_out[0] if len(messages_out) == 1 else messages_out


def test_roles_and_names() -> None:
    assert wire(SystemMessage("a")) == {"role": "system", "content": "a"}
    assert wire(HumanMessage("a", name="Ann")) == {"role": "user", "content": "a", "name": "Ann"}
    assert wire(AIMessage("a")) == {"role": "assistant", "content": "a"}
    assert wire(ToolMessage("a", tool_call_id="1")) == {"role": "tool", "content": "a", "tool_call_id": "1"}
    assert wire(FunctionMessage("a", name="f")) == {"role": "function", "name": "f", "content": "a"}
    assert wire(ChatMessage("a", role="critic")) == {"role": "critic", "content": "a"}
    assert wire(ChatMessage("a", role="developer")) == {"role": "system", "content": "a"}
    assert wire(ChatMessage("a", role="human")) == {"role": "user", "content": "a"}
    assert wire(ChatMessage("a", role="tool")) == {"role": "tool", "content": "a", "tool_call_id": ""}
    with pytest.warns(HistoryWarning, match="RemoveMessage"):
        assert wire(RemoveMessage("1"), HumanMessage("a")) == {"role": "user", "content": "a"}


def test_calls_and_their_results() -> None:
    call = {"name": "f", "args": {"city": "Zürich"}, "id": "1"}
    invalid = {"name": "g", "args": "{", "id": "2", "error": None}
    messages_out = wire(AIMessage("", tool_calls=[call], invalid_tool_calls=[invalid]))
    assert messages_out["content"] is None
    assert messages_out["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Zürich"}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": '{"raw_arguments": "{"}'}},
    ]


def test_anthropic_histories() -> None:
    use = {"type": "tool_use", "id": "t", "name": "pick", "input": {"color": "green"}}
    assistant = AIMessage([{"type": "text", "text": "hm"}, use])
    answer = HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "ok"}]},
            {"type": "text", "text": "so?"},
        ]
    )
    first, result, question = wire(assistant, answer)
    assert first["content"] == "hm"
    assert first["tool_calls"][0]["function"] == {"name": "pick", "arguments": '{"color": "green"}'}
    assert result == {"role": "tool", "content": "ok", "tool_call_id": "t"}
    assert question == {"role": "user", "content": [{"type": "text", "text": "so?"}]}


BLOCKS: list[tuple[Any, Any]] = [
    ("plain", {"type": "text", "text": "plain"}),
    ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "a"}),
    ({"type": "image_url", "image_url": "https://x/y.png"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
    (
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
    ),
    ({"type": "image", "url": "https://x/y.png"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
    (
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ),
    (
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ),
    (
        {"type": "image", "source": {"type": "base64", "data": PNG, "media_type": "image/webp"}},
        {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{PNG}"}},
    ),
    ({"type": "video", "url": "https://x/y.mp4"}, {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}),
    (
        {"type": "video", "base64": "AAAA", "mime_type": "video/webm"},
        {"type": "video_url", "video_url": {"url": "data:video/webm;base64,AAAA"}},
    ),
    ({"type": "video_url", "video_url": {"url": "https://x"}}, {"type": "video_url", "video_url": {"url": "https://x"}}),
    ({"type": "audio", "url": "https://x/y.wav"}, {"type": "audio_url", "audio_url": {"url": "https://x/y.wav"}}),
    (
        {"type": "audio", "base64": "UklG", "mime_type": "audio/mpeg"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ),
    ({"type": "text-plain", "text": "notes", "mime_type": "text/plain"}, {"type": "text", "text": "notes"}),
    *[
        (block, {"type": "text", "text": "notes"})
        for block in (
            {"text": "notes"},
            {"type": "text", "text": "notes", "citations": [{"url": "u"}], "title": "t"},
            {"type": "input_text", "text": "notes"},
            {"type": "file", "base64": NOTES, "mime_type": "text/plain", "filename": "a.txt"},
            {"type": "file", "file": {"file_data": f"data:text/plain;base64,{NOTES}", "filename": "a.txt"}},
            {"type": "input_file", "file_data": f"data:text/markdown;base64,{NOTES}", "filename": "a.md"},
            {"type": "text-plain", "base64": NOTES, "mime_type": "text/plain"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}, "title": "t"},
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "notes"}]}},
            {"document": {"format": "txt", "name": "a", "source": {"text": "notes"}}},
            {"document": {"format": "md", "name": "a", "source": {"bytes": b"notes"}}},
            {"guardContent": {"text": {"text": "notes", "qualifiers": ["grounding_source"]}}},
            {"inline_data": {"mime_type": "application/json", "data": NOTES}},
            {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "notes"}},
            {"type": "non_standard", "value": {"text": "notes"}},
        )
    ],
    *[
        (block, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})
        for block in (
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "image", "data": PNG, "mimeType": "image/png"},
            {
                "type": "image",
                "base64": PNG,
                "mime_type": "image/png",
                "filename": "a.png",
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "file", "base64": PNG, "mime_type": "image/png"},
            {"type": "media", "mime_type": "image/png", "data": PNG},
            {"type": "media", "mime_type": "image/png", "data": b64decode(PNG)},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
            {"image": {"format": "png", "source": {"bytes": b64decode(PNG)}}},
            {"type": "image", "image": f"data:image/png;base64,{PNG}"},
        )
    ],
    (
        {"file_data": {"file_uri": "https://x/y.mp4", "mime_type": "video/mp4"}},
        {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
    ),
    (
        {"video": {"format": "mp4", "source": {"bytes": b"\0\0\0"}}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    ),
    ({"type": "image", "source": {"type": "url", "url": "https://x"}}, {"type": "image_url", "image_url": {"url": "https://x"}}),
    (
        {"type": "audio", "data": "UklG", "mimeType": "audio/x-wav"},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
    ),
]


@pytest.mark.parametrize(("block", "part"), BLOCKS, ids=str)
def test_blocks(block: Any, part: Any) -> None:
    assert wire(HumanMessage([block]))["content"] == [part]


def test_hints_in_a_user_message_are_not_sent() -> None:
    blocks: list[Any] = [{"cachePoint": {"type": "default"}}, {"type": "text", "text": "a"}, {"type": "cache_point"}]
    assert wire(HumanMessage(blocks))["content"] == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "ok"}]},
        {"type": "tool_result", "tool_use_id": "t", "content": "ok", "is_error": True},
        {"toolResult": {"toolUseId": "t", "content": [{"text": "ok"}], "status": "success"}},
        {"type": "function_response", "function_response": {"id": "t", "name": "f", "response": "ok"}},
        {"type": "function_call_output", "call_id": "t", "output": "ok"},
    ],
    ids=str,
)
def test_results_in_a_user_message_become_messages(block: Any) -> None:
    assert wire(HumanMessage([block])) == {"role": "tool", "content": "ok", "tool_call_id": "t"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
        {"type": "function_call", "id": "fc_1", "call_id": "t", "name": "f", "arguments": '{"a": 1}'},
        {"functionCall": {"id": "t", "name": "f", "args": {"a": 1}}},
        {"type": "non_standard", "value": {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}},
        {"type": "tool_call", "id": "t", "name": "f", "args": {"a": 1}},
    ],
    ids=str,
)
def test_calls_in_content_blocks(block: Any) -> None:
    message = wire(AIMessage([{"type": "text", "text": "hm"}, block]))
    assert message["content"] == "hm"
    assert message["tool_calls"] == [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    parsed = AIMessage([block], tool_calls=[{"name": "f", "args": {"a": 1}, "id": "t"}])
    assert wire(parsed)["tool_calls"] == message["tool_calls"]


UNSUPPORTED: list[tuple[BaseMessage, str]] = [
    (HumanMessage([{"type": "file", "base64": "JVBE", "mime_type": "application/pdf"}]), r"'file' \(application/pdf\)"),
    (HumanMessage([{"type": "image", "file_id": "f-1"}]), "'image'"),
    (HumanMessage([{"type": "hologram"}]), "'hologram'"),
    (SystemMessage([{"type": "image", "url": "https://x"}]), "'image_url' in a system message"),
    (HumanMessage([{"type": "image", "source": {"type": "file", "file_id": "f"}}]), "keeps no files"),
    (HumanMessage([{"type": "input_image", "file_id": "f"}]), "keeps no files"),
    (HumanMessage([{"type": "media", "mime_type": "image/png", "file_uri": "gs://b/a.png"}]), "cannot fetch"),
    (HumanMessage([{"type": "server_tool_use", "name": "web_search", "input": {}}]), "'server_tool_use' in a user message"),
    (HumanMessage([{"inline_data": {"mime_type": "application/pdf", "data": "JVBE"}}]), "'inline_data'"),
    (SystemMessage([{"hologram": 1}]), "'hologram' in a system message"),
    (HumanMessage([{"type": "image_url", "image_url": {}}]), "no url"),
    (HumanMessage([{"type": "input_audio"}]), "nor base64 data"),
]


@pytest.mark.parametrize(("message", "named"), UNSUPPORTED, ids=str)
def test_unsupported_content_raises_an_error_that_names_it(
    message: BaseMessage, named: str, llm: ChatTogether, emulator: Emulator
) -> None:
    with pytest.raises(ValueError, match=named):
        wire(message)
    with pytest.raises(ValueError, match="cannot be sent"):
        llm.invoke([message])
    assert emulator.requests == []


def test_text_blocks_of_roles_that_hold_text_alone() -> None:
    blocks: list[Any] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert wire(SystemMessage(blocks))["content"] == "a\nb"
    assert wire(AIMessage(blocks))["content"] == "ab"
    assert wire(ToolMessage(blocks, tool_call_id="1"))["content"] == "a\nb"


def test_the_image_of_a_tool_is_moved_where_the_model_sees() -> None:
    picture = {"type": "image", "url": "https://x/y.png"}
    results = [ToolMessage([picture], tool_call_id="1"), ToolMessage("b", tool_call_id="2")]
    first, second, moved, question = wire(*results, HumanMessage("?"), takes_images=True)
    assert (first["content"], second["content"], question["content"]) == ("[image 1 of the next message]", "b", "?")
    assert (moved["role"], moved["content"][1:]) == ("user", [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}])
    assert wire(*results, takes_images=True)[-1] == moved
    with pytest.warns(HistoryWarning, match="1 x image in a tool message"):
        assert [message["content"] for message in wire(*results)] == ["[image, https://x/y.png]", "b"]


def test_reasoning_is_sent_back_on_request() -> None:
    answer = AIMessage("4", additional_kwargs={"reasoning_content": "2+2"})
    blocks = AIMessage([{"type": "reasoning", "reasoning": "2+2"}, {"type": "text", "text": "4"}])
    for message in (answer, blocks):
        assert wire(message) == {"role": "assistant", "content": "4"}
        assert wire(message, replay_reasoning=True) == {"role": "assistant", "content": "4", "reasoning": "2+2"}


def test_a_response_can_be_sent_again(connect: Any, emulator: Emulator) -> None:
    """A parsed response becomes the message that it was, in each of its forms."""
    for version in ("v0", "v1"):
        llm = ChatTogether(model="openai/gpt-oss-120b", output_version=version, replay_reasoning=True, **connect)
        first = llm.invoke("Why?")
        llm.invoke([HumanMessage("Why?"), first, HumanMessage("And?")])
        assistant = emulator.requests[-1].json["messages"][1]
        assert assistant["reasoning"]
        assert assistant["content"] == first.text
        stream: Any = llm.stream("Why?")
        chunks = list(stream)
        llm.invoke([HumanMessage("Why?"), chunks[0] + chunks[1:], HumanMessage("And?")])
        assert emulator.requests[-1].json["messages"][1] == assistant

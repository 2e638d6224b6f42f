"""LangChain's messages as rows: each kind, with what tends to go wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    messages_to_dict,
    trim_messages,
)
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.prompts import ChatPromptTemplate
from langchain_together_adapters.finetuning import from_langchain

from together_adapters.finetune import check_row
from together_adapters.finetune.errors import ConversionError
from together_adapters.finetune.records import Example, Refusal

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CHAT = [SystemMessage("Be kind."), HumanMessage("Hi"), AIMessage("Hello!")]
ROWS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
]


def row_messages(*messages: Any, **options: Any) -> list[dict[str, Any]]:
    [row] = from_langchain(list(messages), **options)
    return row["messages"]  # type: ignore[no-any-return]


def refusal_of(*messages: Any, **options: Any) -> Refusal:
    [record] = from_langchain([list(messages)], **options).records()
    assert isinstance(record, Refusal)
    return record


def changed(*messages: Any, **options: Any) -> tuple[str, ...]:
    [record] = from_langchain([list(messages)], **options).records()
    assert isinstance(record, Example)
    return record.changed


def call_message(*calls: tuple[str, str | None], content: Any = "") -> AIMessage:
    return AIMessage(content, tool_calls=[{"name": name, "args": {"a": 1}, "id": id} for name, id in calls])


@pytest.mark.parametrize(
    "source",
    [
        CHAT,
        tuple(CHAT),
        [CHAT],
        ChatPromptTemplate.from_messages(CHAT).invoke({}),
        [("system", "Be kind."), ("human", "Hi"), ("ai", "Hello!")],
        [messages_to_dict(CHAT)],
        [dumpd(message) for message in CHAT],
        ROWS,
        {"messages": CHAT},
        [{"messages": CHAT}],
        iter(CHAT),
        iter([CHAT]),
        (chat for chat in [CHAT]),
    ],
    ids=lambda source: type(source).__name__,
)
def test_one_conversation_in_any_form(source: Any) -> None:
    assert list(from_langchain(source)) == [{"messages": ROWS}]


def test_a_bare_pair_is_one_message() -> None:
    [record] = from_langchain(("human", "hi")).records()
    assert isinstance(record, Example)
    assert record.row == {"messages": [{"role": "user", "content": "hi"}]}


def test_plain_conversations_are_what_langchain_itself_makes_of_them() -> None:
    chats = [CHAT, [HumanMessage("a", name="ann"), AIMessage("b"), HumanMessage(""), AIMessage("d")]]
    assert [row["messages"] for row in from_langchain(chats)] == [convert_to_openai_messages(chat) for chat in chats]


def test_subclasses_take_the_long_way_to_the_same_row() -> None:
    class Mine(HumanMessage):
        pass

    assert row_messages(Mine("Hi"), AIMessage("Hello!")) == ROWS[1:]


def test_chunks_of_one_message_are_joined_by_their_id() -> None:
    chunks = [AIMessageChunk("Hel", id="1"), AIMessageChunk("lo!", id="1"), AIMessageChunk("Bye", id="2")]
    assert [one["content"] for one in row_messages(HumanMessage("Hi"), *chunks)] == ["Hi", "Hello!", "Bye"]
    chunks = [AIMessageChunk("Hel"), AIMessageChunk("lo!")]
    assert [one["content"] for one in row_messages(HumanMessage("Hi"), *chunks)] == ["Hi", "Hello!"]


def test_chunks_bring_their_calls_and_reasoning() -> None:
    chunk_messages = [
        AIMessageChunk("", additional_kwargs={"reasoning_content": "I th"}, id="1"),
        AIMessageChunk("", additional_kwargs={"reasoning_content": "ink"}, id="1"),
        AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "c", "index": 0}], id="1"),
        AIMessageChunk("", tool_call_chunks=[{"name": None, "args": ": 1}", "id": None, "index": 0}], id="1"),
    ]
    assert row_messages(HumanMessage("Hi"), *chunk_messages)[1] == {
        "role": "assistant",
        "reasoning": "I think",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
    }


def test_what_removes_messages_is_no_message() -> None:
    assert refusal_of(HumanMessage("Hi"), RemoveMessage("1")).code == "message_kind_unknown"
    assert refusal_of(HumanMessage("Hi"), object()).code == "message_kind_unknown"


def test_calls_and_results() -> None:
    messages = row_messages(
        HumanMessage("Hi"),
        call_message(("f", "1"), ("g", "2")),
        ToolMessage("x", tool_call_id="1"),
        ToolMessage("y", tool_call_id="2"),
        AIMessage("done"),
    )
    assert "content" not in messages[1]
    assert [one["tool_call_id"] for one in messages if one["role"] == "tool"] == ["1", "2"]
    assert not [issue for issue in check_row({"messages": messages}) if issue.severity == "error"]


def test_calls_without_ids_get_the_same_ones_each_time() -> None:
    chat = [
        HumanMessage("Hi"),
        call_message(("f", None), ("g", None)),
        ToolMessage("y", tool_call_id="", name="g"),
        ToolMessage("x", tool_call_id=""),
        AIMessage("d"),
    ]
    data = from_langchain([CHAT, chat])
    [_, row] = data
    assert [one["id"] for one in row["messages"][1]["tool_calls"]] == ["call_2_0", "call_2_1"]
    assert [one["tool_call_id"] for one in row["messages"] if one["role"] == "tool"] == ["call_2_1", "call_2_0"]
    assert list(data)[1] == row
    assert changed(*chat) == ("tool_call_id_made",)
    assert chat[1].tool_calls[0]["id"] is None  # type: ignore[union-attr]


def test_calls_that_could_not_be_parsed() -> None:
    bad = AIMessage(
        "", invalid_tool_calls=[{"name": "f", "args": "{oops", "id": "1", "error": None, "type": "invalid_tool_call"}]
    )
    refusal = refusal_of(HumanMessage("Hi"), bad)
    assert (refusal.code, refusal.path) == ("tool_call_invalid", "messages[1].invalid_tool_calls[0]")
    assert (
        row_messages(HumanMessage("Hi"), bad, invalid_tool_calls="keep")[1]["tool_calls"][0]["function"]["arguments"] == "{oops"
    )
    assert row_messages(HumanMessage("Hi"), bad, invalid_tool_calls="drop")[1] == {"role": "assistant", "content": ""}
    assert changed(HumanMessage("Hi"), bad, invalid_tool_calls="drop") == ("invalid_tool_call_dropped",)


def test_calls_that_only_blocks_tell() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    answer = row_messages(HumanMessage("Hi"), AIMessage([{"type": "text", "text": "Let me see."}, block]))[1]
    assert answer["content"] == "Let me see."
    assert [one["id"] for one in answer["tool_calls"]] == ["t1"]
    both = AIMessage([block], tool_calls=[{"name": "f", "args": {"a": 1}, "id": "t1"}])
    assert len(row_messages(HumanMessage("Hi"), both)[1]["tool_calls"]) == 1


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage("4", additional_kwargs={"reasoning_content": "2 and 2"}),
        AIMessage([{"type": "reasoning", "reasoning": "2 and 2"}, {"type": "text", "text": "4"}]),
        AIMessage([{"type": "thinking", "thinking": "2 and 2"}, "4"]),
        AIMessage([{"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "2 and 2"}]}, "4"]),
    ],
    ids=["kwargs", "reasoning", "thinking", "summary"],
)
def test_reasoning(answer: AIMessage) -> None:
    assert row_messages(HumanMessage("2+2"), answer)[1] == {"role": "assistant", "content": "4", "reasoning": "2 and 2"}
    assert row_messages(HumanMessage("2+2"), answer, reasoning="drop")[1] == {"role": "assistant", "content": "4"}
    assert changed(HumanMessage("2+2"), answer, reasoning="drop") == ("reasoning_dropped",)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "2 and 2", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EqQB"},
        {"type": "reasoning", "encrypted_content": "gAAA", "summary": []},
        {"type": "reasoning", "reasoning": "2", "extras": {"signature": "EqQB"}},
    ],
    ids=str,
)
def test_sealed_reasoning_is_refused(block: dict[str, Any]) -> None:
    answer = AIMessage([block, {"type": "text", "text": "4"}])
    refusal = refusal_of(HumanMessage("2+2"), answer)
    assert (refusal.code, refusal.path) == ("reasoning_unreadable", "messages[1].content[0]")
    assert changed(HumanMessage("2+2"), answer, reasoning="drop") == ("reasoning_dropped",)


def test_results_of_tools() -> None:
    def result(content: Any, **fields: Any) -> list[Any]:
        return [HumanMessage("Hi"), call_message(("f", "1")), ToolMessage(content, tool_call_id="1", **fields), AIMessage("d")]

    assert row_messages(*result([{"type": "text", "text": "a"}, "b"], artifact=object()))[2]["content"] == "a\nb"
    picture = [{"type": "image", "base64": PNG, "mime_type": "image/png"}]
    assert refusal_of(*result(picture)).code == "image_outside_user_message"
    assert changed(*result("boom", status="error")) == ("tool_error",)
    refusal = refusal_of(*result("boom", status="error"), tool_errors="drop_row")
    assert (refusal.code, refusal.skipped) == ("tool_error", True)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        {"type": "image", "base64": PNG},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "media", "mime_type": "image/png", "data": PNG},
    ],
    ids=lambda block: ",".join(block),
)
def test_images_become_data_urls_and_all_contents_parts(block: dict[str, Any]) -> None:
    messages = row_messages(SystemMessage("See."), HumanMessage(["What is it?", block]), AIMessage("A pixel."))
    assert messages[1]["content"][1] == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    assert messages[0]["content"] == [{"type": "text", "text": "See."}]
    assert messages[2]["content"] == [{"type": "text", "text": "A pixel."}]
    assert not check_row({"messages": messages})


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video", "url": "https://example.org/v.mp4"},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "server_tool_call", "name": "web_search", "args": {}, "id": "1"},
        {"type": "non_standard", "value": {}},
    ],
    ids=lambda block: block["type"],
)
def test_what_cannot_be_trained_on_is_refused(block: dict[str, Any]) -> None:
    refusal = refusal_of(HumanMessage(["Look:", block]), AIMessage("ok"))
    assert (refusal.code, refusal.path) == ("content_part_unsupported", "messages[0].content[1]")


def test_an_image_by_its_id_is_refused() -> None:
    assert refusal_of(HumanMessage([{"type": "image", "file_id": "file-1"}])).code == "image_invalid"


def test_roles() -> None:
    assert row_messages(ChatMessage("Hi", role="user"), ChatMessage("Hello!", role="assistant")) == ROWS[1:]
    assert (
        row_messages(SystemMessage("x", additional_kwargs={"__openai_role__": "developer"}), *CHAT[1:])[0]["role"] == "developer"
    )
    assert refusal_of(ChatMessage("Hi", role="critic")).code == "role_unknown"


def test_function_messages_need_their_call() -> None:
    legacy = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}})
    messages = row_messages(HumanMessage("Hi"), legacy, FunctionMessage("x", name="f"), AIMessage("d"))
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"] == "call_1_0"
    assert refusal_of(HumanMessage("Hi"), FunctionMessage("x", name="f")).code == "tool_result_unmatched"


def test_trimmed_conversations_show_their_orphans() -> None:
    chat = [HumanMessage("Hi"), call_message(("f", "1")), ToolMessage("x", tool_call_id="1"), AIMessage("d")]
    trimmed_chat = trim_messages(chat, strategy="last", max_tokens=2, token_counter=len)
    [row] = from_langchain([trimmed_chat])
    assert "tool_result_unmatched" in [issue.code for issue in check_row(row)]


def test_refusals_are_raised_together_at_the_end() -> None:
    rows = []
    with pytest.raises(ConversionError, match="role_unknown"):
        for row in from_langchain([CHAT, [ChatMessage("Hi", role="critic")], CHAT]):
            rows.append(row)
    assert len(rows) == 2

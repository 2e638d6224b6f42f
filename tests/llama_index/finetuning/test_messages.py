"""LlamaIndex's messages as rows, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index_together_adapters.finetuning import from_llama_index

from together_adapters.finetune import check_row
from together_adapters.finetune.records import Example, Refusal

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
URL = f"data:image/png;base64,{PNG}"
CHAT = [ChatMessage("Be kind.", role="system"), ChatMessage("Hi"), ChatMessage("Hello!", role="assistant")]
ROWS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]


def row_messages(*messages: Any, **options: Any) -> list[dict[str, Any]]:
    [row] = from_llama_index(list(messages), **options)
    return row["messages"]  # type: ignore[no-any-return]


def answer(*blocks: Any, **fields: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), **fields)


def refusal_of(*messages: Any) -> Refusal:
    [record] = from_llama_index([list(messages)]).records()
    assert isinstance(record, Refusal)
    return record


@pytest.mark.parametrize(
    "source",
    [
        lambda: CHAT,
        lambda: [CHAT],
        lambda: iter(CHAT),
        lambda: iter([CHAT]),
        lambda: {"messages": CHAT},
        lambda: [{"messages": [message.model_dump() for message in CHAT]}],
        lambda: [message.model_dump(mode="json") for message in CHAT],
        lambda: ROWS,
    ],
)
def test_one_conversation_in_any_form(source: Any) -> None:
    assert list(from_llama_index(source())) == [{"messages": ROWS}]


def test_roles() -> None:
    for role in ("model", "chatbot", "assistant"):
        assert row_messages(ChatMessage("Hi"), ChatMessage("Hello!", role=role)) == ROWS[1:]
    assert row_messages(ChatMessage("x", role="developer"), *CHAT[1:])[0] == {"role": "developer", "content": "x"}


def test_every_block_is_read() -> None:
    call = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"a": 1})
    text = ToolCallBlock(tool_call_id="2", tool_name="f", tool_kwargs='{"a": 2}')
    result = [ChatMessage(str(id), role="tool", additional_kwargs={"tool_call_id": id}) for id in ("1", "2")]
    messages = row_messages(
        ChatMessage("Hi"), answer(ThinkingBlock(content="Hm."), call, text), *result, answer(TextBlock(text="d"))
    )
    assert messages[1] == {
        "role": "assistant",
        "reasoning": "Hm.",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "2", "type": "function", "function": {"name": "f", "arguments": '{"a": 2}'}},
        ],
    }
    assert not [issue for issue in check_row({"messages": messages}) if issue.severity == "error"]


def test_older_calls_are_read_once() -> None:
    old = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert row_messages(ChatMessage("Hi"), answer(additional_kwargs={"tool_calls": old}))[1]["tool_calls"] == old
    block = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={})
    assert row_messages(ChatMessage("Hi"), answer(block, additional_kwargs={"tool_calls": old}))[1]["tool_calls"] == old


def test_calls_without_ids_get_the_same_ones_each_time() -> None:
    chat = [ChatMessage("Hi"), answer(ToolCallBlock(tool_name="f")), ChatMessage("x", role="tool"), answer(TextBlock(text="d"))]
    [record] = from_llama_index([chat]).records()
    assert isinstance(record, Example)
    assert record.changed == ("tool_call_id_made",)
    assert record.row["messages"][2]["tool_call_id"] == record.row["messages"][1]["tool_calls"][0]["id"] == "call_1_0"


def test_results_keep_the_name_of_their_tool() -> None:
    call = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={})
    result = ChatMessage("x", role="tool", additional_kwargs={"tool_call_id": "1", "name": "f"})
    assert row_messages(ChatMessage("Hi"), answer(call), result)[2] == {
        "role": "tool",
        "tool_call_id": "1",
        "content": "x",
        "name": "f",
    }


def test_reasoning() -> None:
    blocks = [ThinkingBlock(content="Hm."), TextBlock(text="4")]
    assert row_messages(ChatMessage("2+2"), answer(*blocks), reasoning="drop")[1] == {"role": "assistant", "content": "4"}
    assert (
        row_messages(ChatMessage("2+2"), ChatMessage("4", role="assistant", additional_kwargs={"reasoning_content": "Hm."}))[1][
            "reasoning"
        ]
        == "Hm."
    )
    signed = ThinkingBlock(content="Hm.", additional_information={"signature": "EqQB"})
    assert refusal_of(ChatMessage("2+2"), answer(signed, TextBlock(text="4"))).code == "reasoning_unreadable"


def test_images_become_data_urls_and_all_contents_parts(tmp_path: Path) -> None:
    from base64 import b64decode

    (tmp_path / "a.png").write_bytes(b64decode(PNG))
    for block in (ImageBlock(image=b64decode(PNG)), ImageBlock(url=URL), ImageBlock(path=tmp_path / "a.png")):
        messages = row_messages(
            ChatMessage(role="user", blocks=[TextBlock(text="What?"), block]), ChatMessage("A pixel.", role="assistant")
        )
        assert messages[0]["content"][1] == {"type": "image_url", "image_url": {"url": URL}}
        assert messages[1]["content"] == [{"type": "text", "text": "A pixel."}]
        assert not check_row({"messages": messages})


def test_data_names_no_files_to_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    message = {"role": "user", "blocks": [{"block_type": "image", "path": str(tmp_path / "secret.png")}]}
    assert refusal_of(message).code == "message_kind_unknown"


@pytest.mark.parametrize(
    "block",
    [
        AudioBlock(audio=b"RIFF"),
        VideoBlock(url="https://example.org/v.mp4"),
        DocumentBlock(data=b"%PDF", document_mimetype="application/pdf"),
        CitableBlock(title="t", source="s", content=[TextBlock(text="x")]),
        CitationBlock(cited_content=TextBlock(text="x"), source="s", title="t", additional_location_info={}),
    ],
    ids=lambda block: type(block).__name__,
)
def test_what_cannot_be_trained_on_is_refused(block: Any) -> None:
    refusal = refusal_of(ChatMessage(role="user", blocks=[TextBlock(text="Look:"), block]))
    assert (refusal.code, refusal.path) == ("content_part_unsupported", "messages[0].blocks[1]")
    assert refusal_of(ChatMessage("Hi"), answer(ImageBlock(url=URL))).code == "image_outside_user_message"

"""Messages and tools on their way out."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index_together_adapters.requests import tool_arguments, wire_messages
from pydantic import BaseModel

from together_adapters.errors import HistoryWarning

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


def wire(*blocks: Any, role: str = "user", **more: Any) -> Any:
    return wire_messages([ChatMessage(role=role, blocks=list(blocks), additional_kwargs=more)])[0]


@pytest.mark.parametrize(
    ("role", "wire_value"), [("developer", "system"), ("chatbot", "assistant"), ("model", "assistant"), ("tool", "tool")]
)
def test_roles(role: str, wire_value: str) -> None:
    assert wire(TextBlock(text="a"), role=role)["role"] == wire_value


def test_files_named_by_a_message_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    blocks = [ImageBlock(path=path)]
    if hasattr(ImageBlock, "inline_url"):  # older blocks hold bytes alone
        blocks.append(ImageBlock(image=BytesIO(PNG), image_mimetype="image/png"))
    for block in blocks:
        url = wire(block)["content"][0]["image_url"]["url"]
        assert url.startswith("data:image/png;base64,")
        assert b64decode(url.partition(",")[2]) == PNG


def test_sound_and_film() -> None:
    sound = wire(AudioBlock(audio=b"RIFF....WAVE", format="wav"))["content"][0]
    assert sound["type"] == "input_audio"
    assert b64decode(sound["input_audio"]["data"]) == b"RIFF....WAVE"
    assert wire(AudioBlock(url="http://x.test/a.wav"))["content"][0]["audio_url"]["url"] == "http://x.test/a.wav"
    film = wire(VideoBlock(video=b"\0\0\0\x18ftypmp42", video_mimetype="video/mp4"))["content"][0]
    assert film["video_url"]["url"].startswith("data:video/mp4;base64,")


def test_documents_are_text_or_images_or_refused() -> None:
    text = wire(DocumentBlock(data=b"some words", document_mimetype="text/plain", title="notes.txt"))
    assert text["content"] == "notes.txt\nsome words"
    assert wire(DocumentBlock(data=PNG, document_mimetype="image/png"))["content"][0]["type"] == "image_url"
    with pytest.raises(ValueError, match="application/pdf"):
        wire(DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf"))


def test_citations_go_out_as_text() -> None:
    block = CitationBlock(cited_content=TextBlock(text="words"), source="S", title="T", additional_location_info={})
    assert wire(block)["content"] == "words"


def test_images_where_the_api_takes_none() -> None:
    picture = ImageBlock(url="http://x.test/a.png")
    with pytest.raises(ValueError, match="system.*image_url"):
        wire(picture, role="system")
    for role in ("assistant", "tool"):
        with pytest.warns(HistoryWarning, match=f"1 x image in an? {role} message"):
            assert wire(picture, role=role)["content"] == "[image, http://x.test/a.png]"


def test_the_image_of_a_tool_is_moved_where_the_model_sees() -> None:
    result = ChatMessage(role="tool", blocks=[ImageBlock(url="http://x.test/a.png")], additional_kwargs={"tool_call_id": "1"})
    told, moved = wire_messages([result], takes_images=True)
    assert told["content"] == "[image 1 of the next message]"
    assert moved["content"][1] == {"type": "image_url", "image_url": {"url": "http://x.test/a.png"}}


def test_what_tools_return_is_told(tmp_path: Path) -> None:
    text = DocumentBlock(data=b"some words", document_mimetype="text/plain", title="notes.txt")
    assert wire(text, role="tool")["content"] == "notes.txt\nsome words"
    lost = tmp_path / "lost.png"
    lost.write_bytes(PNG)
    blocks = [ImageBlock(path=lost), VideoBlock(url="http://x.test/a.mp4"), AudioBlock(audio=b"RIFF....WAVE", format="wav")]
    blocks += [DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf", title="a.pdf")]
    lost.unlink()
    with pytest.warns(HistoryWarning) as caught:
        told = wire(*blocks, role="tool")["content"]
    assert len(caught) == 1
    assert all(word in told for word in ("lost.png", "a.mp4", "[audio", "application/pdf, a.pdf"))


class Hologram(BaseModel):
    """A block that a later LlamaIndex may have."""

    block_type: str = "hologram"
    caption: str = "a llama"


def test_blocks_that_are_not_known() -> None:
    message = ChatMessage(role="assistant")
    message.blocks.append(Hologram())  # type: ignore[arg-type]
    with pytest.warns(HistoryWarning, match="1 x hologram in an assistant message"):
        assert wire_messages([message])[0]["content"] == "[hologram]\ncaption: a llama"
    message.role = MessageRole.USER
    with pytest.raises(ValueError, match="Hologram"):
        wire_messages([message])


def test_what_the_class_for_the_responses_api_keeps() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "llamas"}, "status": "completed"}
    told = wire(role="assistant", built_in_tool_calls=[item], refusal="I would rather not.")["content"]
    assert "query: llamas" in told
    assert "I would rather not." in told


def test_reasoning_is_not_replayed_by_default() -> None:
    message = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="a")])
    assert "reasoning" not in wire_messages([message])[0]
    assert wire_messages([message], replay_reasoning=True)[0] == {"role": "assistant", "content": "a", "reasoning": "hm"}


def test_blocks_win_over_the_older_mirror() -> None:
    mirror = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    both = wire(ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": 1}), role="assistant", tool_calls=mirror)
    assert both["tool_calls"] == mirror
    assert both["content"] is None
    assert wire(role="assistant", tool_calls=mirror)["tool_calls"] == mirror


def test_a_response_of_a_return_direct_tool_has_no_id() -> None:
    assert wire(TextBlock(text="5"), role="assistant", tool_call_id="c") == {"role": "assistant", "content": "5"}


def test_names_are_sent() -> None:
    assert wire(TextBlock(text="a"), name="ann")["name"] == "ann"


@pytest.mark.parametrize(
    "call",
    [
        {"id": "t", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "t", "type": "tool_use", "name": "f", "input": {"a": 1}},
        {"toolUseId": "t", "name": "f", "input": {"a": 1}},
        {"id": "t", "name": "f", "args": {"a": 1}},
    ],
    ids=str,
)
def test_older_calls_of_other_classes(call: Any) -> None:
    message = wire(role="assistant", tool_calls=[call, None, "x"])
    assert message["tool_calls"] == [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]


@pytest.mark.parametrize(
    ("choice", "wire_value"),
    [(None, "auto"), ("none", "none"), ("any", "required"), ("f", {"type": "function", "function": {"name": "f"}})],
)
def test_tool_choice(choice: Any, wire_value: Any) -> None:
    assert tool_arguments([{"name": "f"}], choice)["tool_choice"] == wire_value

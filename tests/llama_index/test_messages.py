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
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index_together_adapters.requests import wire_messages, wire_tool_choice

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


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_images_where_the_api_takes_none(role: str) -> None:
    with pytest.raises(ValueError, match=f"{role}.*image_url"):
        wire(ImageBlock(url="http://x.test/a.png"), role=role)


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
    ("choice", "wire_value"),
    [(None, "auto"), ("none", "none"), ("f", {"type": "function", "function": {"name": "f"}}), ({"x": 1}, {"x": 1})],
)
def test_tool_choice(choice: Any, wire_value: Any) -> None:
    assert wire_tool_choice(choice) == wire_value

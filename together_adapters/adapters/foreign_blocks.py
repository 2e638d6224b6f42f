"""What the history of a conversation holds that the service has no part for: told to the model as text, or left out with a warning.

What a user says in a request is sent as it is meant, or refused: see `content_blocks`. What a model or a tool has said already, also
one of another provider, never ends a conversation: text and the content of foreign blocks is told as text, pictures and the like
are told by a note, and what carries nothing for another model is left out. One warning for each request names what the model
does not see.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from together_adapters.adapters.content_blocks import (
    UNTOLD_FIELDS,
    Media,
    Part,
    content_parts,
    has_one_field,
    is_empty,
    kind_of,
    plain_block,
    unwrap,
)
from together_adapters.errors import HistoryWarning
from together_adapters.transport.surrogates import whole_characters

REASONING_KINDS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
"""Blocks of reasoning, which are sent on request only."""
TOOL_CALL_KINDS = frozenset(
    "tool_use tool_call tool_call_chunk invalid_tool_call function_call custom_tool_call input_json_delta".split()
)
"""Blocks of tool calls, which have a field of their own."""
_TOLD_KINDS = frozenset(
    "server_tool_use server_tool_call server_tool_call_chunk server_tool_result tool_result mcp_tool_use mcp_tool_result "
    "web_search_tool_result web_fetch_tool_result code_execution_tool_result bash_code_execution_tool_result "
    "text_editor_code_execution_tool_result tool_search_tool_result advisor_tool_result compaction "
    "web_search_call file_search_call code_interpreter_call mcp_call mcp_approval_request mcp_approval_response computer_call "
    "computer_call_output local_shell_call local_shell_call_output shell_call shell_call_output apply_patch_call "
    "apply_patch_call_output function_call_output custom_tool_call_output tool_search_call tool_search_output "
    "executable_code code_execution_result function_response citations_content resource_link json citable".split()
)
"""Blocks whose fields are told as text, in full."""
_LEFT_OUT_KINDS = frozenset({"mcp_list_tools", "container_upload", "tool_reference"})
"""Blocks that are of no use without their provider."""
_FILE_KINDS = frozenset(
    "image image_url input_image video video_url input_video audio audio_url input_audio file input_file document media "
    "inline_data file_data resource image_generation_call text_plain".split()
)
_NESTED_KINDS = _FILE_KINDS | {"text", "output_text"}
_TEXT_KINDS = frozenset({"text", "output_text", "input_text", "text_plain", "refusal", *REASONING_KINDS})
_HEADINGS = ("title", "context", "filename")
_HIDDEN_FIELDS = UNTOLD_FIELDS - {"type", "id", "index"}
"""What nested objects do not tell: their ids may be data."""
_DEPTH = 20
_BINARY = re.compile(r"(?:data:[^,\s]{0,200},)?[A-Za-z0-9+/_=-]{256,}\s*")


class History:
    """Tells the foreign blocks of the assistant and tool messages of one request."""

    __slots__ = ("_takes_images", "images", "untold")

    def __init__(self, *, takes_images: bool = False) -> None:
        self.untold: Counter[str] | None = None  # what to warn of
        self.images: list[Part] | None = None  # those of the tool messages so far
        self._takes_images = takes_images

    def moved_images(self) -> list[dict[str, Any]]:
        """Return the images of the tool messages so far as a user's message, which models that see take; or nothing."""
        images, self.images = self.images, None
        heading = {"type": "text", "text": "The images of the tool results above:"}
        return [{"role": "user", "content": [heading, *images]}] if images else []

    def text(self, content: Any, role: str, separator: str = "\n") -> str:
        """Return the content of a message as text: texts joined by `separator`, and notes on lines of their own."""
        if isinstance(content, str):
            return whole_characters(content)
        text, is_note = "", False
        for block in _flat(content):
            part, was_note = self._block_text(block, role), is_note
            is_note = not (isinstance(block, str) or kind_of(block) in _TEXT_KINDS)
            if part:
                needs_line = (is_note or was_note) and not text.endswith("\n")
                text += (("\n" if needs_line else separator) if text else "") + part
        return whole_characters(text)

    def note(self, label: str, role: str) -> None:
        """Count a block that the model does not see, or not in full."""
        self.untold = self.untold or Counter()
        article = "an" if role[:1] in "aeiou" else "a"
        self.untold[f"{label} in {article} {role} message"] += 1

    def warn(self) -> None:
        """Warn of what the model does not see."""
        if self.untold:
            listing = ", ".join(f"{count} x {label}" for label, count in self.untold.items())
            message = (
                "the service takes only text from the assistant and tools, and only a note of the following is sent, or nothing "
                f"(what the model must see belongs in a user message): {listing}"
            )
            from together_adapters.transport.config import warn_user

            warn_user(HistoryWarning(message))

    def _block_text(self, block: Any, role: str) -> str:
        """Return a block as text."""
        if isinstance(block, str):
            return block
        if is_empty(block):
            return ""
        block = unwrap(block)
        try:
            if isinstance(block, Mapping):
                return self._known_block(block, role)
            self.note(type(block).__name__, role)
            return block if isinstance(block, str) else "" if isinstance(block, bytes | bytearray) else str(block)
        except Exception:  # an object that cannot be read, or is nested without end
            self.note(kind_of(block) or type(block).__name__, role)
            return ""

    def _known_block(self, original: Mapping[str, Any], role: str) -> str:
        block = plain_block(original)
        kind = block["type"] if isinstance(original.get("type"), str) or has_one_field(original) else ""
        if kind in REASONING_KINDS or kind in TOOL_CALL_KINDS:
            return ""
        if kind in _LEFT_OUT_KINDS:
            self.note(kind, role)
            return ""
        if (parts := _parts(original) if kind else None) is not None:
            headings = [block[key] for key in _HEADINGS if isinstance(block.get(key), str)] if kind in _FILE_KINDS else []
            return "\n".join([*headings, *(self.tell_part(part, role) for part in parts)])
        if kind in _FILE_KINDS:
            media = Media(block)
            return self.placeholder(media.kind, media.media_type, media.url or media.name, role)
        if kind not in _TOLD_KINDS:
            self.note(kind or "object", role)
        if kind == "json" and "json" in block:
            return json.dumps(block["json"], ensure_ascii=False, default=str)
        name = block.get("name")
        head = " ".join(filter(None, (kind, name if isinstance(name, str) else None)))
        fields = {key: value for key, value in block.items() if key not in UNTOLD_FIELDS and (key != "name" or name != value)}
        lines = list(self._lines(fields, "", role))
        return "\n".join([f"[{head}]", *lines] if head else lines) if lines or name else ""

    def tell_part(self, part: Part, role: str) -> str:
        """Return a part of a request as text; the image of a tool's result moves to a user's message."""
        if part["type"] == "text":
            return str(part["text"])
        if part["type"] == "image_url" and role == "tool" and self._takes_images:
            self.images = [*(self.images or ()), part]
            return f"[image {len(self.images)} of the next message]"
        media = Media(plain_block(part))
        url = media.url if media.url and not media.url.startswith("data:") else None
        media_type = media.media_type or (media.url or "")[5:].partition(";")[0] if not url else ""
        return self.placeholder(media.kind, media_type, url, role)

    def placeholder(self, kind: str, media_type: str | None, location: str | None, role: str) -> str:
        """Return the note that stands for a picture or the like."""
        self.note(f"{kind} ({media_type})" if media_type else kind, role)
        location = None if location and _BINARY.fullmatch(location) else location
        return f"[{', '.join(filter(None, (kind, media_type, location)))}]"

    def _lines(self, value: Any, indent: str, role: str) -> Iterator[str]:
        """Yield the fields of a block, or the items of a list, as lines."""
        is_mapping = isinstance(value, Mapping)
        for key, inner in value.items() if is_mapping else ((None, item) for item in value):
            if inner is None or key in _HIDDEN_FIELDS:
                continue
            label = f"{key}:" if is_mapping else "-"
            if isinstance(inner, Mapping) and inner.get("type") in _NESTED_KINDS:
                yield f"{indent}{label} {self._known_block(inner, role)}"
            elif isinstance(inner, Mapping | list | tuple | set | frozenset):
                if lines := list(self._lines(inner, f"{indent}  ", role)):
                    first = [f"{indent}{label}"] if is_mapping else [f"{indent}- {lines.pop(0).lstrip()}"]
                    yield from (*first, *lines)
            else:
                yield f"{indent}{label} {self._scalar(inner, role)}"

    def _scalar(self, value: Any, role: str) -> str:
        if isinstance(value, bytes | bytearray) or (isinstance(value, str) and _BINARY.fullmatch(value)):
            self.note("binary data", role)
            return f"[{len(value)} bytes]"
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)


def _parts(block: Mapping[str, Any]) -> list[Part] | None:
    try:
        return content_parts(block)
    except ValueError:
        return None


def _flat(content: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the blocks of a message's content, which is a block, a list of them, or lists within lists."""
    if isinstance(content, list | tuple) and depth < _DEPTH:
        for inner in content:
            yield from _flat(inner, depth + 1)
    elif content is not None:
        yield content


def reasoning_text(blocks: Iterable[Any]) -> str:
    """Return the reasoning that blocks hold, under any of its names; what is encrypted is none."""
    return "".join(_reasoning(plain_block(block)) for block in map(unwrap, blocks) if isinstance(block, Mapping))


def _reasoning(block: Mapping[str, Any]) -> str:
    if block["type"] not in REASONING_KINDS:
        return ""
    return next(
        filter(None, (_join(block.get(key)) for key in ("reasoning", "thinking", "text", "reasoningText", "summary", "content"))),
        "",
    )


def _join(value: Any) -> str:
    """Return a text, or those of a list of blocks."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _join(value.get("text"))
    return "".join(map(_join, value)) if isinstance(value, list | tuple) else ""

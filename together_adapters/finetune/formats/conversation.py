"""What all chat dialects share: content and its parts, calls and their results, declarations of tools, and a conversation in the making."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.images import image_part
from together_adapters.finetune.formats.options import DEFAULTS, Options
from together_adapters.finetune.records import Converted, Row, Unconvertible

_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "image"})
_REASONING_PARTS: Final = frozenset({"reasoning", "thinking"})


class Talk:
    """A conversation in the making.

    Calls without an id are given one, `call_1`, `call_2`, ..., and results without an id go to the call that they answer: the first
    open one of their name, or the first open one.

    Attributes:
        messages: The messages so far.
        changed: The codes of what was altered, in order.
    """

    def __init__(self, options: Options = DEFAULTS) -> None:
        self.options = options
        self.messages: list[Row] = []
        self.changed: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._taken: set[str] = set()
        self._images = False
        self._lists = False

    @property
    def path(self) -> str:
        """Where the next message will stand."""
        return f"messages[{len(self.messages)}]"

    def change(self, code: str) -> None:
        """Note that something was altered."""
        if code not in self.changed:
            self.changed.append(code)

    def add(self, role: Any, content: Any, **more: Any) -> None:
        """Add a message that is neither an answer nor a result."""
        self._append({"role": role, "content": self.content(content, role), **more})

    def answer(self, content: Any, calls: Iterable[Row] = (), reasoning: str | None = None, **more: Any) -> None:
        """Add an answer; reasoning that stands among the parts of the content is taken out of it.

        Args:
            content: Text or parts.
            calls: What it calls, as `call` makes it; without an id where there is none.
            reasoning: What it thought.
            **more: Further keys of the message.
        """
        made = [self._named(made) for made in calls]
        if isinstance(content, list):
            content, thought = self._without_reasoning(content)
            reasoning = reasoning or thought
        message: Row = {"role": "assistant"}
        said = self.content(content, "assistant")
        if said or not made:
            message["content"] = said
        if reasoning:
            message["reasoning"] = reasoning
        if made:
            message["tool_calls"] = made
        self._append(message | more)

    def result(self, content: Any, id: str | None = None, name: str | None = None, **more: Any) -> None:
        """Add the result of a call.

        Raises:
            Unconvertible: No open call can be the one, and no id says which it is.
        """
        said = self.content(content, "tool")
        if isinstance(said, list):
            if any(part["type"] != "text" for part in said):
                raise Unconvertible("image_outside_user_message", "the result of a tool holds an image", self.path)
            said = "".join(part["text"] for part in said)
            self.change("text_parts_joined")
        self._append({"role": "tool", "tool_call_id": self._answered(id, name), "content": said, **more})

    def content(self, value: Any, role: str) -> Any:
        """Return a content as the service takes it: a text, or a list of text and image parts.

        Raises:
            Unconvertible: It holds something else.
        """
        if isinstance(value, str) or value is None:
            return value
        if isinstance(value, dict) and "type" in value:
            value = [value]
        if not isinstance(value, list | tuple):
            raise Unconvertible("content_wrong_type", f"content is {kind_of(value)}", f"{self.path}.content", value)
        parts = [self._part(part, role, f"{self.path}.content[{place}]") for place, part in enumerate(value)]
        self._lists = True
        return parts

    def converted(self, tools: Any = None, group: str | None = None, extra: Row | None = None) -> Converted:
        """Return the conversation as a row.

        Args:
            tools: The declared tools, in any of the forms that `tools_of` takes.
            group: The conversation's or trace's id.
            extra: Further columns.
        """
        if not self.messages:
            raise Unconvertible("messages_empty", "there is no message")
        if self._lists:
            self._level()
        row: Row = {"messages": self.messages}
        if declared := tools_of(tools, self.options):
            row["tools"] = declared
        return Converted(row | extra if extra else row, group, tuple(self.changed))

    def _append(self, message: Row) -> None:
        self.messages.append(message)

    def _part(self, part: Any, role: str, path: str) -> Row:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT_PARTS or (kind is None and isinstance(part, dict) and isinstance(part.get("text"), str)):
            text = part.get("text")
            if not isinstance(text, str):
                raise Unconvertible(
                    "content_part_text_not_string", f"the text of a part is {kind_of(text)}", f"{path}.text", text
                )
            return {"type": "text", "text": text}
        if kind in _IMAGE_PARTS:
            if role != "user":
                raise Unconvertible("image_outside_user_message", f"a message of role {role} has an image", path)
            self._images = True
            return image_part(_image_of(part, path), self.options, path)
        raise Unconvertible(
            "content_part_unsupported", f"a part of type {kind if isinstance(kind, str) else kind_of(part)!r} cannot be trained on",
            path, part,
        )  # fmt: skip

    def _without_reasoning(self, parts: list[Any]) -> tuple[list[Any], str]:
        """Take reasoning out of a list of parts; that which cannot be read is refused."""
        kept: list[Any] = []
        thought: list[str] = []
        for place, part in enumerate(parts):
            if isinstance(part, dict) and part.get("type") in _REASONING_PARTS:
                text = next((part[key] for key in ("reasoning", "thinking", "text", "content") if part.get(key)), None)
                if not isinstance(text, str):
                    raise Unconvertible(
                        "reasoning_unreadable", "the reasoning is encrypted", f"{self.path}.content[{place}]"
                    )  # fmt: skip
                thought.append(text)
            elif isinstance(part, dict) and part.get("type") == "redacted_thinking":
                raise Unconvertible("reasoning_unreadable", "the reasoning is encrypted", f"{self.path}.content[{place}]")
            else:
                kept.append(part)
        return kept, "\n".join(thought)

    def _named(self, made: Row) -> Row:
        """Give a call an id when it has none."""
        id: str = made.get("id") or ""
        if not id:
            number = len(self._taken) + 1
            while (id := f"call_{number}") in self._taken:
                number += 1
            self.change("tool_call_id_made")
        self._taken.add(id)
        self._open.append((id, made["function"]["name"]))
        return {"id": id, "type": "function", "function": made["function"]}

    def _answered(self, id: str | None, name: str | None) -> str:
        """Return the id of the call that a result answers."""
        if id:
            self._open = [pair for pair in self._open if pair[0] != id]
            return id
        places = [place for place, pair in enumerate(self._open) if name is None or pair[1] == name]
        if not places:
            called = f" of {name!r}" if name else ""
            raise Unconvertible("tool_result_unmatched", f"no open call{called} is answered by this result", self.path)
        self.change("tool_call_id_made")
        return self._open.pop(places[0])[0]

    def _level(self) -> None:
        """Give all contents one form: parts where there are images, else texts."""
        for message in self.messages:
            content = message.get("content")
            if self._images and isinstance(content, str) and message["role"] != "tool":
                message["content"] = [{"type": "text", "text": content}]
                self.change("content_to_parts")
            elif not self._images and isinstance(content, list):
                message["content"] = "".join(part["text"] for part in content)
                self.change("text_parts_joined")


def call(name: Any, arguments: Any, id: Any = None, options: Options = DEFAULTS, path: str = "") -> Row:
    """Return a tool call; its id is None where there is none.

    Args:
        name: The function.
        arguments: An object, or its JSON text.
        id: What results name it by.
        options: Says what becomes of nulls in an object.
        path: Where the call stands, for errors.

    Raises:
        Unconvertible: There is no name, or the arguments are no object.
    """
    if not isinstance(name, str) or not name:
        raise Unconvertible("tool_call_invalid", "a call names no function", path, name)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments_text(arguments, options, path)}}


def arguments_text(value: Any, options: Options = DEFAULTS, path: str = "") -> str:
    """Return the arguments of a call as JSON text; a text is left as it is."""
    if isinstance(value, str):
        return value or "{}"
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise Unconvertible("tool_arguments_not_object", f"the arguments of a call are {kind_of(value)}", path, value)
    return json_text(without_nulls(value) if options.null_arguments == "drop" else value, path)


def json_text(value: Any, path: str = "") -> str:
    """Return a value as JSON text, written as `json.dumps` does but for letters outside ASCII, which stay."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise Unconvertible("not_json", f"the value is not JSON: {problem}", path) from None


def parsed(value: Any, path: str, code: str = "column_not_json") -> Any:
    """Return the value of a JSON text; anything else is that value already.

    Raises:
        Unconvertible: The text is not JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError as problem:
        python = (
            " (this looks like Python's repr: write it with json.dumps)" if value[:2] in ("[{", "{'") and "'" in value else ""
        )
        raise Unconvertible(code, f"the text is not JSON: {problem}{python}", path, value) from None


def tools_of(tools: Any, options: Options = DEFAULTS, path: str = "tools") -> list[Row]:
    """Return declared tools in the service's form.

    Args:
        tools: A list, or its JSON text: of OpenAI tools, of legacy functions, or with `input_schema`.
        options: Says what becomes of nulls, which tables invent.
        path: Where they stand, for errors.

    Raises:
        Unconvertible: A tool has none of these forms.
    """
    tools = parsed(tools, path, "tools_not_list") if tools else None
    if not tools:
        return []
    if not isinstance(tools, list | tuple):
        raise Unconvertible("tools_not_list", f"tools must be a list, not {kind_of(tools)}", path, tools)
    made = [_tool(parsed(tool, f"{path}[{place}]", "tool_invalid"), f"{path}[{place}]") for place, tool in enumerate(tools)]
    return [without_nulls(tool) for tool in made] if options.null_arguments == "drop" else made


def _tool(tool: Any, path: str) -> Row:
    if isinstance(tool, dict):
        function = tool.get("function")
        if tool.get("type") == "function" and isinstance(function, dict):
            return tool
        function = function if isinstance(function, dict) else tool
        schema = next((function[key] for key in ("parameters", "input_schema") if function.get(key) is not None), None)
        if isinstance(function.get("name"), str):
            kept = {key: function[key] for key in ("name", "description", "strict") if function.get(key) is not None}
            return {"type": "function", "function": kept if schema is None else kept | {"parameters": parsed(schema, path)}}
    raise Unconvertible("tool_invalid", "a tool has no name, or a form that is not known", path, tool)


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the keys whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def has_nulls(value: Any) -> bool:
    """Whether a key anywhere in a JSON value is null."""
    if isinstance(value, dict):
        return any(item is None or has_nulls(item) for item in value.values())
    return isinstance(value, list) and any(has_nulls(item) for item in value)


def _image_of(part: Row, path: str) -> Any:
    """Return what an image part holds: an address, or bytes with their type."""
    image = next((part[key] for key in ("image_url", "image", "url", "path") if part.get(key) is not None), None)
    data = part.get("base64") or part.get("data")
    source = part.get("source")
    if image is None and isinstance(source, dict):
        image, data = source.get("url"), source.get("data")
        part = {"mime_type": source.get("media_type")}
    if image is None and isinstance(data, str):
        return f"data:{part.get('mime_type') or 'image/png'};base64,{data}"
    if image is None:
        raise Unconvertible("image_unreadable", "an image part holds no image", path, part)
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        return image["url"]
    return image

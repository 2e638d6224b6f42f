"""Builds conversations for all chat formats: contents and their parts, tool calls and their results, tool declarations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic_core import from_json

from together_adapters.finetune.accounting import unread
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.images import base64_url, image_part
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.layouts.text_calls import declared_in, tools_in
from together_adapters.finetune.formats.layouts.tool_declarations import (
    declarations,
    foreign_tools,
    has_python_types,
    json_schema,
)
from together_adapters.finetune.formats.options import DEFAULTS, Options
from together_adapters.finetune.readers.fields import require
from together_adapters.finetune.records import NO_FIELDS, Converted, Row, Unconvertible

Expand: TypeAlias = Literal["whole", "last_turn", "every_assistant_turn"]

_TEXT_KEYS: Final = frozenset({"type", "text"})
_TOOL_KEYS: Final = frozenset({"type", "function", "name", "description", "strict", "parameters", "input_schema"})
_OTHER_SCHEMAS: Final = frozenset({"inputSchema", "parameters_json_schema", "parametersJsonSchema", "parameter_definitions"})
_SYSTEM: Final = ("system", "developer")
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "image"})
_REASONING_PARTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking"})
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class _OpenCall(NamedTuple):
    """A tool call without a result; `turn` is the index of its message, `generated` whether the builder chose its id."""

    id: str
    name: str
    turn: int
    generated: bool


class ConversationBuilder:
    """Builds the messages of a row, one after the other; tool calls without an id get one: `call_1`, `call_2`, ..."""

    def __init__(self, options: Options = DEFAULTS) -> None:
        self.options = options
        self.messages: list[Row] = []
        self.changes: list[str] = []
        self.left_out: Row = {}
        self.tools: Any = None  # those that the record declares
        self.upcoming: Sequence[Any] = ()  # the messages that are read
        self.has_text_calls = False
        self._open: list[_OpenCall] = []
        self._call_ids: set[str] = set()
        self._has_images = False
        self._has_parts = False

    @property
    def path(self) -> str:
        """The path of the next message."""
        return f"messages[{len(self.messages)}]"

    def change(self, code: str) -> None:
        """Records the code of a change."""
        if code not in self.changes:
            self.changes.append(code)

    def leave_out(self, name: str, value: Any) -> None:
        """Records a key that is not read, by its name: a path without indices."""
        self.left_out.setdefault(name, value)

    def account(self, fields: Row, read: frozenset[str], parent: str = "") -> None:
        """Records the keys of an object that are not read."""
        if not fields.keys() <= read:
            for name, value in unread(fields, read, parent).items():
                self.leave_out(name, value)

    def add(self, role: Any, content: Any, /, **fields: Any) -> None:
        """Adds a message that is neither an answer nor a tool result."""
        self.messages.append({"role": role, "content": self.content(content, role), **fields})

    def answer(self, content: Any, calls: Iterable[Row] = (), reasoning: str | None = None, /, **fields: Any) -> None:
        """Adds an answer with its calls (see `call`); reasoning in the parts of its content is split off."""
        tool_calls = [self._with_id(one) for one in calls]
        if isinstance(content, list):
            content, parts_reasoning = self._split_reasoning(content)
            reasoning = reasoning or parts_reasoning
        message: Row = {"role": "assistant"}
        value = self.content(content, "assistant")
        if value or not tool_calls:
            message["content"] = value
        if reasoning:
            message["reasoning"] = reasoning
        if tool_calls:
            message["tool_calls"] = tool_calls
        self.messages.append(message | fields if fields else message)

    def result(self, content: Any, id: str | None = None, name: str | None = None, /, **fields: Any) -> None:
        """Adds a tool result; without an id it is matched with an open call, or refused."""
        value = self.content(content, "tool")
        if isinstance(value, list):
            if any(part["type"] != "text" for part in value):
                raise Unconvertible("image_outside_user_message", "the result of a tool holds an image", self.path)
            value = "".join(part["text"] for part in value)
            self.change("text_parts_joined")
        self.messages.append({"role": "tool", "tool_call_id": self._match(id, name), "content": value, **fields})

    def content(self, value: Any, role: str) -> Any:
        """Returns a content as text, or as a list of text and image parts; other contents are refused."""
        if isinstance(value, str) or value is None:
            return value
        if isinstance(value, dict) and "type" in value:
            value = [value]
        if not isinstance(value, list | tuple):
            raise Unconvertible("content_wrong_type", f"content is {kind_of(value)}", f"{self.path}.content", value)
        parts = [
            {"type": "text", "text": part["text"]}
            if type(part) is dict and len(part) == 2 and part.get("type") == "text" and type(part.get("text")) is str
            else self._part(part, role, f"{self.path}.content[{index}]")
            for index, part in enumerate(value)
        ]
        self._has_parts = True
        return parts

    def converted(self, tools: Any = None, group: str | None = None) -> Converted:
        """Returns the row of the conversation, with the tools (see `tools_of`) and the group."""
        if not self.messages:
            raise Unconvertible("messages_empty", "there is no message")
        if self._has_parts:
            self._unify_contents()
        row: Row = {"messages": self.messages}
        tools = tools or self.tools or (self._tools_in_prompt() if self.has_text_calls else None)
        if tools and (declarations := tools_of(tools, self.options, account=self.account)):
            row["tools"] = declarations
        return Converted(row, group, tuple(self.changes), self.left_out or NO_FIELDS)

    def _part(self, part: Any, role: str, path: str) -> Row:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT_PARTS or (kind is None and isinstance(part, dict) and isinstance(part.get("text"), str)):
            if isinstance(text := part.get("text"), str):
                self.account(part, _TEXT_KEYS, "messages[].content[]")
                return {"type": "text", "text": text}
            raise Unconvertible("content_part_text_not_string", f"the text of a part is {kind_of(text)}", f"{path}.text", text)
        if kind in _IMAGE_PARTS:
            if role != "user":
                raise Unconvertible("image_outside_user_message", f"a message of role {role} has an image", path)
            self._has_images = True
            return self._image(part, path)
        name = kind if isinstance(kind, str) else kind_of(part)
        raise Unconvertible("content_part_unsupported", f"a part of type {name!r} cannot be trained on", path, part)

    def _image(self, part: Row, path: str) -> Row:
        return image_part(_image_of(part, path), self.options, path)

    def _split_reasoning(self, parts: list[Any]) -> tuple[list[Any], str]:
        """Splits a list of parts into contents and reasoning; encrypted reasoning is refused."""
        contents: list[Any] = []
        reasoning: list[str] = []
        for index, part in enumerate(parts):
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in _REASONING_PARTS:
                contents.append(part)
                continue
            text = next((part[key] for key in ("reasoning", "thinking", "text", "content") if part.get(key)), None)
            if kind == "redacted_thinking" or not isinstance(text, str):
                raise Unconvertible("reasoning_unreadable", "the reasoning is encrypted", f"{self.path}.content[{index}]")
            reasoning.append(text)
        return contents, "\n".join(reasoning)

    def _with_id(self, one: Row) -> Row:
        """Returns a call with an id, and adds it to the open calls."""
        id: str = one.get("id") or ""
        generated = not id
        if generated:
            id = next(id for id in self._new_ids() if id not in self._call_ids)
            self.change("tool_call_id_made")
        self._call_ids.add(id)
        self._open.append(_OpenCall(id, one["function"]["name"], len(self.messages), generated))
        return {"id": id, "type": "function", "function": one["function"]}

    def _new_ids(self) -> Iterator[str]:
        return (f"call_{number}" for number in count(len(self._call_ids) + 1))

    def _match(self, id: str | None, name: str | None) -> str:
        """Returns the id of the call that a result answers, and removes it from the open calls."""
        if id:
            self._open = [call for call in self._open if call.id != id]
            return id
        match = next((call for call in self._candidates() if name is None or call.name == name), None)
        if match is None:
            of_name = f" of {name!r}" if name else ""
            raise Unconvertible("tool_result_unmatched", f"no open call{of_name} is answered by this result", self.path)
        return self._answered_by(match)

    def is_tool(self, name: str) -> bool:
        """Whether a call in a text is one: the conversation knows its tool; if not, the text is left as it is, and counted."""
        is_tool = self._knows_tool(name)
        if not is_tool:
            self.change("calls_in_text")
        return is_tool

    def _knows_tool(self, name: str) -> bool:
        """Whether the record declares a tool of this name, a prompt tells of it, or there are results of tools."""
        texts = [json_text(self.tools)] if self.tools else []
        texts += self._prompts()
        return any(name in text for text in texts) or any(
            isinstance(message, dict) and role_of(message.get("role")) == "tool" for message in self.upcoming
        )

    def _prompts(self) -> list[str]:
        """Returns the prompts that may declare tools."""
        contents = [(message["role"], message.get("content")) for message in self.messages]
        return [
            text
            for role, text in contents
            if isinstance(text, str) and (role in _SYSTEM or (role == "user" and '"name"' in text))
        ]

    def _tools_in_prompt(self) -> list[Row] | None:
        """Returns the tools that a prompt declares as text, if all that are called are among them."""
        prompts = self._prompts()
        try:
            tools = tools_of([one for text in prompts for one in declared_in(text) or tools_in(text)])
        except Unconvertible:
            return None
        by_name = {tool["function"]["name"]: tool for tool in tools}
        calls = [one for message in self.messages for one in message.get("tool_calls", ())]
        if not by_name or any(one["function"]["name"] not in by_name for one in calls):
            return None
        self.change("tools_read_from_text")
        return [*by_name.values()]

    @property
    def open_calls(self) -> int:
        """The number of calls without a result."""
        return len(self._open)

    def has_open_call(self, name: Any) -> bool:
        """Whether a call of this name has no result."""
        return any(call.name == name for call in self._open)

    def _candidates(self) -> list[_OpenCall]:
        """Returns the open calls, those of the latest message first: a result without an id belongs to the first of its name."""
        return sorted(self._open, key=lambda call: -call.turn)

    def _answered_by(self, match: _OpenCall) -> str:
        self._open.remove(match)
        self.change("tool_call_id_made")
        return match.id

    def _unify_contents(self) -> None:
        """Converts all contents to lists of parts if there are images, and to text otherwise."""
        for message in self.messages:
            content = message.get("content")
            if self._has_images and isinstance(content, str) and message["role"] != "tool":
                message["content"] = [{"type": "text", "text": content}]
                self.change("content_to_parts")
            elif not self._has_images and isinstance(content, list):
                message["content"] = "".join(part["text"] for part in content)
                self.change("text_parts_joined")


class FrameworkConversationBuilder(ConversationBuilder):
    """Builds the conversation of a framework's messages; validation reports images and results that the service does not take."""

    def __init__(self, options: Options = DEFAULTS, number: int | None = None) -> None:
        super().__init__(options)
        self._number = number  # of the record; ids are then `call_{number}_0`, ...
        self._generated = count()

    def text(self, parts: Any, role: str, separator: str) -> Any:
        """Joins a content that must be text."""
        if isinstance(parts, str) or parts is None:
            return parts
        value = self.content(parts, role)
        if len(value) == 1:
            return value[0]["text"]
        if value and self._number is None:
            self.change("text_parts_joined")
        return separator.join([part["text"] for part in value])

    def user_content(self, parts: Any) -> Any:
        """Returns a user's content; a single text part becomes text."""
        value = self.content(parts, "user")
        return value[0]["text"] if isinstance(value, list) and len(value) == 1 and value[0]["type"] == "text" else value

    def _new_ids(self) -> Iterator[str]:
        return super()._new_ids() if self._number is None else (f"call_{self._number}_{index}" for index in self._generated)

    def _image(self, part: Row, path: str) -> Row:
        image, fields = _image_of(part, path), part.get("image_url")
        is_address = isinstance(image, str) and not image.startswith("data:")
        if is_address and self.options.root is None and (self.options.fetch is None or "://" not in image):
            url = image
        else:
            url = image_part(image, self.options, path)["image_url"]["url"]
        return {"type": "image_url", "image_url": {**fields, "url": url} if isinstance(fields, dict) else {"url": url}}

    def _match(self, id: str | None, name: str | None) -> str:
        others = [call for call in self._open if call.id != id]
        if id and len(others) < len(self._open):
            self._open = others
            return id
        candidates = [call for call in self._candidates() if call.generated or not id]
        last = next((index for index, one in reversed([*enumerate(self.messages)]) if one["role"] != "tool"), -1)
        recent = [call for call in candidates if call.turn == last]
        if self._number is not None:
            candidates = recent
        match = next((call for call in candidates if not name or call.name == name), None)
        if match is None and len(recent) == 1:  # frameworks know tools by other names, too
            match = recent[0]
        return id or "" if match is None else self._answered_by(match)

    def _unify_contents(self) -> None:
        has_parts = any(isinstance(message.get("content"), list) for message in self.messages)
        for message in self.messages if has_parts else ():
            content = message.get("content")
            if isinstance(content, str) and (content or not message.get("tool_calls")):
                message["content"] = [{"type": "text", "text": content}]
                if self._number is None:
                    self.change("content_to_parts")


def call(name: Any, arguments: Any, id: Any = None, options: Options = DEFAULTS, path: str = "") -> Row:
    """Returns a tool call, whose arguments are an object or its JSON text; its id is None where there is none."""
    if not isinstance(name, str) or not name:
        raise Unconvertible("tool_call_invalid", "a call names no function", path, name)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments_text(arguments, options, path)}}


def openai_calls(calls: Any, options: Options = DEFAULTS, path: str = "") -> list[Row]:
    """Converts calls of OpenAI's format, which have a `function` with name and arguments."""
    functions = [(one.get("function") or {}, one.get("id")) for one in calls or ()]
    return [call(one.get("name"), one.get("arguments"), id, options, path) for one, id in functions]


def arguments_text(value: Any, options: Options = DEFAULTS, path: str = "") -> str:
    """Returns the arguments of a call as JSON text; text is returned unchanged."""
    if isinstance(value, str):
        return value or "{}"
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise Unconvertible("tool_arguments_not_object", f"the arguments of a call are {kind_of(value)}", path, value)
    return json_text(without_nulls(value) if options.null_arguments == "drop" else value, path)


def json_text(value: Any, path: str = "") -> str:
    """Returns a value as JSON text, without escapes of characters outside ASCII."""
    try:
        return _encode_json(value)
    except (TypeError, ValueError, RecursionError) as problem:
        raise Unconvertible("not_json", f"the value is not JSON: {problem}", path) from None


def parsed(value: Any, path: str, code: str = "column_not_json") -> Any:
    """Decodes JSON text, or raises `Unconvertible` with `code`; other values are returned unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError as problem:
        is_python = value[:2] in ("[{", "{'") and "'" in value
        hint = " (this looks like Python's repr: write it with json.dumps)" if is_python else ""
        raise Unconvertible(code, f"the text is not JSON: {problem}{hint}", path, value) from None


def tools_of(
    tools: Any,
    options: Options = DEFAULTS,
    path: str = "tools",
    account: Callable[[Row, frozenset[str], str], None] | None = None,
) -> list[Row]:
    """Converts tools of any provider's layout, legacy functions, or their JSON text, to the service's tools.

    `account` is called with what is read of each, as `ConversationBuilder.account`.
    """
    tools = parsed(tools, path, "tools_not_list") if tools else None
    if not tools:
        return []
    require(tools, (list, tuple, dict), "tools_not_list", "tools must be a list", path)
    tools = [parsed(tool, f"{path}[{index}]", "tool_invalid") for index, tool in enumerate(declarations(tools))]
    rows = [_tools(tool, f"{path}[{index}]") for index, tool in enumerate(tools)]
    for tool, converted in zip(tools, rows, strict=True) if account else ():
        if len(converted) == 1 and tool is not converted[0] and isinstance(tool.get("function", tool.get("name")), dict | str):
            is_nested = isinstance(tool.get("function"), dict)
            account(tool, _TOOL_KEYS, "tools[]")  # type: ignore[misc]
            account(tool["function"] if is_nested else {}, _TOOL_KEYS, "tools[].function")  # type: ignore[misc]
    all_tools = [row for converted in rows for row in converted]
    return [without_nulls(tool) for tool in all_tools] if options.null_arguments == "drop" else all_tools


def _tools(tool: Any, path: str) -> list[Row]:
    """Returns the tools that an object declares."""
    if isinstance(tool, dict):
        function = tool.get("function")
        is_nested = isinstance(function, dict)
        fields = function if isinstance(function, dict) else tool
        schema = next((fields[key] for key in ("parameters", "input_schema") if fields.get(key) is not None), None)
        schema = parsed(schema, path) if schema is not None else None
        if tool.get("type") == "function" and is_nested and not has_python_types(schema):
            return [tool]
        if (
            isinstance(fields.get("name"), str)
            and tool.get("type") in (None, "function", "custom")
            and not _OTHER_SCHEMAS & fields.keys()
        ):
            declared = {key: fields[key] for key in ("name", "description", "strict") if fields.get(key) is not None}
            return [{"type": "function", "function": declared | ({} if schema is None else {"parameters": json_schema(schema)})}]
    return foreign_tools(tool, path)


def without_nulls(value: Any) -> Any:
    """Returns a JSON value without the keys whose value is null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def has_nulls(value: Any) -> bool:
    """Whether a key anywhere in a JSON value is null."""
    if isinstance(value, dict):
        return any(item is None or has_nulls(item) for item in value.values())
    return isinstance(value, list) and any(has_nulls(item) for item in value)


def expanded(messages: list[Row], expand: Expand) -> list[list[Row]]:
    """Returns the messages of each row of a conversation; trained messages get weight 1, others 0 (see `from_langchain`)."""
    if expand == "whole":
        return [messages]
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if expand == "last_turn":
        question = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=0)
        return [_with_weights(messages, {index for index in answers if index >= question})]
    return [_with_weights(messages[: index + 1], {index}) for index in answers] or [messages]


def _with_weights(messages: Sequence[Row], answers: set[int]) -> list[Row]:
    return [{**message, "weight": int(index in answers)} for index, message in enumerate(messages)]


def _image_of(part: Row, path: str) -> Any:
    """Returns the image of an image part: a URL, a path, or bytes."""
    image = next((part[key] for key in ("image_url", "image", "url", "path") if part.get(key) is not None), None)
    data = part.get("base64") or part.get("data")
    source = part.get("source")
    if image is None and isinstance(source, dict):
        image, data = source.get("url"), source.get("data")
        part = {"mime_type": source.get("media_type")}
    if image is None and isinstance(data, str):
        return base64_url(data, part.get("mime_type"))
    if image is None:
        raise Unconvertible("image_unreadable", "an image part holds no image", path, part)
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        return image["url"]
    return image

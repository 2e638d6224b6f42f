"""LangChain's messages as the messages of a row. Pure; what a row cannot hold is refused, what is left out is named.

Plain messages, which are most, take a short way: `plain` reads them without looking at what they do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from langchain_together_adapters.finetuning.content import parts, text_of
from langchain_together_adapters.finetuning.exported import is_exported, message_of
from langchain_together_adapters.finetuning.reasoning import THOUGHTS, reasoning_of
from together_adapters.finetune.formats.conversations import CHANGED_ID, call, in_one_form, pair_calls
from together_adapters.finetune.records import Row, Unconvertible

_CALLS: Final = frozenset({"tool_use", "tool_call", "tool_call_chunk", "input_json_delta", "invalid_tool_call", "function_call"})
_ROLES: Final = {
    "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "system": "system", "developer": "developer",
}  # fmt: skip


class Options(NamedTuple):
    """What is to be done with what cannot simply be kept.

    Attributes:
        reasoning: Whether reasoning is trained on, or left out and counted.
        tool_errors: Whether a conversation in which a tool failed is kept and counted, or dropped and counted.
        invalid_tool_calls: Whether calls that could not be parsed refuse the conversation, are kept as they were written, or are
            left out and counted.
    """

    reasoning: Literal["keep", "drop"] = "keep"
    tool_errors: Literal["keep", "drop_row"] = "keep"
    invalid_tool_calls: Literal["refuse", "keep", "drop"] = "refuse"


def plain(messages: Iterable[Any]) -> list[Row] | None:
    """Return a conversation of texts, reasoning, calls and results of the usual classes, or None where it has anything else."""
    written: list[Row] = []
    for message in messages:
        kind = type(message)
        if kind is HumanMessage:
            held = message.__dict__
            content = held["content"]
            row = {"role": "user", "content": content}
        elif kind is AIMessage:
            held = message.__dict__
            content = held["content"]
            row = {"role": "assistant", "content": content}
            if held["invalid_tool_calls"] or (held["additional_kwargs"] and not _plain_extras(row, held["additional_kwargs"])):
                return None
            if held["tool_calls"] and not _plain_calls(row, held["tool_calls"]):
                return None
        elif kind is SystemMessage:
            held = message.__dict__
            content = held["content"]
            row = {"role": "system", "content": content}
            if held["additional_kwargs"]:
                return None
        elif kind is ToolMessage:
            held = message.__dict__
            content = held["content"]
            row = {"role": "tool", "content": content, "tool_call_id": held["tool_call_id"]}
            if held["status"] == "error" or not held["tool_call_id"]:
                return None
        else:
            return None
        if type(content) is not str:
            return None
        if held["name"]:
            row["name"] = held["name"]
        written.append(row)
    return written


def _plain_extras(row: Row, extras: Mapping[str, Any]) -> bool:
    """Write reasoning into a row's message; False where there is anything else to be looked at."""
    for key, value in extras.items():
        if key == "reasoning_content" and type(value) is str:
            if value:
                row["reasoning"] = value
        elif value and key != "tool_calls":  # those are the calls once more, as the provider wrote them
            return False
    return True


def _plain_calls(row: Row, calls: Iterable[Any]) -> bool:
    """Write calls into a row's message; False where one has no id, so that results must be paired."""
    row["tool_calls"] = made = [call(one["id"], one["name"], one["args"]) for one in calls]
    if not row["content"]:
        del row["content"]
    return all(one["id"] for one in made)


def conversation(messages: Iterable[Any], options: Options, number: int) -> tuple[list[Row], tuple[str, ...]]:
    """Return a conversation as a row has it, and the codes of what was changed.

    Args:
        messages: Messages, chunks of them, pairs of role and text, or dicts.
        options: What to do with reasoning, failed tools and calls that could not be parsed.
        number: The number of the record, for the ids of calls that have none.

    Raises:
        Unconvertible: Something cannot be expressed.
    """
    reader = _Reader(options)
    for place, message in enumerate(_merged(messages)):
        reader.read(message, f"messages[{place}]")
    if reader.unpaired and pair_calls(reader.written, number):
        reader.changed.append(CHANGED_ID)
    for message in reader.written if reader.functions else ():
        if message["role"] == "tool" and not message["tool_call_id"]:
            text = f"the result of the function {message.get('name')!r} follows no call of it"
            raise Unconvertible("tool_result_unmatched", text)
    if any(isinstance(message.get("content"), list) for message in reader.written):
        in_one_form(reader.written)
    return reader.written, tuple(reader.changed)


def _merged(messages: Iterable[Any]) -> Iterator[Any]:
    """Messages as objects, the chunks of one message joined."""
    chunks: list[BaseMessageChunk] = []
    for given in messages:
        message = _message(given)
        if chunks and not (type(message) is type(chunks[0]) and _same(chunks[0], message)):
            yield _joined(chunks)
            chunks = []
        if isinstance(message, BaseMessageChunk):
            chunks.append(message)
        else:
            yield message
    if chunks:
        yield _joined(chunks)


def _joined(chunks: list[BaseMessageChunk]) -> Any:
    first, *others = chunks
    if isinstance(first, AIMessageChunk):
        return first + others if others else first  # all at once: one by one, long answers would take long
    for other in others:
        first = first + other
    return first


def _same(first: BaseMessageChunk, second: BaseMessageChunk) -> bool:
    """Whether two chunks belong to one message; of those without id, only the model's come one after the other."""
    return first.id == second.id if first.id or second.id else isinstance(first, AIMessageChunk)


def _message(given: Any) -> Any:
    if isinstance(given, BaseMessage):
        return given
    if isinstance(given, Mapping) and "role" in given:
        return dict(given)
    if isinstance(given, Mapping) and is_exported(given):
        return message_of(given)
    try:
        return convert_to_messages(cast("Any", [given]))[0]
    except (ValueError, NotImplementedError, TypeError, KeyError):
        text = f"a {type(given).__name__} is no message"
        raise Unconvertible("message_kind_unknown", text, value=type(given).__name__) from None


class _Reader:
    """A conversation, message by message."""

    def __init__(self, options: Options) -> None:
        self.written: list[Row] = []
        self.changed: list[str] = []
        self.unpaired = False
        self.functions = False
        self._options = options

    def read(self, message: Any, path: str) -> None:
        """Read the next message."""
        if type(message) is dict:
            self.written.append(message)
            self.unpaired = self.unpaired or "tool_calls" in message
        elif isinstance(message, AIMessage):
            self._assistant(message, path)
        elif isinstance(message, HumanMessage):
            self._user(message, path)
        elif isinstance(message, ToolMessage):
            self._result(message.content, message.tool_call_id, message.name, message.status, path)
        elif isinstance(message, SystemMessage):
            role = message.additional_kwargs.get("__openai_role__", "system")
            self._add(role, text_of(message.content, role, f"{path}.content", "\n"), message.name)
        elif isinstance(message, FunctionMessage):
            self.functions = True
            self._result(message.content, "", message.name, "success", path)
        elif isinstance(message, ChatMessage):
            self._of_any_role(message, path)
        else:
            text = f"a {type(message).__name__} is no part of a conversation"
            raise Unconvertible("message_kind_unknown", text, path, type(message).__name__)

    def _add(self, role: str, content: Any, name: str | None) -> Row:
        row: Row = {"role": role, "content": content}
        if name:
            row["name"] = name
        self.written.append(row)
        return row

    def _of_any_role(self, message: ChatMessage, path: str) -> None:
        role = _ROLES.get(message.role.lower())
        if role is None:
            raise Unconvertible("role_unknown", f"there is no role {message.role!r}", f"{path}.role", message.role)
        if role == "assistant":
            self._assistant(AIMessage(message.content, additional_kwargs=message.additional_kwargs, name=message.name), path)
        elif role == "user":
            self._user(HumanMessage(content=message.content, name=message.name), path)
        else:
            self._add(role, text_of(message.content, role, f"{path}.content", "\n"), message.name)

    def _user(self, message: HumanMessage, path: str) -> None:
        """A user's message; tool results inside it, as Anthropic's users write them, become messages of their own."""
        content = message.content
        if isinstance(content, str):
            self._add("user", content, message.name)
            return
        rest = [block for block in content if _kind(block) != "tool_result"]
        for block in content:
            if isinstance(block, Mapping) and _kind(block) == "tool_result":
                status = "error" if block.get("is_error") else "success"
                self._result(block.get("content") or "", block.get("tool_use_id") or "", None, status, path)
        if rest or not content:
            written = parts(rest, "user", f"{path}.content")
            only = written[0]["text"] if len(written) == 1 and written[0]["type"] == "text" else None
            self._add("user", only if only is not None else written, message.name)

    def _result(self, content: Any, identity: str, name: str | None, status: str, path: str) -> None:
        if status == "error":
            if self._options.tool_errors == "drop_row":
                raise Unconvertible("tool_error", "a tool failed in this conversation", path, skipped=True)
            self._changed("tool_error")
        self.unpaired = self.unpaired or not identity or self.functions
        row = self._add("tool", text_of(content, "tool", f"{path}.content", "\n"), name)
        row["tool_call_id"] = identity
        if status == "error":
            row["status"] = status  # no part of the format; `Fixes` looks at it and takes it away

    def _assistant(self, message: AIMessage, path: str) -> None:
        content = message.content
        blocks = content if isinstance(content, list) else ()
        if message.additional_kwargs.get("audio"):
            raise Unconvertible("content_part_unsupported", "a spoken answer cannot be trained on", path, "audio")
        spoken = content if isinstance(content, str) else [one for one in blocks if _kind(one) not in _CALLS | THOUGHTS]
        text = text_of(spoken, "assistant", f"{path}.content", "")
        if not text and isinstance(refusal := message.additional_kwargs.get("refusal"), str):
            text = refusal
        row = self._add("assistant", text, message.name)
        if reasoning := reasoning_of(message, self._options.reasoning, f"{path}.content"):
            if self._options.reasoning == "drop":
                self._changed("reasoning_dropped")
            else:
                row["reasoning"] = reasoning
        if calls := self._calls(message, blocks, path):
            row["tool_calls"] = calls
            self.unpaired = self.unpaired or not all(one["id"] for one in calls)
            if not text:
                del row["content"]

    def _calls(self, message: AIMessage, blocks: Sequence[Any], path: str) -> list[Row]:
        """The calls of a message: those that LangChain has parsed, those that it could not, and those that only blocks tell."""
        calls = [call(one["id"], one["name"], one["args"]) for one in message.tool_calls]
        known = {one["id"] for one in calls} | {one.get("id") or "" for one in message.invalid_tool_calls}
        for block in blocks:
            name = block.get("name") if isinstance(block, Mapping) and _kind(block) in _CALLS else None
            identity = block.get("call_id") or block.get("id") or "" if name else ""
            if name and identity not in known and _kind(block) in ("tool_use", "tool_call", "function_call"):
                arguments: Any = next((block[key] for key in ("input", "args", "arguments") if key in block), {})
                calls.append(call(identity, name, arguments))
                known.add(identity)
        for place, bad in enumerate(message.invalid_tool_calls):
            calls += self._invalid(bad, f"{path}.invalid_tool_calls[{place}]")
        legacy = message.additional_kwargs.get("function_call")
        if not calls and isinstance(legacy, Mapping):
            calls = [call("", str(legacy.get("name") or ""), legacy.get("arguments"))]
        return calls

    def _invalid(self, bad: Mapping[str, Any], path: str) -> list[Row]:
        how = self._options.invalid_tool_calls
        if how == "refuse":
            text = f"the arguments of a call of {bad.get('name')!r} could not be parsed"
            raise Unconvertible("tool_call_invalid", text, path, bad.get("args") or "")
        if how == "drop":
            self._changed("invalid_tool_call_dropped")
            return []
        return [call(bad.get("id"), bad.get("name") or "", bad.get("args") or "")]

    def _changed(self, code: str) -> None:
        if code not in self.changed:
            self.changed.append(code)


def _kind(block: Any) -> str | None:
    return block.get("type") if isinstance(block, Mapping) else None

"""LlamaIndex's messages as the messages of a row, block by block. Pure; what a row cannot hold is refused, what is left out is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from together_adapters.finetune.formats.conversations import CHANGED_ID, call, in_one_form, pair_calls

from llama_index_together_adapters.finetuning.images import image_url
from llama_index_together_adapters.tool_calls import legacy_calls
from together_adapters.finetune.records import Row, Unconvertible

_ROLES: Final[dict[str, str]] = {"chatbot": "assistant", "model": "assistant", "function": "tool"}
_USER: Final = MessageRole.USER
_ASSISTANT: Final = MessageRole.ASSISTANT
_SYSTEM: Final = MessageRole.SYSTEM


class Options(NamedTuple):
    """What is to be done with what cannot simply be kept.

    Attributes:
        reasoning: Whether reasoning is trained on, or left out and counted.
    """

    reasoning: Literal["keep", "drop"] = "keep"


def plain(messages: Iterable[Any]) -> list[Row] | None:
    """Return a conversation of plain texts, or None where it has anything else."""
    written: list[Row] = []
    for message in messages:
        if type(message) is not ChatMessage:
            return None
        held = message.__dict__
        blocks, kind = held["blocks"], held["role"]
        # By identity: the hash of an enumeration's member is Python code.
        role = "user" if kind is _USER else "assistant" if kind is _ASSISTANT else "system" if kind is _SYSTEM else None
        if role is None or held["additional_kwargs"] or len(blocks) != 1 or type(blocks[0]) is not TextBlock:
            return None
        written.append({"role": role, "content": blocks[0].text})
    return written


def conversation(messages: Iterable[Any], options: Options, number: int) -> tuple[list[Row], tuple[str, ...]]:
    """Return a conversation as a row has it, and the codes of what was changed.

    Args:
        messages: Messages, or dicts of them.
        options: What to do with reasoning.
        number: The number of the record, for the ids of calls that have none.

    Raises:
        Unconvertible: Something cannot be expressed.
    """
    changed: list[str] = []
    written = [_written(_message(given, place), options, changed, f"messages[{place}]") for place, given in enumerate(messages)]
    if pair_calls(written, number):
        changed.append(CHANGED_ID)
    if any(isinstance(message.get("content"), list) for message in written):
        in_one_form(written)
    return written, tuple(dict.fromkeys(changed))


def _message(given: Any, place: int) -> ChatMessage:
    if isinstance(given, ChatMessage):
        return given
    if isinstance(given, Mapping) and "role" in given:
        try:
            return _of_dict(given)
        except (ValueError, TypeError) as problem:
            text = f"this message is not one of LlamaIndex's: {str(problem).splitlines()[0]}"
            raise Unconvertible("message_kind_unknown", text, f"messages[{place}]") from None
    text = f"a {type(given).__name__} is no message"
    raise Unconvertible("message_kind_unknown", text, f"messages[{place}]", type(given).__name__)


def _of_dict(given: Mapping[str, Any]) -> ChatMessage:
    """A message as LlamaIndex writes it to a file; those of the service's form keep their calls and names.

    Files that it names are not read: who wrote it may not be who reads it.
    """
    for block in given.get("blocks") or ():
        if isinstance(block, Mapping) and block.get("path"):
            raise ValueError("an image that is a path is read only from a message that the program made")
    known = ("role", "content", "blocks", "additional_kwargs")
    fields = {key: given[key] for key in known if given.get(key) is not None}
    others = {key: value for key, value in given.items() if key not in known and value is not None}
    return ChatMessage(**fields) if not others else _with_extras(fields, others)


def _with_extras(fields: dict[str, Any], others: dict[str, Any]) -> ChatMessage:
    return ChatMessage(**{**fields, "additional_kwargs": {**fields.get("additional_kwargs", {}), **others}})


def _written(message: ChatMessage, options: Options, changed: list[str], path: str) -> Row:
    role = _ROLES.get(message.role.value, message.role.value)
    extras = message.additional_kwargs
    parts: list[Row] = []
    thoughts: list[str] = []
    calls: list[Row] = []
    for place, block in enumerate(message.blocks):
        here = f"{path}.blocks[{place}]"
        if isinstance(block, ToolCallBlock):
            calls.append(call(block.tool_call_id, block.tool_name, block.tool_kwargs))
        elif isinstance(block, ThinkingBlock):
            thoughts.append(_thought(block, options, here))
        elif not isinstance(block, CachePoint):  # a hint for the provider
            parts.append(_part(block, role, here))
    row: Row = {"role": role, "content": _content(parts, role)}
    if isinstance(extras.get("name"), str):
        row["name"] = extras["name"]
    if role == "assistant":
        _complete(row, calls or _legacy(message), thoughts or _kept(extras), options, changed)
    elif role == "tool":
        row["tool_call_id"] = str(extras.get("tool_call_id") or "")
    if role not in ("user", "assistant", "system", "developer", "tool"):
        raise Unconvertible("role_unknown", f"there is no role {role!r}", f"{path}.role", role)
    return row


def _complete(row: Row, calls: list[Row], thoughts: list[str], options: Options, changed: list[str]) -> None:
    """Give an answer its reasoning and its calls."""
    if any(thoughts):
        if options.reasoning == "drop":
            changed.append("reasoning_dropped")
        else:
            row["reasoning"] = "".join(thoughts)
    if calls:
        row["tool_calls"] = calls
        if not row["content"]:
            del row["content"]


def _kept(extras: Mapping[str, Any]) -> list[str]:
    """Reasoning where integrations without thinking blocks keep it."""
    found = extras.get("reasoning_content") or extras.get("reasoning")
    return [found] if isinstance(found, str) else []


def _content(parts: list[Row], role: str) -> Any:
    """A text where that is all there is; the blocks of an assistant are joined as LlamaIndex does it."""
    texts = [part["text"] for part in parts if part["type"] == "text"]
    if len(texts) != len(parts) or (role == "user" and len(texts) > 1):
        return parts
    return "\n".join(texts)


def _part(block: Any, role: str, path: str) -> Row:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if not isinstance(block, ImageBlock):
        kind = type(block).__name__
        raise Unconvertible("content_part_unsupported", f"a {kind} cannot be trained on", path, kind)
    if role != "user":
        raise Unconvertible("image_outside_user_message", f"an image in a message of role {role} cannot be trained on", path)
    try:
        return {"type": "image_url", "image_url": {"url": image_url(block)}}
    except Exception as problem:
        raise Unconvertible("image_invalid", f"the image cannot be read: {problem}", path) from None


def _thought(block: ThinkingBlock, options: Options, path: str) -> str:
    extras = block.additional_information or {}
    sealed = any(extras.get(key) for key in ("signature", "encrypted_content", "thought_signature"))
    if not sealed and block.content is not None:
        return block.content
    if options.reasoning == "drop" or not (sealed or extras):
        return block.content or ""
    text = "reasoning that is signed or encrypted cannot be trained on; reasoning='drop' leaves it out"
    raise Unconvertible("reasoning_unreadable", text, path)


def _legacy(message: ChatMessage) -> list[Row]:
    """The calls of a message that keeps them in the form of the provider, as older data does."""
    made = []
    for one in legacy_calls(message):
        function = one.get("function") or {}
        made.append(call(one.get("id"), function.get("name") or "", function.get("arguments")))
    single = message.additional_kwargs.get("function_call")
    if not made and isinstance(single, Mapping):
        made.append(call("", str(single.get("name") or ""), single.get("arguments")))
    return made

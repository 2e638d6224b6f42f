"""Data sets of function calling whose records are no conversations yet: xLAM's question with calls, and glaive's chat as one text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import ConversationBuilder, json_text, parsed
from together_adapters.finetune.formats.openai import CHAT_COLUMNS, declared_tools, read_messages, with_columns
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require_record, text_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

XLAM_COLUMNS: Final = CHAT_COLUMNS | {"query", "answers"}
GLAIVE_COLUMNS: Final = CHAT_COLUMNS | {"chat"}
_SPEAKERS: Final = {"SYSTEM": "system", "USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_ROLE_LABEL: Final = re.compile(r"(?:\A|\n)\s*(SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):[ \t]*")
_END: Final = re.compile(r"\s*<\|endoftext\|>\s*\Z")


def xlam(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record of `query`, `answers` (the calls of the answer, or their JSON text) and `tools`."""
    record = require_record(record)
    calls = parsed(record.get("answers"), "answers")
    if not is_calls(calls):
        raise Unconvertible("tool_call_invalid", "answers must be the calls that answer the query", "answers", calls)
    builder = ConversationBuilder(options)
    builder.tools = declared_tools(record)
    question = {"role": "user", "content": text_of(record, "query")}
    read_messages(builder, [*with_columns([question], record), {"role": "calls", "content": json_text(calls)}])
    yield builder.converted()


def is_calls(value: Any) -> bool:
    """Whether a value is a list of calls, each with a name and arguments."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and {"name", "arguments"} <= one.keys() for one in value)
    )


def is_chat_text(value: Any) -> bool:
    """Whether a text is a chat in which each turn begins with the name of its speaker in capitals."""
    return isinstance(value, str) and "USER:" in value and "ASSISTANT:" in value


def glaive(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record of `chat`, a text with the turns of `USER:`, `ASSISTANT:` and `FUNCTION RESPONSE:`, and `system`."""
    record = require_record(record)
    system = record.get("system")
    if isinstance(system, str):
        record = {**record, "system": system.strip().removeprefix("SYSTEM:").strip()}
    builder = ConversationBuilder(options)
    builder.tools = declared_tools(record)
    builder.has_text_calls = True  # the prompt declares tools also where none is called
    read_messages(builder, with_columns(_turns(text_of(record, "chat")), record))
    yield builder.converted()


def _turns(chat: str) -> list[Row]:
    begin, *parts = _ROLE_LABEL.split(chat)
    if begin.strip() or not parts:
        raise Unconvertible("template_broken", "the chat does not begin with 'USER:'", "chat", chat[:80])
    return [
        {"role": _SPEAKERS[who], "content": _END.sub("", text).strip()} for who, text in zip(parts[::2], parts[1::2], strict=True)
    ]

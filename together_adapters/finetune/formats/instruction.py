"""Instructions: `prompt` and `completion` as texts or chats, and Alpaca's columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import has_template_marks
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.images import with_images
from together_adapters.finetune.formats.openai import declared_tools, read_messages
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import extras, require_record, text_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

_PAIR_COLUMNS: Final = frozenset({"prompt", "completion"})
_READ_COLUMNS: Final = _PAIR_COLUMNS | {"tools", "functions", "images", "image"}
_ALPACA_COLUMNS: Final = frozenset({"instruction", "input", "output", "history", "system"})


def prompt_completion(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `prompt` and `completion`; chats become a conversation in which only the completion is trained on."""
    record = require_record(record)
    prompt, completion = record.get("prompt"), record.get("completion")
    if type(prompt) is str and type(completion) is str and not record.get("tools") and options.form != "conversation":
        changes = ["template_in_content"] if has_template_marks(prompt) or has_template_marks(completion) else []
        columns = extras(record, _READ_COLUMNS, changes) if len(record) > 2 else {}
        yield Converted({"prompt": prompt, "completion": completion, **columns}, None, tuple(changes))
        return
    chats = isinstance(prompt, list) or isinstance(completion, list | dict)
    question, answer = (_chat(record, column, role) for column, role in (("prompt", "user"), ("completion", "assistant")))
    if any(not isinstance(message, dict) or message.get("role") == "user" for message in answer):
        raise Unconvertible("completion_not_answer", "a completion that is a chat holds answers and results alone", "completion")
    builder = ConversationBuilder(options)
    read_messages(builder, with_images(question, record))
    length = len(builder.messages)
    read_messages(builder, answer)
    if chats and options.prompt_weights:
        for index, message in enumerate(builder.messages):
            message["weight"] = int(index >= length and message["role"] == "assistant")
        builder.change("prompt_weighted")
    yield builder.converted(declared_tools(record), extra=extras(record, _READ_COLUMNS, builder.changes))


def _chat(record: Row, column: str, role: str) -> list[Any]:
    value = record.get(column)
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list) and value:
        return value
    text_of(record, column)
    raise AssertionError(column)


def alpaca(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `instruction`, `input` and `output`; with `system` or `history` it becomes a conversation."""
    record = require_record(record)
    prompt = options.template(record) if options.template is not None else _prompt(record, options)
    output = text_of(record, "output")
    changes = ["template_in_content"] if has_template_marks(prompt) or has_template_marks(output) else []
    columns = extras(record, _ALPACA_COLUMNS, changes) if len(record) > 3 else {}
    if options.form != "conversation" and "system" not in record and "history" not in record:
        yield Converted({"prompt": prompt, "completion": output, **columns}, None, tuple(changes))
        return
    builder = ConversationBuilder(options)
    builder.changes += changes
    if record.get("system"):
        builder.add("system", text_of(record, "system"))
    for question, answer in _history(record):
        builder.add("user", question)
        builder.answer(answer)
    builder.add("user", prompt)
    builder.answer(output)
    yield builder.converted(extra=columns)


def _prompt(record: Row, options: Options) -> str:
    """Returns the instruction with its input."""
    instruction = text_of(record, "instruction")
    has_input = record.get("input") not in (None, "")
    return f"{instruction}{options.join}{text_of(record, 'input')}" if has_input else instruction


def _history(record: Row) -> Iterator[tuple[str, str]]:
    history = parsed(record.get("history") or [], "history")
    for index, turn in enumerate(history if isinstance(history, list) else [history]):
        if not isinstance(turn, list | tuple) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
            text = f"a turn is a question and its answer, not {kind_of(turn)}"
            raise Unconvertible("history_invalid", text, f"history[{index}]", turn)
        yield turn[0], turn[1]

"""Questions with their answers: `prompt` and `completion` as texts or chats, and Alpaca's three columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import marked
from together_adapters.finetune.formats.conversation import Talk, parsed
from together_adapters.finetune.formats.openai import declared_tools, read_messages
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.placeholders import with_images
from together_adapters.finetune.readers.columns import extras, require_record, text_of
from together_adapters.finetune.records import Converted, Row, Unconvertible

_PAIR: Final = frozenset({"prompt", "completion"})
_USED: Final = _PAIR | {"tools", "functions", "images", "image"}
_ALPACA: Final = frozenset({"instruction", "input", "output", "history", "system"})


def prompt_completion(record: Any, options: Options) -> Iterator[Converted]:
    """Convert a record with `prompt` and `completion`; chats become one conversation of which the completion is trained on."""
    record = require_record(record)
    prompt, completion = record.get("prompt"), record.get("completion")
    if type(prompt) is str and type(completion) is str and not record.get("tools") and options.form != "conversation":
        changed = ["template_in_content"] if marked(prompt) or marked(completion) else []
        more = extras(record, _USED, changed) if len(record) > 2 else {}
        yield Converted({"prompt": prompt, "completion": completion, **more}, None, tuple(changed))
        return
    chats = isinstance(prompt, list) or isinstance(completion, list | dict)
    asked, said = (_chat(record, column, role) for column, role in (("prompt", "user"), ("completion", "assistant")))
    if any(not isinstance(message, dict) or message.get("role") == "user" for message in said):
        raise Unconvertible("completion_not_answer", "a completion that is a chat holds answers and results alone", "completion")
    talk = Talk(options)
    read_messages(talk, with_images(asked, record))
    turns = len(talk.messages)
    read_messages(talk, said)
    if chats and options.prompt_weights:
        for place, message in enumerate(talk.messages):
            message["weight"] = int(place >= turns and message["role"] == "assistant")
        talk.change("prompt_weighted")
    yield talk.converted(declared_tools(record), extra=extras(record, _USED, talk.changed))


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
    """Convert a record with `instruction`, `input` and `output`; with `system` or `history` it becomes a conversation."""
    record = require_record(record)
    prompt = options.template(record) if options.template is not None else _joined(record, options)
    output = text_of(record, "output")
    changed = ["template_in_content"] if marked(prompt) or marked(output) else []
    more = extras(record, _ALPACA, changed) if len(record) > 3 else {}
    if options.form != "conversation" and "system" not in record and "history" not in record:
        yield Converted({"prompt": prompt, "completion": output, **more}, None, tuple(changed))
        return
    talk = Talk(options)
    talk.changed += changed
    if record.get("system"):
        talk.add("system", text_of(record, "system"))
    for asked, said in _history(record):
        talk.add("user", asked)
        talk.answer(said)
    talk.add("user", prompt)
    talk.answer(output)
    yield talk.converted(extra=more)


def _joined(record: Row, options: Options) -> str:
    """The instruction, and what it is about."""
    instruction = text_of(record, "instruction")
    given = record.get("input")
    return f"{instruction}{options.join}{text_of(record, 'input')}" if given is not None and given != "" else instruction


def _history(record: Row) -> Iterator[tuple[str, str]]:
    history = parsed(record.get("history") or [], "history")
    for place, turn in enumerate(history if isinstance(history, list) else [history]):
        if not isinstance(turn, list | tuple) or len(turn) != 2 or not all(isinstance(text, str) for text in turn):
            raise Unconvertible(
                "history_invalid", f"a turn is a question and its answer, not {kind_of(turn)}", f"history[{place}]", turn
            )
        yield turn[0], turn[1]

"""Drops conversations that another one continues: an agent sends its whole history with every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.records import Example, Record, Refusal, Row

CODE: Final = "prefix_of_longer"


def drop_prefixes(read: Callable[[], Iterable[Record]]) -> Callable[[], Iterator[Record]]:
    """Returns a function that reads records twice and refuses each conversation that a longer one of its group continues."""

    def without_prefixes() -> Iterator[Record]:
        prefixes = Digests()
        for record in read():
            if isinstance(record, Example) and "messages" in record.row:
                for digest in _prefix_digests(record)[:-1]:
                    prefixes.put(digest)
        for record in read():
            if isinstance(record, Example) and "messages" in record.row and _is_prefix(record, prefixes):
                text = "another conversation continues this one"
                yield Refusal(CODE, text, record.number, record.source, skipped=True)
            else:
                yield record

    return without_prefixes


def _is_prefix(record: Example, prefixes: Digests) -> bool:
    digests = _prefix_digests(record)
    return bool(digests) and digests[-1] in prefixes


def _prefix_digests(record: Example) -> list[bytes]:
    """Returns the digests of a conversation up to each of its answers, and as a whole."""
    messages: list[Row] = record.row["messages"]
    running = blake2b(_encode([record.group, record.row.get("tools")]), digest_size=16)
    digests: list[bytes] = []
    last = len(messages) - 1
    for index, message in enumerate(messages):
        running.update(_encode(_comparable(message)))
        if index == last or message.get("role") == "assistant":
            digests.append(running.digest())
    return digests


def _comparable(message: Row) -> Any:
    functions = [call.get("function") for call in message.get("tool_calls") or ()]
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    return [message.get("role"), message.get("content") or "", reasoning, functions, message.get("weight")]


def _encode(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="constants", serialize_unknown=True)

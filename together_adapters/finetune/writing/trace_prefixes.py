"""Conversations that another one continues: an agent sends its whole history with every call, and would be trained on it each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.records import Example, Record, Refusal, Row

CODE: Final = "prefix_of_longer"


def drop_prefixes(read: Callable[[], Iterable[Record]]) -> Callable[[], Iterator[Record]]:
    """Leave out the conversations that a longer one of the same group continues, word for word and with the same tools.

    The source is read twice, and takes some 20 bytes of memory for each answer. Names of speakers and ids of calls do not count.

    Args:
        read: Gives the records, each time from the beginning.

    Returns:
        What gives the records in the same order, with a refusal in the place of each that was left out.
    """

    def kept() -> Iterator[Record]:
        continued = Digests()
        for record in read():
            if isinstance(record, Example) and "messages" in record.row:
                for digest in _beginnings(record)[:-1]:
                    continued.put(digest)
        for record in read():
            if isinstance(record, Example) and "messages" in record.row and _is_continued(record, continued):
                text = "another conversation goes on from here"
                yield Refusal(CODE, text, record.number, record.source, skipped=True)
            else:
                yield record

    return kept


def _is_continued(record: Example, continued: Digests) -> bool:
    found = _beginnings(record)
    return bool(found) and found[-1] in continued


def _beginnings(record: Example) -> list[bytes]:
    """Digests of a conversation up to each of its answers, and as a whole."""
    messages: list[Row] = record.row["messages"]
    running = blake2b(_bytes([record.group, record.row.get("tools")]), digest_size=16)
    found: list[bytes] = []
    last = len(messages) - 1
    for place, message in enumerate(messages):
        running.update(_bytes(_said(message)))
        if place == last or message.get("role") == "assistant":
            found.append(running.digest())
    return found


def _said(message: Row) -> Any:
    calls = [one.get("function") for one in message.get("tool_calls") or ()]
    thought = message.get("reasoning") or message.get("reasoning_content") or ""
    return [message.get("role"), message.get("content") or "", thought, calls, message.get("weight")]


def _bytes(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="constants", serialize_unknown=True)

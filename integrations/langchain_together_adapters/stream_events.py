"""Pieces of a streamed answer as events of LangChain's content-block protocol (`stream_events(version="v3")`).

A block stays open until the message ends: engines may go back to reasoning after text, or interleave tool calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_protocol.protocol import MessagesData

from langchain_together_adapters.chat_response import Manner
from langchain_together_adapters.metadata import PROVIDER, usage_metadata
from langchain_together_adapters.stream_parser import Piece, StreamedAnswer
from langchain_together_adapters.tool_calls import read_call


class EventWriter:
    """Writes one streamed answer as protocol events."""

    def __init__(self, manner: Manner, message_id: str | None) -> None:
        self._answer = StreamedAnswer(manner)
        self._id = message_id
        self._started = False
        self._blocks: dict[Any, tuple[int, dict[str, Any]]] = {}
        self._extras: dict[str, Any] = {}
        self._logprobs: dict[str, list[Any]] = {}

    def read(self, event: Mapping[str, Any]) -> Iterator[MessagesData]:
        """Return the protocol events of one event of the service."""
        pieces = self._answer.read(event)
        if not self._started:
            yield self._start()
        for piece in pieces:
            yield from self._write(piece)

    def end(self) -> Iterator[MessagesData]:
        """Return the events that close the blocks and the message."""
        if not self._started:
            yield self._start()
        for piece in self._answer.end():
            yield from self._write(piece)
        for index, block in self._blocks.values():
            yield _event("content-block-finish", index=index, content=_finished(block))
        told = self._answer.metadata()
        if self._logprobs:
            told["logprobs"] = self._logprobs
        closing: dict[str, Any] = {"metadata": told}
        if (usage := usage_metadata(self._answer.usage)) is not None:
            closing["usage"] = usage
        if self._extras:
            closing["additional_kwargs"] = self._extras
        yield _event("message-finish", **closing)

    def _start(self) -> MessagesData:
        self._started = True
        said = self._answer.answer
        metadata = {"provider": PROVIDER, **({"model": said["model"]} if said.get("model") else {})}
        return _event("message-start", role="ai", id=self._id or said.get("id") or "", metadata=metadata)

    def _write(self, piece: Piece) -> Iterator[MessagesData]:
        kind, value, logprobs = piece
        if logprobs:
            for name, found in logprobs.items():
                self._logprobs.setdefault(name, []).extend(found)
        if kind == "extra":
            for name, part in value.items():
                self._extras[name] = _joined(self._extras.get(name), part)
        elif kind == "calls":
            for call in value:
                yield from self._write_call(call)
        elif value:
            yield from self._add(kind, {"type": kind, kind: ""}, kind, value, {"type": f"{kind}-delta", kind: value})

    def _write_call(self, call: Mapping[str, Any]) -> Iterator[MessagesData]:
        key = ("call", call["index"])
        if call["name"] and key in self._blocks:
            self._blocks[key][1]["name"] += call["name"]
        head = {"type": "tool_call_chunk", "id": call["id"], "name": call["name"] or "", "args": "", "index": call["index"]}
        delta = {"type": "tool-call-delta", "args": call["args"]} if call["args"] else None
        yield from self._add(key, head, "args", call["args"] or "", delta)

    def _add(
        self, key: Any, head: dict[str, Any], field: str, value: str, delta: dict[str, Any] | None
    ) -> Iterator[MessagesData]:
        """Open the block when it is new, and add to it."""
        if key not in self._blocks:
            self._blocks[key] = (len(self._blocks), dict(head))
            yield _event("content-block-start", index=len(self._blocks) - 1, content=head)
        index, block = self._blocks[key]
        block[field] += value
        if delta is not None:
            yield _event("content-block-delta", index=index, delta=delta)


def _joined(before: Any, part: Any) -> Any:
    """Add a piece of a text, or of an object whose fields are texts, to what came before."""
    if before is None or part is None:
        return part if before is None else before
    if isinstance(before, dict) and isinstance(part, dict):
        return {name: _joined(before.get(name), part.get(name)) for name in {**before, **part}}
    return before + part


def _finished(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] != "tool_call_chunk":
        return block
    return cast("dict[str, Any]", read_call(block["id"], block["name"], block["args"]))


def _event(name: str, **fields: Any) -> MessagesData:
    return cast("MessagesData", {"event": name, **fields})

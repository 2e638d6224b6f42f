"""Parts of a streamed message to events of LangChain's content-block protocol (`stream_events(version="v3")`).

A block stays open until the message ends: engines may return to reasoning after text, or interleave tool calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_protocol.protocol import MessagesData

from langchain_together_adapters.chat_response import ParseOptions
from langchain_together_adapters.metadata import PROVIDER, usage_metadata
from langchain_together_adapters.stream_parser import Part, StreamParser
from langchain_together_adapters.tool_calls import parse_tool_call


class EventWriter:
    """Writes one streamed message as protocol events."""

    def __init__(self, options: ParseOptions, message_id: str | None) -> None:
        self._parser = StreamParser(options)
        self._id = message_id
        self._started = False
        self._blocks: dict[Any, tuple[int, dict[str, Any]]] = {}
        self._extras: dict[str, Any] = {}
        self._logprobs: dict[str, list[Any]] = {}

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[MessagesData]:
        parts = self._parser.feed(chunk)
        if not self._started:
            yield self._start()
        for part in parts:
            yield from self._write(part)

    def end(self) -> Iterator[MessagesData]:
        if not self._started:
            yield self._start()
        for part in self._parser.end():
            yield from self._write(part)
        for index, block in self._blocks.values():
            yield _event("content-block-finish", index=index, content=_finish(block))
        metadata = self._parser.metadata()
        if self._logprobs:
            metadata["logprobs"] = self._logprobs
        fields: dict[str, Any] = {"metadata": metadata}
        if (usage := usage_metadata(self._parser.usage)) is not None:
            fields["usage"] = usage
        if self._extras:
            fields["additional_kwargs"] = self._extras
        yield _event("message-finish", **fields)

    def _start(self) -> MessagesData:
        self._started = True
        response = self._parser.response
        metadata = {"provider": PROVIDER, **({"model": response["model"]} if response.get("model") else {})}
        return _event("message-start", role="ai", id=self._id or response.get("id") or "", metadata=metadata)

    def _write(self, part: Part) -> Iterator[MessagesData]:
        kind, value, logprobs = part
        for name, entries in (logprobs or {}).items():
            self._logprobs.setdefault(name, []).extend(entries)
        if kind == "extra":
            for name, fragment in value.items():
                self._extras[name] = _concatenate(self._extras.get(name), fragment)
        elif kind == "tool_calls":
            for chunk in value:
                yield from self._write_tool_call(chunk)
        elif value:
            yield from self._add(kind, {"type": kind, kind: ""}, kind, value, {"type": f"{kind}-delta", kind: value})

    def _write_tool_call(self, chunk: Mapping[str, Any]) -> Iterator[MessagesData]:
        key = ("tool_call", chunk["index"])
        if key in self._blocks:
            block = self._blocks[key][1]
            block["name"] += chunk["name"] or ""
            block["id"] = block["id"] or chunk["id"]
        head = {"type": "tool_call_chunk", "id": chunk["id"], "name": chunk["name"] or "", "args": "", "index": chunk["index"]}
        delta = {"type": "tool-call-delta", "args": chunk["args"]} if chunk["args"] else None
        yield from self._add(key, head, "args", chunk["args"] or "", delta)

    def _add(
        self, key: Any, head: dict[str, Any], field: str, value: str, delta: dict[str, Any] | None
    ) -> Iterator[MessagesData]:
        """Add to a block; start it where it is new."""
        if key not in self._blocks:
            self._blocks[key] = (len(self._blocks), dict(head))
            yield _event("content-block-start", index=len(self._blocks) - 1, content=head)
        index, block = self._blocks[key]
        block[field] += value
        if delta is not None:
            yield _event("content-block-delta", index=index, delta=delta)


def _concatenate(value: Any, fragment: Any) -> Any:
    """Append to a text, or to each field of an object whose fields are texts."""
    if value is None or fragment is None:
        return fragment if value is None else value
    if isinstance(value, dict) and isinstance(fragment, dict):
        return {name: _concatenate(value.get(name), fragment.get(name)) for name in {**value, **fragment}}
    return value + fragment


def _finish(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] != "tool_call_chunk":
        return block
    return cast("dict[str, Any]", parse_tool_call(block["id"], block["name"], block["args"]))


def _event(name: str, **fields: Any) -> MessagesData:
    return cast("MessagesData", {"event": name, **fields})

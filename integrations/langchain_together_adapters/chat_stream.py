"""Streamed chat responses: a parser of the service's chunks, and writers of LangChain's chunks and protocol events. Pure.

Engines send usage and finish reason on the last chunk that has a choice, on one that has none, on several, or never. The parser
collects them, and `metadata` returns them once, after the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, Protocol, TypeVar, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_protocol.protocol import MessagesData

from langchain_together_adapters.gateway import METADATA
from langchain_together_adapters.refusals import refusal_blocks
from langchain_together_adapters.responses import (
    PROVIDER,
    ParseOptions,
    chunk_logprobs,
    response_metadata,
    usage_metadata,
)
from langchain_together_adapters.tool_calls import final_chunks, parse_tool_call, tool_call_chunks
from together_adapters.adapters.prototypes import copies_of
from together_adapters.adapters.response_fields import REASONING_FIELD, reasoning_field
from together_adapters.adapters.tool_call_deltas import ToolCallAssembler
from together_adapters.types.reasoning import ReasoningSplitter

Kind = Literal["text", "reasoning", "tool_calls", "refusal", "extra"]
Part = tuple[Kind, Any, dict[str, Any] | None]
"""What a chunk adds to a message: the kind; text, a list of tool call chunks for `tool_calls`, or a dict for `extra`; and the
log-probabilities of the chunk's tokens, on its first part. A plain tuple, because there is one for every token."""

_EMPTY: Part = ("text", "", None)
_PROTOTYPE = ChatGenerationChunk(message=AIMessageChunk(content=""))
_content_message = copies_of(AIMessageChunk(content=""))
_reasoning_message = copies_of(AIMessageChunk(content="", additional_kwargs={}))
_generation_chunk = copies_of(_PROTOTYPE)
_chunk_text = partial(str.__new__, type(_PROTOTYPE.text))  # langchain-core has a class of its own for it
T_co = TypeVar("T_co", covariant=True)


class StreamWriter(Protocol[T_co]):
    """Writes one streamed message as items of LangChain: `feed` those of a chunk, `end` those that end the message."""

    def feed(self, chunk: Mapping[str, Any]) -> Iterable[T_co]: ...

    def end(self) -> Iterable[T_co]: ...


class StreamParser:
    """Parses the chunks of one streamed chat response; `response` holds the fields of the whole: model, id, usage."""

    def __init__(self, options: ParseOptions) -> None:
        self.response: dict[str, Any] = {}
        self._tool_calls = ToolCallAssembler()
        self._choice: dict[str, Any] = {}
        self._reasoning_field: str | None = None
        self._refusal = ""
        tags, is_open = options.reasoning_tags, options.reasoning_style == "tags"
        self._splitter = ReasoningSplitter(tags, is_open=is_open) if tags else None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The usage that was reported last."""
        return self.response.get("usage")

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the response, without the log-probabilities, which the parts carry."""
        metadata = {**response_metadata(self.response, self._choice, None), "token_usage": self.usage or {}}
        return {**metadata, REASONING_FIELD: self._reasoning_field} if self._reasoning_field else metadata

    def feed(self, chunk: Mapping[str, Any]) -> list[Part]:
        """Return what a chunk adds to the message."""
        choices = chunk.get("choices")
        if not choices:
            self._update(chunk, {})
            return []
        choice = choices[0]
        if choice.get("finish_reason") or chunk.get("usage") or not self.response:
            self._update(chunk, choice)
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message") or {"content": choice.get("text")}
        content = delta.get("content") or ""
        reasoning = delta.get("reasoning")
        if not reasoning:
            reasoning = delta.get("reasoning_content")
        tool_calls = delta.get("tool_calls")
        special = reasoning or tool_calls or self._splitter or choice.get("logprobs") is not None
        if content and not special and "refusal" not in delta:
            return [("text", content, None)]
        return self._parse(choice, delta, content, reasoning, tool_calls)

    def end(self) -> list[Part]:
        """Return what is only known at the end of the stream.

        That is pending text, what completes or breaks off tool calls, and a refusal, which is one part: parsers of langchain-core
        raise at the first part of it, and shall say it in full.
        """
        parts = self._pending_text()
        if chunks := final_chunks(self._tool_calls.calls):
            parts.append(("tool_calls", chunks, None))
        if self._refusal:
            parts.append(("refusal", self._refusal, None))
        return parts

    def _parse(self, choice: Any, delta: Any, content: Any, reasoning: Any, tool_calls: Any) -> list[Part]:
        parts: list[Part] = []
        if reasoning:
            parts.append(("reasoning", reasoning, None))
            self._reasoning_field = self._reasoning_field or reasoning_field(delta)
        if reasoning and self._splitter:
            parts.extend(("text", text, None) for _, text in self._splitter.close())
        parts += self._split(content)
        if tool_calls:
            parts += self._pending_text()
            parts.append(("tool_calls", tool_call_chunks(self._tool_calls.add(tool_calls)), None))
        self._refusal += delta.get("refusal") or ""
        if delta.get("function_call"):
            parts.append(("extra", {"function_call": delta["function_call"]}, None))
        if (logprobs := chunk_logprobs(choice, content or reasoning or "", delta.get("token_id"))) is not None:
            kind, value, _ = parts[0] if parts else _EMPTY
            parts[:1] = [(kind, value, logprobs)]
        return parts

    def _split(self, text: str) -> list[Part]:
        if not text:
            return []
        if self._splitter is None:
            return [("text", text, None)]
        parts: list[Part] = [(kind, part, None) for kind, part in self._splitter.feed(text)]
        if parts and parts[-1][0] == "text":
            self._splitter = None
        return parts

    def _pending_text(self) -> list[Part]:
        splitter, self._splitter = self._splitter, None
        return [(kind, text, None) for kind, text in splitter.end()] if splitter else []

    def _update(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        self.response.update({name: value for name, value in chunk.items() if value is not None and name != "choices"})
        self._choice.update({name: value for name, value in choice.items() if value is not None})


class ChunkWriter:
    """Writes one streamed message as chunks, with as few keywords as each needs. Usage and metadata are on the last one alone."""

    def __init__(self, options: ParseOptions) -> None:
        self._parser = StreamParser(options)
        self._content_blocks = options.content_blocks

    def feed(self, chunk: Mapping[str, Any]) -> list[ChatGenerationChunk]:
        parts = self._parser.feed(chunk)
        return [self._chunk(*parts[0])] if len(parts) == 1 else [self._chunk(*part) for part in parts]

    def end(self) -> Iterator[ChatGenerationChunk]:
        for part in self._parser.end():
            yield self._chunk(*part)
        metadata = self._parser.metadata()
        message = AIMessageChunk(
            content=[] if self._content_blocks else "",
            response_metadata=metadata,
            usage_metadata=usage_metadata(self._parser.usage),
            chunk_position="last",
        )
        info: dict[str, Any] = {"finish_reason": metadata["finish_reason"]}
        if METADATA in self._parser.response:
            info[METADATA] = self._parser.response[METADATA]
        yield ChatGenerationChunk(message=message, generation_info=info)

    def _chunk(self, kind: Kind, value: Any, logprobs: dict[str, Any] | None) -> ChatGenerationChunk:
        text = ""
        if kind == "text":
            text = value
            # The text has an index of its own: LangChain would number it like the first tool call, and merge the two.
            content: Any = [{"type": "text", "text": value, "index": "lc_txt_0"}] if self._content_blocks else value
            message = _content_message(content=content)
        elif kind == "tool_calls":
            message = AIMessageChunk(content=[] if self._content_blocks else "", tool_call_chunks=value)
        elif kind == "reasoning" and self._content_blocks:
            message = _content_message(content=[{"type": "reasoning", "reasoning": value, "index": "lc_rs_0"}])
        elif kind == "reasoning":
            message = _reasoning_message(additional_kwargs={"reasoning_content": value})
        elif kind == "refusal":
            content = refusal_blocks(value, in_stream=True) if self._content_blocks else ""
            metadata = {"model_provider": PROVIDER}  # so that its content blocks have it
            message = AIMessageChunk(content=content, additional_kwargs={"refusal": value}, response_metadata=metadata)
        else:
            message = AIMessageChunk(content=[] if self._content_blocks else "", additional_kwargs=value)
        if logprobs is None:
            return _generation_chunk(message=message, text=_chunk_text(text))
        return ChatGenerationChunk(message=message, generation_info={"logprobs": logprobs})


class EventWriter:
    """Writes one streamed message as events of LangChain's content-block protocol (`stream_events(version="v3")`).

    A block stays open until the message ends: engines may return to reasoning after text, or interleave tool calls.

    The protocol has no refusals, so one is a non-standard block of it, which is a block of its own in the message.
    """

    def __init__(self, options: ParseOptions, message_id: str | None) -> None:
        self._parser = StreamParser(options)
        self._id = message_id
        self._started = False
        self._blocks: dict[Any, tuple[int, dict[str, Any]]] = {}
        self._extras: dict[str, Any] = {}
        self._logprobs: dict[str, list[Any]] = {}

    def feed(self, chunk: Mapping[str, Any]) -> Iterator[MessagesData]:
        return self._write(self._parser.feed(chunk))

    def end(self) -> Iterator[MessagesData]:
        yield from self._write(self._parser.end())
        for index, block in self._blocks.values():
            is_call = block["type"] == "tool_call_chunk"
            content = parse_tool_call(block["id"], block["name"], block["args"]) if is_call else block
            yield _event("content-block-finish", index=index, content=content)
        yield from self._finish_refusal()
        metadata = self._parser.metadata()
        if self._logprobs:
            metadata["logprobs"] = self._logprobs
        fields: dict[str, Any] = {"metadata": metadata}
        if (usage := usage_metadata(self._parser.usage)) is not None:
            fields["usage"] = usage
        if self._extras:
            fields["additional_kwargs"] = self._extras
        yield _event("message-finish", **fields)

    def _write(self, parts: list[Part]) -> Iterator[MessagesData]:
        if not self._started:
            self._started = True
            response = self._parser.response
            metadata = {"provider": PROVIDER, **({"model": response["model"]} if response.get("model") else {})}
            yield _event("message-start", role="ai", id=self._id or response.get("id") or "", metadata=metadata)
        for kind, value, logprobs in parts:
            for name, entries in (logprobs or {}).items():
                self._logprobs.setdefault(name, []).extend(entries)
            if kind == "extra":
                for name, fragment in value.items():
                    self._extras[name] = _concatenate(self._extras.get(name), fragment)
            elif kind == "tool_calls":
                for chunk in value:
                    yield from self._write_tool_call(chunk)
            elif kind == "refusal":
                self._extras["refusal"] = value
            elif value:
                yield from self._add(kind, {"type": kind, kind: ""}, kind, value, {"type": f"{kind}-delta", kind: value})

    def _finish_refusal(self) -> Iterator[MessagesData]:
        for block in refusal_blocks(self._extras.get("refusal") or ""):
            index = len(self._blocks)
            content: dict[str, Any] = {"type": "non_standard", "value": block}
            yield _event("content-block-start", index=index, content=dict(content))
            event: Any = _event("content-block-finish", index=index, content=content)
            yield event
            # langchain-core makes the message of the blocks that it was given, and leaves out those of a type that it does not expect.
            event["content"] = dict(content)
            content.clear()
            content.update(block, index=index)

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


def _event(name: str, **fields: Any) -> MessagesData:
    return cast("MessagesData", {"event": name, **fields})

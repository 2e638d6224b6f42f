"""Chunks of a streamed chat response to the parts of a message. Pure; `stream_chunks` and `stream_events` write the parts.

Engines send usage and finish reason on the last chunk that has a choice, on one that has none, on several, or never. The parser
collects them, and `metadata` returns them once, after the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from langchain_together_adapters.chat_response import EXTRA_FIELDS, ParseOptions, join_parts
from langchain_together_adapters.metadata import chunk_logprobs, response_metadata
from langchain_together_adapters.tool_calls import generated_ids, tool_call_chunks
from together_adapters.adapters.tool_call_deltas import ToolCallAssembler
from together_adapters.types.reasoning import ReasoningSplitter

Kind = Literal["text", "reasoning", "tool_calls", "extra"]


Part = tuple[Kind, Any, dict[str, Any] | None]
"""What a chunk adds to a message: the kind; text, a list of tool call chunks for `tool_calls`, or a dict for `extra`; and the
log-probabilities of the chunk's tokens, on its first part. A plain tuple, because there is one for every token."""

_EMPTY: Part = ("text", "", None)
T_co = TypeVar("T_co", covariant=True)


class StreamWriter(Protocol[T_co]):
    """Writes one streamed message as items of LangChain: chunks or events."""

    def feed(self, chunk: Mapping[str, Any]) -> Iterable[T_co]:
        """Return the items for a chunk of the service."""
        ...

    def end(self) -> Iterable[T_co]:
        """Return the items that end the message."""
        ...


class StreamParser:
    """Parses the chunks of one streamed chat response.

    Attributes:
        response: The fields of the response as a whole: model, id, usage.
        tool_calls: The tool calls so far.
    """

    def __init__(self, options: ParseOptions) -> None:
        self.response: dict[str, Any] = {}
        self.tool_calls = ToolCallAssembler()
        self._choice: dict[str, Any] = {}
        self._splitter = ReasoningSplitter(options.reasoning_tags) if options.reasoning_tags else None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The usage that was reported last."""
        return self.response.get("usage")

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the response, without the log-probabilities, which the parts carry."""
        return {**response_metadata(self.response, self._choice, None), "token_usage": self.usage or {}}

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
            delta = {"content": choice.get("text")}
        content = delta.get("content") or ""
        reasoning = delta.get("reasoning")
        if reasoning is None:
            reasoning = delta.get("reasoning_content")
        tool_calls = delta.get("tool_calls")
        special = reasoning or tool_calls or self._splitter or choice.get("logprobs") is not None
        if content and not special and "refusal" not in delta and isinstance(content, str):
            return [("text", content, None)]
        return self._parse(choice, delta, content, reasoning, tool_calls)

    def end(self) -> list[Part]:
        """Return what is only known at the end of the stream: pending text, and ids of tool calls that came without one."""
        parts = self._pending_text()
        if ids := generated_ids(self.tool_calls.calls):
            parts.append(("tool_calls", ids, None))
        return parts

    def _parse(self, choice: Any, delta: Any, content: Any, reasoning: Any, tool_calls: Any) -> list[Part]:
        if not isinstance(content, str):
            content = join_parts(content)
        parts: list[Part] = [("reasoning", reasoning, None)] if reasoning else []
        parts += self._split(content)
        if tool_calls:
            parts += self._pending_text()
            parts.append(("tool_calls", tool_call_chunks(self.tool_calls.add(tool_calls)), None))
        for name in EXTRA_FIELDS:
            if delta.get(name):
                parts.append(("extra", {name: delta[name]}, None))
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

"""Streamed chat answers on their way in: each event becomes pieces of a message, and the end tells what it was. Pure.

Usage and finish reason stand where an engine likes to put them: on the last chunk that has a choice, on one that has none, on
several, or nowhere. They are gathered while the stream runs, and told once, when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from langchain_together_adapters.chat_response import EXTRAS, Manner, joined
from langchain_together_adapters.metadata import piece_logprobs, response_metadata
from langchain_together_adapters.tool_calls import CallPieces
from together_adapters.types.reasoning import ReasoningSplitter

Kind = Literal["text", "reasoning", "calls", "extra"]


Piece = tuple[Kind, Any, dict[str, Any] | None]
"""What one event adds to a message: to which part of it; text, a list of tool call chunks for `calls`, or a dict for `extra`;
and the log-probabilities of the event's tokens, on its first piece. A plain tuple, because there is one for every token."""

_NOTHING: Piece = ("text", "", None)


class StreamedAnswer:
    """Gathers one streamed answer.

    Attributes:
        answer: What the events said of the answer as a whole: model, id, usage.
        calls: The tool calls so far.
    """

    def __init__(self, manner: Manner) -> None:
        self.answer: dict[str, Any] = {}
        self.calls = CallPieces()
        self._choice: dict[str, Any] = {}
        self._splitter = ReasoningSplitter(manner.tags) if manner.tags else None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The usage that was reported last."""
        return self.answer.get("usage")

    def metadata(self) -> dict[str, Any]:
        """What the whole answer says about itself, as a single answer would; its log-probabilities came with the pieces."""
        told = response_metadata(self.answer, self._choice, self._choice.get("finish_reason"), None)
        return {**told, "token_usage": self.usage or {}}

    def read(self, event: Mapping[str, Any]) -> list[Piece]:
        """Return what an event adds."""
        choices = event.get("choices")
        if not choices:
            self._note(event, {})
            return []
        choice = choices[0]
        if choice.get("finish_reason") or event.get("usage") or not self.answer:
            self._note(event, choice)
        delta = choice.get("delta")
        if delta is None:
            delta = {"content": choice.get("text")}
        spoken = delta.get("content") or ""
        thought = delta.get("reasoning")
        if thought is None:
            thought = delta.get("reasoning_content")
        raw_calls = delta.get("tool_calls")
        special = thought or raw_calls or self._splitter or choice.get("logprobs") is not None
        if spoken and not special and "refusal" not in delta and isinstance(spoken, str):
            return [("text", spoken, None)]
        return self._read_all(choice, delta, spoken, thought, raw_calls)

    def end(self) -> list[Piece]:
        """Return what was held back until the answer was complete."""
        held, self._splitter = self._splitter, None
        return [(kind, text, None) for kind, text in held.end()] if held else []

    def _read_all(self, choice: Any, delta: Any, spoken: Any, thought: Any, raw_calls: Any) -> list[Piece]:
        if not isinstance(spoken, str):
            spoken = joined(spoken)
        pieces: list[Piece] = [("reasoning", thought, None)] if thought else []
        pieces += self._split(spoken)
        if raw_calls:
            pieces += self.end()
            pieces.append(("calls", self.calls.read(raw_calls), None))
        pieces += self._extras(delta)
        if (logprobs := piece_logprobs(choice, spoken or thought or "", delta.get("token_id"))) is not None:
            kind, value, _ = pieces[0] if pieces else _NOTHING
            pieces[:1] = [(kind, value, logprobs)]
        return pieces

    def _split(self, text: str) -> list[Piece]:
        if not text:
            return []
        if self._splitter is None:
            return [("text", text, None)]
        pieces: list[Piece] = [(kind, part, None) for kind, part in self._splitter.feed(text)]
        if pieces and pieces[-1][0] == "text":
            self._splitter = None
        return pieces

    @staticmethod
    def _extras(delta: Mapping[str, Any]) -> list[Piece]:
        return [("extra", {name: delta[name]}, None) for name in EXTRAS if delta.get(name)]

    def _note(self, event: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        self.answer.update({name: value for name, value in event.items() if value is not None and name != "choices"})
        self._choice.update({name: value for name, value in choice.items() if value is not None})

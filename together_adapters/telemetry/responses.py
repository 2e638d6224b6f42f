"""What spans say of a response: whole, the chunks of a stream, or those of several requests; all give the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any, Final

from together_adapters.adapters.response_fields import (
    add_counts,
    cached_tokens,
    completion_delta,
    reasoning_of,
    reasoning_tokens,
)
from together_adapters.adapters.tool_call_deltas import ToolCallAssembler
from together_adapters.telemetry import messages

_FIELDS: Final = {"id": "gen_ai.response.id", "model": "gen_ai.response.model"}


def _get(fields: Any, name: str) -> Any:
    """Returns a field of an object or of a model of one."""
    return fields.get(name) if isinstance(fields, dict) else getattr(fields, name, None)


class Choice:
    """One answer, as far as it has arrived."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._tool_calls = ToolCallAssembler()

    def add(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Adds the content of a chunk, or of a whole message."""
        delta = choice.get("message") or choice.get("delta") or {}
        self._texts.append(delta.get("content") or completion_delta(chunk, choice))
        self._reasoning.append(reasoning_of(delta) or "")
        self._refusal.append(delta.get("refusal") or "")
        if calls := delta.get("tool_calls"):
            self._tool_calls.add(calls)

    def message(self) -> messages.Part:
        """Returns the answer as a message."""
        reasoning, text, refusal = map("".join, (self._reasoning, self._texts, self._refusal))
        parts = messages.parts(reasoning, text or None, self._tool_calls.calls, refusal)
        return {"role": "assistant", "parts": [*parts], "finish_reason": self.finish_reason or "error"}


class ResponseReader:
    """Reads a response, or its parts one after the other, into attributes."""

    def __init__(self, capture_content: bool) -> None:
        self._capture_content = capture_content
        self._fields: dict[str, str] = {}
        self._usages: list[Any] = []
        self._choices: dict[int, Choice] = {}

    def add_chunk(self, chunk: Any) -> None:
        """Adds a whole response with its choices, or a chunk of a stream, whose last usage counts. Content is read from JSON alone."""
        if not self._fields:
            self._add_fields(chunk)
        if usage := _get(chunk, "usage"):
            self._usages = [usage]
        for position, choice in enumerate(_get(chunk, "choices") or ()):
            index = _get(choice, "index")
            index = position if index is None else index
            if (answer := self._choices.get(index)) is None:
                answer = self._choices[index] = Choice()
            if reason := _get(choice, "finish_reason"):
                answer.finish_reason = reason
            if self._capture_content:
                answer.add(chunk, choice)

    def add_response(self, response: Any) -> None:
        """Adds model, id and usage of a response without text; usages of several are added up."""
        self._add_fields(response)
        if usage := _get(response, "usage"):
            self._usages.append(usage)

    def _add_fields(self, response: Any) -> None:
        for name, attribute in _FIELDS.items():
            if attribute not in self._fields and isinstance(value := _get(response, name), str):
                self._fields[attribute] = value

    def tokens(self) -> dict[str, int]:
        """Returns the counts of tokens that the service reports, by attribute."""
        usages = [usage if isinstance(usage, Mapping) else usage.model_dump(exclude_none=True) for usage in self._usages]
        usage: Mapping[str, Any] = reduce(add_counts, usages, {})
        counts = {
            "gen_ai.usage.input_tokens": usage.get("prompt_tokens"),
            "gen_ai.usage.output_tokens": usage.get("completion_tokens"),
            "gen_ai.usage.cache_read.input_tokens": cached_tokens(usage),
            "gen_ai.usage.reasoning.output_tokens": reasoning_tokens(usage),
        }
        return {name: count for name, count in counts.items() if isinstance(count, int)}

    def attributes(self) -> dict[str, Any]:
        """Returns what is known of the response. A choice that did not finish has the reason `error`, as the conventions want it."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        attributes: dict[str, Any] = {**self._fields, **self.tokens()}
        if choices:
            attributes["gen_ai.response.finish_reasons"] = [choice.finish_reason or "error" for choice in choices]
        return attributes

    def content(self) -> dict[str, list[messages.Part]]:
        """Returns the answers, by attribute."""
        choices = [self._choices[index] for index in sorted(self._choices)] if self._capture_content else []
        return {"gen_ai.output.messages": [choice.message() for choice in choices]} if choices else {}

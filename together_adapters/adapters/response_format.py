"""A response format beside tools, which the service refuses in one request. Pure, on parsed JSON.

The model is asked with the tools first. As long as it calls one, that is the response, and so are a refusal, and a text that follows
the format already.
Else it is asked again, with the format and without the tools: so the answer is constrained as the format demands, no model has to be
talked into a tool for its answer, and the history has no call that nobody made. What the model wrote instead is left out, and its
tokens are counted.

Source: the vendor's skill files for coding agents (togethercomputer/skills, 2026-10-07). Not checked against the live service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from together_adapters.adapters.format_check import follows_format
from together_adapters.adapters.response_fields import add_counts, finish_reason

Params = dict[str, Any]
Chunk = dict[str, Any]
_TOOL_PARAMS = ("tools", "tool_choice", "parallel_tool_calls")


class ToolsThenFormat:
    """The requests of one call, and their responses as those of one.

    It is for whole responses and for chunks of streams alike. Send what `requests` yields, and `feed` it each response, or each
    chunk, before the next request is taken; what `feed` returns is the response.

    Args:
        params: The parameters of a chat completion; those of `extra_body` count as well.
    """

    def __init__(self, params: Params) -> None:
        self._first, self._last = _split(params)
        self._is_complete = False
        self._draft: list[Chunk] | None = None if self._last is None else []
        self._usage: Mapping[str, Any] | None = None

    def requests(self) -> Iterator[Params]:
        """Yield the parameters of the request, and those of a second one where the first response neither calls nor follows."""
        yield self._first
        if self._last is not None and not self._is_complete:
            self._draft = None
            yield self._last

    def feed(self, chunk: Chunk) -> list[Chunk]:
        """Return what is part of the response so far: nothing, while another request may follow."""
        if self._draft is None:
            return [chunk if self._usage is None else _with_usage(chunk, self._usage)]
        self._draft.append(chunk)
        self._usage = chunk.get("usage") or self._usage
        if not _calls_or_refuses(chunk) and not self._is_answer(chunk):
            return []
        chunks, self._draft, self._usage, self._is_complete = self._draft, None, None, True
        return chunks

    def _is_answer(self, chunk: Chunk) -> bool:
        """Whether the text, which ends with a chunk, follows the format although nothing has constrained it."""
        if not any(finish_reason(choice.get("finish_reason")) == "stop" for choice in chunk.get("choices") or ()):
            return False
        choices = [choice for part in self._draft or () for choice in part.get("choices") or ()]
        if len({choice.get("index") for choice in choices}) > 1:
            return False
        text = "".join(_message(choice).get("content") or "" for choice in choices)
        return follows_format(text, _effective(self._last or {}).get("response_format"))

    @property
    def is_one_request(self) -> bool:
        """Whether no second request can follow, so that `feed` returns each chunk as it is."""
        return self._last is None


def _split(params: Params) -> tuple[Params, Params | None]:
    """Return the parameters of the first request, and of the last where tools and a format are both wanted."""
    effective = _effective(params)
    if not effective.get("tools") or not effective.get("response_format"):
        return params, None
    without_format = _without(params, "response_format")
    without_tools = _without(params, *_TOOL_PARAMS)
    if effective.get("tool_choice") == "none":
        return without_tools, None
    if effective["response_format"] == {"type": "text"}:
        return without_format, None
    return without_format, without_tools


def _effective(params: Params) -> Params:
    return {**params, **(params.get("extra_body") or {})}


def _without(params: Params, *names: str) -> Params:
    rest = {name: value for name, value in params.items() if name not in names}
    if rest.get("extra_body"):
        rest["extra_body"] = {name: value for name, value in rest["extra_body"].items() if name not in names}
    return rest


def _calls_or_refuses(chunk: Chunk) -> bool:
    """Whether a response or a chunk has a tool call or a refusal, or a part of one."""
    messages = map(_message, chunk.get("choices") or ())
    return any(message.get(name) for message in messages for name in ("tool_calls", "function_call", "refusal"))


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    return choice.get("delta") or choice.get("message") or {}


def _with_usage(chunk: Chunk, usage: Mapping[str, Any]) -> Chunk:
    """Return a chunk that reports usage, or ends the message, with the usage of an earlier request added to its own."""
    ends = any(choice.get("finish_reason") for choice in chunk.get("choices") or ())
    return {**chunk, "usage": add_counts(usage, chunk.get("usage") or {})} if ends or chunk.get("usage") else chunk

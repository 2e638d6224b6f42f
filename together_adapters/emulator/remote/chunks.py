"""From the lines of an engine's stream to the chunks of Together's. Pure: it is fed lines, and returns chunks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from together_adapters.emulator.generation import REASONING
from together_adapters.emulator.remote.answers import AnswerForm, call_id, converted_logprobs, reasoning_of
from together_adapters.emulator.remote.connection import read_json
from together_adapters.emulator.remote.engines import Engine
from together_adapters.emulator.remote.failures import cut, refusal
from together_adapters.emulator.text.features import token_id


class ChunkStream:
    """The chunks of one answer. The last waits for the usage, which engines send behind it.

    `output` collects by parts what `count` was given, for the bill of a stream that ends early.
    """

    def __init__(self, engine: Engine, kind: str, form: AnswerForm, has_usage: bool, output: dict[str, list[str]]) -> None:
        self._engine = engine
        self._is_chat = kind == "chat"
        self._kind = kind
        self._form = form
        self._behaviour = form.behaviour
        self._has_usage = has_usage
        self._output = output
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._usage: Any = None
        self._last: dict[str, Any] | None = None
        self._is_done = False
        self._is_first = True
        self._is_thinking = False
        self._call_ids: dict[int, str] = {}

    def feed(self, line: bytes) -> Iterator[dict[str, Any]]:
        """Yields the chunks of a line; raises `ApiError` for an error that the engine reports."""
        field, _, payload = line.strip().partition(b":")
        if field not in (b"data", b"error"):
            return
        if payload.strip() == b"[DONE]":
            self._is_done = True
            return
        value = read_json(payload)
        if field == b"error" or (isinstance(value, Mapping) and value.get("error")):
            raise refusal(self._engine, self._kind, _status(value), value)
        if isinstance(value, Mapping):
            yield from self._convert(value)

    def feed_answer(self, answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields the chunks of a whole answer, of an engine that does not stream."""
        choices = [{**choice, "delta": choice.get("message")} for choice in answer["choices"]]
        yield from self._convert({**answer, "choices": choices})

    def end(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Returns the last chunks, and the usage; raises `ApiError` if the stream was cut."""
        if self._last is None and not self._is_done:
            raise cut(self._engine)
        usage = self._form.usage(self._usage, lambda: "".join("".join(texts) for texts in self._texts.values()))
        last = self._last or self._chunk({"content": "", "token_id": None}, {"finish_reason": self._form.finish("stop")})
        if not self._has_usage:
            return [last], usage
        if self._behaviour.usage in ("separate", "asked-separate"):
            return [last, {**self._envelope([]), "usage": usage}], usage
        return [{**last, "usage": usage}], usage

    def count(self, chunk: Mapping[str, Any]) -> None:
        """Notes that a chunk has left."""
        for choice in chunk["choices"]:
            for name, texts in _parts(choice["delta"]).items():
                self._output[name] += texts

    def _convert(self, value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        self._usage = value.get("usage") or self._usage
        for choice in (value.get("choices") or ())[:1]:
            for delta in self._deltas(choice):
                for name, texts in _parts(delta).items():
                    self._texts[name] += texts
                yield self._chunk(delta, self._fields(choice, delta))
            if finish := choice.get("finish_reason"):
                reason = "tool_calls" if self._call_ids and finish == "stop" else self._form.finish(finish)
                self._last = self._chunk({"content": "", "token_id": None}, {"finish_reason": reason, "seed": self._form.seed})

    def _deltas(self, choice: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields what a choice adds: reasoning, text, a refusal, tool calls."""
        delta = choice.get("delta") or {}
        text = str((delta.get("content") if self._is_chat else choice.get("text")) or "")
        yield from self._reasoning(reasoning_of(delta), bool(text or delta.get("tool_calls")))
        if text:
            yield {"content": text, "token_id": token_id(text) if self._behaviour.echo_ids else None}
        if delta.get("refusal"):
            yield {"refusal": delta["refusal"]}
        for position, call in enumerate(delta.get("tool_calls") or ()):
            yield {"tool_calls": [self._call(call, position)]}

    def _reasoning(self, text: str, ends: bool) -> Iterator[dict[str, Any]]:
        field = self._form.reasoning
        if text and field == "tags":
            yield {"content": text if self._is_thinking else f"<think>\n{text}", "token_id": None}
            self._is_thinking = True
        elif text and field != "none":
            yield {field: text, "token_id": token_id(text)}
        if ends and self._is_thinking:
            self._is_thinking = False
            yield {"content": "\n</think>\n\n", "token_id": None}

    def _call(self, call: Mapping[str, Any], position: int) -> dict[str, Any]:
        """Returns a part of a tool call: the first of each has an id and a name."""
        index = call.get("index")
        index = index if isinstance(index, int) else position
        function = dict(call.get("function") or {})
        if not isinstance(function.get("arguments", ""), str):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        if index in self._call_ids:
            return {"index": index, "function": {"arguments": function.get("arguments") or ""}}
        self._call_ids[index] = call.get("id") or call_id(self._form, index)
        function = {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}
        return {"index": index, "id": self._call_ids[index], "type": "function", "function": function}

    def _fields(self, choice: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the log-probabilities of a chunk with text: a number and its alternatives, or a list of objects."""
        logprobs = converted_logprobs(self._form, choice.get("logprobs")) if delta.get("content") else None
        if logprobs is None or "content" in logprobs:
            return {"logprobs": logprobs}
        scores, tops = logprobs.get("token_logprobs") or [None], logprobs.get("top_logprobs")
        return {"logprobs": scores[0], **({"top_logprobs": tops[0]} if tops else {})}

    def _chunk(self, delta: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        role = {"role": "assistant"} if self._is_first or self._behaviour.role_every_chunk or not self._is_chat else {}
        self._is_first = False
        full = {"token_id": None, **role, "content": None if self._behaviour.null_content else "", **delta}
        choice = {"index": 0, "text": full["content"] or "", "logprobs": None, "finish_reason": None, "seed": None, "delta": full}
        return self._envelope([{**choice, **fields}])

    def _envelope(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._form.id,
            "object": "chat.completion.chunk" if self._is_chat else "completion.chunk",
            "created": self._form.created,
            "choices": choices,
            "model": self._form.model,
            "usage": None,
        }


def _parts(delta: Mapping[str, Any]) -> dict[str, list[str]]:
    """Returns the texts of a delta by the part of the output that they belong to."""
    parts = {"text": [delta.get("content") or ""], "refusal": [delta.get("refusal") or ""], REASONING: [reasoning_of(delta)]}
    for call in delta.get("tool_calls") or ():
        parts[f"call {call['index']}"] = [*call["function"].values()]
    return {name: texts for name, texts in parts.items() if any(texts)}


def _status(value: Any) -> int:
    """Returns the status that an error in a stream names; 500 where it names none."""
    error = value.get("error") if isinstance(value, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500

"""What a scripted reply says, in one checked form: a text with all that may come with it, vectors, scores, images or a transcript."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypedDict

from together_adapters.emulator.conversation import ParsedToolCall, parse_arguments

Vector = Sequence[float]


class ReplyFields(TypedDict, total=False):
    """What `Emulator.reply` takes by name."""

    reasoning: str | None
    refusal: str | None
    tool_calls: Sequence[str | tuple[Any, ...] | Mapping[str, Any]] | None
    output: Any
    chunks: Sequence[str | Mapping[str, Any]] | None
    logprobs: Mapping[str, float] | Sequence[Mapping[str, float]] | None
    finish_reason: str | None
    usage: Mapping[str, Any] | None
    embedding: Vector | Sequence[Vector] | Callable[[str], Vector] | None
    scores: Sequence[float] | Callable[[str, str], float] | None
    image: bytes | Sequence[bytes] | Callable[[dict[str, Any]], bytes | Sequence[bytes]] | None
    transcript: str | Callable[[dict[str, Any]], str] | None


class Reply(ReplyFields, total=False):
    """The same with the text, as a dict, which functions return and the marker of pytest takes."""

    content: str | None


KINDS: Final[dict[str, tuple[str, ...]]] = {
    "embedding": ("embeddings",),
    "scores": ("rerank",),
    "image": ("images",),
    "transcript": ("transcriptions",),
}
"""The requests that a field answers; a text answers those of `TEXT_KINDS`, and one that has more than text only chats."""
TEXT_KINDS: Final = ("chat", "completions")
_OF_CHATS: Final = ("reasoning", "refusal", "tool_calls", "output")
_OF_TEXTS: Final = ("content", *_OF_CHATS, "chunks", "logprobs", "finish_reason")
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_DETAILS: Final = {"cached_tokens": "prompt_tokens_details", "reasoning_tokens": "completion_tokens_details"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A valid reply. `tokens` are the pieces of its text, and `deltas` all of a stream, where a test has set them."""

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ParsedToolCall, ...] = ()
    tokens: tuple[str, ...] = ()
    deltas: tuple[Mapping[str, Any], ...] = ()
    logprobs: tuple[Mapping[str, float], ...] = ()
    finish_reason: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    output: Any = None
    media: Any = None
    kinds: tuple[str, ...] = TEXT_KINDS

    def to(self, request: Mapping[str, Any]) -> Answer:
        """Returns the answer to one request: what functions return for it, and as many media as it has inputs; or raises `ValueError`.

        An `output` is a call of the tool that the request demands, of several the one that it fits, or JSON where it demands none.
        """
        if self.kinds == ("embeddings",):
            return replace(self, media=_vectors_for(self.media, request["input"]))
        if self.kinds == ("rerank",):
            return replace(self, media=_ranks_for(self.media, request["query"], request["documents"]))
        if self.kinds == ("images",):
            images = _images(self.media(request)) if callable(self.media) else self.media
            return replace(self, media=_as_many(images, request.get("n") or 1, "image", "images"))
        if self.kinds == ("transcriptions",):
            return replace(self, media=_transcript(self.media(request))) if callable(self.media) else self
        if self.output is None:
            return self
        if tool := _demanded_tool(request, self.output):
            return replace(self, tool_calls=(*self.tool_calls, _tool_call((tool, self.output))))
        return replace(self, content=_json(self.output, "the output of a reply"))

    def with_counts(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the `usage` of a response with the counts of this reply, in the layout that it has."""
        counts = dict(self.usage)
        if "total_tokens" in counts:
            return counts
        counts_of_text: dict[str, Any] = {
            name: counts.pop(name) for name in ("prompt_tokens", "completion_tokens") if name in counts
        }
        result = {**usage, **counts_of_text}
        result["total_tokens"] = result["prompt_tokens"] + result.get("completion_tokens", 0)
        for name, count in counts.items():
            if name in result:
                result[name] = count
            else:
                result[_DETAILS[name]] = {**result.get(_DETAILS[name], {}), name: count}
        return result


def read(reply: Any) -> Answer:
    """Checks a reply: a text, or the fields of `Reply`. Raises `ValueError` or `TypeError` with what is wrong."""
    if isinstance(reply, str):
        return Answer(reply)
    if not isinstance(reply, Mapping):
        raise TypeError(f"a reply is a text or a dict of {', '.join(Reply.__annotations__)}, not {_brief(reply)}")
    fields = {name: value for name, value in reply.items() if value is not None and name != "role"}
    if "reasoning_content" in fields:
        fields["reasoning"] = fields.pop("reasoning_content")
    if unknown := sorted(fields.keys() - Reply.__annotations__.keys()):
        raise ValueError(f"a reply has no {unknown[0]!r}: it has {', '.join(Reply.__annotations__)}")
    kinds = [name for name in KINDS if name in fields]
    texts = [name for name in _OF_TEXTS if name in fields]
    if not kinds and not texts and "usage" not in fields and "content" not in reply:
        raise ValueError(f"a reply needs a text, or one of {', '.join((*_OF_TEXTS[1:], *KINDS))}")
    if len(kinds) > 1 or (kinds and texts):
        raise ValueError(f"one reply answers one kind of request, and {' and '.join([*texts, *kinds][-2:])} belong to two")
    usage = _usage(fields.get("usage", {}))
    if usage and kinds and kinds[0] in ("image", "transcript"):
        raise ValueError(f"a reply with {kinds[0]} has no usage: the service counts no tokens there")
    if kinds:
        return Answer(media=_MEDIA[kinds[0]](fields[kinds[0]]), usage=usage, kinds=KINDS[kinds[0]])
    return _text_answer(fields, usage)


def _text_answer(fields: Mapping[str, Any], usage: dict[str, int]) -> Answer:
    for name in ("content", "reasoning", "refusal", "finish_reason"):
        if not isinstance(fields.get(name, ""), str):
            raise TypeError(f"{name} of a reply is a text, not {_brief(fields[name])}")
    chunks = _chunks(fields.get("chunks", ()))
    is_raw = any(not isinstance(chunk, str) for chunk in chunks)
    deltas = tuple({"content": chunk} if isinstance(chunk, str) else chunk for chunk in chunks) if is_raw else ()
    message = {**fields, **_join(deltas)} if is_raw else fields
    _check_chunks(fields, is_raw, text := message.get("content", "") if is_raw else "".join(chunks))
    is_for_chats = is_raw or any(name in fields for name in _OF_CHATS)
    return Answer(
        content=text or fields.get("content", ""),
        reasoning=message.get("reasoning", ""),
        refusal=message.get("refusal", ""),
        tool_calls=tuple(map(_tool_call, _calls(message.get("tool_calls", [])))),
        tokens=() if is_raw else chunks,
        deltas=deltas,
        logprobs=_scores(fields.get("logprobs", ())),
        finish_reason=fields.get("finish_reason"),
        usage=usage,
        output=_output(fields.get("output")),
        kinds=TEXT_KINDS[:1] if is_for_chats else TEXT_KINDS,
    )


def _check_chunks(fields: Mapping[str, Any], is_raw: bool, text: str) -> None:
    """Raises `ValueError` where the text of chunks contradicts other fields."""
    content = fields.get("content", "")
    if "chunks" in fields and content not in ("", text):
        raise ValueError(f"the chunks of a reply join to {text!r}, which is not its text {content!r}")
    if "output" in fields and (content or text):
        raise ValueError("a reply has a text or an output, not both: the output becomes the text, or the call of a tool")
    if is_raw and any(name in fields for name in _OF_CHATS):
        raise ValueError("chunks that are dicts have all of a stream: give reasoning, refusal and tool_calls in them")


def _output(value: Any) -> Any:
    value = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    _json(value, "the output of a reply")
    return value


def _calls(calls: Any) -> Sequence[Any]:
    is_one = isinstance(calls, str | Mapping) or (isinstance(calls, tuple) and bool(calls) and isinstance(calls[0], str))
    if is_one or not isinstance(calls, Sequence):
        raise TypeError(f'tool_calls of a reply is a list such as [("weather", {{"city": "Rome"}})], not {_brief(calls)}')
    return calls


def _tool_call(call: Any) -> ParsedToolCall:
    """Reads a call: a name, (name, arguments), (name, arguments, id), or a call of a response."""
    if isinstance(call, str):
        return ParsedToolCall(call, {})
    if isinstance(call, Mapping):
        function = call.get("function", call)
        call = (function.get("name"), function.get("arguments", function.get("args")), call.get("id") or "")
    if not isinstance(call, Sequence) or not 1 <= len(call) <= 3 or not isinstance(call[0], str):
        raise TypeError(
            f'a tool call of a reply is a name and its arguments, such as ("weather", {{"city": "Rome"}}), not {_brief(call)}'
        )
    name = call[0]
    arguments = call[1] if len(call) > 1 else {}
    id = str(call[2]) if len(call) > 2 else ""
    if not isinstance(arguments, str | Mapping) and arguments is not None:
        raise TypeError(f"the arguments of the tool call {name!r} are a dict or a text, not {_brief(arguments)}")
    if isinstance(arguments, Mapping):
        _json(dict(arguments), f"the arguments of the tool call {name!r}")
        return ParsedToolCall(name, dict(arguments), id)
    return ParsedToolCall(name, parse_arguments(arguments), id, arguments)


def _chunks(chunks: Any) -> tuple[Any, ...]:
    if isinstance(chunks, str) or not isinstance(chunks, Iterable):
        raise TypeError(f'chunks of a reply is a list of texts, such as ["Pa", "ris"], not {_brief(chunks)}')
    result = tuple(chunks)
    for chunk in result:
        if not isinstance(chunk, str | Mapping):
            raise TypeError(f"a chunk of a reply is a text, a delta or a chunk with choices, not {_brief(chunk)}")
    return result


def _join(deltas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins deltas and chunks to a message: its texts, and its tool calls by id, or else by index."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "refusal": ""}
    calls: list[dict[str, Any]] = []
    for chunk in deltas:
        delta = next((choice.get("delta") or {} for choice in chunk["choices"]), {}) if "choices" in chunk else chunk
        message["content"] += delta.get("content") or ""
        message["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or ""
        message["refusal"] += delta.get("refusal") or ""
        for part in delta.get("tool_calls") or ():
            function, id, index = part.get("function") or {}, part.get("id"), part.get("index")
            call = next((call for call in reversed(calls) if (call["id"] == id if id else call["index"] in (index, None))), None)
            if call is None:
                call = {"id": id or "", "index": index, "name": "", "arguments": None}
                calls.append(call)
            call["name"] += function.get("name") or ""
            if function.get("arguments") is not None:
                call["arguments"] = (call["arguments"] or "") + function["arguments"]
    return {**message, "tool_calls": calls}


def _scores(logprobs: Any) -> tuple[Mapping[str, float], ...]:
    scores = [logprobs] if isinstance(logprobs, Mapping) else logprobs
    if not isinstance(scores, Iterable) or not all(isinstance(entry, Mapping) for entry in scores):
        raise TypeError(
            f'logprobs of a reply is a dict such as {{"yes": -0.1, "no": -2.4}}, or a list of them, not {_brief(logprobs)}'
        )
    return tuple(scores)


def _usage(usage: Any) -> dict[str, int]:
    """Reads counts, flat or with the details of a response; a whole object, with the total, stays as it is."""
    if not isinstance(usage, Mapping):
        raise TypeError(f'usage of a reply is a dict such as {{"completion_tokens": 7}}, not {_brief(usage)}')
    counts = dict(usage)
    if "total_tokens" in counts:
        return counts
    for name, details in _DETAILS.items():
        counts |= {name: (counts.pop(details) or {}).get(name, 0)} if details in counts else {}
    for name, count in counts.items():
        if name not in _COUNTS:
            raise ValueError(f"usage of a reply has no {name!r}: it has {', '.join(_COUNTS)}")
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ValueError(f"{name} of a reply is a whole number from 0, not {_brief(count)}")
    return counts


def _vectors(value: Any) -> Any:
    if callable(value):
        return value
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else []
    return [_vector(vector) for vector in values] if values and isinstance(values[0], Iterable) else _vector(value)


def _vector(value: Any) -> list[float]:
    if not (vector := _numbers(value)):
        raise TypeError(
            f"an embedding of a reply is a list of numbers, a list of such lists, or a function of a text, not {_brief(value)}"
        )
    return vector


def _numbers(value: Any) -> list[float] | None:
    """Returns finite numbers; None for what is something else."""
    try:
        numbers = None if isinstance(value, str | bytes | Mapping) else [float(number) for number in value]
    except (TypeError, ValueError):
        return None
    return numbers if numbers is not None and all(map(math.isfinite, numbers)) else None


def _vectors_for(media: Any, texts: Sequence[str]) -> Any:
    if callable(media):
        return [_vector(media(text)) for text in texts]
    return [media] * len(texts) if isinstance(media[0], float) else _as_many(media, len(texts), "embedding", "texts")


def _ranks(value: Any) -> Any:
    scores = value if callable(value) else _numbers(value)
    if scores is None:
        raise TypeError(f"scores of a reply are a list of numbers, or a function of query and document, not {_brief(value)}")
    return scores


def _ranks_for(media: Any, query: str, documents: Sequence[str]) -> Any:
    if callable(media):
        score: Callable[[str, str], Any] = media
        return [float(score(query, document)) for document in documents]
    return _as_many(media, len(documents), "scores", "documents")


def _images(value: Any) -> Any:
    if callable(value) or isinstance(value, bytes):
        return value
    if not isinstance(value, Sequence) or not value or not all(isinstance(image, bytes) for image in value):
        raise TypeError(
            f"an image of a reply is the bytes of a file, a list of them, or a function of the request, not {_brief(value)}"
        )
    return list(value)


def _transcript(value: Any) -> Any:
    if callable(value) or isinstance(value, str):
        return value
    raise TypeError(f"a transcript of a reply is a text, or a function of the request, not {_brief(value)}")


_MEDIA: Final[dict[str, Callable[[Any], Any]]] = {
    "embedding": _vectors, "scores": _ranks, "image": _images, "transcript": _transcript,
}  # fmt: skip


def _as_many(values: Any, count: int, name: str, what: str) -> Any:
    """Returns one value for each of `count` inputs: those of a list, or bytes for all of them."""
    if isinstance(values, bytes):
        return [values] * count
    if len(values) != count:
        raise ValueError(f"the {name} of the reply has {len(values)} entries, and the request has {count} {what}")
    return values


def _demanded_tool(request: Mapping[str, Any], output: Any) -> str | None:
    """Returns the tool that a request demands a call of: of several, the one that takes the output as its arguments."""
    choice, tools = request.get("tool_choice"), request.get("tools") or ()
    if isinstance(choice, Mapping):
        return str((choice.get("function") or choice).get("name"))
    if choice not in ("required", "any") or not tools:
        return None
    parameters: dict[str, Any] = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    names = list(parameters)
    if len(names) > 1:
        from together_adapters.emulator.engine.json_schema import has_exactly

        names = [name for name in names if has_exactly(parameters[name], output)]
    if len(names) == 1:
        return names[0]
    example = f'tool_calls=[("{(names or [*parameters])[-1]}", {{...}})]'
    raise ValueError(
        f"the request demands a call of one of the tools {', '.join(parameters)}, and the output {_brief(output)} fits the parameters "
        f"of {' and '.join(names) or 'none'}; set the call itself: {example}"
    )


def _json(value: Any, what: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} are no JSON: {error}") from None


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

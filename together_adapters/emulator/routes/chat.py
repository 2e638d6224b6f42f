"""`POST /v1/chat/completions`: the same answer, at once or in chunks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.emulator.engine import conversation, responder
from together_adapters.emulator.engine.completion import (
    BIG_SEED,
    Generation,
    logprob,
    openai_logprobs,
    together_logprobs,
    token_id,
    top_logprobs,
    truncate,
    usage,
)
from together_adapters.emulator.engine.conversation import Conversation, ParsedToolCall
from together_adapters.emulator.engine.responder import ModelReply
from together_adapters.emulator.engine.text_features import count_tokens, tokenize
from together_adapters.emulator.http.errors import bad_request, unprocessable
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import EventStream, compact
from together_adapters.emulator.routes import sampling_params as parameters
from together_adapters.emulator.routes.models import served
from together_adapters.emulator.routes.sampling_params import Parameters
from together_adapters.types.capabilities import Capabilities

_KNOWN: Final = parameters.SHARED | {"messages"}
_PER_MESSAGE: Final = 4
"""Tokens that a chat template adds to each message."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A chat request that was understood, with the generations that answer it."""

    context: RequestContext
    model: str
    parameters: Parameters
    conversation: Conversation
    generations: list[Generation]
    reasoning_field: str
    logprobs_shape: str
    prompt_tokens: int
    created: int

    @property
    def seed(self) -> int:
        """The seed that the answer reports."""
        asked = self.parameters.seed
        return asked if asked is not None else BIG_SEED if self.context.behaviour.seed_above_int64 else 7

    def call_id(self, position: int) -> str:
        """An id for a tool call, unlike any other of this server."""
        return f"call_{self.context.id[1:7].lower()}{position:02d}"


def complete(context: RequestContext) -> dict[str, Any] | EventStream:
    """Answer a chat request."""
    exchange = _understand(context)
    if exchange.parameters.stream:
        return EventStream(_chunks(exchange), context.behaviour.delay)
    return _whole(exchange)


def _understand(context: RequestContext) -> Exchange:
    body = context.body
    model, facts = served(body)
    if facts.type in ("embedding", "rerank"):
        raise bad_request(f"The model {model} does not chat; it is a model for {facts.type}s.", param="model")
    talk = conversation.parse_messages(body.get("messages"), context.behaviour.strict)
    if context.behaviour.strict and "parallel_tool_calls" in body:
        raise unprocessable("unknown parameter parallel_tool_calls", param="parallel_tool_calls")
    prompt_tokens = _count(talk, body)
    asked = parameters.read(context, _KNOWN, facts, prompt_tokens)
    place = _reasoning_place(context, facts)
    reply = responder.respond(talk, body, context.behaviour.strict)
    reasoning = "" if place == "none" else responder.explain(talk, reply, str(body.get("reasoning_effort") or "medium"))
    generations = [_generation(context, asked, reply.variant(index), reasoning, place) for index in range(asked.n)]
    shape = context.behaviour.logprobs
    if shape == "auto":
        shape = "openai" if model.lower().startswith("openai/gpt-oss") else "together"
    return Exchange(context, model, asked, talk, generations, place, shape, prompt_tokens, int(time.time()))


def _count(talk: Conversation, body: dict[str, Any]) -> int:
    written = sum(count_tokens(message.text) + _PER_MESSAGE for message in talk.messages)
    attached = sum(len(message.media) * 256 for message in talk.messages)
    given = sum(count_tokens(compact(body[name]).decode()) for name in ("tools", "response_format") if body.get(name))
    return written + attached + given


def _reasoning_place(context: RequestContext, facts: Capabilities) -> str:
    """Where this answer's reasoning goes, or `none`."""
    wanted = context.behaviour.reasoning
    if wanted != "auto":
        return wanted
    style = facts.reasoning
    if style is None or (style == "tags" and context.body.get("response_format")):
        return "none"
    switch = context.body.get("reasoning") or {}
    flags = context.body.get("chat_template_kwargs") or {}
    told = (switch.get("enabled"), flags.get("thinking"), flags.get("enable_thinking"))
    off = any(flag is False for flag in told) or context.body.get("reasoning_effort") == "none"
    return "none" if off and style != "tags" else style


def _generation(context: RequestContext, asked: Parameters, reply: ModelReply, reasoning: str, place: str) -> Generation:
    text = reply.text
    if place == "tags":
        text = f"<think>\n{reasoning}\n</think>\n\n{text}"
        reasoning = ""
    thoughts, ended = truncate(reasoning, (), asked.max_tokens, "stop")
    if ended == "length":
        return Generation([], "length", (), thoughts)
    if reply.tool_calls:
        return Generation(tokenize(text) if place == "tags" else [], "tool_calls", reply.tool_calls, thoughts)
    room = None if asked.max_tokens is None else asked.max_tokens - len(thoughts)
    pieces, ended = truncate(text, asked.stop, room, context.behaviour.finish)
    return Generation(pieces, ended, (), thoughts)


def _usage(exchange: Exchange) -> dict[str, Any]:
    spoken = sum(len(generation.tokens) + len(generation.reasoning_tokens) for generation in exchange.generations)
    called = sum(
        count_tokens(call.name + _arguments(call)) for generation in exchange.generations for call in generation.tool_calls
    )
    reasoned = sum(_reasoned(generation) for generation in exchange.generations)
    earlier = sum(count_tokens(message.text) for message in exchange.conversation.messages[:-1])
    nested = exchange.context.behaviour.cached_tokens == "nested"
    return usage(exchange.prompt_tokens, spoken + called, earlier // 16 * 16, reasoned, nested)


def _reasoned(generation: Generation) -> int:
    if not generation.text.startswith("<think>"):
        return len(generation.reasoning_tokens)
    return len(tokenize(generation.text.partition("</think>")[0]))


def _arguments(call: ParsedToolCall) -> str:
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def _written(exchange: Exchange, call: ParsedToolCall, position: int, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments}
    return {"index": position, "id": exchange.call_id(position), "type": "function", "function": function}


def _whole(exchange: Exchange) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": exchange.context.id,
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.model,
        "prompt": _echoed(exchange),
        "choices": [_choice(exchange, generation, index) for index, generation in enumerate(exchange.generations)],
    }
    if exchange.context.behaviour.usage != "none":
        body["usage"] = _usage(exchange)
    return body


def _echoed(exchange: Exchange) -> list[dict[str, Any]]:
    if not exchange.parameters.echo:
        return []
    text = "\n".join(message.text for message in exchange.conversation.messages)
    echoed: dict[str, Any] = {"text": text}
    if exchange.parameters.logprobs is not None:
        scores = together_logprobs(tokenize(text), 1)
        echoed["logprobs"] = scores | {"token_logprobs": [None, *scores["token_logprobs"][1:]]}
    return [echoed]


def _choice(exchange: Exchange, generation: Generation, index: int) -> dict[str, Any]:
    calls = [_written(exchange, call, at, _arguments(call)) for at, call in enumerate(generation.tool_calls)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": generation.text if generation.text or not calls else None,
        "tool_calls": calls,
    }
    if generation.reasoning_tokens:
        message[exchange.reasoning_field] = "".join(generation.reasoning_tokens)
    return {
        "index": index,
        "finish_reason": generation.finish_reason,
        "seed": exchange.seed,
        "logprobs": _logprobs(exchange, generation),
        "message": message,
    }


def _logprobs(exchange: Exchange, generation: Generation) -> dict[str, Any] | None:
    most = exchange.parameters.logprobs
    if most is None:
        return None
    return (
        openai_logprobs(generation.tokens, most)
        if exchange.logprobs_shape == "openai"
        else together_logprobs(generation.tokens, most)
    )


def _chunks(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """Stream a generation in chunks: reasoning, text, tool calls, and the end with its usage."""
    generation, behaviour = exchange.generations[0], exchange.context.behaviour
    told_role = False

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        nonlocal told_role
        silent = None if behaviour.null_content else ""
        role = {"role": "assistant"} if behaviour.role_every_chunk or not told_role else {}
        delta = {"token_id": None, **role, "content": silent, **delta}
        told_role = True
        choice = {
            "index": 0, "text": delta["content"] or "", "logprobs": None, "finish_reason": finish, "seed": None, "delta": delta,
        } | more  # fmt: skip
        return _envelope(exchange, [choice])

    for piece in generation.reasoning_tokens:
        yield chunk({exchange.reasoning_field: piece, "token_id": token_id(piece)})
    for delta, more in _text_deltas(exchange, generation):
        yield chunk(delta, **more)
    for written, finish in _tool_deltas(exchange, generation):
        yield chunk({"tool_calls": written} if written else {}, finish)
    place, asked = behaviour.usage, exchange.parameters.usage_asked
    counted = _usage(exchange) if place in ("finish", "separate") or (asked and place.startswith("asked")) else None
    last = chunk({"token_id": 128_009}, generation.finish_reason, seed=exchange.seed)
    separate = place in ("separate", "asked-separate")
    yield last if separate else last | {"usage": counted}
    if separate and counted:
        yield _envelope(exchange, []) | {"usage": counted}


def _envelope(exchange: Exchange, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": exchange.context.id,
        "object": "chat.completion.chunk",
        "created": exchange.created,
        "choices": choices,
        "model": exchange.model,
        "usage": None,
    }


def _text_deltas(exchange: Exchange, generation: Generation) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Deltas of the text, each with what its choice carries besides."""
    most, behaviour = exchange.parameters.logprobs, exchange.context.behaviour
    if most is None:
        for piece in grouped(generation.tokens, behaviour.pieces, behaviour.chunk_tokens):
            yield {"content": piece, "token_id": token_id(piece) if behaviour.echo_ids else None}, {}
        return
    for at, piece in enumerate(generation.tokens):
        more: dict[str, Any] = {"logprobs": logprob(piece, at)}
        if exchange.logprobs_shape == "openai":
            more = {"logprobs": openai_logprobs([piece], most, at)}
        elif most > 1:
            more["top_logprobs"] = top_logprobs(piece, at, most)
        yield {"content": piece, "token_id": token_id(piece) if behaviour.echo_ids else None}, more


def grouped(pieces: list[str], most: int | None, together: int) -> Iterator[str]:
    """Regroup tokens into what one chunk carries: `together` tokens, or at most `most` characters."""
    if most is not None:
        text = "".join(pieces)
        yield from (text[start : start + most] for start in range(0, len(text), most))
    elif together == 1:
        yield from pieces
    else:
        yield from ("".join(pieces[start : start + together]) for start in range(0, len(pieces), together))


ToolDelta = tuple[list[dict[str, Any]], str | None]


def _tool_deltas(exchange: Exchange, generation: Generation) -> Iterator[ToolDelta]:
    """Tool calls in the fashion of `Behaviour.tool_deltas`, each with the finish reason its chunk carries."""
    if not generation.tool_calls:
        return
    mode = exchange.context.behaviour.tool_deltas
    texts = [_arguments(call) for call in generation.tool_calls]
    if mode in ("whole", "one-chunk"):
        complete = [_written(exchange, call, at, texts[at]) for at, call in enumerate(generation.tool_calls)]
        yield from ([(complete, None)] if mode == "one-chunk" else [([call], None) for call in complete])
        return
    yield [], None
    opened = [_written(exchange, call, at, "") for at, call in enumerate(generation.tool_calls)]
    parts = [[{"index": at, "function": {"arguments": part}} for part in _split(text)] for at, text in enumerate(texts)]
    if mode == "interleaved":
        yield from (([head], None) for head in opened)
        for step in range(max(map(len, parts))):
            yield from (([series[step]], None) for series in parts if step < len(series))
        return
    for head, series in zip(opened, parts, strict=True):
        for position, delta in enumerate([head, *series]):
            yield [_indexed(delta, mode)], "tool_calls" if mode == "repeat-finish" and position == len(series) else None
        if mode == "repeat-finish":
            yield [], None


def _indexed(delta: dict[str, Any], mode: str) -> dict[str, Any]:
    if mode == "same-index":
        return delta | {"index": 0}
    return {name: value for name, value in delta.items() if name != "index" or mode != "no-index"}


def _split(text: str) -> list[str]:
    """Cut arguments where a model would: every few characters."""
    return [text[start : start + 7] for start in range(0, len(text), 7)]


ROUTES: Any = [json_route("/v1/chat/completions", complete)]

"""`POST /v1/completions`: a prompt continued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.emulator.engine import responder
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
from together_adapters.emulator.engine.text_features import count_tokens, tokenize
from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import EventStream
from together_adapters.emulator.routes import sampling_params as parameters
from together_adapters.emulator.routes.chat import grouped
from together_adapters.emulator.routes.models import served
from together_adapters.emulator.routes.sampling_params import Parameters

_KNOWN: Final = parameters.SHARED | {"prompt"}


def complete(context: RequestContext) -> dict[str, Any] | EventStream:
    """Answer a completion request."""
    model, facts = served(context.body)
    if facts.type in ("embedding", "rerank"):
        raise bad_request(f"The model {model} completes nothing; it is a model for {facts.type}s.", param="model")
    prompt = _prompt(context.body.get("prompt"))
    prompt_tokens = count_tokens(prompt)
    asked = parameters.read(context, _KNOWN, facts, prompt_tokens)
    reply = responder.respond_to_prompt(prompt, context.body)
    # A prompt goes on after a space, as a model's first token would bring it.
    space = "" if not prompt or prompt[-1].isspace() else " "
    said = [space + reply.variant(index).text for index in range(asked.n)]
    generations = [Generation(*truncate(text, asked.stop, asked.max_tokens, context.behaviour.finish)) for text in said]
    head = {"id": context.id, "created": int(time.time()), "model": model}
    counted = usage(
        prompt_tokens,
        sum(len(generation.tokens) for generation in generations),
        0,
        0,
        context.behaviour.cached_tokens == "nested",
    )
    if asked.stream:
        return EventStream(_chunks(context, asked, generations[0], head, counted), context.behaviour.delay)
    return {
        **head,
        "object": "text.completion",
        "prompt": _echoed(prompt, asked),
        "choices": [
            {
                "index": index,
                "text": generation.text,
                "finish_reason": generation.finish_reason,
                "seed": _seed(context, asked),
                "logprobs": _scores(context, generation, asked),
            }
            for index, generation in enumerate(generations)
        ],
        "usage": counted,
    }


def _prompt(given: Any) -> str:
    if given is None:
        raise bad_request("Input required: prompt is missing.", param="prompt")
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise bad_request("Invalid JSON data: prompt must be one string.", param="prompt")
    return given


def _seed(context: RequestContext, asked: Parameters) -> int:
    return asked.seed if asked.seed is not None else BIG_SEED if context.behaviour.seed_above_int64 else 7


def _scores(context: RequestContext, generation: Generation, asked: Parameters) -> dict[str, Any] | None:
    if asked.logprobs is None:
        return None
    if context.behaviour.logprobs == "openai":
        return openai_logprobs(generation.tokens, asked.logprobs)
    return together_logprobs(generation.tokens, asked.logprobs)


def _echoed(prompt: str, asked: Parameters) -> list[dict[str, Any]]:
    if not asked.echo:
        return []
    if asked.logprobs is None:
        return [{"text": prompt}]
    scores = together_logprobs(tokenize(prompt), asked.logprobs)
    return [{"text": prompt, "logprobs": scores | {"token_logprobs": [None, *scores["token_logprobs"][1:]]}}]


def _chunks(
    context: RequestContext, asked: Parameters, generation: Generation, head: dict[str, Any], counted: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    envelope = {**head, "object": "completion.chunk", "usage": None}

    def chunk(piece: str, number: int | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
        delta = {"token_id": number, "role": "assistant", "content": piece}
        choice = {"index": 0, "text": piece, "logprobs": None, "finish_reason": finish, "seed": None, "delta": delta} | more
        return {**envelope, "choices": [choice]}

    pieces = (
        generation.tokens
        if asked.logprobs is not None
        else grouped(generation.tokens, context.behaviour.pieces, context.behaviour.chunk_tokens)
    )
    for at, piece in enumerate(pieces):
        more: dict[str, Any] = {} if asked.logprobs is None else {"logprobs": logprob(piece, at)}
        if asked.logprobs is not None and context.behaviour.logprobs == "openai":
            more = {"logprobs": openai_logprobs([piece], asked.logprobs, at)}
        elif asked.logprobs is not None and asked.logprobs > 1:
            more["top_logprobs"] = top_logprobs(piece, at, asked.logprobs)
        yield chunk(piece, token_id(piece) if context.behaviour.echo_ids else None, **more)
    place = context.behaviour.usage
    told = counted if place in ("finish", "separate") or (asked.usage_asked and place.startswith("asked")) else None
    separate = place in ("separate", "asked-separate")
    last = chunk("", 128_009, generation.finish_reason, seed=_seed(context, asked))
    yield last if separate else {**last, "usage": told}
    if separate and told:
        yield {**envelope, "choices": [], "usage": told}


ROUTES: Any = [json_route("/v1/completions", complete)]

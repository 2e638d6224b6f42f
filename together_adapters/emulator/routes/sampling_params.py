"""Sampling parameters that chat and plain completions share: their types, and the few that matter to an emulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.emulator.http.errors import ApiError, bad_request, context_too_long, unprocessable
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.types.capabilities import Capabilities


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


_RULES: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "max_tokens": (lambda value: _whole(value) and value >= 1, "a whole number of at least 1"),
    "max_completion_tokens": (lambda value: _whole(value) and value >= 1, "a whole number of at least 1"),
    "stop": (_texts, "a string or an array of strings"),
    "temperature": (lambda value: _number(value) and 0 <= value <= 2, "a number from 0 to 2"),
    "top_p": (lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "top_k": (_whole, "a whole number"),
    "min_p": (lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "repetition_penalty": (_number, "a number"),
    "presence_penalty": (lambda value: _number(value) and -2 <= value <= 2, "a number from -2 to 2"),
    "frequency_penalty": (lambda value: _number(value) and -2 <= value <= 2, "a number from -2 to 2"),
    "logit_bias": (lambda value: isinstance(value, dict), "an object"),
    "seed": (_whole, "a whole number"),
    "n": (lambda value: _whole(value) and 1 <= value <= 128, "a whole number from 1 to 128"),
    "stream": (lambda value: isinstance(value, bool), "a boolean"),
    "stream_options": (lambda value: isinstance(value, dict), "an object"),
    "logprobs": (lambda value: isinstance(value, bool) or (_whole(value) and 0 <= value <= 20), "a boolean or a number to 20"),
    "top_logprobs": (lambda value: _whole(value) and 0 <= value <= 20, "a whole number from 0 to 20"),
    "echo": (lambda value: isinstance(value, bool), "a boolean"),
    "safety_model": (lambda value: isinstance(value, str), "a string"),
    "reasoning": (lambda value: isinstance(value, dict), "an object"),
    "reasoning_effort": (lambda value: isinstance(value, str), "a string"),
    "chat_template_kwargs": (lambda value: isinstance(value, dict), "an object"),
    "response_format": (lambda value: isinstance(value, dict), "an object"),
    "tools": (lambda value: isinstance(value, list), "an array"),
    "tool_choice": (lambda value: isinstance(value, str | dict), "a string or an object"),
    "context_length_exceeded_behavior": (lambda value: value in ("truncate", "error"), "truncate or error"),
}
SHARED: Final = frozenset(_RULES) - {"max_completion_tokens"} | {"model", "compliance"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters that change an answer here."""

    max_tokens: int | None
    stop: tuple[str, ...]
    n: int
    stream: bool
    usage_asked: bool
    logprobs: int | None
    echo: bool
    seed: int | None


def read(context: RequestContext, known: frozenset[str], facts: Capabilities, prompt_tokens: int) -> Parameters:
    """Check and read the parameters of a request.

    Raises:
        ApiError: One has a wrong type or value, is unknown to a strict server, or the prompt does not fit.
    """
    body = context.body
    for name, value in body.items():
        if context.behaviour.strict and name not in known:
            raise ApiError(422, f"Input validation error: unknown parameter {name}", param=name)
        if value is not None and name in _RULES and not _RULES[name][0](value):
            raise unprocessable(f"{name} must be {_RULES[name][1]}", param=name)
    stream, n = bool(body.get("stream")), body.get("n") or 1
    if stream and n > 1:
        raise bad_request("n must be 1 when streaming.", param="n")
    stop = body.get("stop") or ()
    return Parameters(
        max_tokens=_fitting(body, facts, prompt_tokens),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        n=n,
        stream=stream,
        usage_asked=bool((body.get("stream_options") or {}).get("include_usage")),
        logprobs=_logprobs(body),
        echo=bool(body.get("echo")),
        seed=body.get("seed"),
    )


def _fitting(body: dict[str, Any], facts: Capabilities, prompt_tokens: int) -> int | None:
    asked: int | None = body.get("max_tokens") or body.get("max_completion_tokens")
    room = facts.context_length - prompt_tokens
    if room >= (asked or 1):
        return asked
    if body.get("context_length_exceeded_behavior") == "truncate" and room >= 1:
        return room
    raise context_too_long(facts.context_length, prompt_tokens, asked or 0)


def _logprobs(body: dict[str, Any]) -> int | None:
    """How many alternatives are wanted; None when no log-probabilities are."""
    asked = body.get("logprobs")
    if asked is None or asked is False or (asked == 0 and asked is not True):
        return None
    top = body.get("top_logprobs")
    return max(top or 0, 1 if asked is True else asked)

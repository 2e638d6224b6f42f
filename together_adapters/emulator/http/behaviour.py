"""How the emulator answers when nothing goes wrong: the differences between real engines, as options.

Each field is a difference that was recorded between two of the service's engines, or that occurs behind gateways. The header `x-emulator-behaviour: reasoning=tags; tool_deltas=interleaved` overrides them for one request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from together_adapters.suggestions import suggests_keywords

ToolDeltas = Literal["pieces", "whole", "one-chunk", "interleaved", "no-index", "same-index", "repeat-finish"]


@suggests_keywords
@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one server, or one request, answers.

    Attributes:
        strict: Be the service of today: serve only the models that the library's table lists as served, or that run on an
            endpoint of the account; refuse `tools` together with a `response_format` (other than text) in one chat request with
            a 400, and unknown request keys, `file` parts and `parallel_tool_calls` with a 422 that names the key.
        any_model: Answer by any name of a model. Otherwise a name that no model of the service or of the account has gets a 404.
        reasoning: Where reasoning is returned. `auto` follows the capability table and the request; `none` never reasons;
            the others always reason, in that field of the message or in tags at the start of the text.
        usage: Where a stream has its usage: on the chunk with the finish reason, on a separate chunk without choices, either
            of them only if `stream_options.include_usage` requests it, or nowhere.
        cached_tokens: `cached_tokens` at the top of `usage`, or nested in `prompt_tokens_details`.
        logprobs: Format of log-probabilities: parallel arrays, a list of objects, or the one of the model.
        tool_deltas: How tool calls are streamed: in pieces, whole, all in one chunk, with interleaved pieces, without `index`,
            all with index 0, or with a finish reason after each call.
        finish: The finish reason of a text that is not truncated.
        role_every_chunk: Repeat the role in each delta, as most engines do.
        null_content: Deltas without text have `content: null` and `role: null` instead of empty text.
        seed_above_int64: Return a `seed` that does not fit a signed 64-bit integer.
        echo_ids: Return the `token_id` of text chunks.
        shuffle_embeddings: Return embeddings in another order than that of the inputs.
        embedding_usage: Count tokens of embedding requests; otherwise `usage` is null.
        embedding_overflow: What happens to an input that is longer than the context of the model.
        dimensions: Accept `dimensions` on embeddings, which the service refuses.
        unscripted: What happens to a request to a model that no reply of `Emulator.reply` fits: the emulator answers it, or refuses
            it with a 400 that says so.
        pieces: Maximum length of the text of a chunk in characters; None sends one token per chunk.
        chunk_tokens: Tokens per text chunk.
        delay: Seconds between the chunks of a stream, or before another response.
    """

    strict: bool = False
    any_model: bool = False
    reasoning: Literal["auto", "none", "reasoning", "reasoning_content", "tags"] = "auto"
    usage: Literal["finish", "separate", "asked", "asked-separate", "none"] = "finish"
    cached_tokens: Literal["flat", "nested"] = "nested"
    logprobs: Literal["auto", "together", "openai"] = "auto"
    tool_deltas: ToolDeltas = "pieces"
    finish: Literal["stop", "eos"] = "stop"
    role_every_chunk: bool = True
    null_content: bool = False
    seed_above_int64: bool = True
    echo_ids: bool = True
    shuffle_embeddings: bool = False
    embedding_usage: bool = True
    embedding_overflow: Literal["error", "truncate"] = "error"
    dimensions: bool = False
    unscripted: Literal["answer", "refuse"] = "answer"
    pieces: int | None = None
    chunk_tokens: int = 1
    delay: float = 0.0

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"behaviour {name}={getattr(self, name)!r} is none of {', '.join(allowed)}")
        if self.chunk_tokens < 1 or (self.pieces is not None and self.pieces < 1):
            raise ValueError("pieces and chunk_tokens must be at least 1")

    def changed_by(self, header: str) -> Behaviour:
        """Returns the behaviour with the settings of a header such as `reasoning=tags; delay=0.1`.

        Raises:
            ValueError: The header names a field or a value that does not exist.
        """
        changes: dict[str, Any] = {}
        for name, text in parse_settings(header).items():
            if name not in _PARSERS:
                raise ValueError(f"unknown behaviour {name!r}")
            changes[name] = _PARSERS[name](text)
        return replace(self, **changes)


def parse_settings(header: str) -> dict[str, str]:
    """Parses `a=1; some-name=x; flag` as a dictionary; a bare name means `true`, dashes become underscores."""
    settings = {}
    for setting in header.split(";"):
        name, _, value = setting.strip().partition("=")
        if name:
            settings[name.strip().replace("-", "_")] = value.strip() or "true"
    return settings


def parse_bool(text: str) -> bool:
    """Parses a boolean."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1", "yes")


_HINTS = get_type_hints(Behaviour)
CHOICES: Mapping[str, tuple[str, ...]] = {
    name: get_args(hint) for name, hint in _HINTS.items() if get_args(hint) and name != "pieces"
}
_BY_TYPE: Mapping[Any, Callable[[str], Any]] = {bool: parse_bool, float: float, int: int}
_PARSERS: Mapping[str, Callable[[str], Any]] = {
    field.name: _BY_TYPE.get(_HINTS[field.name], str) for field in fields(Behaviour)
} | {"pieces": lambda text: None if text.lower() == "none" else int(text)}

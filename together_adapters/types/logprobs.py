"""Log probabilities: two formats of the service, converted into the one that frameworks expect.

Classic engines send parallel arrays (`tokens`, `token_logprobs`, `top_logprobs` as a list of one dict per token) and, in a
stream, a number; OpenAI-compatible engines send `content`, a list of one object per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict
from typing_extensions import TypedDict

from together_adapters.types.response import ResponseModel


class TopLogprob(TypedDict, total=False):
    """A token with its log probability."""

    __pydantic_config__ = ConfigDict(extra="allow", coerce_numbers_to_str=True)  # type: ignore[misc]

    token: str | None
    logprob: float | None
    bytes: list[int] | None


class LogprobEntry(TopLogprob, total=False):
    """A token of the response, with the alternatives to it."""

    top_logprobs: list[TopLogprob] | None


class TokenLogprobs(ResponseModel):
    """Log probabilities of tokens, in either format."""

    tokens: list[str | None] | None = None
    token_logprobs: list[float | None] | None = None
    token_ids: list[int | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | dict[str, float | None] | None = None
    content: list[LogprobEntry] | None = None


class LogprobsDict(TypedDict, total=False):
    """`TokenLogprobs` as a plain dict, as chunks have it."""

    __pydantic_config__ = ConfigDict(extra="allow", coerce_numbers_to_str=True)  # type: ignore[misc]

    tokens: list[str | None] | None
    token_logprobs: list[float | None] | None
    token_ids: list[int | None] | None
    top_logprobs: list[dict[str, float | None] | None] | dict[str, float | None] | None
    content: list[LogprobEntry] | None


ChunkLogprobs = float | LogprobsDict | list[LogprobEntry] | None
"""Log probabilities of a chunk: a number on classic engines."""


def content_logprobs(logprobs: Any, *, token: str = "", top: Any = None) -> list[dict[str, Any]]:
    """Returns log probabilities of either format as a list of `{"token", "logprob", "bytes", "top_logprobs"}`.

    They are those of a choice, of a chunk's choice, or of a prompt. If they are a number, its token and alternatives are passed.
    """
    if logprobs is None:
        return []
    if isinstance(logprobs, int | float):
        return [_entry(token, float(logprobs), top)]
    if isinstance(logprobs, list):
        return logprobs
    if content := logprobs.get("content"):
        return list(content)
    tokens = logprobs.get("tokens") or []
    values = logprobs.get("token_logprobs") or []
    tops = logprobs.get("top_logprobs")
    return [
        _entry(text, values[i] if i < len(values) else None, tops[i] if isinstance(tops, list) and i < len(tops) else tops)
        for i, text in enumerate(tokens)
    ]


def _entry(token: str | None, logprob: float | None, top: Any) -> dict[str, Any]:
    alternatives = top.items() if isinstance(top, Mapping) else ()
    return {
        "token": token,
        "logprob": logprob,
        "bytes": None if token is None else list(token.encode("utf-8", "surrogatepass")),
        "top_logprobs": [
            {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "surrogatepass"))}
            for text, value in alternatives
        ],
    }

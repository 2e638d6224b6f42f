"""Rate limiters of LlamaIndex with estimates of tokens: core acquires without any, so a limit on tokens has no effect there.

An estimate is the request's text at four bytes a token, and the tokens that the response may have. Nothing is corrected by the
usage that the response reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

from llama_index.core.constants import DEFAULT_NUM_OUTPUTS

_BYTES_PER_TOKEN = 4
_MEDIA = ("image_url", "video_url", "audio_url", "input_audio")
_MEDIA_BYTES = 4000  # assumed: what an image costs depends on the model, not on the length of its data
_PROMPT_FIELDS = ("messages", "prompt", "tools", "response_format")


def acquire(limiter: Any, tokens: int) -> None:
    """Wait until a rate limiter lets a request with this estimate pass."""
    limiter.acquire(*_arguments(limiter, limiter.acquire, tokens))


async def aacquire(limiter: Any, tokens: int) -> None:
    """Wait until a rate limiter lets a request with this estimate pass."""
    await limiter.async_acquire(*_arguments(limiter, limiter.async_acquire, tokens))


def _arguments(limiter: Any, method: Any, tokens: int) -> tuple[int, ...]:
    """Return the arguments of a limiter's method: one that only counts requests may take none, as core passes none."""
    if not signature(method).parameters:
        return ()
    limit = getattr(limiter, "tokens_per_minute", None)
    # Core's limiters wait for ever for more tokens than a minute has.
    return (min(tokens, int(limit)) if isinstance(limit, int | float) else tokens,)


def text_tokens(texts: Iterable[str]) -> int:
    """Return the estimated tokens of texts, at least one for each."""
    return sum(_tokens(_size(text)) for text in texts)


def request_tokens(params: Mapping[str, Any], num_output: int | None) -> int:
    """Return the estimated tokens of a chat or a completion: the prompt, and the response's limit for each of its choices.

    Args:
        params: The parameters of the request.
        num_output: The length of a response for requests without a limit; None for LlamaIndex's default.
    """
    fields = {**params, **(params.get("extra_body") or {})}
    limit = fields.get("max_tokens") or fields.get("max_completion_tokens") or num_output or DEFAULT_NUM_OUTPUTS
    return _tokens(sum(_size(fields.get(name)) for name in _PROMPT_FIELDS)) + int(limit) * int(fields.get("n") or 1)


def _tokens(size: int) -> int:
    return max(1, -(-size // _BYTES_PER_TOKEN))


def _size(value: Any) -> int:
    """Return the bytes of the text in a JSON value."""
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, Mapping):
        if value.get("type") in _MEDIA:
            return _MEDIA_BYTES
        return sum(_size(name) + _size(item) for name, item in value.items())
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 0

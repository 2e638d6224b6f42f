"""The output of one choice: its tokens up to the limits of the request, their log-probabilities, and the usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

from together_adapters.emulator.conversation import ParsedToolCall, Scores
from together_adapters.emulator.text.features import token_id, tokenize

BIG_SEED: Final = 15_924_764_223_251_450_000  # a seed of the live service, which exceeds a signed 64-bit integer
REASONING: Final = "reasoning"  # the part of an output that is reasoning
_NEIGHBOURS: Final = (" the", " a", "\n", ".", ",", *map(str, range(20)))


@dataclass(frozen=True, slots=True)
class Generation:
    """The output of one choice as tokens, after stop sequences and `max_tokens` were applied."""

    tokens: list[str]
    finish_reason: str
    tool_calls: tuple[ParsedToolCall, ...] = ()
    reasoning_tokens: list[str] = field(default_factory=list)
    scores: Scores = ()
    refusal_tokens: list[str] = field(default_factory=list)
    deltas: tuple[Mapping[str, Any], ...] = ()  # of its stream, where a test has set them

    @property
    def text(self) -> str:
        """The text of the choice."""
        return "".join(self.tokens)


def truncate(
    text: str, stop: Sequence[str], max_tokens: int | None, finish_reason: str, tokens: Sequence[str] = ()
) -> tuple[list[str], str]:
    """Cuts a text at the first stop sequence and at `max_tokens`; returns its tokens and the finish reason that results.

    Its tokens are given, or found by `tokenize`.
    """
    stops = [index for index in map(text.find, filter(None, stop)) if index >= 0]
    tokens = _head(tokens, min(stops, default=len(text))) if tokens else tokenize(text[: min(stops)] if stops else text)
    if max_tokens is not None and len(tokens) > max_tokens:
        return tokens[:max_tokens], "length"
    return tokens, "stop" if stops else finish_reason


def _head(tokens: Sequence[str], length: int) -> list[str]:
    """Returns the tokens of the first `length` characters."""
    head: list[str] = []
    for token in tokens:
        if length > 0:
            head.append(token[:length])
        length -= len(token)
    return head


def logprob(token: str, position: int, scores: Scores = ()) -> float:
    """The log-probability of a token at a position; a stable invented one where `scores` has none."""
    if position < len(scores) and token in scores[position]:
        return scores[position][token]
    return -round((crc32(f"{position} {token}".encode("utf-8", "replace")) % 9973) / 10_000 + 1e-6, 6)


def top_logprobs(token: str, position: int, count: int, scores: Scores = ()) -> dict[str, float]:
    """The `count` most likely tokens at a position: the generated one first, then its alternatives or invented neighbours."""
    highest = logprob(token, position, scores)
    if position < len(scores) and scores[position]:
        others = sorted(scores[position].items(), key=lambda item: -item[1])
        return dict(list({token: highest, **dict(others)}.items())[: max(count, 1)])
    top = {token: highest}
    for rank, neighbour in enumerate((token.swapcase(), token.strip() or "_", *_NEIGHBOURS), 1):
        if len(top) >= count:
            break
        top.setdefault(neighbour, round(highest - rank * 1.5, 6))
    return top


def together_logprobs(tokens: Sequence[str], count: int, scores: Scores = ()) -> dict[str, Any]:
    """Log-probabilities in the format of Together's own engines: parallel arrays."""
    tops = [top_logprobs(token, position, count, scores) for position, token in enumerate(tokens)] if count > 1 else []
    return {
        "tokens": list(tokens),
        "token_logprobs": [logprob(token, position, scores) for position, token in enumerate(tokens)],
        "token_ids": [token_id(token) for token in tokens],
        **({"top_logprobs": tops} if count > 1 else {}),
    }


def openai_logprobs(tokens: Sequence[str], count: int, start: int = 0, scores: Scores = ()) -> dict[str, Any]:
    """Log-probabilities in the format of newer engines: a list of objects."""
    return {
        "content": [
            {
                **_openai_entry(token, logprob(token, position, scores)),
                "top_logprobs": [
                    _openai_entry(*pair) for pair in list(top_logprobs(token, position, count, scores).items())[:count]
                ],
            }
            for position, token in enumerate(tokens, start)
        ]
    }


def _openai_entry(token: str, score: float) -> dict[str, Any]:
    return {"token": token, "logprob": score, "bytes": list(token.encode("utf-8", "replace"))}


def usage(prompt: int, completion: int, cached: int, reasoning: int, nested: bool) -> dict[str, Any]:
    """The `usage` object, with cached tokens flat or nested."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **({"prompt_tokens_details": {"cached_tokens": cached}} if nested else {"cached_tokens": cached}),
        **({"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {}),
    }

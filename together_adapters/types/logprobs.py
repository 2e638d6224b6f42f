"""Log probabilities: two formats of the service, converted into the one that frameworks expect, and what they say of words.

Classic engines send parallel arrays (`tokens`, `token_logprobs`, `top_logprobs` as a list of one dict per token) and, in a
stream, a number; OpenAI-compatible engines send `content`, a list of one object per token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
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


def word_probabilities(text: str, logprobs: Any, words: Sequence[str]) -> dict[str, float] | None:
    """Returns the probability of each of some words in lower case, as shares of 1, where a text says the first of them.

    Log probabilities are those of a choice, in either format; None if they have none of the words.
    """
    entries = _entries_of(text, content_logprobs(logprobs))
    entries.sort(key=lambda entry: _word_of(str(entry.get("token")), words) is None)
    return next(filter(None, (_shares(entry, words) for entry in entries)), None)


def _entries_of(text: str, entries: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Returns the log probabilities of the tokens of a text, which may come behind those of the reasoning."""
    mappings = [entry for entry in entries if isinstance(entry, Mapping)]
    tokens = [str(entry.get("token") or "") for entry in mappings]
    begin = max("".join(tokens).rfind(text.strip()), 0)
    return [entry for end, entry in zip(_ends(tokens), mappings, strict=True) if end > begin]


def _ends(tokens: Sequence[str]) -> list[int]:
    ends, end = [], 0
    for token in tokens:
        end += len(token)
        ends.append(end)
    return ends


def _shares(entry: Mapping[str, Any], words: Sequence[str]) -> dict[str, float] | None:
    """Returns the share of each word where one of them is the token or one of its alternatives.

    Spellings (` Yes`, `YES`) are summed. A word that is not among the alternatives has at most the probability of the least of them,
    and at most its part of what all of them leave.
    """
    tops = entry.get("top_logprobs")
    candidates = [entry, *(top for top in tops if isinstance(top, Mapping))] if isinstance(tops, list) else [entry]
    by_token = {str(top.get("token")): _probability(top.get("logprob")) for top in reversed(candidates)}
    probabilities = {token: value for token, value in by_token.items() if value is not None}
    sums = {word: sum(value for token, value in probabilities.items() if _word_of(token, words) == word) for word in words}
    if not any(sums.values()):
        return None
    missing = sum(not value for value in sums.values())
    rest = min(*probabilities.values(), max(0.0, 1.0 - sum(probabilities.values())) / max(missing, 1))
    total = sum(value or rest for value in sums.values())
    return {word: (value or rest) / total for word, value in sums.items()}


def _probability(logprob: Any) -> float | None:
    if isinstance(logprob, bool) or not isinstance(logprob, int | float) or math.isnan(logprob):
        return None
    return math.exp(min(logprob, 0.0))


def _word_of(token: str, words: Sequence[str]) -> str | None:
    """Returns which of some words a token is, or which alone it begins, because tokenizers may split words; None for no word."""
    letters = re.sub(r"[\W_\u2581\u0120\u010a]+", "", token).lower()
    if letters in words:
        return letters
    matches = [word for word in words if letters and word.startswith(letters)]
    return matches[0] if len(matches) == 1 else None

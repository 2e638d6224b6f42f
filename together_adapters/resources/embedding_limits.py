"""What servers say about too many texts in one request for embeddings, and which number to try next. Pure.

The words are those of Text Embeddings Inference, infinity, SiliconFlow, DashScope, OpenAI, Azure, Cohere, Voyage, Mistral,
Gemini, Vertex and gateways such as nginx, as their users report them; infinity's were read from a running server.
"""

from __future__ import annotations

import re
from typing import Final

from together_adapters.errors import APIStatusError, ContextLengthError
from together_adapters.transport.failures import parse_error

_STATUSES: Final = frozenset({400, 413, 422})
_TEXTS: Final = r"(?:(?:inputs|texts|strings|items|documents|sentences|elements|entries|instances)\b|instance\(s\))"
_NUMBER_OF_TEXTS: Final = re.compile(
    r"batch[ _-]?size|array too long|array_above_max_length|requests can be in one batch"
    rf"|\b(max\w*|at most|up to|limit\w*|exceed\w*|(larger|greater|more|less|fewer) than|too many)\b[^.;:]{{0,60}}\b{_TEXTS}"
    rf"|\b{_TEXTS}[^.;]{{0,60}}\b(at most|max\w*|limit\w*|allowed|exceed\w*|too (many|large|long))\b",
    re.IGNORECASE,
)
_SUM_OF_TOKENS: Final = re.compile(r"\btokens (per|in) ((the|this|a|one|each|submitted) )*(batch|request)\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\d.])\d{1,6}(?!\d)")
_TOKENS: Final = re.compile(r"\btokens?\b", re.IGNORECASE)


def smaller_batch(error: APIStatusError, count: int) -> tuple[int, bool] | None:
    """Returns how many texts to try after a request with `count` texts was refused, and whether that holds for any texts.

    A limit of tokens or bytes depends on the texts. None if the request was refused for another reason than its size.
    """
    if count < 2 or error.status_code not in _STATUSES:
        return None
    message = parse_error(error.body).message
    if _is_about_number(error, message):
        return _stated_limit(message, count) or (count + 1) // 2, True
    if _SUM_OF_TOKENS.search(message) or (error.status_code == 413 and not isinstance(error, ContextLengthError)):
        return (count + 1) // 2, False
    return None


def _is_about_number(error: APIStatusError, message: str) -> bool:
    """Whether an error is about the number of texts, and not about the number of tokens in one of them."""
    text = f"{error.code or ''} {message}"
    return bool(_NUMBER_OF_TEXTS.search(text)) and not _TOKENS.search(text)


def _stated_limit(message: str, count: int) -> int:
    """Returns the largest number in a message that is below the refused one, which the message repeats as a rule; 0 for none."""
    return max((number for number in map(int, _NUMBER.findall(message)) if number < count), default=0)

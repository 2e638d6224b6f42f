"""What servers take: how many texts in one request for embeddings, and how long a text may be. Pure.

The words about too many texts are those of Text Embeddings Inference, infinity, SiliconFlow, DashScope, OpenAI, Azure, Cohere, Voyage,
Mistral, Gemini, Vertex and gateways such as nginx, as their users report them; infinity's were read from a running server. The length of
a text is an estimate of its tokens, by its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any, Final, Literal

from together_adapters.errors import APIStatusError, ContextLengthError
from together_adapters.resources.rerank_prompts import estimated_tokens
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

LongTexts = Literal["send", "error", "truncate", "split"]
_BYTES_PER_TOKEN: Final = 3
_MAX_TOKENS_PER_CHARACTER: Final = 4 / _BYTES_PER_TOKEN
_SPECIAL_TOKENS: Final = 8  # that a tokenizer may add
_FAR: Final = 2.0  # times the length of a model from which an estimate is certainly too long
_MAX_NAMES: Final = 10

Row = dict[str, Any]


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


@dataclass(frozen=True, slots=True)
class InputPlan:
    """The texts that are sent, and how their embeddings become those of the inputs.

    Attributes:
        texts: What is sent.
        spans: For each different input, in the order of their first appearance, the texts that are sent for it: start and end.
        positions: For each input, which of the different inputs it is; None if none is equal to another.
    """

    texts: list[str]
    spans: Sequence[tuple[int, int]] | None = None
    positions: Sequence[int] | None = None

    @property
    def is_same(self) -> bool:
        """Whether the inputs are sent as they are."""
        return self.spans is None and self.positions is None

    def indices(self, part: int) -> list[int]:
        """Returns the indices of the inputs that a text is sent for."""
        position = part if self.spans is None else next(position for position, (_, end) in enumerate(self.spans) if part < end)
        return [position] if self.positions is None else [index for index, each in enumerate(self.positions) if each == position]

    @property
    def equal_inputs(self) -> int | None:
        """The number of the inputs, where some are equal and none is in parts."""
        return len(self.positions) if self.positions is not None and self.spans is None else None

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Returns the embeddings of the inputs from those of what was sent; inputs that are not complete have none."""
        by_index = {row["index"]: row for row in rows}
        spans = self.spans or [(index, index + 1) for index in range(len(self.texts))]
        different: list[Row | None] = [self._row(by_index, span) for span in spans]
        positions = range(len(spans)) if self.positions is None else self.positions
        return [
            {**row, "index": index, "embedding": row["embedding"][:]}
            for index, position in enumerate(positions)
            if (row := different[position]) is not None
        ]

    def _row(self, by_index: dict[int, Row], span: tuple[int, int]) -> Row | None:
        rows = [by_index.get(index) for index in range(*span)]
        complete = [row for row in rows if row is not None]
        if len(complete) < len(rows):
            return None
        if len(rows) == 1:
            return complete[0]
        weights = [estimated_tokens(text) for text in self.texts[span[0] : span[1]]]
        return {**complete[0], "embedding": weighted_mean([row["embedding"] for row in complete], weights)}


def plan_inputs(texts: list[str], long_texts: LongTexts, limit: int | None) -> InputPlan:
    """Returns what is sent for texts, for a model that takes `limit` tokens.

    Raises:
        ContextLengthError: Texts are too long by an estimate, and `long_texts` is `error`.
    """
    different = list(dict.fromkeys(texts))
    positions: list[int] | None = None
    if len(different) < len(texts):
        position_of = {text: position for position, text in enumerate(different)}
        positions = [position_of[text] for text in texts]
    if limit is None or long_texts == "send" or not may_exceed(different, limit):
        return InputPlan(different, None, positions)
    room = max(limit - _SPECIAL_TOKENS, 1)
    if long_texts == "error":
        _refuse(texts, limit)
        return InputPlan(different, None, positions)
    if long_texts == "truncate":
        return InputPlan([_head(text, room) if estimated_tokens(text) > limit else text for text in different], None, positions)
    parts: list[str] = []
    spans = []
    for text in different:
        begin = len(parts)
        parts += split_text(text, room) if estimated_tokens(text) > limit else [text]
        spans.append((begin, len(parts)))
    return InputPlan(parts, spans, positions)


def may_exceed(texts: Sequence[str], limit: int) -> bool:
    """Whether a text may have more tokens; a cheap test, which most texts do not pass."""
    longest = max(map(len, texts), default=0)
    return longest * _MAX_TOKENS_PER_CHARACTER + 1 > limit and any(
        len(text) * _MAX_TOKENS_PER_CHARACTER + 1 > limit and estimated_tokens(text) > limit for text in texts
    )


def far_too_long(texts: Sequence[str], limit: int) -> list[int]:
    """Returns the indices of texts that are far longer than a model's limit, whatever its tokenizer."""
    far = int(limit * _FAR)
    return [index for index, text in enumerate(texts) if estimated_tokens(text) > far] if may_exceed(texts, far) else []


def split_text(text: str, limit: int) -> list[str]:
    """Splits a text into parts of at most so many estimated tokens, at spaces where there are any."""
    parts = []
    while estimated_tokens(text) > limit:
        head = _head(text, limit)
        space = max(head.rfind(" "), head.rfind("\n"))
        if space > len(head) // 2:
            head = head[: space + 1]
        parts.append(head)
        text = text[len(head) :]
    return [*parts, text] if text else parts


def weighted_mean(vectors: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Returns the mean of vectors, of length 1; of vectors that cancel each other out, the first."""
    mean = [sum(map(float.__mul__, values, map(float, weights))) for values in zip(*vectors, strict=True)]
    length = hypot(*mean)
    return [value / length for value in mean] if length else list(vectors[0])


def names_of(indices: Sequence[int]) -> str:
    """Returns indices as an error names them."""
    more = len(indices) - _MAX_NAMES
    return ", ".join(map(str, indices[:_MAX_NAMES])) + (f" and {more} more" if more > 0 else "")


def _head(text: str, limit: int) -> str:
    """Returns the beginning of a text, of at most so many estimated tokens."""
    size = max(limit * _BYTES_PER_TOKEN - 1, 4)
    head = text[:size]
    return head if head.isascii() else head.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore") or text[:1]


def _refuse(texts: Sequence[str], limit: int) -> None:
    indices = [index for index, text in enumerate(texts) if estimated_tokens(text) > limit]
    longest = max(indices, key=lambda index: len(texts[index]))
    raise ContextLengthError(
        f"texts are longer than the {limit} tokens of the model by an estimate: input {names_of(indices)}; the longest is {longest}, with "
        f"{len(texts[longest]):,} characters. Nothing was sent. Shorten or split them, or pass long_texts='truncate' or 'split'.",
        pending=list(range(len(texts))),
    )

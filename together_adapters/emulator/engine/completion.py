"""One turn of the assistant, cut as the request asks, and the figures that go with it: tokens, usage, log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

from together_adapters.emulator.engine.conversation import Call
from together_adapters.emulator.engine.text_features import tokens

BIG_SEED: Final = 15_924_764_223_251_450_000
"""More than a signed 64-bit integer holds, as the live service answers."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the assistant says in one choice. `pieces` are the tokens of its text; joined they are the text."""

    pieces: list[str]
    finish: str
    calls: tuple[Call, ...] = ()
    reasoning: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return "".join(self.pieces)


def cut(text: str, stop: Sequence[str], most: int | None, ended: str) -> tuple[list[str], str]:
    """Cut a text at the first stop sequence and at `most` tokens.

    Returns:
        Its tokens and its finish reason: `ended` unless the tokens ran out.
    """
    places = [place for place in map(text.find, filter(None, stop)) if place >= 0]
    pieces = tokens(text[: min(places)] if places else text)
    if most is not None and len(pieces) > most:
        return pieces[:most], "length"
    return pieces, "stop" if places else ended


def token_id(piece: str) -> int:
    """A stable number for a token."""
    return crc32(piece.encode("utf-8", "replace")) % 128_000


def logprob(piece: str, position: int) -> float:
    """A stable log-probability for a token at a position."""
    return -round((crc32(f"{position} {piece}".encode("utf-8", "replace")) % 9973) / 10_000 + 1e-6, 6)


def alternatives(piece: str, position: int, most: int) -> dict[str, float]:
    """The likeliest tokens at a position: the chosen one first, then made-up neighbours."""
    best = logprob(piece, position)
    found = {piece: best}
    for rank, other in enumerate((piece.swapcase(), piece.strip() or "_", " the", " a", "\n", ".", ",", *map(str, range(20))), 1):
        if len(found) >= most:
            break
        found.setdefault(other, round(best - rank * 1.5, 6))
    return found


def together_logprobs(pieces: Sequence[str], most: int) -> dict[str, Any]:
    """Log-probabilities as Together's own engines give them: parallel arrays."""
    found: dict[str, Any] = {
        "tokens": list(pieces),
        "token_logprobs": [logprob(piece, at) for at, piece in enumerate(pieces)],
        "token_ids": [token_id(piece) for piece in pieces],
    }
    if most > 1:
        found["top_logprobs"] = [alternatives(piece, at, most) for at, piece in enumerate(pieces)]
    return found


def openai_logprobs(pieces: Sequence[str], most: int, start: int = 0) -> dict[str, Any]:
    """Log-probabilities as newer engines give them: a list of objects."""
    return {
        "content": [
            {**_scored(piece, logprob(piece, at)), "top_logprobs": [_scored(*pair) for pair in _top(piece, at, most)]}
            for at, piece in enumerate(pieces, start)
        ]
    }


def _top(piece: str, position: int, most: int) -> list[tuple[str, float]]:
    return list(alternatives(piece, position, most).items())[:most]


def _scored(piece: str, score: float) -> dict[str, Any]:
    return {"token": piece, "logprob": score, "bytes": list(piece.encode("utf-8", "replace"))}


def usage(prompt: int, completion: int, cached: int, reasoning: int, nested: bool) -> dict[str, Any]:
    """The `usage` object, with cached tokens flat or nested."""
    counted: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    counted |= {"prompt_tokens_details": {"cached_tokens": cached}} if nested else {"cached_tokens": cached}
    return counted | ({"completion_tokens_details": {"reasoning_tokens": reasoning}} if reasoning else {})

"""A row of the ledger, and its values in the columns of the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, Final

COLUMNS: Final = (
    "time, kind, model, tags, status, error, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost, attempts, "
    "seconds, waited, first_chunk_seconds, request_id, estimated, streamed"
)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
COST: Final = COLUMNS.split(", ").index("cost")
UNITS: Final = 10**12  # of a dollar: the cost of a row is exact to a millionth of a millionth
_MAX_COST: Final = 9e6  # dollars that a column holds; a row of more, by a price that was mistyped, must not spoil the others
_MICROSECOND: Final = timedelta(microseconds=1)
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_COST: Final = COST - 4  # after the tags
_NUL: Final = "\\u0000"

Values = tuple[Any, ...]
"""The values of a row in the order of the columns."""


@dataclass(slots=True)
class LedgerRow:
    """One call, as the ledger holds it.

    Attributes:
        when: When it began, UTC.
        kind: What was asked for: `chat`, `completion`, `embeddings`, `rerank`, `image`, and so on.
        model: The model, as it was named in the request.
        tags: The tags that were set around the call: see `Control.tag`.
        status: The HTTP status of the last response; None if there was none.
        error: The name of the exception's class; None if the call succeeded.
        input_tokens: Tokens of the prompt, with those that were cached.
        cached_tokens: Tokens of the prompt that the service had cached.
        output_tokens: Tokens that were generated, with those of reasoning.
        reasoning_tokens: Tokens of reasoning.
        cost: Dollars; None if the price is not known.
        attempts: HTTP requests.
        seconds: The duration of the call, with what it waited.
        waited: Seconds of these in which it waited for its turn.
        first_chunk_seconds: From the start to the first chunk of a stream.
        request_id: The id that the service gave the last request.
        estimated: Whether the tokens are an estimate.
        streamed: Whether the response was a stream.
    """

    when: datetime
    kind: str
    model: str
    tags: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    error: str | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    attempts: int = 1
    seconds: float = 0.0
    waited: float = 0.0
    first_chunk_seconds: float | None = None
    request_id: str | None = None
    estimated: bool = False
    streamed: bool = False


def microseconds(time: datetime) -> int:
    """Returns a time as the database has it."""
    return (time - EPOCH) // _MICROSECOND


def units(dollars: float | None) -> int | None:
    """Returns a cost as the database has it; raises ValueError for what is no number of dollars."""
    if dollars is None:
        return None
    if dollars <= _MAX_COST:
        return round(dollars * UNITS)
    if isfinite(dollars):
        return round(_MAX_COST * UNITS)
    raise ValueError(f"cost={dollars} is no number of dollars")


def to_values(row: LedgerRow) -> Values:
    """Returns the values of a row in the order of the columns; raises ValueError for those that have no meaning."""
    if row.when.tzinfo is None:
        raise ValueError("when has no time zone: use datetime.now(UTC)")
    return (
        microseconds(row.when),
        row.kind,
        row.model,
        encode_tags(row.tags),
        row.status,
        row.error,
        row.input_tokens,
        row.cached_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        units(row.cost),
        row.attempts,
        row.seconds,
        row.waited,
        row.first_chunk_seconds,
        row.request_id,
        row.estimated,
        row.streamed,
    )


def from_values(values: Sequence[Any]) -> LedgerRow:
    """Returns the row of such values."""
    when, kind, model, tags, *middle, is_estimate, is_stream = values
    middle[_COST] = None if middle[_COST] is None else middle[_COST] / UNITS
    start = EPOCH + timedelta(microseconds=when)
    return LedgerRow(start, kind, model, dict(_decode_tags(tags)), *middle, bool(is_estimate), bool(is_stream))  # type: ignore[call-arg]  # the columns are its fields


@lru_cache(maxsize=1_024)
def _decode_tags(text: str) -> Mapping[str, str]:
    return json.loads(text) if text else {}


def encode_tags(tags: Mapping[str, str]) -> str:
    """Returns tags as the database has them."""
    if not tags:
        return ""
    text = _JSON.encode(tags)
    return text if _NUL not in text else _JSON.encode({printable(name): printable(value) for name, value in tags.items()})


def printable(text: str) -> str:
    """Returns a text without what SQLite cannot hold: half characters, and the character zero inside of JSON."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")

"""Sums of a ledger's rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final


@dataclass(frozen=True, slots=True)
class Usage:
    """What a number of calls used. Usages can be added; as text, their numbers are rounded.

    Attributes:
        requests: Calls, each of them one row of the ledger.
        attempts: HTTP requests of these calls.
        input_tokens: Tokens of the prompts, with those that were cached.
        cached_tokens: Tokens of the prompts that the service had cached.
        output_tokens: Tokens that were generated, with those of reasoning.
        reasoning_tokens: Tokens of reasoning.
        cost: Dollars, without the calls that are `unpriced`.
        seconds: The sum of the durations of the calls, with what they waited; more than the time that passed if some ran at once.
        waited: The seconds of these in which calls waited for their turn.
        estimated: Calls of which the tokens are an estimate, such as a stream that was cut.
        unpriced: Calls without a known price, which `cost` leaves out.
    """

    requests: int = 0
    attempts: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    estimated: int = 0
    unpriced: int = 0

    def __str__(self) -> str:
        return repr(replace(self, cost=round(self.cost, 9), seconds=round(self.seconds, 2), waited=round(self.waited, 2)))

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(*(first + second for first, second in zip(_values(self), _values(other), strict=True)))

    def __radd__(self, other: object) -> Usage:
        return self if other == 0 else NotImplemented  # `sum(usages)` begins with 0


_values: Final = attrgetter(*(field.name for field in fields(Usage)))

"""What one request uses: the only place that counts it, against the limits, for the bill, and for the costs of the account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from together_adapters.emulator.errors import limit_exceeded
from together_adapters.emulator.generation import REASONING
from together_adapters.emulator.http.rate_limits import RateWindow, Refusal
from together_adapters.emulator.store.bill import Bill, BillRow, cached_tokens, reasoning_tokens
from together_adapters.emulator.store.cost_ledger import CostLedger
from together_adapters.emulator.text.features import tokenize
from together_adapters.types.capabilities import Capabilities


class Charge:
    """The use of one request, from its acceptance to its end. Nothing is billed for a request that no model has answered.

    A route calls `admit` before the model answers, and `count` with the `usage` of the whole response, which decides what is billed.
    Those of streams add to `output` what was sent, by parts: text, reasoning, each tool call; they set `is_complete` at their end.
    """

    __slots__ = (
        "_admitted_tokens",
        "_bill",
        "_costs",
        "_edition",
        "_facts",
        "_has_ended",
        "_is_admitted",
        "_is_settled",
        "_kind",
        "_model",
        "_price",
        "_rate",
        "_request_id",
        "_usage",
        "is_complete",
        "is_stream",
        "output",
        "refusal",
        "status",
    )  # fmt: skip

    def __init__(self, bill: Bill, costs: CostLedger, request_id: str, rate: RateWindow | None = None) -> None:
        self._bill = bill
        self._edition = bill.edition
        self._costs = costs
        self._request_id = request_id
        self._rate = rate
        self._kind = self._model = ""
        self._facts: Capabilities | None = None
        self._price: int | None = None
        self._usage: Mapping[str, Any] | None = None
        self._admitted_tokens = 0
        self._is_admitted = self._is_settled = self._has_ended = False
        self.refusal: Refusal | None = None
        self.status: int | None = None
        self.is_stream = False
        self.is_complete = False
        self.output: defaultdict[str, list[str]]

    @property
    def request_id(self) -> str:
        return self._request_id

    def for_line(self, request_id: str) -> Charge:
        """Returns the charge of a line of a batch, which no limit applies to."""
        charge = Charge(self._bill, self._costs, request_id)
        charge._kind, charge.status = "batch", 200
        return charge

    def admit(self, kind: str, model: str, facts: Capabilities | None = None, tokens: int = 0) -> None:
        """Accepts a request with so many tokens in its prompt, or raises `ApiError`. Without `facts` it has no price."""
        self.bill_as(kind, model, facts)
        if self._rate is None:
            return
        self.refusal = self._rate.admit(tokens)
        if self.refusal is not None:
            raise limit_exceeded(self.refusal.by, self.refusal.limit, self.refusal.window)
        self._admitted_tokens = tokens
        self._is_admitted = True

    def bill_as(self, kind: str, model: str, facts: Capabilities | None = None) -> None:
        """Says what the bill calls a request, where no limit applies to it."""
        self._kind, self._model, self._facts = self._kind or kind, model, facts

    def count(self, usage: Mapping[str, Any], is_stream: bool = False, price: int | None = None) -> None:
        """Counts the `usage` of the whole response, which has no tokens for media; a job has a price of its own, in picodollars."""
        self._usage = usage
        self._price = price
        self.is_stream = is_stream
        if is_stream:
            self.output = defaultdict(list)

    def settle(self) -> None:
        """Counts the output against the limits: when a whole response begins, or when the request ends."""
        if self._usage is None or self._is_settled:
            return
        self._is_settled = True
        if self.is_stream and not self.is_complete:
            self._usage = self._usage_so_far(self._usage)
        if self._rate is not None and self._is_admitted:
            more_of_the_prompt = max(0, (self._usage.get("prompt_tokens") or 0) - self._admitted_tokens)  # as a test has set
            self._rate.use((self._usage.get("completion_tokens") or 0) + more_of_the_prompt)

    def end(self) -> None:
        """Ends the request: frees its place, and bills it."""
        if self._has_ended:
            return
        self._has_ended = True
        self.settle()
        if self._is_admitted and self._rate is not None:
            self._rate.release()
        if self._usage is not None:
            self._add(self._row(self._usage))

    def _row(self, usage: Mapping[str, Any]) -> BillRow:
        return BillRow(
            self._kind,
            self._model,
            usage.get("prompt_tokens") or 0,
            cached_tokens(usage),
            usage.get("completion_tokens") or 0,
            reasoning_tokens(usage),
            self._price if self._facts is None else self._bill.picodollars(self._model, self._facts, usage),
            self.status,
            self._request_id,
            self.is_stream,
            self.is_complete or not self.is_stream,
        )

    def _add(self, row: BillRow) -> None:
        self._bill.add(row, self._edition)
        if self._facts is not None:
            self._costs.add(row.model, row.input_tokens + row.output_tokens, row.picodollars or 0)

    def _usage_so_far(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the usage of a stream that ends early: the whole prompt, and of the output what was sent."""
        parts = {name: "".join(texts) for name, texts in self.output.items()}
        output = min(sum(len(tokenize(text)) for text in parts.values()), usage["completion_tokens"])
        reasoning_text = parts.get(REASONING) or parts.get("text", "").partition("</think>")[0]
        is_reasoning = REASONING in parts or reasoning_text.startswith("<think>")
        reasoning = min(len(tokenize(reasoning_text)) if is_reasoning else 0, reasoning_tokens(usage))
        details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
        return {**usage, "completion_tokens": output, "total_tokens": usage["prompt_tokens"] + output, **details}

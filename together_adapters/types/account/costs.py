"""What an organization has used, in windows of time."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from together_adapters.types.response import ResponseModel


class AppliedCredit(ResponseModel):
    """The credit that covers a use: `type` is `PREPAID`, `POSTPAID` or `CREDIT`."""

    type: str | None = None


class CostLineItem(ResponseModel):
    """The use of one product in one window. Amounts are decimal numbers as text, in US dollars."""

    product_name: str | None = None
    quantity: str | None = None
    unit_price: str | None = None
    cost: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    pricing_dimensions: dict[str, str] = Field(default_factory=dict)
    applied_credit: AppliedCredit | None = None


class CostWindow(ResponseModel):
    """One day or hour, in UTC. `end_time` is exclusive."""

    date: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    line_items: list[CostLineItem] = Field(default_factory=list)


class CostReport(ResponseModel):
    """The costs of one month. `next_cursor` is None when it is complete."""

    organization_id: str | None = None
    billing_period: str | None = None
    currency: str | None = None
    earliest_window_start: str | None = None
    latest_window_end: str | None = None
    data: list[CostWindow] = Field(default_factory=list)
    next_cursor: str | None = None

    @property
    def total(self) -> Decimal:
        """The sum of all costs in `data`, exact.

        Raises:
            ValueError: A cost is no decimal number.
        """
        return sum((_amount(item.cost) for window in self.data for item in window.line_items), Decimal(0))


def _amount(text: str | None) -> Decimal:
    try:
        return Decimal(text or "0")
    except ArithmeticError:
        raise ValueError(f"{text!r} is no decimal number") from None

"""The budget: what calls have cost and what those under way may cost stay within it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from together_adapters.control.ledger import Ledger
from together_adapters.control.rows import UNITS, Values
from together_adapters.errors import BudgetExceededError


class Budget:
    """Dollars that may be spent. What the ledger has and what calls under way may cost is never more when a call starts."""

    def __init__(self, dollars: float, ledger: Ledger) -> None:
        self.dollars = float(dollars)
        self._ledger = ledger
        self._lock = Lock()
        self._units = round(self.dollars * UNITS)
        self._reservations = 0

    def reserve(self, estimate: float, kind: str, model: str) -> int:
        """Reserves what a call may cost, and returns the reservation; raises BudgetExceededError if it does not fit."""
        reservation = round(estimate * UNITS)
        with self._lock:
            spent = self._ledger.spent_units()
            if spent + self._reservations + reservation <= self._units:
                self._reservations += reservation
                return reservation
            reserved = self._reservations
        what = f"this {kind} call of {model}" if model else f"this {kind} call"
        raise BudgetExceededError(
            f"{what} may cost {estimate:.6f} dollars; of the budget of {self.dollars:g} dollars {spent / UNITS:.6f} are spent, and "
            f"{reserved / UNITS:.6f} reserved by calls that are under way. Nothing was sent. A smaller max_tokens makes the estimate smaller.",
            budget=self.dollars,
            spent=spent / UNITS,
            reserved=reserved / UNITS,
            estimate=estimate,
            model=model or None,
        )

    def settle(self, reservation: int, make_values: Callable[[], Values]) -> None:
        """Replaces a reservation by the row of its call; it is given back even if there can be none."""
        with self._lock:
            try:
                self._ledger.add_values(make_values())
            finally:
                self._reservations -= reservation

    def release(self, reservation: int) -> None:
        """Gives a reservation back."""
        with self._lock:
            self._reservations -= reservation

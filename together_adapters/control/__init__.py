"""One limiter, one ledger and one budget for every call of a program. Nothing here is imported by a client without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach

__all__ = ["Control", "Ledger", "LedgerRow", "Usage"]

if TYPE_CHECKING:
    from together_adapters.control.control import Control
    from together_adapters.control.ledger import Ledger
    from together_adapters.control.rows import LedgerRow
    from together_adapters.control.usage import Usage
else:
    __getattr__, __dir__ = attach(__name__, {"Control": ".control", "Ledger": ".ledger", "LedgerRow": ".rows", "Usage": ".usage"})

"""Which calls of a trace are trained on: those that ended well, and that the user picks."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Unconvertible

UNFINISHED: Final = frozenset({"length", "max_tokens", "model_length", "content_filter", "safety", "error"})


def selected(record: Any, options: Options) -> None:
    """Ask the user's `select`.

    Raises:
        Unconvertible: It said no. That is a drop, and no fault.
    """
    if options.select is not None and not options.select(record):
        raise Unconvertible("not_selected", "select said no", skipped=True)


def finished(reason: Any) -> None:
    """Look at the reason for which an answer ended.

    Raises:
        Unconvertible: It was cut off, filtered, or failed. That is a drop, and no fault.
    """
    if isinstance(reason, str) and reason.lower() in UNFINISHED:
        raise Unconvertible("answer_unfinished", f"the answer ended for {reason}", skipped=True)

"""What a control costs: chats under one against chats without, in memory and with a file, with the headers of rate limits or without."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import payloads
from tests.benchmarks.client_speed import achat, astream, chat, stream
from tests.benchmarks.measure import Bench, Builder, Goal, Operation
from tests.benchmarks.payloads import KEY
from together_adapters import AsyncTogether, Control, Together


class _Folder:
    """A folder for the file of a ledger, which is deleted with the clients."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.control: Control | None = None

    @property
    def ledger(self) -> Path:
        """The path of the file."""
        return Path(self._folder.name) / "usage.sqlite"

    def close(self) -> None:
        """Closes the ledger and deletes it."""
        if self.control is not None:
            self.control.close()
        self._folder.cleanup()


def _controlled(
    name: str, bench: Bench, *, answer: str, budget: float | None, in_file: bool, streamed: bool, asynchronous: bool
) -> Operation:
    folder = bench.keep(_Folder())
    folder.control = control = Control(budget=budget, ledger=folder.ledger if in_file else None)
    by = (astream if asynchronous else stream) if streamed else (achat if asynchronous else chat)
    kind = AsyncTogether if asynchronous else Together
    ours, base = (
        by(bench.keep(kind(api_key=KEY, base_url=bench.url(answer), control=each)), payloads.chat_body())
        for each in (control, None)
    )
    return Operation(name, ours, (base,), None if streamed else Goal(1.15), per=payloads.CHUNKS if streamed else 1)


def _of_both(
    name: str, *, answer: str = "small", budget: float | None = None, in_file: bool = False, streamed: bool = False
) -> dict[str, Builder]:
    settings: dict[str, Any] = {"answer": answer, "budget": budget, "in_file": in_file, "streamed": streamed}
    return {
        f"client{mark} {name}": partial(_controlled, **settings, asynchronous=asynchronous)
        for mark, asynchronous in (("", False), (" async", True))
    }


OPERATIONS: Final[dict[str, Builder]] = {
    **_of_both("chat 1 KB under control, vs without"),
    **_of_both("chat 1 KB under control, rate headers", answer="limits"),
    **_of_both("chat 1 KB under control, budget", answer="limits", budget=1e6),
    **_of_both("chat 1 KB under control, budget, in a file", answer="limits", budget=1e6, in_file=True),
    **_of_both("chat 1 KB under control, in a file", answer="limits", in_file=True),
    **_of_both("stream under control, a chunk", answer="coalesced", streamed=True),
}

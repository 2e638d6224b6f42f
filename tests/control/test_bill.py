"""A ledger has what the emulator bills, to the token and to the cent, whatever is refused and sent again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import NEVER, Flavour, eventually
from together_adapters import Control
from together_adapters.emulator import Emulator, Fault, Limits

MODELS = ("openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V4-Pro-0813", "Qwen/Qwen3.5-9B")
COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def conversation(number: int) -> dict[str, Any]:
    system = {"role": "system", "content": "You are a careful assistant. " * 8}
    return {"model": MODELS[number % 3], "messages": [system, {"role": "user", "content": f"Say the number {number} twice."}]}


def assert_equal(control: Control, emulator: Emulator) -> None:
    total, bill = control.ledger.total(), emulator.bill.total()
    assert total.requests == bill.requests > 0
    assert [getattr(total, name) for name in COUNTS] == [getattr(bill, name) for name in COUNTS]
    assert total.cost == pytest.approx(bill.cost, rel=1e-12)
    assert (total.estimated, total.unpriced) == (0, 0)


def test_whole_and_streamed_and_repeated(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    client = flavour.client(control=control)
    for number in range(6):
        emulator.inject(*[Fault(kind, retry_after_ms=1) for kind in ("503", "429")[: number % 3]])
        flavour.run(client.chat.completions.create(**conversation(number)))
        chunks = flavour.run(client.chat.completions.create(**conversation(number), stream=True))
        assert list(flavour.iterate(chunks))
    flavour.run(client.completions.create(model=MODELS[0], prompt="The first prime number is"))
    assert_equal(control, emulator)
    assert control.ledger.total().attempts == 13 + 6
    assert control.ledger.total().cached_tokens and control.ledger.total().reasoning_tokens


def test_under_limits(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    client = flavour.client(control=control, max_retries=5)
    emulator.limits = Limits(requests_per_minute=120, window=1)
    try:
        for number in range(4):
            flavour.run(client.chat.completions.create(**conversation(number)))
        assert 60 < (control.state().requests_per_minute or 0) <= 120
        emulator.limits = Limits(requests_per_minute=60, window=1)
        flavour.run(client.chat.completions.create(**conversation(4)))
        assert (control.state().requests_per_minute or 0) <= 60
    finally:
        emulator.limits = None
    assert_equal(control, emulator)


def test_a_stream_that_is_left_early(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    client = flavour.client(control=control)
    with emulator.behave(delay=NEVER):
        stream = flavour.run(client.chat.completions.create(**conversation(0), stream=True))
        next(iter(flavour.iterate(stream)))
        flavour.run(stream.close())
    assert eventually(lambda: emulator.in_flight == 0)
    (row,), (billed,) = control.ledger.rows(), emulator.bill.rows()
    assert (row.estimated, billed.is_complete) == (True, False)
    assert billed.output_tokens == 1 <= row.output_tokens

"""Every kind of call that costs money: what it costs, and what a budget makes of it."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Flavour
from together_adapters import BudgetExceededError, ConfigurationError, Control
from together_adapters.emulator import Emulator
from together_adapters.types.capabilities import Prices
from together_adapters.types.models import Pricing

SPEECH = {"model": "hexgrad/Kokoro-82M", "input": "Hello there.", "voice": "af_alloy"}
IMAGE = {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "A llama", "n": 2, "width": 512, "height": 256}
WHISPER = "openai/whisper-large-v3"
VIDEO = {"model": "minimax/video-01-director", "prompt": "A llama", "seconds": 5}
CALLS: dict[str, tuple[str, Any, dict[str, Any], float]] = {
    # kind: the name under which it is priced, the call, the price, the cost
    "image": (IMAGE["model"], lambda client: client.images.generate(**IMAGE), {"image": 0.01}, 0.02),  # type: ignore[dict-item]
    "image by size": (
        IMAGE["model"],  # type: ignore[dict-item]
        lambda client: client.images.generate(**IMAGE),
        {"megapixel": 1},
        2 * 512 * 256 / 1e6,
    ),
    "speech": (SPEECH["model"], lambda client: client.audio.speech.create(**SPEECH), {"million_characters": 65}, 12 * 65e-6),
    "speech by character": (SPEECH["model"], lambda client: client.audio.speech.create(**SPEECH), {"character": 1}, 12),
    "code": ("code", lambda client: client.code_interpreter.run("1 + 1"), {"request": 0.03}, 0.03),
    "video": (VIDEO["model"], lambda client: client.videos.create(**VIDEO), {"video": 0.5}, 0.5),  # type: ignore[dict-item]
    "video by second": (VIDEO["model"], lambda client: client.videos.create(**VIDEO), {"second": 0.1, "request": 1}, 1.5),  # type: ignore[dict-item]
    "batch": ("batch", None, {"request": 3}, 3),
}


def batch(flavour: Flavour, client: Any, folder: Path) -> Any:
    path = folder / "input.jsonl"
    body = '{"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "x"}], "max_tokens": 5}'
    path.write_text('{"custom_id": "1", "body": ' + body + "}\n")
    file = flavour.run(client.files.upload(str(path), purpose="batch-api"))
    return client.batches.create(file.id)


@pytest.mark.parametrize("name", CALLS)
def test_a_price_for_each_kind(name: str, flavour: Flavour, tmp_path: Path) -> None:
    key, call, price, expected = CALLS[name]
    call = call or (lambda client: batch(flavour, client, tmp_path))
    with pytest.raises(ConfigurationError, match="the price of every call must be known") as caught:
        flavour.run(call(flavour.client(control=Control(budget=100))))
    assert repr(key) in str(caught.value)
    with pytest.raises(BudgetExceededError):
        flavour.run(call(flavour.client(control=Control(budget=expected / 2, prices={key: price}))))
    control = Control(budget=100, prices={key: price})
    flavour.run(call(flavour.client(control=control)))
    (row,) = control.ledger.rows()
    assert row.kind == name.split(" ", maxsplit=1)[0]
    assert row.cost == pytest.approx(expected)
    assert row.status in (200, 201)
    assert control.state().in_flight == 0


def test_speech_that_is_streamed(flavour: Flavour) -> None:
    control = Control(budget=1, prices={SPEECH["model"]: {"million_characters": 65}})
    client = flavour.client(control=control)
    assert list(flavour.iterate(flavour.run(client.audio.speech.create(**SPEECH, stream=True))))
    flavour.run(flavour.run(client.audio.speech.create(**SPEECH, stream=True)).close())
    gc.collect()
    assert [row.cost for row in control.ledger.rows()] == [pytest.approx(12 * 65e-6)] * 2
    assert all(row.streamed for row in control.ledger.rows())


@pytest.mark.parametrize("method", ["transcriptions", "translations"])
def test_recordings_cost_by_the_minute(method: str, flavour: Flavour) -> None:
    control = Control(budget=10, prices={WHISPER: {"minute": 60}})
    speech = flavour.run(flavour.client().audio.speech.create(**SPEECH, response_format="wav")).content
    client = getattr(flavour.client(control=control).audio, method)
    answer = flavour.run(client.create(model=WHISPER, file=("a.wav", speech), response_format="verbose_json"))
    (row,) = control.ledger.rows()
    assert row.cost == pytest.approx(answer.duration)
    assert not row.estimated
    flavour.run(client.create(model=WHISPER, file=("a.wav", speech)))
    assert control.ledger.rows()[1].estimated == (control.ledger.rows()[1].cost == pytest.approx(len(speech) / 4000))
    with pytest.raises(BudgetExceededError):
        flavour.run(client.create(model=WHISPER, file=("a.wav", bytes(80_000))))


def test_a_recording_behind_a_url_has_a_length_that_nobody_knows(flavour: Flavour, emulator: Emulator) -> None:
    recording = {"model": WHISPER, "file": "https://example.com/a.wav"}
    prices = {WHISPER: {"minute": 60}}
    client = flavour.client(control=Control(budget=10, prices=prices))
    with pytest.raises(ConfigurationError, match="nobody knows how long a recording behind a URL is"):
        flavour.run(client.audio.transcriptions.create(**recording))
    assert [request.path for request in emulator.requests] == ["/v1/models"]

    control = Control(prices=prices)
    client = flavour.client(control=control)
    answer = flavour.run(client.audio.transcriptions.create(**recording, response_format="verbose_json"))
    flavour.run(client.audio.transcriptions.create(**recording))
    known, unknown = control.ledger.rows()
    assert (known.cost, known.estimated) == (pytest.approx(answer.duration), False)
    assert (unknown.cost, unknown.estimated) == (None, True)

    control = Control(budget=10, prices={WHISPER: {"request": 0.5}})
    flavour.run(flavour.client(control=control).audio.transcriptions.create(**recording))
    assert control.ledger.total().cost == 0.5


def test_a_job_costs_what_the_service_estimates(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n' * 20)
    client = flavour.client()
    file = flavour.run(client.files.upload(str(path), purpose="fine-tune"))
    flavour.run(client.files.wait(file.id, poll_interval=0.05))
    params = {"training_file": file.id, "model": "Qwen/Qwen3.5-9B"}
    control = Control(budget=1000)
    job = flavour.run(client.with_options(control=control).fine_tuning.create(**params))
    (row,) = control.ledger.rows()
    assert (row.kind, row.cost, row.estimated) == ("fine-tune", job.price_estimate.estimated_total_price, True)
    assert row.cost > 0
    count = len(flavour.run(client.fine_tuning.list()).data)
    with pytest.raises(BudgetExceededError):
        flavour.run(client.with_options(control=Control(budget=row.cost / 2)).fine_tuning.create(**params))
    assert len(flavour.run(client.fine_tuning.list()).data) == count


def test_realtime_transcription_is_not_measured(flavour: Flavour) -> None:
    pytest.importorskip("websockets")
    with pytest.raises(ConfigurationError, match="realtime transcription is not measured: use a client without a budget"):
        flavour.client(control=Control(budget=1)).audio.transcriptions.realtime(model=WHISPER)
    flavour.client(control=Control()).audio.transcriptions.realtime(model=WHISPER)


@pytest.mark.parametrize(
    "price",
    [{"input": 1, "output": 2}, Pricing(input=1, output=2), Prices(input=1, output=2), {"input": 1, "output": 2, "request": 0}],
)
def test_prices_are_mappings_or_those_of_the_catalogue(price: Any, flavour: Flavour) -> None:
    control = Control(prices={"acme/new": price})
    usage = flavour.run(
        flavour.client(control=control).chat.completions.create(model="acme/new", messages=[{"role": "user", "content": "Hello"}])
    ).usage
    assert control.ledger.total().cost == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (["a"], "prices must map names of models to prices"),
        ({"a": {"inputs": 1}}, r"prices\['a'\]: unknown unit 'inputs'"),
        ({"a": {"input": -1}}, r"prices\['a'\]\['input'\] must be dollars, not -1"),
        ({"a": {"input": "1"}}, r"must be dollars, not '1'"),
        ({"a": {}}, "names no unit"),
        ({"a": Prices()}, "names no unit"),
    ],
)
def test_prices_that_are_none(prices: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Control(prices=prices)


def test_another_server_has_prices_of_its_own(flavour: Flavour) -> None:
    """The table holds for the service of Together AI; a server of this machine without a key is another one."""
    control = Control()
    client = flavour.client(control=control, api_key=None)
    assert not client.config.may_be_together
    with pytest.raises(Exception):  # noqa: B017  # the emulator wants a key
        flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input="x"))
    assert control.ledger.rows()[0].cost is None
    price = control.prices.find("BAAI/bge-base-en-v1.5", "embeddings", flavour.client().config)
    assert price == {"input": 0.008, "output": 0.0, "cached_input": 0.008}


def test_cached_tokens_have_their_price(flavour: Flavour) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11, "prompt_tokens_details": {"cached_tokens": 4}}
    flat = {**usage, "prompt_tokens_details": None, "cached_tokens": 4}
    responses = iter([usage, flat, usage, flat])

    def answer(request: Any) -> httpx.Response:
        base = {"id": "1", "object": "chat.completion", "created": 1, "model": "acme/new", "usage": next(responses)}
        if not json.loads(request.content).get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Two."}}
            return httpx.Response(200, json={**base, "choices": [choice]})
        chunk = {**base, "choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "Two."}}]}
        content = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
        return httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})

    control = Control(prices={"acme/new": {"input": 3e6, "output": 5e6, "cached_input": 1e6}})
    client = flavour.client(control=control, http_client=flavour.mock_client(answer))
    question: dict[str, Any] = {"model": "acme/new", "messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(2):
        flavour.run(client.chat.completions.create(**question))
    for _ in range(2):
        list(flavour.iterate(flavour.run(client.chat.completions.create(**question, stream=True))))
    assert [(row.cached_tokens, row.cost) for row in control.ledger.rows()] == [(4, 6 * 3 + 4 + 5)] * 4

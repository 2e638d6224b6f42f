"""Headers of rate limits that agree with each other and with what was sent, and the headers of a debug request."""

from __future__ import annotations

import re
from datetime import datetime

import httpx
import pytest

from tests.conftest import HANG
from tests.emulator.conftest import KEY, MODEL, Chat, events
from together_adapters.emulator import serve
from together_adapters.emulator.http.rate_limits import WINDOW, RateWindow

LIMITS = ("x-ratelimit", "x-tokenlimit")
TEXT = "The lamp is green."
EMBEDDING = "BAAI/bge-base-en-v1.5"
DEBUG_HEADERS = {
    "x-together-traceid", "x-cluster", "x-engine-pod", "x-api-received", "x-api-call-start", "x-api-call-end",
    "x-inference-version",
}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def numbers(window: RateWindow) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in window.headers() if value != b"false"}


def assert_consistent(values: dict[str, int]) -> None:
    for name in LIMITS:
        for form in ("", "-dynamic"):
            assert 0 <= values[f"{name}-remaining{form}"] <= values[f"{name}-limit{form}"]
        assert values[f"{name}-limit"] <= values[f"{name}-limit-dynamic"]
    assert 0 < values["x-ratelimit-reset"] <= WINDOW
    assert values["retry-after"] == values["x-ratelimit-reset-dynamic"] == values["x-ratelimit-reset"]


def test_without_limits_the_headers_do_not_contradict_each_other() -> None:
    clock = Clock()
    window = RateWindow(clock=clock)
    assert window.admit(tokens=30_000) is None
    first = numbers(window)
    assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"], first["x-ratelimit-reset"]) == (200, 199, 2)
    assert (first["x-tokenlimit-limit"], first["x-tokenlimit-remaining"]) == (200_000, 170_000)
    clock.now += 1.5
    assert [window.admit(tokens=1_000) for _ in range(300)] == [None] * 300
    used = numbers(window)
    assert (used["x-ratelimit-remaining"], used["x-tokenlimit-remaining"], used["x-ratelimit-reset"]) == (0, 0, 1)
    assert (used["x-ratelimit-limit-dynamic"], used["x-ratelimit-remaining-dynamic"]) == (602, 301)
    assert (used["x-tokenlimit-limit-dynamic"], used["x-tokenlimit-remaining-dynamic"]) == (660_000, 330_000)
    clock.now += 0.5
    after = numbers(window)
    assert (after["x-ratelimit-limit"], after["x-ratelimit-limit-dynamic"]) == (200, 602)  # steady traffic has raised it
    for values in (first, used, after):
        assert_consistent(values)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}),
        ("/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], "stream": True}),
        ("/completions", {"model": MODEL, "prompt": TEXT}),
        ("/embeddings", {"model": EMBEDDING, "input": TEXT}),
        ("/rerank", {"model": "Salesforce/Llama-Rank-V1", "query": TEXT, "documents": [TEXT]}),
        ("/images/generations", {"model": "black-forest-labs/FLUX.1-schnell", "prompt": TEXT}),
    ],
)
def test_requests_and_tokens_are_counted(path: str, body: dict[str, object]) -> None:
    with serve() as emulator:
        emulator._state.rate = RateWindow(clock=Clock())
        with httpx.Client(base_url=emulator.base_url, headers=KEY, timeout=HANG, verify=False) as client:
            answers = [client.post(path, json=body) for _ in range(3)]
            poll = client.get("/models")
            refused = client.post(path, json={})
    counts = [{name: int(value) for name, value in answer.headers.items() if "limit-" in name} for answer in [*answers, poll]]
    for answer, values in zip([*answers, poll], counts, strict=True):
        assert_consistent({**values, "retry-after": int(answer.headers["retry-after"])})
    remaining = [values["x-ratelimit-remaining"] for values in counts]
    assert remaining == [199, 198, 197, 197]
    tokens = [values["x-tokenlimit-limit"] - values["x-tokenlimit-remaining"] for values in counts]
    whole = tokens[3] // 3
    begun = events(answers[0].content)[-1]["usage"]["prompt_tokens"] if body.get("stream") else whole  # output is not sent yet
    assert tokens == [begun, whole + begun, 2 * whole + begun, 3 * whole]
    assert (whole > 0) == (path != "/images/generations")
    if body.get("stream"):
        assert whole == events(answers[0].content)[-1]["usage"]["total_tokens"]
    elif path != "/images/generations":
        assert whole == answers[0].json()["usage"]["total_tokens"]
    assert not any("limit-" in name for name in refused.headers)


@pytest.mark.parametrize("stream", [False, True])
def test_a_debug_request_is_told_where_and_when_it_was_answered(chat: Chat, stream: bool) -> None:
    plain = chat.post(TEXT, stream=stream)
    assert not DEBUG_HEADERS & plain.headers.keys()
    first, second = (chat.post(TEXT, {"X-Together-Debug": "1"}, stream=stream).headers for _ in range(2))
    assert first.keys() >= DEBUG_HEADERS
    assert re.fullmatch("[0-9a-f]{32}", first["x-together-traceid"])
    assert first["x-together-traceid"] != second["x-together-traceid"]
    times = [datetime.fromisoformat(first[f"x-api-{name}"]) for name in ("received", "call-start", "call-end")]
    assert times == sorted(times)
    failed = chat.post(TEXT, {"x-together-debug": "1"}, n="two")
    assert failed.status_code == 422
    assert failed.headers.keys() >= DEBUG_HEADERS

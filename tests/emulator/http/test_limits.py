"""Limits: what is accepted and refused, in virtual time and over HTTP, and headers that always tell the truth about it."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import HANG, NEVER, eventually
from tests.emulator.conftest import KEY, MODEL, Chat
from together_adapters import RateLimitError
from together_adapters.emulator import Emulator, Fault, Limits, serve
from together_adapters.emulator.http.rate_limits import RateWindow, Refusal

TEXT = "Say hello to Ann."
Event = tuple[float, int, int]  # seconds since the one before, tokens of the prompt and of the output


class Account:
    """A rate window in virtual time."""

    def __init__(self, limits: Limits) -> None:
        self.now = 1_000.3
        self.window = RateWindow(limits, lambda: self.now)

    def headers(self, refusal: Refusal | None = None) -> dict[str, int]:
        return {name.decode(): int(value) for name, value in self.window.headers(refusal) if value != b"false"}

    def send(self, event: Event) -> Refusal | None:
        wait, prompt, output = event
        self.now += wait
        refusal = self.window.admit(prompt)
        if refusal is None:
            self.window.use(output)
        return refusal


def limits_of(requests: int | None, tokens: int | None, window: float | None, bucket: bool) -> Limits:
    return Limits(requests_per_minute=requests, tokens_per_minute=tokens, window=window, bucket=bucket)


LIMITS = st.builds(
    limits_of, st.sampled_from([None, 60, 90, 100, 600]), st.sampled_from([None, 600, 6_000]),
    st.sampled_from([None, 1, 2, 60, 2.5]), st.booleans(),
)  # fmt: skip
EVENTS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 5.0]), st.floats(0, 4)), st.integers(0, 400), st.integers(0, 300)
    ),
    max_size=25,
)


@given(LIMITS, EVENTS)
def test_headers_tell_what_is_accepted_next(limits: Limits, events: list[Event]) -> None:
    account = Account(limits)
    for count, (wait, prompt, output) in enumerate(events):
        account.now += wait
        before = account.headers()
        has_requests = before.get("x-ratelimit-remaining", 1) > 0
        left, limit = before.get("x-tokenlimit-remaining", prompt), before.get("x-tokenlimit-limit", prompt)
        refusal = account.send((0.0, prompt, output))
        assert (refusal is None) == (has_requests and (prompt <= left or left == limit))
        if refusal is None:
            after = account.headers()
            if "x-ratelimit-remaining" in before:
                assert after["x-ratelimit-remaining"] == before["x-ratelimit-remaining"] - 1
            if "x-tokenlimit-remaining" in before:
                assert after["x-tokenlimit-remaining"] == max(0, left - prompt - output)
            continue
        assert (refusal.by == "requests") == (not has_requests)
        told = account.headers(refusal)
        assert told["retry-after"] == told["x-ratelimit-reset"] == told["x-ratelimit-reset-dynamic"] >= 1
        assert refusal.wait is not None
        for seconds, is_accepted in ((float(told["retry-after"]), True), (refusal.wait - 0.01, False)):
            twin = Account(limits)
            for event in events[:count]:
                twin.send(event)
            twin.now += wait
            assert twin.send((max(seconds, 0.0), prompt, output)) is None or not is_accepted
            if not is_accepted and seconds > 0:
                twin = Account(limits)
                for event in events[:count]:
                    twin.send(event)
                assert twin.send((wait + seconds, prompt, output)) is not None


@given(LIMITS, EVENTS)
def test_what_is_accepted_never_exceeds_the_limits(limits: Limits, events: list[Event]) -> None:
    account = Account(limits)
    accepted: list[Event] = []  # with the time in place of the wait
    for event in events:
        if account.send(event) is None:
            accepted.append((account.now, *event[1:]))
    for rate, uses, costs in (
        (limits.requests_per_minute, [1 for _ in accepted], [1 for _ in accepted]),
        (limits.tokens_per_minute, [prompt + output for _, prompt, output in accepted], [prompt for _, prompt, _ in accepted]),
    ):
        if rate is None:
            continue
        limit = int(rate * limits.seconds / 60)
        for first, last in itertools.combinations_with_replacement(range(len(accepted)), 2):
            seconds = accepted[last][0] - accepted[first][0]
            before = sum(uses[first:last])  # all of it is paid when another request is accepted
            own = min(costs[last], limit)
            if not own:
                continue  # no limit of tokens is for a request without them
            if limits.bucket:
                assert before + own <= limit + rate * seconds / 60 + 1e-3
            else:
                windows = math.floor(seconds / limits.seconds + 1e-6) + (1 if first == 0 else 2)
                assert before + own <= limit * windows


@given(st.sampled_from([1, 2, 60]), st.lists(st.floats(0, 3), max_size=40))
def test_requests_in_fixed_windows(window: int, waits: list[float]) -> None:
    account = Account(Limits(requests_per_minute=120, window=window))
    start, count = -math.inf, 0
    for wait in waits:
        refusal = account.send((wait, 50, 50))
        if account.now >= start + window - 1e-6:
            start, count = account.now, 0
        count += refusal is None
        assert count <= 2 * window
        assert (refusal is None) or count == 2 * window


@pytest.mark.parametrize(
    ("rate", "window", "limit"),
    [(60, 2, 2), (6_000, 2, 200), (100, 3, 5), (10, 6, 1), (7, 60, 7), (1, 60, 1), (0.5, 120, 1), (90.5, 60, 90)],
)
def test_the_window_has_a_whole_number_of_requests(rate: float, window: float, limit: int) -> None:
    assert Limits(requests_per_minute=rate).seconds == window
    account = Account(Limits(requests_per_minute=rate))
    assert [account.send((0.0, 1, 1)) is None for _ in range(limit + 1)] == [True] * limit + [False]


def test_output_beyond_the_limit_is_owed() -> None:
    account = Account(Limits(tokens_per_minute=60, window=10))
    assert account.send((0.0, 4, 21)) is None  # 25 of 10
    refusal = account.send((1.0, 4, 0))
    assert refusal and (refusal.by, refusal.limit, refusal.wait) == ("tokens", 10, pytest.approx(19.0))
    assert account.send((18.9, 5, 0)) is not None
    assert account.send((0.1, 5, 0)) is None
    assert account.headers()["x-tokenlimit-remaining"] == 0


def test_no_limit_of_tokens_is_for_what_has_none() -> None:
    account = Account(Limits(tokens_per_minute=60, requests_per_minute=12, window=10))
    assert account.send((0.0, 4, 21)) is None
    assert account.send((0.0, 1, 0)) == Refusal("tokens", 10, 10.0, 20.0)
    assert account.send((0.0, 0, 0)) is None  # such as an image
    assert account.send((0.0, 0, 0)) == Refusal("requests", 2, 10.0, 10.0)


def test_a_prompt_larger_than_the_limit_is_accepted_alone() -> None:
    account = Account(Limits(tokens_per_minute=60, window=10))
    assert account.send((0.0, 1, 0)) is None
    refusal = account.send((0.0, 35, 0))
    assert refusal and refusal.wait == pytest.approx(10)
    assert account.send((10.0, 35, 0)) is None
    assert account.send((30.0, 6, 0)) is not None  # 5 are owed
    assert account.send((0.0, 5, 0)) is None


def test_a_schedule_begins_with_the_first_request() -> None:
    later = [(20.0, Limits(concurrent=1)), (10.0, Limits(requests_per_minute=120, window=1))]
    account = Account(Limits(requests_per_minute=60, window=1, schedule=later))
    account.now += 100
    assert account.headers()["x-ratelimit-limit"] == 1

    def accepted(wait: float) -> int:
        account.now += wait
        return [account.send((0.0, 1, 1)) for _ in range(5)].count(None)

    assert [accepted(wait) for wait in (0.0, 9.9, 0.1, 1.0)] == [1, 1, 2, 2]
    assert account.window.in_flight == 6
    for _ in range(6):
        account.window.release()
    assert accepted(9.0) == 1
    assert account.headers() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute=0 must be more than 0"),
        ({"tokens_per_minute": -1}, "tokens_per_minute=-1"),
        ({"window": math.inf}, "window=inf"),
        ({"concurrent": 0}, "concurrent=0 must be at least 1"),
        ({"headers": "some"}, "headers='some'"),
        ({"requests_per_minute": 10, "window": 2}, "requests_per_minute=10 is less than one in a window of 2 seconds"),
        ({"schedule": [(-1, Limits())]}, "schedule"),
        ({"schedule": [(1, Limits(schedule=[(1, Limits())]))]}, "schedule"),
    ],
)
def test_limits_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**options)


def test_limits_of_a_command_line() -> None:
    assert Limits.parse([]) is None
    assert Limits.parse(
        ["requests-per-minute=60; concurrent=4", "headers=refused", "at=30; tokens-per-minute=600; bucket; window=60"]
    ) == Limits(
        requests_per_minute=60, concurrent=4, headers="refused",
        schedule=[(30.0, Limits(tokens_per_minute=600, bucket=True, window=60))],
    )  # fmt: skip
    for text, message in (("speed=3", "unknown limit 'speed'"), ("concurrent=x", "'x'"), ("headers=no-idea", "neither")):
        with pytest.raises(ValueError, match=message):
            Limits.parse([text])


@pytest.fixture
def limited(emulator: Emulator) -> Iterator[Emulator]:
    """The emulator, without limits after the test."""
    yield emulator
    emulator.limits = None


def error_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 429
    error: dict[str, Any] = response.json()["error"]
    assert response.json().get("error_type", error["type"]) == error["type"]
    return error


@pytest.mark.parametrize("stream", [False, True])
def test_requests_beyond_the_limit_get_a_429(limited: Emulator, chat: Chat, stream: bool) -> None:
    limited.limits = Limits(requests_per_minute=3, window=60)
    answers = [chat.post(TEXT, stream=stream) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    for form in ("", "-dynamic"):
        assert [int(answer.headers[f"x-ratelimit-remaining{form}"]) for answer in answers] == [2, 1, 0, 0, 0]
        assert {answer.headers[f"x-ratelimit-limit{form}"] for answer in answers} == {"3"}
    assert not any("tokenlimit" in name for answer in answers for name in answer.headers)
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/json; charset=utf-8"
    assert 50 < int(refused.headers["retry-after"]) == int(refused.headers["x-ratelimit-reset"]) <= 60
    assert refused.json()["error_type"] == error_of(refused)["type"] == "dynamic_request_limited"
    assert "Too many requests: this account may use 3 in 60 s" in error_of(refused)["message"]
    assert chat.http.get("/models").status_code == 200
    limited.limits = None
    assert chat.post(TEXT).headers["x-ratelimit-limit"] == "200"


def test_tokens_beyond_the_limit_get_a_429(limited: Emulator, chat: Chat) -> None:
    usage = chat.whole(TEXT)["usage"]
    limited.limits = Limits(tokens_per_minute=2 * usage["total_tokens"], window=60)
    whole = chat.post(TEXT)
    assert int(whole.headers["x-tokenlimit-remaining"]) == usage["total_tokens"]
    stream = chat.post(TEXT, stream=True)  # whose output is not generated yet
    assert int(stream.headers["x-tokenlimit-remaining"]) == usage["total_tokens"] - usage["prompt_tokens"]
    refused = chat.post(TEXT)
    assert error_of(refused)["type"] == "dynamic_token_limited"
    assert (refused.headers["x-tokenlimit-remaining"], "x-ratelimit-limit" in refused.headers) == ("0", False)


def test_what_no_model_answers_does_not_count(limited: Emulator, chat: Chat) -> None:
    limited.limits = Limits(requests_per_minute=1, concurrent=1, window=60)
    limited.inject("503", Fault("drop"))
    assert chat.post(TEXT).status_code == 503
    with pytest.raises(httpx.RemoteProtocolError):
        chat.post(TEXT)
    assert chat.post(TEXT, n="two").status_code == 422
    limited.reply("Only once.")
    assert chat.text(TEXT) == "Only once."
    limited.reply("Later.")
    assert chat.post(TEXT).status_code == 429
    assert len(limited.unused) == 1  # a refusal takes no reply


def test_the_other_requests_to_models_count(limited: Emulator, http: httpx.Client) -> None:
    requests: list[dict[str, Any]] = [
        {"url": "/completions", "json": {"model": MODEL, "prompt": TEXT}},
        {"url": "/embeddings", "json": {"model": "BAAI/bge-base-en-v1.5", "input": TEXT}},
        {"url": "/rerank", "json": {"model": "Salesforce/Llama-Rank-V1", "query": TEXT, "documents": [TEXT]}},
        {
            "url": "/images/generations",
            "json": {"model": "black-forest-labs/FLUX.1-schnell", "prompt": TEXT, "width": 8, "height": 8},
        },
        {"url": "/audio/speech", "json": {"model": "hexgrad/Kokoro-82M", "input": TEXT}},
        {"url": "/audio/transcriptions", "files": {"file": ("a.wav", b"123")}, "data": {"model": "openai/whisper-large-v3"}},
        {"url": limited.base_url.replace("/v1", "/v2/videos"), "json": {"model": "minimax/video-01-director", "prompt": TEXT}},
    ]
    limited.limits = Limits(requests_per_minute=len(requests), window=60)
    for count, request in enumerate(requests, 1):
        answer = http.post(**request)
        assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (200, str(len(requests) - count)), answer.text
    for request in requests:
        assert error_of(http.post(**request))["type"] == "dynamic_request_limited"


@pytest.mark.parametrize("headers", [True, False, "refused"])
def test_headers_can_be_left_out(limited: Emulator, chat: Chat, headers: Any) -> None:
    limited.limits = Limits(requests_per_minute=1, tokens_per_minute=1_000, window=60, headers=headers)
    accepted, refused = chat.post(TEXT), chat.post(TEXT)
    assert error_of(refused)["type"] == "dynamic_request_limited"
    for answer, are_told in ((accepted, headers is True), (refused, headers is not False)):
        told = [name for name in answer.headers if "limit" in name or name == "retry-after"]
        assert bool(told) == are_told


def test_concurrency(limited: Emulator, chat: Chat) -> None:
    limited.limits = Limits(concurrent=2)
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}], "stream": True}
    wish = {"x-emulator-behaviour": f"delay={NEVER}"}
    with (
        chat.http.stream("POST", "/chat/completions", json=body, headers=wish),
        chat.http.stream("POST", "/chat/completions", json=body, headers=wish) as left_early,
    ):
        refused = chat.post(TEXT)
        assert error_of(refused) == {
            "message": "2 requests are in progress, as many as this account may have; wait for one.",
            "type": "rate_limit", "param": None, "code": "rate_limit_exceeded",
        }  # fmt: skip
        assert "retry-after" not in refused.headers
        left_early.close()
        assert eventually(lambda: limited._state.rate.in_flight == 1)
        assert [chat.post(TEXT, stream=stream).status_code for stream in (False, True, False)] == [200] * 3
    assert eventually(lambda: limited._state.rate.in_flight == 0)


def test_aborted_requests_free_their_places(limited: Emulator) -> None:
    limited.limits = Limits(concurrent=8)
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}

    async def abort(http: httpx.AsyncClient, number: int) -> None:
        fault = {0: "slow; seconds=60", 1: "trickle; seconds=60", 2: "cut", 3: "hold-open; seconds=60"}[number % 4]
        sent = {"headers": {"x-emulator-fault": f"{fault}; id={number}"}, "json": body | {"stream": number % 2 == 0}}
        try:
            async with http.stream("POST", "/chat/completions", **sent, timeout=0.1) as response:
                await response.aread()
        except httpx.TransportError:
            pass

    async def abort_all() -> None:
        async with httpx.AsyncClient(base_url=limited.base_url, headers=KEY, verify=False) as http:
            await asyncio.gather(*(abort(http, number) for number in range(40)))

    asyncio.run(abort_all())
    assert eventually(lambda: limited._state.rate.in_flight == 0)
    with httpx.Client(base_url=limited.base_url, headers=KEY, verify=False, timeout=HANG) as http:
        assert http.post("/chat/completions", json=body).status_code == 200


def test_never_more_at_one_time_from_many_threads() -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}
    with serve(limits=Limits(concurrent=3)) as emulator:
        window, most = emulator._state.rate, [0]
        statuses: list[int] = []

        def send() -> None:
            with httpx.Client(base_url=emulator.base_url, headers=KEY, verify=False, timeout=HANG) as http:
                for _ in range(10):
                    answer = http.post("/chat/completions", json=body, headers={"x-emulator-behaviour": "delay=0.01"})
                    statuses.append(answer.status_code)
                    most[0] = max(most[0], window.in_flight)

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG)
        assert (set(statuses), window.in_flight) == ({200, 429}, 0)
        assert most[0] <= 3
        assert emulator.bill.total().requests == statuses.count(200)


def test_a_client_that_waits_as_told_is_accepted(flavour: Any, limited: Emulator, question: dict[str, Any]) -> None:
    limited.limits = Limits(requests_per_minute=60, window=1)
    client = flavour.client(max_retries=0)
    flavour.run(client.chat.completions.create(**question))
    with pytest.raises(RateLimitError) as refused:
        flavour.run(client.chat.completions.create(**question))
    assert (refused.value.code, refused.value.headers["retry-after"]) == ("dynamic_request_limited", "1")
    answer = flavour.run(client.with_options(max_retries=1).chat.completions.create(**question))
    assert answer.choices[0].message.content == "Hello to Ann."
    statuses = len(limited.requests) - limited.bill.total().requests
    assert statuses == 2  # one refusal for each of the others

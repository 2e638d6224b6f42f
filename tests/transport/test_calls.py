"""One call on a bad network: how often it is sent, how long it may take, and what it raises at last."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

import together_adapters as ta
from tests.conftest import KEY, Flavour
from together_adapters.emulator import Emulator, Fault

pytestmark = pytest.mark.usefixtures("quick_retries")

RETRIED = ["429", "500", "502-html", "503", "504", "408", "drop"]
FINAL = ["400", "401", "402", "403", "404", "409", "413", "422"]


@pytest.mark.parametrize("kind", RETRIED)
def test_two_failures_then_an_answer_take_three_requests(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str
) -> None:
    emulator.inject(Fault(kind, times=2))
    answer = flavour.run(flavour.client().chat.completions.create(**question))
    assert answer.choices[0].message.content
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("kind", RETRIED)
def test_lasting_failure_takes_exactly_one_request_more_than_retries(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str, retries: int
) -> None:
    emulator.inject(Fault(kind, times=None))
    with pytest.raises((ta.APIStatusError, ta.APIConnectionError)) as caught:
        flavour.run(flavour.client(max_retries=retries).chat.completions.create(**question))
    assert len(emulator.requests) == caught.value.attempts == retries + 1


@pytest.mark.parametrize("kind", FINAL)
def test_errors_of_the_caller_are_not_repeated(flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str) -> None:
    emulator.inject(Fault(kind, times=None))
    with pytest.raises(ta.APIStatusError) as caught:
        flavour.run(flavour.client().chat.completions.create(**question))
    assert caught.value.status_code == int(kind)
    assert len(emulator.requests) == 1


def test_opening_a_stream_is_repeated_like_any_call(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("503", times=2))
    stream = flavour.run(flavour.client().chat.completions.create(stream=True, **question))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in flavour.iterate(stream))
    assert len(emulator.requests) == 3


def test_the_wait_that_the_service_asks_for_is_kept(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("429", retry_after=0.3))
    began = time.monotonic()
    flavour.run(flavour.client().chat.completions.create(**question))
    assert 0.3 <= time.monotonic() - began < 1.5


def test_a_success_that_says_retry_after_is_a_success(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    raw = flavour.run(flavour.client().chat.completions.with_raw_response.create(**question))
    assert raw.status_code == 200
    assert raw.headers["retry-after"] == "2"
    assert len(emulator.requests) == 1


def test_x_should_retry_is_honoured(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("x-should-retry", status=400, value="true"))
    flavour.run(flavour.client().chat.completions.create(**question))
    emulator.inject(Fault("x-should-retry", status=500, value="false"))
    with pytest.raises(ta.InternalServerError):
        flavour.run(flavour.client().chat.completions.create(**question))
    assert len(emulator.requests) == 3


def test_timeout_is_per_attempt(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("slow", times=None, seconds=3))
    began = time.monotonic()
    with pytest.raises(ta.APITimeoutError, match="2 attempts") as caught:
        flavour.run(flavour.client(timeout=0.2, max_retries=1).chat.completions.create(**question))
    assert caught.value.attempts == 2
    assert time.monotonic() - began < 2


def test_timeout_of_one_call_and_an_httpx_timeout(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("slow", times=None, seconds=3))
    client = flavour.client(max_retries=0)
    for timeout in (0.2, httpx.Timeout(5, read=0.2)):
        with pytest.raises(ta.APITimeoutError, match="read"):
            flavour.run(client.chat.completions.create(timeout=timeout, **question))


def test_max_elapsed_bounds_the_call_with_its_retries(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("503", times=None, retry_after=0.2))
    began = time.monotonic()
    with pytest.raises(ta.ServiceUnavailableError):
        flavour.run(flavour.client(max_retries=50, max_elapsed=0.7).chat.completions.create(**question))
    assert time.monotonic() - began < 1.2
    assert 2 <= len(emulator.requests) <= 4


@pytest.mark.parametrize("kind", ["slow", "trickle"])
def test_max_elapsed_bounds_an_answer_that_does_not_end(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str
) -> None:
    emulator.inject(Fault(kind, times=None, seconds={"slow": 5, "trickle": 0.05}[kind]))
    began = time.monotonic()
    with pytest.raises(ta.APITimeoutError):
        flavour.run(flavour.client(max_retries=9, max_elapsed=0.5).chat.completions.create(**question))
    assert time.monotonic() - began < 2


def test_nobody_listens(flavour: Flavour, question: dict[str, Any]) -> None:
    client = flavour.client(base_url="http://127.0.0.1:9/v1", max_retries=1)
    with pytest.raises(ta.APIConnectionError, match="after 2 attempts: ConnectError") as caught:
        flavour.run(client.chat.completions.create(**question))
    assert not isinstance(caught.value, ta.APITimeoutError)


def test_a_body_cut_short_is_a_connection_error(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("cut", times=None))
    with pytest.raises(ta.APIConnectionError):
        flavour.run(flavour.client(max_retries=1).chat.completions.create(**question))
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("kind", ["bad-json", "empty-body"])
def test_an_unreadable_answer_is_named(flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str) -> None:
    emulator.inject(Fault(kind))
    with pytest.raises(ta.APIResponseValidationError, match="cannot be parsed") as caught:
        flavour.run(flavour.client().chat.completions.create(**question))
    assert caught.value.status_code == 200
    assert caught.value.request_id
    assert isinstance(caught.value, ta.JSONError)


def test_calls_reuse_one_connection(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    for _ in range(3):
        flavour.run(client.chat.completions.create(**question))
        for _chunk in flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **question))):
            pass
    assert len({request.connection for request in emulator.requests}) == 1


def test_raw_response_of_a_call_a_stream_and_a_flow(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    raw = flavour.run(client.chat.completions.with_raw_response.create(**question))
    assert raw.parse().choices[0].message.content
    assert raw.request_id == raw.headers["x-request-id"]
    raw = flavour.run(client.chat.completions.with_raw_response.create(stream=True, **question))
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert list(flavour.iterate(raw.parse()))
    raw = flavour.run(client.embeddings.with_raw_response.create(model="BAAI/bge-base-en-v1.5", input=["a", "b"]))
    assert (raw.status_code, len(raw.parse().data)) == (200, 2)


def test_with_options_changes_the_copy_alone_and_shares_connections(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any]
) -> None:
    client = flavour.client(default_headers={"x-team": "a"})
    copy = client.with_options(max_retries=0, default_headers={"x-call": "b"}, default_query={"trace": "1"})
    flavour.run(client.chat.completions.create(**question))
    flavour.run(copy.chat.completions.create(**question))
    flavour.run(copy.close())
    flavour.run(client.chat.completions.create(**question))
    first, second, third = emulator.requests
    assert ("x-call" in first.headers, first.headers["x-team"]) == (False, "a")
    assert (second.headers["x-call"], second.headers["x-team"], second.query) == ("b", "a", "trace=1")
    assert first.connection == second.connection == third.connection
    assert (client.config.policy.max_retries, copy.config.policy.max_retries) == (2, 0)


def test_headers_of_a_call_win_over_the_clients(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client(supplied_headers={"X-Team": "client", "X-Other": "kept"})
    flavour.run(client.chat.completions.create(extra_headers={"x-team": "call"}, **question))
    headers = emulator.requests[0].headers
    assert (headers["x-team"], headers["x-other"]) == ("call", "kept")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("together-adapters/")


def test_what_json_cannot_say_is_refused_before_sending(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    for bad in ({"temperature": float("nan")}, {"logit_bias": {"1": float("inf")}}, {"stop": [object()]}, {"stop": "\ud800"}):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            flavour.run(client.chat.completions.create(**question, **bad))
    assert emulator.requests == []


def test_a_message_that_speaks_of_nan_is_sent(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    message = {"role": "user", "content": "What is NaN, and what is Infinity?"}
    flavour.run(flavour.client().chat.completions.create(model=question["model"], messages=[message]))
    assert emulator.requests[0].json["messages"] == [message]


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/"])
def test_base_url_with_or_without_its_version(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], suffix: str
) -> None:
    root = emulator.base_url.removesuffix("/v1")
    client = flavour.client(base_url=root + suffix)
    flavour.run(client.chat.completions.create(**question))
    assert emulator.requests[0].path == "/v1/chat/completions"
    assert client.base_url == root + "/v1"


def test_a_gateways_path_prefix_is_kept() -> None:
    for given in ("https://gateway.example/together", "https://gateway.example/together/v1/"):
        assert ta.Together(api_key=KEY, base_url=given).base_url == "https://gateway.example/together/v1"

"""One call on a bad network: the number of requests, the time limits, and the error."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest

import together_adapters as ta
from tests.conftest import KEY, NEVER, Flavour
from together_adapters.emulator import Emulator, Fault
from together_adapters.transport.retry import Failure

pytestmark = [pytest.mark.every_transport, pytest.mark.usefixtures("quick_retries")]

RETRYABLE = ["429", "500", "502-html", "503", "504", "408", "drop"]
FINAL = ["400", "401", "402", "403", "404", "409", "413", "422"]


@pytest.mark.parametrize("kind", RETRYABLE)
def test_two_failures_before_a_response_take_three_requests(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str
) -> None:
    emulator.inject(Fault(kind, times=2))
    completion = flavour.run(flavour.client().chat.completions.create(**question))
    assert completion.choices[0].message.content
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("retries", [0, 1, 2])
@pytest.mark.parametrize("kind", RETRYABLE)
def test_permanent_failure_takes_one_request_more_than_retries(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str, retries: int
) -> None:
    emulator.inject(Fault(kind, times=None))
    with pytest.raises((ta.APIStatusError, ta.APIConnectionError)) as exc_info:
        flavour.run(flavour.client(max_retries=retries).chat.completions.create(**question))
    assert len(emulator.requests) == exc_info.value.attempts == retries + 1


@pytest.mark.parametrize("kind", FINAL)
def test_invalid_requests_are_not_retried(flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str) -> None:
    emulator.inject(Fault(kind, times=None))
    with pytest.raises(ta.APIStatusError) as exc_info:
        flavour.run(flavour.client().chat.completions.create(**question))
    assert exc_info.value.status_code == int(kind)
    assert len(emulator.requests) == 1


def test_opening_a_stream_is_retried(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("503", times=2))
    stream = flavour.run(flavour.client().chat.completions.create(stream=True, **question))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in flavour.iterate(stream))
    assert len(emulator.requests) == 3


def test_retry_after_is_honoured(flavour: Flavour, emulator: Emulator, question: dict[str, Any], sleeps: list[float]) -> None:
    emulator.inject(Fault("429", retry_after=0.3))
    flavour.run(flavour.client().chat.completions.create(**question))
    assert sleeps == [0.3]


def test_a_success_with_retry_after_is_not_retried(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    raw = flavour.run(flavour.client().chat.completions.with_raw_response.create(**question))
    assert raw.status_code == 200
    assert int(raw.headers["retry-after"]) > 0
    assert len(emulator.requests) == 1


def test_x_should_retry_is_honoured(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("x-should-retry", status=400, value="true"))
    flavour.run(flavour.client().chat.completions.create(**question))
    emulator.inject(Fault("x-should-retry", status=500, value="false"))
    with pytest.raises(ta.InternalServerError):
        flavour.run(flavour.client().chat.completions.create(**question))
    assert len(emulator.requests) == 3


def test_timeout_is_per_attempt(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("slow", times=None, seconds=NEVER))
    with pytest.raises(ta.APITimeoutError, match="2 attempts") as exc_info:
        flavour.run(flavour.client(timeout=0.2, max_retries=1).chat.completions.create(**question))
    assert exc_info.value.attempts == 2


@pytest.mark.parametrize("other", [httpx, httpx2])
def test_timeout_of_one_call_and_of_either_library(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], other: Any
) -> None:
    emulator.inject(Fault("slow", times=None, seconds=NEVER))
    client = flavour.client(max_retries=0)
    for timeout in (0.2, other.Timeout(5, read=0.2)):
        with pytest.raises(ta.APITimeoutError, match="read"):
            flavour.run(client.chat.completions.create(timeout=timeout, **question))


def test_max_elapsed_bounds_the_call_with_its_retries(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], sleeps: list[float]
) -> None:
    emulator.inject(Fault("503", times=1, retry_after=20), Fault("503", times=None, retry_after=41))
    with pytest.raises(ta.ServiceUnavailableError) as exc_info:
        flavour.run(flavour.client(max_retries=50, max_elapsed=40).chat.completions.create(**question))
    assert sleeps == [20]
    assert exc_info.value.attempts == len(emulator.requests) == 2


@pytest.mark.parametrize("kind", ["slow", "trickle"])
def test_max_elapsed_bounds_a_response_that_does_not_end(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str
) -> None:
    # Without the limit, the slow response hangs, and the other one is complete and raises nothing.
    emulator.inject(Fault(kind, times=None, seconds={"slow": NEVER, "trickle": 0.05}[kind]))
    with pytest.raises(ta.APITimeoutError):
        flavour.run(flavour.client(max_retries=9, max_elapsed=0.5, timeout=None).chat.completions.create(**question))


def test_a_refused_connection(flavour: Flavour, question: dict[str, Any]) -> None:
    client = flavour.client(base_url="http://127.0.0.1:9/v1", max_retries=1)
    with pytest.raises(ta.APIConnectionError, match="after 2 attempts: ConnectError") as exc_info:
        flavour.run(client.chat.completions.create(**question))
    assert not isinstance(exc_info.value, ta.APITimeoutError)


@pytest.mark.parametrize("source", ["argument", "variable"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_to_do_about_a_server_of_this_machine_that_does_not_run(
    flavour: Flavour, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch, host: str, source: str
) -> None:
    address = f"http://{host}:9/v1"
    if source == "variable":
        monkeypatch.setenv("TOGETHER_BASE_URL", address)
    client = flavour.client(base_url=address if source == "argument" else None, max_retries=0)
    with pytest.raises(
        ta.APIConnectionError, match="`together-adapters emulator` starts the emulator, without --port"
    ) as exc_info:
        flavour.run(client.chat.completions.create(**question))
    expected = {"argument": "which was passed as base_url=...:", "variable": "which TOGETHER_BASE_URL names:"}
    assert f"Nothing listens at this address, {expected[source]} start the server" in str(exc_info.value)


def test_no_advice_about_a_server_that_answers_or_behind_a_proxy(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.inject(Fault("cut", times=None))
    with pytest.raises(ta.APIConnectionError) as answered:
        flavour.run(flavour.client(max_retries=0).chat.completions.create(**question))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ta.APIConnectionError) as refused:
        flavour.run(flavour.client(max_retries=0).chat.completions.create(**question))
    assert "Nothing listens" not in f"{answered.value} {refused.value}"


def test_a_truncated_body_is_a_connection_error(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("cut", times=None))
    with pytest.raises(ta.APIConnectionError):
        flavour.run(flavour.client(max_retries=1).chat.completions.create(**question))
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("kind", ["bad-json", "empty-body"])
def test_an_invalid_response_is_a_validation_error(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str
) -> None:
    emulator.inject(Fault(kind))
    with pytest.raises(ta.APIResponseValidationError, match="cannot be parsed") as exc_info:
        flavour.run(flavour.client().chat.completions.create(**question))
    assert exc_info.value.status_code == 200
    assert exc_info.value.request_id
    assert isinstance(exc_info.value, ta.JSONError)


def test_calls_reuse_one_connection(flavour: Flavour, transport: str, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    for _ in range(3):
        flavour.run(client.chat.completions.create(**question))
        for _chunk in flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **question))):
            pass
    # Streams of a synchronous client go over httpx.
    expected = 2 if transport == "fast" and not flavour.is_async else 1
    assert len({request.connection for request in emulator.requests}) == expected


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


def test_with_options_changes_only_the_copy_and_shares_connections(
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


def test_headers_of_a_call_override_those_of_the_client(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client(supplied_headers={"X-Team": "client", "X-Other": "client"})
    flavour.run(client.chat.completions.create(extra_headers={"x-team": "call"}, **question))
    headers = emulator.requests[0].headers
    assert (headers["x-team"], headers["x-other"]) == ("call", "client")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("together-adapters/")


def test_a_body_that_is_not_json_is_not_sent(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    for bad in ({"temperature": float("nan")}, {"logit_bias": {"1": float("inf")}}, {"stop": [object()]}, {"stop": "\ud800"}):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            flavour.run(client.chat.completions.create(**question, **bad))
    assert emulator.requests == []


def test_a_message_that_mentions_nan_is_sent(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
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
    for base_url in ("https://gateway.example/together", "https://gateway.example/together/v1/"):
        assert ta.Together(api_key=KEY, base_url=base_url).base_url == "https://gateway.example/together/v1"


def test_what_to_do_about_an_address(flavour: Flavour, emulator: Emulator) -> None:
    def fail(url: str) -> str:
        with pytest.raises(ta.APIConnectionError) as error:
            flavour.run(flavour.client(base_url=url, api_key=KEY, max_retries=0).models.list())
        return str(error.value)

    secure = fail(emulator.base_url.replace("http:", "https:"))
    assert "does not speak TLS: begin the address, which was passed as base_url=..., with http://" in secure
    unknown = Failure("ConnectError: [Errno -2] Name or service not known", url="https://llm.example.org/v1/models")
    advice = flavour.client(base_url="https://llm.example.org")._config.connection_advice(unknown)
    assert advice.startswith("No such host is known here: correct the address, which was passed as base_url=...")
    for url, scheme in (("127.0.0.1:8000/v1", "http"), ("localhost:8000", "http"), ("llm.example.org/v1", "https")):
        with pytest.raises(ta.ConfigurationError, match=f"begin it with {scheme}://"):
            flavour.client(base_url=url)


def test_a_name_that_is_further_inside(flavour: Flavour) -> None:
    with pytest.raises(AttributeError, match=r"do you mean 'completions.create'"):
        _ = flavour.client().chat.create

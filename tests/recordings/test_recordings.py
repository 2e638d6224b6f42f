"""Every recorded exchange is read by the client with no loss, compared with a plain parse of the recording."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import together_adapters
from tests.recordings.replay import QUESTION, UNSET, Recording, errors_elsewhere, exchanges, recordings_where
from tests.resources.stream_joiner import join
from together_adapters import APIStatusError

pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")

if not exchanges():
    pytest.skip(UNSET, allow_module_level=True)

METHODS = {
    "chat": lambda client: client.chat.completions.create,
    "completions": lambda client: client.completions.create,
    "embeddings": lambda client: client.embeddings.create,
    "rerank": lambda client: client.rerank.create,
}
CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "PaymentRequiredError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
TOO_LONG = re.compile(r"max_new_tokens. must be|context length")
DELETED = ("model_not_available", "dedicated_endpoint_not_running")


def is_whole(recording: Recording) -> bool:
    return recording.kind in METHODS and not recording.is_error


def is_stream(recording: Recording) -> bool:
    return recording.is_stream and recording.kind.removesuffix("_stream") in METHODS


def is_error(recording: Recording) -> bool:
    return recording.is_error


def is_asked(recording: Recording) -> bool:
    return recording.request_params is not None and (is_whole(recording) or is_stream(recording))


def is_error_of_a_method(recording: Recording) -> bool:
    return recording.is_error and recording.path in ("/chat/completions", "/completions")


def is_of_another_kind(recording: Recording) -> bool:
    return not (is_whole(recording) or is_stream(recording) or is_error(recording))


@pytest.mark.parametrize("recording", recordings_where(is_of_another_kind))
def test_other_kinds(recording: Recording) -> None:
    pytest.skip(f"{recording.kind} is not among {', '.join(METHODS)}, their streams and errors")


def exact(actual: Any, expected: Any) -> bool:
    """Whether values are equal, including large integers, which floats would change."""
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(exact(actual[name], value) for name, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        return isinstance(actual, list | tuple) and len(actual) == len(expected) and all(map(exact, actual, expected))
    if isinstance(expected, int) and not isinstance(expected, bool) and abs(expected) > 2**53:
        return type(actual) is int and actual == expected
    return isinstance(actual, bool) is isinstance(expected, bool) and bool(actual == expected)


@pytest.mark.parametrize("recording", recordings_where(is_whole))
def test_unary_response(recording: Recording, flavour: Any, replay: Any) -> None:
    client, player = replay(recording)
    answer = flavour.run(METHODS[recording.resource](client)(**recording.parameters()))
    assert exact(answer.model_dump(exclude_unset=True), recording.value)
    assert exact(json.loads(answer.model_dump_json(exclude_unset=True)), recording.value)
    assert len(player.requests) == 1


@pytest.mark.parametrize("recording", recordings_where(is_whole))
def test_values_of_a_unary_response(recording: Recording, flavour: Any, replay: Any) -> None:
    client, _ = replay(recording)
    answer = flavour.run(METHODS[recording.resource](client)(**recording.parameters()))
    plain_text = recording.value
    if recording.resource == "embeddings":
        pytest.importorskip("numpy")
        assert answer.to_numpy().shape == (len(plain_text["data"]), len(answer.data[0].embedding))
        assert [item.index for item in answer.data] == list(range(len(plain_text["data"])))
        return
    if recording.resource == "rerank":
        actual = [(result.index, result.relevance_score, result.document) for result in answer.results]
        assert actual == [(r["index"], r["relevance_score"], r.get("document")) for r in plain_text["results"]]
        return
    for choice, expected in zip(answer.choices, plain_text["choices"], strict=True):
        assert choice.finish_reason == expected.get("finish_reason")
        assert exact(choice.seed, expected.get("seed"))
        if recording.resource == "completions":
            assert choice.text == expected["text"]
            continue
        message = expected["message"]
        assert choice.message.content == message.get("content")
        assert (choice.message.thinking or None) == (message.get("reasoning") or message.get("reasoning_content") or None)
        calls = [(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()]
        tool_calls = message.get("tool_calls") or ()
        assert calls == [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in tool_calls]
    if plain_text.get("usage"):
        assert answer.usage.total_tokens == plain_text["usage"]["total_tokens"]


@pytest.mark.parametrize("recording", recordings_where(is_asked))
def test_the_recorded_request_is_sent(recording: Recording, flavour: Any, replay: Any) -> None:
    assert recording.request_params is not None
    client, player = replay(recording)
    answer = flavour.run(METHODS[recording.resource](client)(**recording.parameters()))
    if recording.is_stream:
        list(flavour.iterate(answer))
    (request_body,) = player.requests
    params = {
        name: value
        for name, value in recording.request_params.items()
        if value is not None and (name, value) != ("stream", False)
    }
    kwargs = json.loads(request_body.content)
    assert {name: kwargs[name] for name in params} == params
    assert (request_body.method, request_body.url.path) == ("POST", f"/v1{recording.path}")


@pytest.mark.parametrize("recording", recordings_where(is_stream))
def test_stream(recording: Recording, flavour: Any, replay: Any) -> None:
    client, player = replay(recording)
    opened = flavour.run(METHODS[recording.resource](client)(**recording.parameters()))
    chunks = [chunk.model_dump(exclude_unset=True) for chunk in flavour.iterate(opened)]
    assert len(chunks) == len(recording.value)
    for actual, expected in zip(chunks, recording.value, strict=True):
        assert exact(actual, expected)
    assert len(player.requests) == 1
    assert opened.response.headers.items() >= recording.headers.items() - {("set-cookie", "")}


@pytest.mark.parametrize("recording", recordings_where(is_stream))
def test_values_of_a_stream(recording: Recording, flavour: Any, replay: Any) -> None:
    client, _ = replay(recording)
    chunks = list(flavour.iterate(flavour.run(METHODS[recording.resource](client)(**recording.parameters()))))
    expected = join(recording.value)
    parts = [choice for chunk in chunks for choice in chunk.choices]
    for index, choice in enumerate(expected["choices"]):
        mine = [part for part in parts if (part.index or 0) == index]
        deltas = [part.delta for part in mine if part.delta]
        text = "".join(delta.content or "" for delta in deltas) or "".join(part.text or "" for part in mine)
        assert text == choice["content"]
        assert "".join(delta.thinking or "" for delta in deltas) == choice["reasoning"]
        ends = [part.finish_reason for part in mine if part.finish_reason]
        assert ends[-1:] == ([choice["finish_reason"]] if choice["finish_reason"] else [])
        assert exact([part.seed for part in mine if part.seed][-1:], [choice["seed"]] if choice["seed"] else [])
    assert exact(join([chunk.model_dump() for chunk in chunks])["choices"], expected["choices"])
    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage[-1].model_dump(exclude_unset=True)] == [expected["usage"]] if expected["usage"] else usage == []


def is_repeated(status: int) -> bool:
    return status in (408, 429) or status >= 500


def error_body(recording: Recording) -> Any:
    """Returns the body as JSON, or as text if it is not JSON."""
    try:
        return json.loads(recording.body)
    except ValueError:
        return recording.body.decode()


def expected_class(status: int, description: dict[str, Any]) -> type[APIStatusError]:
    if status in (400, 403, 413, 422) and TOO_LONG.search(description.get("message") or ""):
        return together_adapters.ContextLengthError
    if status in (400, 404) and description.get("code") in DELETED:
        return together_adapters.ModelNotAvailableError
    name = CLASSES.get(status, "InternalServerError" if status >= 500 else "APIStatusError")
    return getattr(together_adapters, name)  # type: ignore[no-any-return]


def check_error(error: APIStatusError, status: int, headers: dict[str, str], body: Any) -> None:
    inner = body.get("error") if isinstance(body, dict) else None
    description = inner if isinstance(inner, dict) else body if isinstance(body, dict) else {}
    assert isinstance(error, expected_class(status, description))
    assert (error.status_code, error.http_status, error.body) == (status, status, body)
    for name in ("type", "param"):
        assert getattr(error, name) == description.get(name)
    code = description.get("code") or description.get("error_type")
    assert error.code == (None if code is None else str(code))
    own_id = body.get("id") if isinstance(body, dict) else None
    request_id = headers.get("x-request-id") or headers.get("cf-ray") or own_id
    assert error.request_id == request_id
    assert (description.get("message") or "") in str(error)
    assert str(status) in str(error)
    if headers.get("x-request-id") or headers.get("cf-ray"):
        assert request_id in str(error)
    remaining = {name: value for name, value in headers.items() if name != "set-cookie"}
    assert error.headers.items() >= remaining.items()


@pytest.mark.parametrize("recording", recordings_where(is_error))
def test_error(recording: Recording, flavour: Any, replay: Any) -> None:
    client, player = replay(recording, max_retries=2)
    with pytest.raises(APIStatusError) as error_info:
        flavour.run(client.perform(recording.plain_call()))
    assert len(player.requests) == error_info.value.attempts == (3 if is_repeated(recording.status) else 1)
    check_error(error_info.value, recording.status, recording.headers, error_body(recording))


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("recording", recordings_where(is_error_of_a_method))
def test_error_of_a_method(recording: Recording, streams: bool, flavour: Any, replay: Any) -> None:
    """An error is plain JSON also for a request for a stream."""
    resource = "chat" if recording.path == "/chat/completions" else "completions"
    client, player = replay(recording, max_retries=1)
    with pytest.raises(APIStatusError) as error_info:
        flavour.run(METHODS[resource](client)(**QUESTION[resource], stream=streams))
    assert len(player.requests) == error_info.value.attempts == (2 if is_repeated(recording.status) else 1)
    check_error(error_info.value, recording.status, recording.headers, error_body(recording))


@pytest.mark.parametrize("requests", errors_elsewhere())
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_error_seen_elsewhere(requests: dict[str, Any], streams: bool, flavour: Any, replay: Any) -> None:
    content = {
        "kind": "error",
        "request": {},
        "response": {"status": requests["status"], "headers": {}, "json": requests["body"]},
    }
    client, player = replay(Recording("seen-elsewhere", content), max_retries=2)
    with pytest.raises(APIStatusError) as error_info:
        flavour.run(client.chat.completions.create(model="acme/m", messages=[{"role": "user", "content": "?"}], stream=streams))
    assert len(player.requests) == (3 if is_repeated(requests["status"]) else 1)
    check_error(error_info.value, requests["status"], {}, requests["body"])

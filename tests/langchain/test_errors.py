"""An error is one of the library's and one of langchain-core's at once."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank
from langchain_together_adapters.errors import RefusedError, as_model_error, model_errors

import together_adapters
from together_adapters import errors
from together_adapters.emulator import Emulator, Fault

STATUSES = [
    ("400", errors.BadRequestError, core.ModelInvalidRequestError, False),
    ("401", errors.AuthenticationError, core.ModelAuthenticationError, False),
    ("402", errors.PaymentRequiredError, core.ModelError, False),
    ("403", errors.PermissionDeniedError, core.ModelPermissionDeniedError, False),
    ("404", errors.NotFoundError, core.ModelNotFoundError, False),
    ("409", errors.ConflictError, core.ModelError, False),
    ("413", errors.APIStatusError, core.ModelError, False),
    ("422", errors.UnprocessableEntityError, core.ModelInvalidRequestError, False),
    ("429", errors.RateLimitError, core.ModelRateLimitError, True),
    ("500", errors.InternalServerError, core.ModelAPIError, True),
    ("503", errors.ServiceUnavailableError, core.ModelAPIError, True),
    ("504", errors.InternalServerError, core.ModelAPIError, True),
    ("502-html", errors.InternalServerError, core.ModelAPIError, True),
    ("drop", errors.APIConnectionError, core.ModelConnectionError, True),
]


async def ways(llm: Any) -> list[Any]:
    """Every method that sends a request, as an awaitable."""

    async def invoke() -> Any:
        return llm.invoke("x")

    async def stream() -> Any:
        return list(llm.stream("x"))

    async def ainvoke() -> Any:
        return await llm.ainvoke("x")

    async def astream() -> Any:
        return [chunk async for chunk in llm.astream("x")]

    return [invoke, stream, ainvoke, astream]


@pytest.mark.parametrize(("fault", "library_error", "core_error", "retryable"), STATUSES, ids=[row[0] for row in STATUSES])
@pytest.mark.parametrize("kind", [ChatTogether, Together])
async def test_both_sides_catch(
    kind: Any, fault: str, library_error: type, core_error: type, retryable: bool, emulator: Emulator, connect: Any
) -> None:
    llm = kind(**connect, max_retries=0)
    for call in await ways(llm):
        emulator.inject(Fault(fault, message="sorry" if fault == "403" else None))
        with pytest.raises(library_error) as error_info:
            await call()
        error = error_info.value
        assert isinstance(error, core_error)
        assert isinstance(error, core.ModelError)
        assert error.is_retryable is retryable
        assert error.__cause__ is None
        if fault != "drop":
            assert error.response.status_code == error.status_code
            assert error.response.headers["x-request-id"] == error.request_id
            assert error.request_id in str(error)


UNAVAILABLE = [
    (
        Fault("404", message="Unable to access model x", code="model_not_available"),
        errors.ModelNotFoundError,
        core.ModelNotFoundError,
    ),
    (
        Fault("400", message="Unable to access non-serverless model x."),
        errors.ModelNotServerlessError,
        core.ModelInvalidRequestError,
    ),
    (
        Fault("403", message="Third-party data sharing is blocked.", code="third_party_data_sharing_blocked"),
        errors.DataSharingBlockedError,
        core.ModelPermissionDeniedError,
    ),
]


@pytest.mark.parametrize(("fault", "library_error", "core_error"), UNAVAILABLE, ids=["404", "400", "403"])
async def test_a_model_that_cannot_be_used(
    fault: Fault, library_error: type, core_error: type, emulator: Emulator, connect: Any
) -> None:
    for call in await ways(ChatTogether(**connect)):
        emulator.inject(fault)
        with pytest.raises(library_error) as error_info:
            await call()
        error: Any = error_info.value
        assert isinstance(error, errors.ModelNotAvailableError)
        assert isinstance(error, core_error)
        assert error.is_retryable is False
        assert str(fault.message) in str(error)
    assert {request.path for request in emulator.requests} <= {"/v1/chat/completions", "/v1/models"}
    assert sum(request.path == "/v1/chat/completions" for request in emulator.requests) == 4


@pytest.mark.parametrize("fault", ["400", "stream-error"])
async def test_neither_side_shows_the_key(fault: str, emulator: Emulator, connect: Any) -> None:
    key = connect["api_key"]
    for call in (await ways(ChatTogether(**connect, max_retries=0)))[fault != "400" :: 2 if fault != "400" else 1]:
        emulator.inject(Fault(fault, message=f"bad key {key}", code=key, type=f"t-{key}", headers={"x-echo": key}))
        with pytest.raises(core.ModelError) as error_info:
            await call()
        error: Any = error_info.value
        assert key.encode() not in pickle.dumps(error)
        assert key not in f"{error!r} {vars(error)} {error.response.text} {error.response.headers}"
        assert "[redacted]" in error.code


@pytest.mark.parametrize("status", ["400", "403", "413", "422"])
async def test_context_overflow_at_any_status(status: str, emulator: Emulator, connect: Any) -> None:
    for call in await ways(ChatTogether(**connect, max_retries=0)):
        emulator.inject(Fault(status, message="the prompt is longer than the model's context length"))
        with pytest.raises(core.ContextOverflowError) as error_info:
            await call()
        assert isinstance(error_info.value, together_adapters.ContextLengthError)
        assert not error_info.value.is_retryable


@pytest.mark.parametrize("fault", ["stream-error", "stream-error-event"])
@pytest.mark.parametrize("kind", [ChatTogether, Together])
async def test_an_error_inside_a_stream(fault: str, kind: Any, emulator: Emulator, connect: Any) -> None:
    for call in (await ways(kind(**connect)))[1::2]:
        emulator.inject(fault)
        with pytest.raises(core.ModelAPIError) as error_info:
            await call()
        assert isinstance(error_info.value, together_adapters.APIError)
        assert not isinstance(error_info.value, together_adapters.APIStatusError)
        assert error_info.value.is_retryable


async def test_an_overflow_inside_a_stream(emulator: Emulator, connect: Any) -> None:
    for call in (await ways(ChatTogether(**connect)))[1::2]:
        emulator.inject(Fault("stream-error", message="beyond the context length", code="context_length_exceeded"))
        with pytest.raises(core.ContextOverflowError) as error_info:
            await call()
        assert isinstance(error_info.value, core.ModelAPIError)
        assert not error_info.value.is_retryable
        assert pickle.loads(pickle.dumps(error_info.value)).code == "context_length_exceeded"


@pytest.mark.parametrize("fault", ["cut", "no-done"])
async def test_a_cut_stream(fault: str, emulator: Emulator, connect: Any) -> None:
    for call in (await ways(ChatTogether(**connect)))[1::2]:
        emulator.inject(fault)
        with pytest.raises(core.ModelConnectionError) as error_info:
            await call()
        assert isinstance(error_info.value, together_adapters.IncompleteStreamError)


async def test_a_timeout(emulator: Emulator, connect: Any) -> None:
    for call in await ways(ChatTogether(**connect, timeout=0.15, max_retries=0)):
        emulator.inject(Fault("slow", seconds=0.6))
        with pytest.raises(core.ModelTimeoutError) as error_info:
            await call()
        assert isinstance(error_info.value, together_adapters.APITimeoutError)


async def test_events_raise_too(emulator: Emulator, llm: ChatTogether) -> None:
    emulator.inject("401", "401")
    with pytest.raises(core.ModelAuthenticationError):
        list(llm._stream_chat_model_events([]))
    with pytest.raises(core.ModelAuthenticationError):
        [event async for event in llm._astream_chat_model_events([])]


def test_embeddings_and_rerank(emulator: Emulator, connect: Any) -> None:
    emulator.inject("401", "401")
    with pytest.raises(together_adapters.AuthenticationError) as error_info:
        TogetherEmbeddings(**connect).embed_documents(["x"])
    assert isinstance(error_info.value, core.ModelAuthenticationError)
    with pytest.raises(together_adapters.AuthenticationError):
        TogetherRerank(model="acme/ranker", **connect).rerank(["x"], "x")


def test_a_missing_key_is_no_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (ChatTogether, Together, TogetherEmbeddings, TogetherRerank):
        with pytest.raises(together_adapters.ConfigurationError, match="TOGETHER_API_KEY") as error_info:
            kind()
        assert not isinstance(error_info.value, core.LangChainException)


def test_one_class_for_each_pair_and_none_is_changed() -> None:
    kind = as_model_error(errors.RateLimitError)
    assert kind is as_model_error(errors.RateLimitError)
    assert as_model_error(kind) is kind
    assert not issubclass(errors.RateLimitError, core.ModelError)
    assert (kind.__name__, kind.__module__) == ("RateLimitError", "together_adapters.errors")


ALL = [errors.TogetherError, *errors.TogetherError.__subclasses__()]
for kind in ALL:
    ALL.extend(kind for kind in kind.__subclasses__() if kind not in ALL and kind.__module__ == "together_adapters.errors")


@pytest.mark.parametrize("kind", [*ALL, RefusedError], ids=lambda kind: kind.__name__)
def test_errors_can_be_pickled_and_copied(kind: Any) -> None:
    problem = as_model_error(kind)("what happened", status_code=429, request_id="r", code="c", body={"a": 1}, attempts=3)
    for duplicate in (pickle.loads(pickle.dumps(problem)), copy.copy(problem), copy.deepcopy(problem)):
        assert type(duplicate) is type(problem)
        assert str(duplicate) == "what happened"
        assert (duplicate.status_code, duplicate.request_id, duplicate.code, duplicate.body, duplicate.attempts) == (
            429,
            "r",
            "c",
            {"a": 1},
            3,
        )


def test_the_traceback_shows_one_exception() -> None:
    import traceback

    with pytest.raises(core.ModelRateLimitError) as error_info, model_errors():
        raise errors.RateLimitError("slow down")
    output = "".join(traceback.format_exception(error_info.value))
    assert "During handling" not in output
    assert "direct cause" not in output


def test_a_failed_run_is_traced_with_its_response(emulator: Emulator, connect: Any) -> None:
    results: list[Any] = []

    class Watch(BaseCallbackHandler):
        def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
            results.append(response)

    emulator.inject("429")
    with pytest.raises(core.ModelRateLimitError):
        ChatTogether(**connect, max_retries=0).invoke("x", config={"callbacks": [Watch()]})
    metadata = results[0].generations[0][0].message.response_metadata
    assert metadata["status_code"] == 429
    assert metadata["request_id"] == metadata["headers"]["x-request-id"]
    assert metadata["body"]["error"]["code"] == "rate_limit_exceeded"
    assert "sk-test" not in str(metadata)

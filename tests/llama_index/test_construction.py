"""Settings: sources, precedence, copies and pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import httpx
import httpx2
import pytest
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from tests.conftest import count_function_calls
from tests.llama_index.conformance.provider import Events, events, texts_of
from tests.llama_index.conformance.wire import WireServer, error, raw
from together_adapters import AsyncTogether, AuthenticationError, ConfigurationError, Together
from together_adapters.emulator import Emulator, Fault
from together_adapters.types.capabilities import MODELS

__all__ = ["events"]

KEY = "sk-construction-5d41402abc4b2a76b9719d911017"
CLASSES: list[Any] = [TogetherLLM, TogetherEmbedding, TogetherRerank]
QUESTION = [ChatMessage(role="user", content="Hi")]


def use(component: Any) -> None:
    if isinstance(component, TogetherLLM):
        component.chat(QUESTION)
    elif isinstance(component, TogetherEmbedding):
        component.get_text_embedding("a")
    else:
        component.postprocess_nodes([NodeWithScore(node=TextNode(text=text)) for text in "ab"], query_str="a")


@pytest.fixture(params=CLASSES, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_missing_key(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="TOGETHER_API_KEY"):
        kind()


def test_base_url_by_either_name(kind: Any, emulator: Emulator) -> None:
    for options in ({"base_url": emulator.base_url}, {"api_base": emulator.base_url.removesuffix("/v1")}):
        use(kind(api_key=KEY, **options))
    assert [request.headers["authorization"] for request in emulator.requests] == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize("variable", ["TOGETHER_BASE_URL", "TOGETHER_API_BASE"])
def test_environment(kind: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, emulator.base_url)
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    component = kind()
    use(component)
    assert component.api_base == emulator.base_url


def test_a_key_from_the_environment_is_not_pickled(kind: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    component = kind(api_base=emulator.base_url)
    use(component)
    data = pickle.dumps(component)
    assert KEY.encode() not in data
    use(pickle.loads(data))
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(ConfigurationError, match="TOGETHER_API_KEY"):
        use(pickle.loads(data))


def test_a_key_argument_is_pickled(kind: Any, emulator: Emulator) -> None:
    component = kind(api_key=KEY, base_url=emulator.base_url, default_headers={"x-team": "blue-and-green"})
    use(pickle.loads(pickle.dumps(component)))
    use(copy.deepcopy(component))
    assert [request.headers["x-team"] for request in emulator.requests] == ["blue-and-green"] * 2


def test_no_secret_is_shown(kind: Any) -> None:
    component = kind(api_key=KEY, default_headers={"x-secret": "header-secret"}, default_query={"token": "query-secret"})
    output = f"{component!r} {component} {component.to_dict()} {component.to_json()} {component.model_dump()} {vars(component)}"
    assert KEY not in output
    assert "secret" not in f"{component!r} {component.to_json()}"


def test_events_contain_no_secret(kind: Any, emulator: Emulator, events: Events) -> None:
    component = kind(api_key=KEY, base_url=emulator.base_url, default_headers={"x-secret": "header-secret"}, max_retries=0)
    use(component)
    emulator.inject(Fault("401", message=f"the key {KEY} is not known"))
    with pytest.raises(AuthenticationError) as error_info:
        use(component)
    texts = [texts_of(event) for event in events.events]
    assert texts
    texts.append(f"{error_info.value} {error_info.value!r} {vars(error_info.value)}")
    texts.append(repr(component.to_payload()))
    assert not [text for text in texts if KEY in text or "header-secret" in text]


def test_no_secret_is_part_of_an_identity(kind: Any) -> None:
    one, other = (kind(api_key=key, default_headers={"x-secret": key}) for key in ("sk-one", "sk-other"))
    assert one.to_dict() == other.to_dict()
    if kind is TogetherEmbedding:
        assert get_transformation_hash([TextNode(text="a", id_="a")], one) == get_transformation_hash(
            [TextNode(text="a", id_="a")], other
        )


def test_shared_clients(kind: Any, emulator: Emulator) -> None:
    client = Together(api_key=KEY, base_url=emulator.base_url)
    component = kind(client=client)
    assert component.sync_client is client
    use(component)
    use(pickle.loads(pickle.dumps(component)))
    async_client = AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    assert kind(async_client=async_client).asynchronous_client is async_client
    use(kind(async_client=async_client))


def test_a_client_that_cannot_be_pickled_raises(kind: Any) -> None:
    with httpx.Client() as http_client, pytest.raises(TypeError, match="http_client"):
        pickle.dumps(kind(client=Together(api_key=KEY, http_client=http_client)))


def test_transport(kind: Any, emulator: Emulator) -> None:
    pytest.importorskip("wreq")
    component = kind(api_key=KEY, api_base=emulator.base_url, transport="fast")
    for each in (component, pickle.loads(pickle.dumps(component)), component.model_copy(update={"max_retries": 1})):
        assert each.sync_client.config.transport == each.asynchronous_client.config.transport == "fast"
        use(each)
    with pytest.raises(ConfigurationError, match="transport does not go with a client to share"):
        kind(client=component.sync_client, transport="fast")


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_http_clients_of_the_caller(kind: Any, emulator: Emulator, library: Any) -> None:
    headers = {"x-from": "the-caller"}
    with library.Client(headers=headers) as http_client:
        component = kind(
            api_key=KEY, api_base=emulator.base_url, http_client=http_client, async_http_client=library.AsyncClient()
        )
        assert component.sync_client.config.http_library == component.asynchronous_client.config.http_library == library.__name__
        for each in (component, copy.deepcopy(component), component.model_copy(update={"max_retries": 1})):
            use(each)
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(component)
        assert "http_client" not in component.to_dict()
    assert {request.headers["x-from"] for request in emulator.requests} == {"the-caller"}
    assert len(emulator.requests) == 3


@pytest.mark.parametrize("name", ["http_client", "async_http_client"])
def test_other_http_clients_are_refused(kind: Any, name: str) -> None:
    wrong = httpx.AsyncClient if name == "http_client" else httpx.Client
    for client in (object(), wrong(), wrong, httpx.Client if name == "http_client" else httpx.AsyncClient):
        with pytest.raises(ConfigurationError, match="http_client must be an"):
            kind(api_key=KEY, **{name: client})
    with pytest.raises(ConfigurationError, match="http_client does not go with a client to share"):
        kind(client=Together(api_key=KEY), **{name: object()})


def test_what_is_no_client_to_share_is_refused(kind: Any) -> None:
    for name, client in (
        ("client", httpx.Client()),
        ("client", AsyncTogether(api_key=KEY)),
        ("async_client", Together(api_key=KEY)),
    ):
        with pytest.raises(TypeError, match=f"{name} must be a together_adapters"):
            kind(api_key=KEY, **{name: client})


def test_settings_can_be_changed(kind: Any, emulator: Emulator) -> None:
    component = kind(api_key=KEY, api_base="http://127.0.0.1:9", max_retries=0)
    component.api_base = emulator.base_url
    use(component)
    component.api_key = "sk-another"
    use(component)
    use(component.model_copy(update={"api_key": "sk-third"}))
    keys = [request.headers["authorization"].removeprefix("Bearer ") for request in emulator.requests]
    assert keys == [KEY, "sk-another", "sk-third"]


def test_timeouts_are_serializable(kind: Any) -> None:
    component = kind(api_key=KEY, timeout=httpx.Timeout(3, connect=1))
    again = kind.from_json(component.to_json(), api_key=KEY)
    assert again.timeout == httpx.Timeout(3, connect=1)


def test_unknown_fields_are_named(kind: Any) -> None:
    with pytest.warns(UserWarning, match="tempratur"):
        kind(api_key=KEY, tempratur=0.1)


def test_construction_is_cheap(kind: Any) -> None:
    kind(api_key=KEY)
    assert count_function_calls(lambda: kind(api_key=KEY)) < 500


def test_arguments_of_the_replaced_packages() -> None:
    llm = TogetherLLM("openai/gpt-oss-120b", KEY, "http://127.0.0.1:9/v1", True)
    assert (llm.model, llm.api_base, llm.metadata.is_chat_model) == (
        "openai/gpt-oss-120b", "http://127.0.0.1:9/v1", True,
    )  # fmt: skip
    embedding = TogetherEmbedding(model_name="togethercomputer/m2-bert-80M-8k-retrieval", api_key=KEY)
    assert (embedding.model_name, embedding.class_name()) == ("togethercomputer/m2-bert-80M-8k-retrieval", "TogetherEmbedding")
    TogetherLLM(api_key=KEY, reuse_client=True, strict=False)


def test_metadata_overrides_win_and_unknown_models_have_defaults() -> None:
    llm = TogetherLLM("someone/their-own-model", api_key=KEY, max_tokens=99)
    with pytest.warns(UserWarning, match=r"someone/their-own-model is not known: 32,768 tokens are assumed; set context_window"):
        llm.metadata  # noqa: B018
    assert (llm.metadata.context_window, llm.metadata.num_output) == (32_768, 99)
    assert llm.metadata.is_function_calling_model
    assert TogetherLLM("someone/their-own-model", api_key=KEY).metadata.is_chat_model  # warned about already: once is enough
    assert TogetherLLM("someone/measured", api_key=KEY, context_window=9_000).metadata.context_window == 9_000
    llm = TogetherLLM(api_key=KEY, context_window=5, num_output=3, is_function_calling_model=False, is_chat_model=False)
    assert (llm.metadata.context_window, llm.metadata.num_output) == (5, 3)
    assert not (llm.metadata.is_function_calling_model or llm.metadata.is_chat_model)
    assert not TogetherLLM("meta-llama/Llama-2-70b-hf", api_key=KEY).metadata.is_chat_model


@pytest.mark.parametrize("name", ["moonshotai/Kimi-K3", "MOONSHOTAI/kimi-k3", "kimi-latest", "Kimi-Latest"])
def test_aliases_and_letter_case(name: str) -> None:
    llm, entry = TogetherLLM(name, api_key=KEY), MODELS["moonshotai/Kimi-K3"]
    assert (llm.metadata.context_window, llm.metadata.model_name) == (entry.context_length, name)
    assert (llm.metadata.is_function_calling_model, llm.metadata.is_chat_model) == (entry.tools, True)
    assert llm.capabilities.reasoning == entry.reasoning == "reasoning_content"


@pytest.fixture
def wire() -> Any:
    """A server whose catalogue says other things than the table."""
    entries = [
        {"id": "openai/gpt-oss-120b", "type": "chat", "context_length": 7_000},
        {"id": "someone/new-base", "type": "language", "max_model_len": 9_000},
    ]
    with WireServer() as server:
        server.script(raw(entries, path="/models", times=None))
        yield server


@pytest.mark.parametrize(
    ("model", "facts"),
    [("OpenAI/gpt-oss-120b", (7_000, True)), ("someone/new-base", (9_000, False)), ("kimi-latest", (1_048_576, True))],
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_metadata_of_the_catalogue(wire: WireServer, model: str, facts: tuple[int, bool], asynchronous: bool) -> None:
    llm = TogetherLLM(model, api_key="k", api_base=wire.url)
    for _ in range(2):
        metadata = await llm.arefresh_metadata() if asynchronous else llm.refresh_metadata()
        assert metadata == llm.metadata == llm.model_copy().metadata
        assert (metadata.context_window, metadata.is_chat_model, metadata.model_name) == (*facts, model)
    assert wire.count("/models") == 1
    llm.model = "Qwen/Qwen3.5-9B"
    assert llm.metadata.context_window == MODELS["Qwen/Qwen3.5-9B"].context_length
    fixed = TogetherLLM(model, api_key="k", api_base=wire.url, context_window=5)
    assert (await fixed.arefresh_metadata()).context_window == 5
    await llm.asynchronous_client.aclose()
    await fixed.asynchronous_client.aclose()


def test_a_catalogue_that_fails(wire: WireServer) -> None:
    llm = TogetherLLM(api_key="k", api_base=wire.url, max_retries=0)
    wire.emulator.clear()
    wire.script(error(401, "no"))
    with pytest.raises(AuthenticationError):
        llm.refresh_metadata()
    assert llm.metadata.context_window == MODELS[llm.model].context_length
    wire.script(error(404, "no such path"))
    assert llm.refresh_metadata() == llm.metadata

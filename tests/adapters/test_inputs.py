"""Every argument that takes a list takes any iterable, which is read once; one item is embedded as one, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether, TogetherEmbeddings
from langchain_together_adapters import TogetherRerank as Compressor
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM
from llama_index_together_adapters import TogetherRerank as Postprocessor

from tests.conftest import KEY
from together_adapters import UnprocessableEntityError
from together_adapters.emulator import Emulator

EMBEDDER = "BAAI/bge-base-en-v1.5"
MODEL = "acme/ranker"
TEXTS = ["Llamas live in Peru.", "Pandas eat bamboo."]
NODES = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
DOCUMENTS = [Document(text) for text in TEXTS]


@pytest.fixture
def call(flavour: Any, emulator: Emulator) -> Callable[..., Any]:
    """Calls a method of an adapter or a client in the flavour of the test."""
    langchain: dict[str, Any] = {"api_key": KEY, "base_url": emulator.base_url}
    llama_index: dict[str, Any] = {"api_key": KEY, "api_base": emulator.base_url}
    adapters = {
        "langchain": TogetherEmbeddings(**langchain),
        "compressor": Compressor(model=MODEL, **langchain),
        "chat": ChatTogether(**langchain),
        "llama_index": TogetherEmbedding(**llama_index),
        "postprocessor": Postprocessor(MODEL, **llama_index),
        "llm": TogetherLLM(**llama_index),
    }

    def run(name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        method = f"a{method}" if flavour.is_async else method
        return flavour.run(getattr(adapters[name], method)(*args, **kwargs))

    return run


@pytest.mark.parametrize(
    "collect", [iter, tuple, lambda items: (item for item in items), lambda items: dict.fromkeys(items).keys()]
)
def test_iterables_of_texts(collect: Any, call: Any, flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    flavour.run(client.rerank.create(model=MODEL, query="q", documents=collect(TEXTS)))
    flavour.run(client.embeddings.create(model=EMBEDDER, input=collect(TEXTS)))
    call("langchain", "embed_documents", collect(TEXTS))
    call("llama_index", "get_text_embedding_batch", collect(TEXTS))
    assert all((request.json.get("documents") or request.json["input"]) == TEXTS for request in emulator.requests)


@pytest.mark.parametrize("collect", [iter, tuple, lambda items: (item for item in items)])
def test_iterables_of_documents(collect: Any, call: Any, emulator: Emulator) -> None:
    ranked = call("compressor", "compress_documents", collect(DOCUMENTS), "q")
    nodes = call("postprocessor", "postprocess_nodes", collect(NODES), query_str="q")
    results = call("compressor", "rerank", collect(DOCUMENTS), "q", return_documents=True)
    assert (len(ranked), len(nodes), len(results)) == (2, 2, 2)
    assert [request.json["documents"] for request in emulator.requests] == [TEXTS] * 3


@pytest.mark.parametrize("one", ["text", b"text", {"text": "a"}, Document("a"), NODES[0]], ids=lambda one: type(one).__name__)
def test_one_document_is_refused(one: Any, call: Any, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match="documents must be a list, not one"):
        flavour.run(flavour.client().rerank.create(model=MODEL, query="q", documents=one))
    for name, method, listed in (
        ("compressor", "rerank", "documents"),
        ("compressor", "compress_documents", "documents"),
        ("postprocessor", "postprocess_nodes", "nodes"),
    ):
        with pytest.raises(TypeError, match=f"{listed} must be a list, not one"):
            call(name, method, one, **({"query_str": "q"} if listed == "nodes" else {"query": "q"}))
    assert emulator.requests == []


def test_one_text_is_embedded_by_the_client_alone(call: Any, flavour: Any, emulator: Emulator) -> None:
    assert len(flavour.run(flavour.client().embeddings.create(model=EMBEDDER, input="text")).data) == 1
    for name, method in (("langchain", "embed_documents"), ("llama_index", "get_text_embedding_batch")):
        with pytest.raises(TypeError, match="texts must be a list, not one str: put it in a list"):
            call(name, method, "text")
    assert [request.json["input"] for request in emulator.requests] == ["text"]


@pytest.mark.parametrize("messages", ["hi", [{"role": "user", "content": "hi"}]])
@pytest.mark.parametrize("method", ["chat", "stream_chat"])
def test_messages_of_llama_index_are_chat_messages(method: str, messages: Any, call: Any, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match=r"must be a ChatMessage, not (str|dict): pass \[ChatMessage\("):
        call("llm", method, messages)
    assert emulator.requests == []


@pytest.mark.parametrize("text", [None, 7, ["text"]], ids=repr)
def test_one_text_is_a_string(text: Any, call: Any, flavour: Any, emulator: Emulator) -> None:
    for name, method in (
        ("langchain", "embed_query"),
        ("llama_index", "get_query_embedding"),
        ("llama_index", "get_text_embedding"),
    ):
        with pytest.raises(TypeError, match=f"the text to embed must be a string, not {type(text).__name__}"):
            call(name, method, text)
    if not isinstance(text, list):
        with pytest.raises(TypeError, match="input must be a string or a list of strings, not"):
            flavour.run(flavour.client().embeddings.create(model=EMBEDDER, input=text))
    assert emulator.requests == []


def test_what_is_no_text_is_refused(call: Any, emulator: Emulator) -> None:
    for name, method in (("langchain", "embed_documents"), ("llama_index", "get_text_embedding_batch")):
        with pytest.raises(TypeError, match=r"input\[1\] must be a string"):
            call(name, method, ["a", Document("b")])
    assert emulator.requests == []


@pytest.mark.parametrize("collect", [str, list, tuple, set, iter])
def test_stop(collect: Any, call: Any, emulator: Emulator) -> None:
    call("chat", "generate", [[HumanMessage("hi")]], stop=collect("a"))
    call("llm", "chat", [ChatMessage("hi")], stop=collect("a"))
    expected = "a" if collect is str else ["a"]
    assert [request.json["stop"] for request in emulator.requests] == [expected, expected]


def test_messages_are_any_iterable(call: Any, flavour: Any, emulator: Emulator) -> None:
    messages = [ChatMessage(role="system", content="Be kind."), ChatMessage("hi")]
    call("llm", "chat", iter(messages))
    stream = call("llm", "stream_chat", iter(messages))
    list(flavour.iterate(stream))
    flavour.run(
        flavour.client().chat.completions.create(
            model="openai/gpt-oss-120b", messages=({"role": "user", "content": "hi"} for _ in [1])
        )
    )
    assert [len(request.json["messages"]) for request in emulator.requests] == [2, 2, 1]


@pytest.mark.parametrize("prompt", [None, 7, [ChatMessage("hi")]], ids=lambda prompt: type(prompt).__name__)
@pytest.mark.parametrize("method", ["complete", "stream_complete"])
def test_a_prompt_is_a_string(method: str, prompt: Any, call: Any, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match=f"the prompt must be a string, not {type(prompt).__name__}: chat"):
        call("llm", method, prompt)
    assert emulator.requests == []


def weather(city: str) -> str:
    """Returns the weather of a city."""
    return city


def test_tools_are_a_list_of_tools(call: Any, emulator: Emulator) -> None:
    llm = ChatTogether(api_key=KEY, base_url=emulator.base_url)
    for tools in (weather, "weather", {"name": "weather"}, tool(weather)):
        with pytest.raises(TypeError, match="tools must be a list, not"):
            llm.bind_tools(tools)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a tool is a function, .*, not the text 'weather'"):
        llm.bind_tools(["weather"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"a function is no tool: FunctionTool.from_defaults\(weather\) makes one"):
        call("llm", "chat_with_tools", [weather], user_msg="hi")
    assert emulator.requests == []


@pytest.mark.parametrize("response_format", ["json", {"type": "json"}, {"typ": "json_object"}], ids=repr)
def test_what_is_no_response_format(response_format: Any, call: Any, flavour: Any, emulator: Emulator) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(ValueError, match="response_format must be a class, a JSON schema or such as"):
        call("chat", "invoke", "hi", response_format=response_format)
    with pytest.raises(TypeError, match="a schema is a pydantic class"):
        ChatTogether(api_key=KEY).with_structured_output("Person")
    assert emulator.requests == []
    if isinstance(response_format, dict):
        create = flavour.client().chat.completions.create
        with pytest.raises(
            UnprocessableEntityError, match="response_format.type must be json_schema, json_object, regex or text"
        ):
            flavour.run(create(model="openai/gpt-oss-120b", messages=messages, response_format=response_format))


def test_a_file_is_no_address_of_an_image(flavour: Any) -> None:
    for url in ("/tmp/cat.png", "file:///tmp/cat.png", "cat.png"):
        content = [{"type": "image_url", "image_url": {"url": url}}]
        with pytest.raises(UnprocessableEntityError, match=r"image_url.url must be an address .* or a data URL"):
            flavour.run(
                flavour.client().chat.completions.create(model="Qwen/Qwen3.5-9B", messages=[{"role": "user", "content": content}])
            )

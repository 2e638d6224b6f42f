"""The examples in the documentation of llama-index-llms-together and -embeddings-together, with only the imports changed."""

from __future__ import annotations

import textwrap

import pytest
from llama_index.core.agent.workflow import FunctionAgent

from together_adapters.emulator import Emulator

# Their READMEs name models that are gone by now.
pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")

# Their READMEs hold a title; the code is from the docstrings and from the notebooks that the READMEs stand for.
SNIPPETS = {
    "llm": """
        from llama_index_together_adapters import TogetherLLM

        llm = TogetherLLM(
            model="mistralai/Mixtral-8x7B-Instruct-v0.1", api_key="your_api_key"
        )

        resp = llm.complete("Who is Paul Graham?")
        print(resp)
        """,
    "embedding": """
        from llama_index_together_adapters import TogetherEmbedding

        embed_model = TogetherEmbedding(
            model_name="togethercomputer/m2-bert-80M-8k-retrieval", api_key="..."
        )

        embeddings = embed_model.get_text_embedding("hello world")
        print(len(embeddings))
        print(embeddings[:5])
        """,
    "index": """
        from llama_index.core import Document, Settings, VectorStoreIndex
        from llama_index_together_adapters import TogetherEmbedding, TogetherLLM

        Settings.llm = TogetherLLM(
            "mistralai/Mixtral-8x7B-Instruct-v0.1",
            context_window=32768, temperature=0.8, max_tokens=256, top_p=0.7, top_k=50, is_chat_model=False,
            completion_to_prompt=lambda completion: f"<s>[INST] {completion} [/INST] </s>\\n",
        )
        Settings.embed_model = TogetherEmbedding("togethercomputer/m2-bert-80M-8k-retrieval")

        index = VectorStoreIndex.from_documents([Document(text="Paul Graham co-founded Y Combinator in 2005.")])
        print(index.as_query_engine().query("When was Y Combinator co-founded?"))
        """,
    "options": """
        from llama_index.core.llms import ChatMessage
        from llama_index_together_adapters import TogetherLLM

        llm = TogetherLLM(
            model="deepseek-ai/DeepSeek-V4.1-Flash",
            api_base="BASE_URL", api_key="your_api_key", is_chat_model=True, is_function_calling_model=True,
            context_window=131072, should_use_structured_outputs=True, additional_kwargs={"seed": 7}, max_retries=3,
            timeout=60.0, default_headers={"x-team": "blue"}, reuse_client=True, strict=False, temperature=0.1, logprobs=False,
        )

        for r in llm.stream_chat([ChatMessage(role="user", content="Who is Paul Graham?")]):
            print(r.delta, end="")
        """,
}


@pytest.fixture
def output(
    request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The output of a snippet."""
    from llama_index.core import Settings

    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    monkeypatch.setenv("TOGETHER_API_KEY", "from-the-environment")
    code = textwrap.dedent(SNIPPETS[request.param]).replace("BASE_URL", emulator.base_url)
    try:
        exec(compile(code, request.param, "exec"), {})
    finally:
        Settings._llm = Settings._embed_model = None
    return capsys.readouterr().out


@pytest.mark.parametrize("output", ["llm"], indirect=True)
def test_the_llm(output: str, emulator: Emulator) -> None:
    assert "Paul Graham" in output
    [request] = emulator.requests
    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", "Bearer your_api_key")
    assert request.json == {
        "model": "mistralai/Mixtral-8x7B-Instruct-v0.1",
        "messages": [{"role": "user", "content": "Who is Paul Graham?"}],
    }


@pytest.mark.parametrize("output", ["embedding"], indirect=True)
def test_the_embedding(output: str, emulator: Emulator) -> None:
    length, start = output.splitlines()
    assert (length, start.count(",")) == ("768", 4)
    [request] = emulator.requests
    assert request.headers["authorization"] == "Bearer ..."


@pytest.mark.parametrize("output", ["index"], indirect=True)
def test_an_index_over_both(output: str, emulator: Emulator) -> None:
    assert "Y Combinator in 2005" in output
    [request] = [request for request in emulator.requests if request.path == "/v1/completions"]
    assert request.json["prompt"].startswith("<s>[INST] ")
    assert request.json["prompt"].endswith(" [/INST] </s>\n")
    assert {name: request.json[name] for name in ("temperature", "max_tokens", "top_p", "top_k")} == {
        "temperature": 0.8,
        "max_tokens": 256,
        "top_p": 0.7,
        "top_k": 50,
    }


@pytest.mark.parametrize("output", ["options"], indirect=True)
def test_every_option_of_the_base_class_that_users_set(output: str, emulator: Emulator) -> None:
    assert "Paul Graham" in output
    [request] = emulator.requests
    assert (request.json["seed"], request.json["temperature"], request.headers["x-team"]) == (7, 0.1, "blue")


async def test_an_agent_needs_no_further_flag(emulator: Emulator) -> None:
    from llama_index_together_adapters import TogetherLLM

    def multiply(a: int, b: int) -> int:
        """Multiply two integers."""
        return a * b

    llm = TogetherLLM(model="deepseek-ai/DeepSeek-V4.1-Flash", api_key="your_api_key", base_url=emulator.base_url)
    answer = await FunctionAgent(tools=[multiply], llm=llm).run("What is 6 times 7? Please multiply 6 and 7.")
    assert "42" in str(answer)
    await llm.asynchronous_client.aclose()

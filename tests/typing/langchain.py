"""The LangChain classes as users' editors see them; checked by both type checkers, never run."""

from collections.abc import Sequence
from typing import Any, assert_type

from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank, init_together_model, load

from together_adapters import AsyncTogether
from together_adapters import Together as Client


def construction(client: Client, async_client: AsyncTogether) -> None:
    ChatTogether(model="m", temperature=0, max_tokens=10, stop=["."], top_k=5, client=client, async_client=async_client)
    ChatTogether(model="m", base_url="http://127.0.0.1/v1", timeout=5, max_retries=1, reasoning_tags=None)
    Together(model="m", suffix=".", stop=["."], client=client)
    TogetherEmbeddings(model="m", query_prefix="auto", chunk_size=10, client=client)
    TogetherRerank(model="m", top_n=3, score_threshold=0.5, client=client)
    TogetherEmbeddings(model=1)  # type: ignore[arg-type]  # pyright: ignore
    TogetherRerank(model="m", topn=3)  # type: ignore[call-arg]  # pyright: ignore


def use(llm: ChatTogether, completer: Together, embeddings: TogetherEmbeddings, reranker: TogetherRerank) -> None:
    assert_type(llm.invoke("hi"), AIMessage)
    assert_type(llm.model, str)
    assert_type(completer.invoke("hi"), str)
    assert_type(embeddings.model, str)
    assert_type(embeddings.embed_documents(["a"]), list[list[float]])
    assert_type(embeddings.embed_query("a"), list[float])
    assert_type(reranker.compress_documents([Document("a")], "q"), Sequence[Document])
    assert_type(reranker.rerank(["a", Document("b"), {"c": "d"}], "q"), list[dict[str, Any]])
    init_together_model("m", temperature=0).invoke("hi")
    bound: Runnable[Any, AIMessage] = llm.bind_tools([print], tool_choice="any", strict=True)
    bound.invoke("hi")
    llm.with_structured_output(dict, method="xml")  # type: ignore[arg-type]  # pyright: ignore
    load({})

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LangChain.

You learn how to combine a vector store, a reranker and a chat model in one LangChain chain that shares one client, how to
stream the answer and still get the documents it is based on, and how to continue when the reranker fails.

It prints the answer as it streams in, the passages of Python's language reference that it cites, and the tokens used.

With `TOGETHER_API_KEY` set, each run embeds the reference (about 100,000 tokens) and sends two chat requests, one
that ranks (about 7,000 tokens) and one that answers (about 1,500). Without a key, it runs on the emulator and costs nothing.

    python cookbook/rag_langchain.py --question "What is a coroutine?"
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import session
from corpus import passages
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank

from together_adapters import APIStatusError, Together

CHAT_MODEL = "openai/gpt-oss-120b"
EMBEDDING_MODEL = "BAAI/bge-base-en-v1.5"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # a chat model ranks; a rerank model on an endpoint of your own is cheaper
TOP_K, TOP_N = 20, 4
QUESTION = "What does break do to the else clause of a loop?"

PROMPT = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence put "
            "the number of the passage it rests on, like [2]. If the passages do not answer the question, say so.",
        ),
        ("human", "<passages>\n{context}\n</passages>\n\nQuestion: {question}"),
    ]
)


# %% The index
def build_index(run: session.Session) -> InMemoryVectorStore:
    """Embeds the corpus. The adapter splits the texts into requests and sends several of them at a time."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference")
    # "auto" puts the instruction that this model was trained with before each query, and nothing before documents.
    store = InMemoryVectorStore(TogetherEmbeddings(model=EMBEDDING_MODEL, client=run.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    return store


# %% The chain
def build_chain(store: InMemoryVectorStore, client: Together) -> Runnable[dict[str, str], dict[str, Any]]:
    """Builds a chain from {"question"} to {"question", "retrieved", "reranked", "context", "answer"}; "answer" streams."""
    reranker = TogetherRerank(model=RERANK_MODEL, top_n=TOP_N, client=client)
    llm = ChatTogether(model=CHAT_MODEL, temperature=0, client=client)

    def without_rerank(state: dict[str, Any]) -> list[Document]:
        session.note_missing_rerank(state["error"])
        documents: list[Document] = state["retrieved"]
        return documents[:TOP_N]

    rerank = {"documents": itemgetter("retrieved"), "query": itemgetter("question")} | reranker.as_runnable()
    return (
        RunnablePassthrough.assign(retrieved=itemgetter("question") | store.as_retriever(search_kwargs={"k": TOP_K}))
        .assign(
            reranked=rerank.with_fallbacks(
                [RunnableLambda(without_rerank)], exceptions_to_handle=(APIStatusError,), exception_key="error"
            )
        )
        .assign(context=lambda state: number(state["reranked"]))
        .assign(answer=PROMPT | llm | StrOutputParser())
    )


def number(documents: list[Document]) -> str:
    """Numbers the documents, so that the model can cite them."""
    return "\n\n".join(f"[{number}] {document.page_content}" for number, document in enumerate(documents, start=1))


# %% The answer
def main() -> None:
    question = session.question(QUESTION)
    with session.connect("LangChain", question) as run:
        chain = build_chain(build_index(run), run.client)
        usage = UsageMetadataCallbackHandler()
        state: dict[str, Any] = {}

        def stream_answer() -> Iterator[str]:
            for chunk in chain.stream({"question": question}, config={"callbacks": [usage]}):
                state.update(chunk)  # the output of each step under its name; the answer in chunks
                yield chunk.get("answer", "")

        answer = session.print_stream(stream_answer())
        session.print_citations(answer, [document.metadata["title"] for document in state["reranked"]])
        tokens = usage.usage_metadata.values()  # one entry for each model
        run.print_summary(sum(model["input_tokens"] for model in tokens), sum(model["output_tokens"] for model in tokens))


if __name__ == "__main__":
    main()

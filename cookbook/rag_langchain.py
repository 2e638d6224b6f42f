# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "bm25s>=0.2.12", "langchain-classic>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LangChain.

A key of Together is enough: the service offers chat models only, so keywords find passages, a small chat model puts them in order,
and a larger one answers. Where an embedding model can be reached, vectors find passages too. You learn how to write a retriever for
a keyword index (BM25), how to merge it with a vector store, how to combine retriever, reranker and chat model in one LangChain chain
that shares one client, and how to stream the answer and still get the documents it is based on.

It prints the answer as it streams in, the passages of Python's language reference that it cites, and the tokens used.

With `TOGETHER_API_KEY` set, each run sends one request that ranks passages (about 4,000 tokens), one that answers (about 1,500) and
three tiny ones that ask which models are served: about a tenth of a cent. Without a key, it runs on the emulator and costs nothing.
`EMBEDDING_BASE_URL` adds vectors of a server of yours: see docs/embeddings-elsewhere.md.

    uv run cookbook/rag_langchain.py --question "What is a coroutine?"
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Self

import session
from langchain_classic.retrievers import EnsembleRetriever
from langchain_core.callbacks import CallbackManagerForRetrieverRun, UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank

from together_adapters import APIError
from together_adapters.demo.corpus import passages
from together_adapters.demo.keyword_index import KeywordIndex

CHAT_MODEL = "openai/gpt-oss-120b"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # any chat model ranks; this one is small
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


# %% Retrieval
class KeywordRetriever(BaseRetriever):
    """Retrieves the documents with the highest BM25 scores."""

    documents: list[Document]
    index: Any
    k: int

    @classmethod
    def of(cls, documents: list[Document], k: int) -> Self:
        """Indexes documents for a retriever that returns the best `k`."""
        return cls(documents=documents, index=KeywordIndex([document.page_content for document in documents]), k=k)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [self.documents[position] for position, _ in self.index.search(query, self.k)]


def load_documents() -> list[Document]:
    """Loads the corpus."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference, indexed by keywords")
    return documents


def build_retriever(run: session.Session, documents: list[Document], k: int) -> BaseRetriever:
    """Indexes documents by keywords and, where an embedding model can be reached, by vectors."""
    by_keywords = KeywordRetriever.of(documents, k)
    embedder = run.embedder()
    if embedder is None:
        return by_keywords
    # "auto" puts the instruction that a model was trained with before each query. The adapter splits the texts into requests.
    store = InMemoryVectorStore(TogetherEmbeddings(model=embedder.model, client=embedder.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    by_vectors = store.as_retriever(search_kwargs={"k": k})
    return EnsembleRetriever(retrievers=[by_keywords, by_vectors])  # merges by rank (reciprocal rank fusion)


# %% The chain
def build_chain(
    retriever: BaseRetriever, reranker: TogetherRerank, llm: ChatTogether
) -> Runnable[dict[str, str], dict[str, Any]]:
    """Builds a chain from {"question"} to {"question", "retrieved", "reranked", "context", "answer"}; "answer" streams."""

    def without_rerank(state: dict[str, Any]) -> list[Document]:
        session.note_missing_rerank(state["error"])
        documents: list[Document] = state["retrieved"]
        return documents[:TOP_N]

    rerank = {"documents": itemgetter("retrieved"), "query": itemgetter("question")} | reranker.as_runnable()
    return (
        RunnablePassthrough.assign(retrieved=itemgetter("question") | retriever | (lambda documents: documents[:TOP_K]))
        .assign(
            reranked=rerank.with_fallbacks(
                [RunnableLambda(without_rerank)], exceptions_to_handle=(APIError,), exception_key="error"
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
        llm = ChatTogether(model=run.chat_model(CHAT_MODEL), temperature=0, client=run.client)
        reranker = TogetherRerank(model=run.chat_model(RERANK_MODEL), method="listwise", top_n=TOP_N, client=run.client)
        print(f"Models:   {reranker.model} ranks, {llm.model_name} answers")
        chain = build_chain(build_retriever(run, load_documents(), TOP_K), reranker, llm)
        usage = UsageMetadataCallbackHandler()
        state: dict[str, Any] = {}

        def stream_answer() -> Iterator[str]:
            for chunk in chain.stream({"question": question}, config={"callbacks": [usage]}):
                state.update(chunk)  # the output of each step under its name; the answer in chunks
                yield chunk.get("answer", "")

        answer = session.print_stream(stream_answer())
        session.print_citations(answer, [document.metadata["title"] for document in state["reranked"]])
        tokens = usage.usage_metadata.values()  # one entry for each model
        prompt_tokens, answer_tokens = (sum(model[key] for model in tokens) for key in ("input_tokens", "output_tokens"))
        run.print_summary(prompt_tokens, answer_tokens, with_search=True)


if __name__ == "__main__":
    main()

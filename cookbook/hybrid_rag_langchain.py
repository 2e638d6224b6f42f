# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "bm25s>=0.2.12", "langchain-classic>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Combine keyword search and vector search, rerank the results, and answer with citations: hybrid RAG with LangChain.

You learn how to write a retriever for a keyword index (BM25), how to merge it with a vector store in an `EnsembleRetriever`, and
how to rerank the results with `TogetherRerank` in a `ContextualCompressionRetriever`. Keyword search finds names such as
`__slots__`, which embeddings represent poorly; vector search finds other wordings; the reranker orders the results of both.

It prints the best passages with their score and their rank in each search, then the answer with the passages of Python's language
reference that it cites.

With `TOGETHER_API_KEY` set, each run embeds the reference (about 100,000 tokens), reranks about 20 passages, and sends one chat
request (about 1,500 tokens). Without a key, it runs on the emulator and costs nothing.

    python cookbook/hybrid_rag_langchain.py --question "What is __match_args__ for?"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import bm25s
import session
from corpus import passages
from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun, UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank

from together_adapters import APIStatusError, Together

CHAT_MODEL = "openai/gpt-oss-120b"
EMBEDDING_MODEL = "BAAI/bge-base-en-v1.5"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # a chat model ranks; a rerank model on an endpoint of your own is cheaper
TOP_K, TOP_N = 12, 4
QUESTION = "How does __slots__ affect weak references to instances?"

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


# %% Keyword search
class KeywordRetriever(BaseRetriever):
    """Retrieves the documents with the highest BM25 scores."""

    documents: list[Document]
    index: Any
    k: int

    @classmethod
    def of(cls, documents: list[Document], k: int) -> Self:
        """Indexes documents for a retriever that returns the best `k`."""
        index = bm25s.BM25()
        index.index(split([document.page_content for document in documents]), show_progress=False)
        return cls(documents=documents, index=index, k=k)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        results = self.index.retrieve(split([query]), k=self.k, show_progress=False)
        return [self.documents[i] for i, score in zip(results.documents[0], results.scores[0], strict=True) if score > 0]


def split(texts: list[str]) -> Any:
    """Splits texts into words without stop words."""
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


# %% Both searches, and the reranker
def build_index(run: session.Session) -> EnsembleRetriever:
    """Indexes the corpus for both searches. `EnsembleRetriever` merges their results by rank (reciprocal rank fusion)."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference")
    store = InMemoryVectorStore(TogetherEmbeddings(model=EMBEDDING_MODEL, client=run.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    vector_retriever = store.as_retriever(search_kwargs={"k": TOP_K})
    return EnsembleRetriever(retrievers=[KeywordRetriever.of(documents, TOP_K), vector_retriever])


def search(index: EnsembleRetriever, question: str, client: Together, ranks: Ranks) -> list[Document]:
    """Returns the passages that answer a question best, the best first."""
    reranker = TogetherRerank(model=RERANK_MODEL, top_n=TOP_N, client=client)
    retriever = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=index)
    try:
        return retriever.invoke(question, {"callbacks": [ranks]})
    except APIStatusError as error:
        session.note_missing_rerank(error)
        return index.invoke(question, {"callbacks": [ranks]})[:TOP_N]


class Ranks(BaseCallbackHandler):
    """Records the results of each of the two searches: a retriever within another one calls the same callbacks."""

    def __init__(self) -> None:
        self.titles: dict[str, list[str]] = {"retriever_1": [], "retriever_2": []}

    def on_retriever_end(self, documents: Sequence[Document], *, tags: list[str] | None = None, **_: Any) -> None:
        """Records the results of the search with this tag."""
        for tag in self.titles.keys() & set(tags or ()):
            self.titles[tag] = [document.metadata["title"] for document in documents]

    def print_table(self, documents: list[Document]) -> None:
        """Prints passages with their score and their rank in each search."""
        keyword, vector = self.titles.values()
        print(
            f"\n{len(keyword)} results of keyword search, {len(vector)} of vector search, {len({*keyword, *vector})} in all. Best:"
        )
        print("  score  keyword  vector")
        for document in documents:
            title, score = document.metadata["title"], document.metadata.get("relevance_score")
            ranks = [str(titles.index(title) + 1) if title in titles else "-" for titles in (keyword, vector)]
            print(f"  {'-' if score is None else f'{score:.3f}':>5}  {ranks[0]:>7}  {ranks[1]:>6}  {title[:55]}")


# %% The answer
def main() -> None:
    question = session.question(QUESTION)
    with session.connect("LangChain: hybrid search with reranking", question) as run:
        ranks, usage = Ranks(), UsageMetadataCallbackHandler()
        documents = search(build_index(run), question, run.client, ranks)
        ranks.print_table(documents)
        chain = PROMPT | ChatTogether(model=CHAT_MODEL, temperature=0, client=run.client) | StrOutputParser()
        context = "\n\n".join(f"[{number}] {document.page_content}" for number, document in enumerate(documents, start=1))
        answer = session.print_stream(chain.stream({"question": question, "context": context}, {"callbacks": [usage]}))
        session.print_citations(answer, [document.metadata["title"] for document in documents])
        tokens = usage.usage_metadata.values()  # one entry for each model
        run.print_summary(sum(model["input_tokens"] for model in tokens), sum(model["output_tokens"] for model in tokens))


if __name__ == "__main__":
    main()

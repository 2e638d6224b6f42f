# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "bm25s>=0.2.12", "langchain-classic>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Combine keyword search and vector search, rerank the results, and answer with citations: hybrid RAG with LangChain.

You learn what each search contributes: keyword search finds names such as `__slots__`, which embeddings represent poorly; vector
search finds other wordings; the reranker orders the results of both. You learn how to put `TogetherRerank` into a
`ContextualCompressionRetriever`, and how to watch the retrievers inside of another one with a callback. The retrievers are those of
rag_langchain.py. Where no embedding model can be reached, the keyword search is alone.

It prints the best passages with their score, which is their place in the order of the model and no probability, and their rank in each
search, then the answer with the passages of Python's language reference that it cites.

With `TOGETHER_API_KEY` set, each run sends one request that ranks passages (about 4,000 tokens), one that answers (about 1,500) and
three tiny ones that ask which models are served: about a tenth of a cent. Without a key, it runs on the emulator and costs nothing.
`EMBEDDING_BASE_URL` adds vectors of a server of yours: see docs/embeddings-elsewhere.md.

    uv run cookbook/hybrid_rag_langchain.py --question "What is __match_args__ for?"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import session
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_together_adapters import ChatTogether, TogetherRerank
from rag_langchain import build_retriever, load_documents

from together_adapters import APIError

CHAT_MODEL = "openai/gpt-oss-120b"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # any chat model ranks; this one is small
TOP_K, TOP_N = 10, 4
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


# %% Both searches, and the reranker
def search(retriever: BaseRetriever, reranker: TogetherRerank, question: str, ranks: Ranks) -> list[Document]:
    """Returns the passages that answer a question best, the best first."""
    reranked = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
    try:
        return reranked.invoke(question, {"callbacks": [ranks]})
    except APIError as error:
        session.note_missing_rerank(error)
        return retriever.invoke(question, {"callbacks": [ranks]})[:TOP_N]


class Ranks(BaseCallbackHandler):
    """Records the results of each search: a retriever within another one calls the same callbacks."""

    def __init__(self) -> None:
        self.titles: dict[str, list[str]] = {"KeywordRetriever": [], "VectorStoreRetriever": []}
        self._names: dict[UUID, str] = {}

    def on_retriever_start(self, *_: Any, run_id: UUID, name: str = "", **__: Any) -> None:
        """Remembers which retriever a run belongs to."""
        self._names[run_id] = name

    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_: Any) -> None:
        """Records the results of a search."""
        if (name := self._names[run_id]) in self.titles:
            self.titles[name] = [document.metadata["title"] for document in documents]

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
        llm = ChatTogether(model=run.chat_model(CHAT_MODEL), temperature=0, client=run.client)
        reranker = TogetherRerank(model=run.chat_model(RERANK_MODEL), method="listwise", top_n=TOP_N, client=run.client)
        documents = search(build_retriever(run, load_documents(), TOP_K), reranker, question, ranks)
        ranks.print_table(documents)
        chain = PROMPT | llm | StrOutputParser()
        context = "\n\n".join(f"[{number}] {document.page_content}" for number, document in enumerate(documents, start=1))
        answer = session.print_stream(chain.stream({"question": question, "context": context}, {"callbacks": [usage]}))
        session.print_citations(answer, [document.metadata["title"] for document in documents])
        tokens = usage.usage_metadata.values()  # one entry for each model
        prompt_tokens, answer_tokens = (sum(model[key] for model in tokens) for key in ("input_tokens", "output_tokens"))
        run.print_summary(prompt_tokens, answer_tokens, with_search=True)


if __name__ == "__main__":
    main()

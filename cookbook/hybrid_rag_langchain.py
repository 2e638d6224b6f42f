# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "bm25s>=0.2.12", "langchain-classic>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Search by words and by meaning at once, rerank what both found, and answer with citations: hybrid RAG with LangChain.

You learn to make a retriever of your own around a keyword index (BM25), to merge it with a vector store in an
`EnsembleRetriever`, and to put `TogetherRerank` behind both in a `ContextualCompressionRetriever`. Words find names that an
embedding blurs, such as `__slots__`; meaning finds what is said in other words; the reranker reads both and decides.

It prints what was kept, with its score and its rank in either search, then the answer with the passages of Python's language
reference that it cites.

Live (`TOGETHER_API_KEY` is set) it embeds the reference anew each time, about 100,000 tokens, reranks some 20 passages, and asks
the chat model once with about 1,500 tokens. Without a key it runs on the emulator and costs nothing.

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

CHAT_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
EMBEDDING_MODEL = "intfloat/multilingual-e5-large-instruct"
RERANK_MODEL = "Salesforce/Llama-Rank-V1"  # live, most rerank models run on a dedicated endpoint: put its name here
RETRIEVED, KEPT = 12, 4
QUESTION = "How does __slots__ affect weak references to instances?"

PROMPT = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence put "
            "the number of the passage it rests on, like [2]. If the passages do not answer the question, say so.",
        ),
        ("human", "<passages>\n{numbered}\n</passages>\n\nQuestion: {question}"),
    ]
)


# %% Search by words
class KeywordRetriever(BaseRetriever):
    """Finds documents by the words that they share with a question, rare words first (BM25)."""

    documents: list[Document]
    index: Any
    k: int

    @classmethod
    def of(cls, documents: list[Document], k: int) -> Self:
        """Index documents; each query finds the best `k`."""
        index = bm25s.BM25()
        index.index(split([document.page_content for document in documents]), show_progress=False)
        return cls(documents=documents, index=index, k=k)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        found = self.index.retrieve(split([query]), k=self.k, show_progress=False)
        return [self.documents[at] for at, score in zip(found.documents[0], found.scores[0], strict=True) if score > 0]


def split(texts: list[str]) -> Any:
    """Split texts into words, without those that every text has."""
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)


# %% Both searches, and the reranker behind them
def build_index(run: session.Session) -> EnsembleRetriever:
    """Index the corpus twice. What a search finds first counts most in the merged list, and what both find counts twice."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference")
    store = InMemoryVectorStore(TogetherEmbeddings(model=EMBEDDING_MODEL, client=run.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    meaning = store.as_retriever(search_kwargs={"k": RETRIEVED})
    return EnsembleRetriever(retrievers=[KeywordRetriever.of(documents, RETRIEVED), meaning])


def search(index: EnsembleRetriever, question: str, client: Together, ranks: Ranks) -> list[Document]:
    """Return the passages that answer a question best, the best first."""
    reranker = TogetherRerank(model=RERANK_MODEL, top_n=KEPT, client=client)
    retriever = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=index)
    try:
        return retriever.invoke(question, {"callbacks": [ranks]})
    except APIStatusError as problem:
        session.advise_on_rerank(problem)
        return index.invoke(question, {"callbacks": [ranks]})[:KEPT]


class Ranks(BaseCallbackHandler):
    """Notes where each of the two searches had found a passage: a retriever inside another one tells its callbacks."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {"retriever_1": [], "retriever_2": []}

    def on_retriever_end(self, documents: Sequence[Document], *, tags: list[str] | None = None, **_: Any) -> None:
        """Take the results of one of the two, which carry its tag."""
        for tag in self.found.keys() & set(tags or ()):
            self.found[tag] = [document.metadata["title"] for document in documents]

    def show(self, kept: list[Document]) -> None:
        """Print passages, with their score and with their rank in either search."""
        words, meaning = self.found.values()
        print(f"\n{len(words)} passages found by words, {len(meaning)} by meaning, {len({*words, *meaning})} in all. Kept:")
        print("  score  words  meaning")
        for document in kept:
            title, score = document.metadata["title"], document.metadata.get("relevance_score")
            ranks = [str(found.index(title) + 1) if title in found else "-" for found in (words, meaning)]
            print(f"  {'-' if score is None else f'{score:.3f}':>5}  {ranks[0]:>5}  {ranks[1]:>7}  {title[:55]}")


# %% The answer
def main() -> None:
    question = session.question(QUESTION)
    with session.connect("LangChain: hybrid search with reranking", question) as run:
        ranks, usage = Ranks(), UsageMetadataCallbackHandler()
        kept = search(build_index(run), question, run.client, ranks)
        ranks.show(kept)
        chain = PROMPT | ChatTogether(model=CHAT_MODEL, temperature=0, client=run.client) | StrOutputParser()
        numbered = "\n\n".join(f"[{at}] {document.page_content}" for at, document in enumerate(kept, start=1))
        answer = session.show(chain.stream({"question": question, "numbered": numbered}, {"callbacks": [usage]}))
        session.list_cited(answer, [document.metadata["title"] for document in kept])
        spent = usage.usage_metadata.values()  # by model; one was asked
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LangChain.

You learn to put a vector store, a reranker and a chat model into one chain of LangChain's own pieces, on one shared client;
to stream the answer while the chain still hands over what it was made from; and to let a step fail without the rest.

It prints the answer as it comes, the passages of Python's language reference that it cites, and what that took.

Live (`TOGETHER_API_KEY` is set) it embeds the reference anew each time, about 100,000 tokens, and asks the chat model once
with about 1,500. Without a key it runs on the emulator and costs nothing.

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

CHAT_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
EMBEDDING_MODEL = "intfloat/multilingual-e5-large-instruct"
RERANK_MODEL = "Salesforce/Llama-Rank-V1"  # live, most rerank models run on a dedicated endpoint: put its name here
RETRIEVED, KEPT = 20, 4
QUESTION = "What does break do to the else clause of a loop?"

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


# %% The index
def build_index(run: session.Session) -> InMemoryVectorStore:
    """Embed the corpus. One call: the adapter cuts it into requests, and has several of them under way at a time."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference")
    # "auto" puts before a question, and only there, what the authors of the model want there.
    store = InMemoryVectorStore(TogetherEmbeddings(model=EMBEDDING_MODEL, client=run.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    return store


# %% The chain
def build_chain(store: InMemoryVectorStore, client: Together) -> Runnable[dict[str, str], dict[str, Any]]:
    """From {"question"} to {"question", "found", "kept", "numbered", "answer"}, of which "answer" streams."""
    reranker = TogetherRerank(model=RERANK_MODEL, top_n=KEPT, client=client)
    llm = ChatTogether(model=CHAT_MODEL, temperature=0, client=client)

    def first_found(so_far: dict[str, Any]) -> list[Document]:
        session.advise_on_rerank(so_far["problem"])
        found: list[Document] = so_far["found"]
        return found[:KEPT]

    rerank = {"documents": itemgetter("found"), "query": itemgetter("question")} | reranker.as_runnable()
    return (
        RunnablePassthrough.assign(found=itemgetter("question") | store.as_retriever(search_kwargs={"k": RETRIEVED}))
        .assign(
            kept=rerank.with_fallbacks(
                [RunnableLambda(first_found)], exceptions_to_handle=(APIStatusError,), exception_key="problem"
            )
        )
        .assign(numbered=lambda so_far: number(so_far["kept"]))
        .assign(answer=PROMPT | llm | StrOutputParser())
    )


def number(documents: list[Document]) -> str:
    """Put numbers before documents, for the model to cite."""
    return "\n\n".join(f"[{at}] {document.page_content}" for at, document in enumerate(documents, start=1))


# %% The answer
def main() -> None:
    question = session.question(QUESTION)
    with session.connect("LangChain", question) as run:
        chain = build_chain(build_index(run), run.client)
        usage = UsageMetadataCallbackHandler()
        so_far: dict[str, Any] = {}

        def answer_pieces() -> Iterator[str]:
            for piece in chain.stream({"question": question}, config={"callbacks": [usage]}):
                so_far.update(piece)  # each step arrives under its name; the answer, piece by piece
                yield piece.get("answer", "")

        answer = session.show(answer_pieces())
        session.list_cited(answer, [document.metadata["title"] for document in so_far["kept"]])
        spent = usage.usage_metadata.values()  # by model; one was asked
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()

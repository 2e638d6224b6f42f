# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "langgraph>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Answer a follow-up question about Python by a graph that checks its own search: agentic RAG with LangGraph.

You learn to grade what was found by structured output, all passages at the same time; to rewrite the question and search again
when nothing fits; to stop after a few rounds; and to follow a graph, step by step and word by word, through one stream.

It prints each search with what it found and the grades, each rewritten question, then the answer with the passages of Python's
language reference that it cites.

Live (`TOGETHER_API_KEY` is set) it embeds the reference anew each time, about 100,000 tokens, and asks the chat model 8 to 20
times with some 300 tokens each. Without a key it runs on the emulator and costs nothing.

    python cookbook/agentic_rag_langchain.py --earlier "What is a context manager?" --question "How do I write one?"
"""

from __future__ import annotations

import argparse
from textwrap import fill
from typing import Any, Literal, TypedDict

import session
from corpus import passages
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import ChatTogether, TogetherEmbeddings
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field

CHAT_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
EMBEDDING_MODEL = "intfloat/multilingual-e5-large-instruct"
RETRIEVED, SEARCHES = 6, 3
EARLIER = "What is a decorator?"
QUESTION = "In which order are several of them applied?"

GRADE = ChatPromptTemplate.from_template(
    "Does the passage help to answer the question? Say yes or no.\n\nPassage:\n{passage}\n\nQuestion: {question}"
)
REWRITE = ChatPromptTemplate.from_template(
    "A search for the follow-up question found nothing that helps. Rewrite it as a standalone question that names what it is "
    "about, and reply with that question alone.\n\nUser: {earlier}\n\nFollow-up question: {question}\n\nStandalone question:"
)
ANSWER = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence put "
            "the number of the passage it rests on, like [2]. If the passages do not answer the question, say so.",
        ),
        ("human", "<passages>\n{numbered}\n</passages>\n\nQuestion: {question}"),
    ]
)


# %% What the steps hand over
class State(TypedDict, total=False):
    """All that is known so far. A step returns what it changes."""

    earlier: str
    question: str
    searches: int
    found: list[Document]
    relevant: list[Document]


class Grade(BaseModel):
    """Whether a passage helps to answer a question."""

    relevant: Literal["yes", "no"] = Field(description="whether the passage helps")


# %% The index
def build_index(run: session.Session) -> InMemoryVectorStore:
    """Embed the corpus."""
    documents = [Document(f"{passage.title}\n\n{passage.text}", metadata={"title": passage.title}) for passage in passages()]
    print(f"Corpus:   {len(documents)} passages of Python's language reference")
    store = InMemoryVectorStore(TogetherEmbeddings(model=EMBEDDING_MODEL, client=run.client, query_prefix="auto"))
    with run.progress("Embedding", len(documents)):
        store.add_documents(documents)
    return store


# %% The graph
def build_graph(store: InMemoryVectorStore, llm: ChatTogether) -> Any:
    """Retrieve, grade, and then answer or else rewrite the question and retrieve again."""
    grader = GRADE | llm.with_structured_output(Grade)

    def retrieve(state: State) -> State:
        return {"found": store.similarity_search(state["question"], RETRIEVED), "searches": state.get("searches", 0) + 1}

    def grade(state: State) -> State:
        asked = [{"passage": document.page_content, "question": state["question"]} for document in state["found"]]
        grades = grader.batch(asked)  # at the same time
        return {"relevant": [found for found, own in zip(state["found"], grades, strict=True) if own.relevant == "yes"]}

    def rewrite(state: State) -> State:
        return {"question": (REWRITE | llm).invoke(dict(state)).text.strip()}

    def answer(state: State) -> State:
        kept = state["relevant"] or state["found"]  # what does not help lets the model say so
        numbered = "\n\n".join(f"[{at}] {document.page_content}" for at, document in enumerate(kept, start=1))
        (ANSWER | llm).invoke({"numbered": numbered, "question": state["question"]})
        return {"relevant": kept}

    def after_grading(state: State) -> str:
        return "answer" if state["relevant"] or state["searches"] == SEARCHES else "rewrite"

    graph = StateGraph(State)
    for step in (retrieve, grade, rewrite, answer):
        graph.add_node(step.__name__, step)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "grade")
    graph.add_conditional_edges("grade", after_grading, ["answer", "rewrite"])
    graph.add_edge("rewrite", "retrieve")
    graph.add_edge("answer", END)
    return graph.compile()


# %% What happens, as it happens
def follow(graph: Any, asked: State, config: dict[str, Any]) -> tuple[str, State]:
    """Run a graph and print its steps, and the answer as it comes; return the answer, and what is known at the end."""
    screen, state = session.Screen(), asked
    for mode, news in graph.stream(asked, config, stream_mode=["updates", "messages"]):
        if mode == "updates":
            for step, update in news.items():
                state = {**state, **update}
                report(step, state)
        elif news[1]["langgraph_node"] == "answer":  # other steps ask the model as well
            if not screen.text:
                print()
            screen.write(news[0].text)
    return screen.end(), state


def report(step: str, state: State) -> None:
    """Print what a step has brought."""
    if step == "grade":
        print(f"\nSearch {state['searches']}: {len(state['relevant'])} of {len(state['found'])} passages help")
        for document in state["found"]:
            print(f"  {'yes' if document in state['relevant'] else 'no ':<4} {document.metadata['title'][:70]}")
    elif step == "rewrite":
        print("\n" + fill(f"Rewritten: {state['question']}", 79, subsequent_indent="  "))


def read_arguments() -> State:
    parser = argparse.ArgumentParser(description="Ask a follow-up question about Python.")
    parser.add_argument("--question", default=QUESTION, help="what to ask (default: %(default)s)")
    parser.add_argument("--earlier", default=EARLIER, help="what was asked before that (default: %(default)s)")
    given = parser.parse_args()
    return {"question": given.question, "earlier": given.earlier}


def main() -> None:
    asked = read_arguments()
    with session.connect("LangGraph: a search that checks itself", f"{asked['question']} (after: {asked['earlier']})") as run:
        llm = ChatTogether(model=CHAT_MODEL, temperature=0, client=run.client)
        graph = build_graph(build_index(run), llm)
        usage = UsageMetadataCallbackHandler()
        answer, state = follow(graph, asked, {"callbacks": [usage]})
        session.list_cited(answer, [document.metadata["title"] for document in state["relevant"]])
        spent = usage.usage_metadata.values()  # by model; one was asked
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()

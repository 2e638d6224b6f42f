# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "bm25s>=0.2.12", "langchain-classic>=1.0,<2", "langgraph>=1.0,<2", "numpy", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Answer a follow-up question about Python with a graph that grades its own search results: agentic RAG with LangGraph.

You learn how to grade search results with structured output, all passages in parallel; how to rewrite the question and search
again when no passage is relevant; how to limit the number of searches; and how to follow the steps of a graph and the chunks of
its answer through one stream.

It prints each search with its results and their grades, each rewritten question, then the answer with the passages of Python's
language reference that it cites.

The search is by keywords alone, with the retriever of rag_langchain.py: a rewritten question has the words that it lacked.

With `TOGETHER_API_KEY` set, each run sends 8 to 22 chat requests (about 300 tokens each). Without a key, it runs on the emulator and
costs nothing.

    uv run cookbook/agentic_rag_langchain.py --earlier "What is a context manager?" --question "How do I write one?"
"""

from __future__ import annotations

import argparse
from textwrap import fill
from typing import Any, Literal, TypedDict

import session
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_together_adapters import ChatTogether
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field
from rag_langchain import KeywordRetriever, load_documents

CHAT_MODEL = "openai/gpt-oss-120b"
TOP_K, MAX_SEARCHES = 6, 3
EARLIER = "What is a decorator?"
QUESTION = "Do they nest?"

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
        ("human", "<passages>\n{context}\n</passages>\n\nQuestion: {question}"),
    ]
)


# %% The state
class State(TypedDict, total=False):
    """The state of the graph. Each step returns the fields that it changes."""

    earlier: str
    question: str
    searches: int
    results: list[Document]
    relevant: list[Document]


class Grade(BaseModel):
    """Whether a passage helps to answer a question."""

    relevant: Literal["yes", "no"] = Field(description="whether the passage helps")


# %% The graph
def build_graph(retriever: BaseRetriever, llm: ChatTogether) -> Any:
    """Builds a graph that retrieves and grades, then answers, or rewrites the question and retrieves again."""
    grader = GRADE | llm.with_structured_output(Grade)

    def retrieve(state: State) -> State:
        return {"results": retriever.invoke(state["question"]), "searches": state.get("searches", 0) + 1}

    def grade(state: State) -> State:
        documents = state["results"]
        inputs = [{"passage": document.page_content, "question": state["question"]} for document in documents]
        grades = grader.batch(inputs)  # in parallel
        return {"relevant": [document for document, grade in zip(documents, grades, strict=True) if grade.relevant == "yes"]}

    def rewrite(state: State) -> State:
        return {"question": (REWRITE | llm).invoke(dict(state)).text.strip()}

    def answer(state: State) -> State:
        documents = state["relevant"] or state["results"]  # with irrelevant passages, the model says that it does not know
        context = "\n\n".join(f"[{number}] {document.page_content}" for number, document in enumerate(documents, start=1))
        (ANSWER | llm).invoke({"context": context, "question": state["question"]})
        return {"relevant": documents}

    def after_grading(state: State) -> str:
        return "answer" if state["relevant"] or state["searches"] == MAX_SEARCHES else "rewrite"

    graph = StateGraph(State)
    for step in (retrieve, grade, rewrite, answer):
        graph.add_node(step.__name__, step)
    graph.add_edge(START, "retrieve")
    graph.add_edge("retrieve", "grade")
    graph.add_conditional_edges("grade", after_grading, ["answer", "rewrite"])
    graph.add_edge("rewrite", "retrieve")
    graph.add_edge("answer", END)
    return graph.compile()


# %% The output
def run_graph(graph: Any, inputs: State, config: dict[str, Any]) -> tuple[str, State]:
    """Runs a graph and prints its steps and its answer; returns the answer and the final state."""
    screen, state = session.Screen(), inputs
    for mode, data in graph.stream(inputs, config, stream_mode=["updates", "messages"]):
        if mode == "updates":
            for step, update in data.items():
                state = {**state, **update}
                report(step, state)
        elif data[1]["langgraph_node"] == "answer" and data[0].text:  # other steps call the model too; it reasons without text
            if not screen.text:
                print()
            screen.write(data[0].text)
    return screen.end(), state


def report(step: str, state: State) -> None:
    """Prints the result of a step."""
    if step == "grade":
        print(f"\nSearch {state['searches']}: {len(state['relevant'])} of {len(state['results'])} passages help")
        for document in state["results"]:
            print(f"  {'yes' if document in state['relevant'] else 'no ':<4} {document.metadata['title'][:70]}")
    elif step == "rewrite":
        print("\n" + fill(f"Rewritten: {state['question']}", 79, subsequent_indent="  "))


def read_arguments() -> State:
    parser = argparse.ArgumentParser(description="Ask a follow-up question about Python.")
    parser.add_argument("--question", default=QUESTION, help="the question (default: %(default)s)")
    parser.add_argument("--earlier", default=EARLIER, help="the question before it (default: %(default)s)")
    arguments = parser.parse_args()
    return {"question": arguments.question, "earlier": arguments.earlier}


def main() -> None:
    inputs = read_arguments()
    with session.connect(
        "LangGraph: a search that grades its results", f"{inputs['question']} (after: {inputs['earlier']})"
    ) as run:
        llm = ChatTogether(model=run.chat_model(CHAT_MODEL), temperature=0, client=run.client)
        graph = build_graph(KeywordRetriever.of(load_documents(), TOP_K), llm)
        usage = UsageMetadataCallbackHandler()
        answer, state = run_graph(graph, inputs, {"callbacks": [usage]})
        session.print_citations(answer, [document.metadata["title"] for document in state["relevant"]])
        tokens = usage.usage_metadata.values()  # one entry for each model
        run.print_summary(sum(model["input_tokens"] for model in tokens), sum(model["output_tokens"] for model in tokens))


if __name__ == "__main__":
    main()

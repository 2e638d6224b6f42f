# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LlamaIndex.

You learn to give a query engine a reranker and a postprocessor of your own, on one shared client; to write the prompt that
makes a model cite; and to count tokens with an event handler, whatever part of the engine spends them.

It prints the answer as it comes, the passages of Python's language reference that it cites, and what that took.

Live (`TOGETHER_API_KEY` is set) it embeds the reference anew each time, about 100,000 tokens, and asks the chat model once
with about 1,500. Without a key it runs on the emulator and costs nothing.

    python cookbook/rag_llama_index.py --question "What is a coroutine?"
"""

from __future__ import annotations

import sys
from typing import Any

import session
from corpus import passages
from llama_index.core import ChatPromptTemplate, QueryBundle, VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from together_adapters import APIStatusError, Together

CHAT_MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
EMBEDDING_MODEL = "intfloat/multilingual-e5-large-instruct"
RERANK_MODEL = "Salesforce/Llama-Rank-V1"  # live, most rerank models run on a dedicated endpoint: put its name here
RETRIEVED, KEPT = 20, 4
QUESTION = "What does break do to the else clause of a loop?"

TEMPLATE = "{metadata_str}\n\n{content}"
PROMPT = ChatPromptTemplate(
    [
        ChatMessage(
            role="system",
            content="You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence "
            "put the number of the passage it rests on, like [2]. If the passages do not answer the question, say so.",
        ),
        ChatMessage(role="user", content="<passages>\n{context_str}\n</passages>\n\nQuestion: {query_str}"),
    ]
)


# %% The index
def build_index(client: Together) -> VectorStoreIndex:
    """Embed the corpus. The title is metadata, which LlamaIndex embeds and shows to the model along with the text."""
    nodes = [
        TextNode(text=passage.text, metadata={"title": passage.title}, metadata_template="{value}", text_template=TEMPLATE)
        for passage in passages()
    ]
    print(f"Corpus:   {len(nodes)} passages of Python's language reference")
    # "auto" puts before a question, and only there, what the authors of the model want there.
    embedding = TogetherEmbedding(model_name=EMBEDDING_MODEL, client=client, query_instruction="auto")
    return VectorStoreIndex(nodes, embed_model=embedding, show_progress=sys.stderr.isatty())


# %% The query engine
class RerankIfPossible(BaseNodePostprocessor):
    """Reranks; where the service does not, keeps the first that were found."""

    reranker: TogetherRerank

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        try:
            return self.reranker.postprocess_nodes(nodes, query_bundle)
        except APIStatusError as problem:
            session.advise_on_rerank(problem)
            return nodes[:KEPT]


class Number(BaseNodePostprocessor):
    """Puts a number before each passage, for the model to cite."""

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=found.node.model_copy(update={"text_template": f"[{at}] {TEMPLATE}"}), score=found.score)
            for at, found in enumerate(nodes, start=1)
        ]


def build_engine(index: VectorStoreIndex, client: Together) -> RetrieverQueryEngine:
    """Retrieve, rerank, number, answer."""
    return RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=RETRIEVED),
        llm=TogetherLLM(model=CHAT_MODEL, temperature=0, client=client),
        node_postprocessors=[
            RerankIfPossible(reranker=TogetherRerank(model=RERANK_MODEL, top_n=KEPT, client=client)),
            Number(),
        ],
        text_qa_template=PROMPT,
        streaming=True,
    )


# %% The tokens
class Usage(BaseEventHandler):
    """Adds up what the service says that chats took. The event of a streamed chat brings its last piece."""

    prompt_tokens: int = 0
    answer_tokens: int = 0

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, LLMChatEndEvent) and event.response is not None:
            self.prompt_tokens += event.response.additional_kwargs.get("prompt_tokens", 0)
            self.answer_tokens += event.response.additional_kwargs.get("completion_tokens", 0)


# %% The answer
def main() -> None:
    question = session.question(QUESTION)
    with session.connect("LlamaIndex", question) as run:
        engine = build_engine(build_index(run.client), run.client)
        usage = Usage()
        get_dispatcher().add_event_handler(usage)
        response = engine.query(question)
        assert isinstance(response, StreamingResponse)
        answer = session.show(response.response_gen)
        session.list_cited(answer, [found.metadata["title"] for found in response.source_nodes])
        run.close_with(usage.prompt_tokens, usage.answer_tokens)


if __name__ == "__main__":
    main()

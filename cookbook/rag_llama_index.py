# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LlamaIndex.

You learn how to add a reranker and a postprocessor of your own to a query engine that shares one client, how to write a prompt
that makes the model cite its sources, and how to count the tokens of all parts of the engine with an event handler.

It prints the answer as it streams in, the passages of Python's language reference that it cites, and the tokens used.

With `TOGETHER_API_KEY` set, each run embeds the reference (about 100,000 tokens) and sends two chat requests, one
that ranks (about 7,000 tokens) and one that answers (about 1,500). Without a key, it runs on the emulator and costs nothing.

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

CHAT_MODEL = "openai/gpt-oss-120b"
EMBEDDING_MODEL = "BAAI/bge-base-en-v1.5"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # a chat model ranks; a rerank model on an endpoint of your own is cheaper
TOP_K, TOP_N = 20, 4
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
    """Embeds the corpus. The title is metadata, which LlamaIndex embeds and sends to the model with the text."""
    nodes = [
        TextNode(text=passage.text, metadata={"title": passage.title}, metadata_template="{value}", text_template=TEMPLATE)
        for passage in passages()
    ]
    print(f"Corpus:   {len(nodes)} passages of Python's language reference")
    # "auto" puts the instruction that this model was trained with before each query, and nothing before documents.
    embedding = TogetherEmbedding(model_name=EMBEDDING_MODEL, client=client, query_instruction="auto")
    return VectorStoreIndex(nodes, embed_model=embedding, show_progress=sys.stderr.isatty())


# %% The query engine
class RerankIfPossible(BaseNodePostprocessor):
    """Reranks the nodes; if the service cannot, keeps the first ones of the retriever."""

    reranker: TogetherRerank

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        try:
            return self.reranker.postprocess_nodes(nodes, query_bundle)
        except APIStatusError as error:
            session.note_missing_rerank(error)
            return nodes[:TOP_N]


class NumberPassages(BaseNodePostprocessor):
    """Numbers the passages, so that the model can cite them."""

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=result.node.model_copy(update={"text_template": f"[{i}] {TEMPLATE}"}), score=result.score)
            for i, result in enumerate(nodes, start=1)
        ]


def build_engine(index: VectorStoreIndex, client: Together) -> RetrieverQueryEngine:
    """Builds an engine that retrieves, reranks, numbers the passages and answers."""
    return RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=TOP_K),
        llm=TogetherLLM(model=CHAT_MODEL, temperature=0, client=client),
        node_postprocessors=[
            RerankIfPossible(reranker=TogetherRerank(model=RERANK_MODEL, top_n=TOP_N, client=client)),
            NumberPassages(),
        ],
        text_qa_template=PROMPT,
        streaming=True,
    )


# %% The tokens
class Usage(BaseEventHandler):
    """Adds up the token counts of all chat responses. The event of a streamed chat has its last chunk."""

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
        answer = session.print_stream(response.response_gen)
        session.print_citations(answer, [source.metadata["title"] for source in response.source_nodes])
        run.print_summary(usage.prompt_tokens, usage.answer_tokens)


if __name__ == "__main__":
    main()

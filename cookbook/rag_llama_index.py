# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "bm25s>=0.2.12", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Answer a question about Python with citations: retrieve, rerank and stream with LlamaIndex.

A key of Together is enough: the service offers chat models only, so keywords find passages, a small chat model puts them in order,
and a larger one answers. Where an embedding model can be reached, vectors find passages too. You learn how to write a retriever for
a keyword index (BM25), how to merge it with a vector index, how to add a reranker and a postprocessor of your own to a query engine
that shares one client, and how to write a prompt that makes the model cite its sources.

It prints the answer as it streams in, the passages of Python's language reference that it cites, and the tokens used.

With `TOGETHER_API_KEY` set, each run sends one request that ranks passages (about 4,000 tokens), one that answers (about 1,500) and
three tiny ones that ask which models are served: about a tenth of a cent. Without a key, it runs on the emulator and costs nothing.
`EMBEDDING_BASE_URL` adds vectors of a server of yours: see docs/embeddings-elsewhere.md.

    uv run cookbook/rag_llama_index.py --question "What is a coroutine?"
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import session
from llama_index.core import ChatPromptTemplate, QueryBundle, VectorStoreIndex
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from together_adapters import APIError
from together_adapters.demo.corpus import passages
from together_adapters.demo.keyword_index import KeywordIndex

CHAT_MODEL = "openai/gpt-oss-120b"
RERANK_MODEL = "Qwen/Qwen3.5-9B"  # any chat model ranks; this one is small
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


# %% Retrieval
class KeywordRetriever(BaseRetriever):
    """Retrieves the nodes with the highest BM25 scores."""

    def __init__(self, nodes: Sequence[BaseNode], k: int) -> None:
        super().__init__()
        self._nodes, self._k = nodes, k
        self._index = KeywordIndex([node.get_content(MetadataMode.EMBED) for node in nodes])

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self._index.search(query_bundle.query_str, self._k)
        return [NodeWithScore(node=self._nodes[position], score=score) for position, score in found]


def build_retriever(run: session.Session, llm: TogetherLLM) -> BaseRetriever:
    """Indexes the corpus by keywords and, where an embedding model can be reached, by vectors.

    The title is metadata, which LlamaIndex indexes and sends to the model with the text.
    """
    nodes = [
        TextNode(text=passage.text, metadata={"title": passage.title}, metadata_template="{value}", text_template=TEMPLATE)
        for passage in passages()
    ]
    print(f"Corpus:   {len(nodes)} passages of Python's language reference, indexed by keywords")
    by_keywords = KeywordRetriever(nodes, TOP_K)
    embedder = run.embedder()
    if embedder is None:
        return by_keywords
    # "auto" puts the instruction that a model was trained with before each query.
    embedding = TogetherEmbedding(model_name=embedder.model, client=embedder.client, query_instruction="auto")
    index = VectorStoreIndex(nodes, embed_model=embedding, show_progress=sys.stderr.isatty())
    return QueryFusionRetriever(
        [by_keywords, index.as_retriever(similarity_top_k=TOP_K)],
        llm=llm,  # which could write further queries; num_queries=1 asks for none
        mode=FUSION_MODES.RECIPROCAL_RANK,
        num_queries=1,
        similarity_top_k=TOP_K,
        use_async=False,
    )


# %% The query engine
class RerankIfPossible(BaseNodePostprocessor):
    """Reranks the nodes; if the model cannot, keeps the first ones of the retriever."""

    reranker: TogetherRerank

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        try:
            return self.reranker.postprocess_nodes(nodes, query_bundle)
        except APIError as error:
            session.note_missing_rerank(error)
            return nodes[:TOP_N]


class NumberPassages(BaseNodePostprocessor):
    """Numbers the passages, so that the model can cite them."""

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        return [
            NodeWithScore(node=result.node.model_copy(update={"text_template": f"[{i}] {TEMPLATE}"}), score=result.score)
            for i, result in enumerate(nodes, start=1)
        ]


def build_engine(retriever: BaseRetriever, reranker: TogetherRerank, llm: TogetherLLM) -> RetrieverQueryEngine:
    """Builds an engine that retrieves, reranks, numbers the passages and answers."""
    return RetrieverQueryEngine.from_args(
        retriever,
        llm=llm,
        node_postprocessors=[RerankIfPossible(reranker=reranker), NumberPassages()],
        text_qa_template=PROMPT,
        streaming=True,
    )


# %% The tokens
class Usage(BaseEventHandler):
    """Adds up the token counts of the answers of the LLM. The event of a streamed one has its last chunk."""

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
        llm = TogetherLLM(model=run.chat_model(CHAT_MODEL), temperature=0, client=run.client)
        reranker = TogetherRerank(model=run.chat_model(RERANK_MODEL), method="listwise", top_n=TOP_N, client=run.client)
        print(f"Models:   {reranker.model} ranks, {llm.model} answers")
        engine = build_engine(build_retriever(run, llm), reranker, llm)
        usage = Usage()
        get_dispatcher().add_event_handler(usage)
        response = engine.query(question)
        assert isinstance(response, StreamingResponse)
        answer = session.print_stream(response.response_gen)
        session.print_citations(answer, [source.metadata["title"] for source in response.source_nodes])
        run.print_summary(usage.prompt_tokens, usage.answer_tokens, with_search=True)


if __name__ == "__main__":
    main()

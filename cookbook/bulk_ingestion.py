# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,llama-index,emulator]", "bm25s>=0.2.12", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Ingest a corpus into vector stores of both frameworks, so that an interruption costs nothing.

You learn how `bulk.embed` keeps each vector in a checkpoint as soon as it has arrived, and how a vector store of LangChain or LlamaIndex is
filled with the vectors of a run, in batches of any size, without holding the corpus in memory.

It ingests a part and stops, as if the machine had been turned off; then all of it into a store of LangChain, and all of it into one of
LlamaIndex. It prints the passages and the requests of each, and what both stores find for a question. Where no embedding model can be
reached, it says so.

The service offers no embedding model any more, so that it needs another server: `EMBEDDING_BASE_URL`, see
docs/embeddings-elsewhere.md. It embeds the language reference of Python once (about 100,000 tokens). Without a key, it runs on the
emulator and costs nothing.

    uv run cookbook/bulk_ingestion.py --checkpoint vectors.sqlite
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import session
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import TogetherEmbeddings
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index_together_adapters import TogetherEmbedding

from together_adapters.bulk import embed
from together_adapters.demo.corpus import Passage, passages

QUESTION = "What does break do to the else clause of a loop?"
PART = 0.6  # of the corpus that the first run embeds
SIZES = {"batch_size": 16, "max_concurrency": 2}  # so small that a part of this corpus is several requests; leave them out
BATCH = 100  # passages that a store gets at a time


# %% The vectors
def with_vectors(
    embedder: session.Embedder, corpus: Iterable[Passage], path: Path
) -> Generator[tuple[Passage, list[float]], None, None]:
    """Yields passages with their vectors, of which the checkpoint keeps every one. `bulk.embed` reads texts as it needs them."""
    corpus = list(corpus)
    vectors = embed(embedder.client, (passage.text for passage in corpus), model=embedder.model, checkpoint=path, **SIZES)
    for passage, vector in zip(corpus, vectors, strict=True):
        yield passage, vector.tolist()


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields items, some at a time."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


# %% The stores
class KnownVectors(TogetherEmbeddings):
    """Embeddings for a store of LangChain, which asks for the vectors of what it gets: those that are known already."""

    known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
        return [self.known.pop(text) for text in texts]


def ingest_into_langchain(embedder: session.Embedder, corpus: list[Passage], path: Path) -> InMemoryVectorStore:
    """Fills a store of LangChain. Any other store has the same method."""
    embeddings = KnownVectors(model=embedder.model, client=embedder.client)
    store = InMemoryVectorStore(embeddings)
    for batch in batches(with_vectors(embedder, corpus, path), BATCH):
        embeddings.known.update((passage.text, vector) for passage, vector in batch)
        store.add_texts([passage.text for passage, _ in batch], ids=[passage.title for passage, _ in batch])
    return store


def ingest_into_llama_index(embedder: session.Embedder, corpus: list[Passage], path: Path) -> VectorStoreIndex:
    """Fills a store of LlamaIndex, which does not embed nodes that have vectors."""
    embedding = TogetherEmbedding(embedder.model, client=embedder.client)
    index = VectorStoreIndex(
        [], embed_model=embedding, storage_context=StorageContext.from_defaults(vector_store=SimpleVectorStore())
    )
    for batch in batches(with_vectors(embedder, corpus, path), BATCH):
        index.insert_nodes([TextNode(id_=passage.title, text=passage.text, embedding=vector) for passage, vector in batch])
    return index


# %% The runs
def ingest(run: session.Session, embedder: session.Embedder, path: Path) -> None:
    """Ingests a part of the corpus, then all of it twice; prints what each run asked for."""
    corpus, requests = passages(), run.requests

    def report(name: str, count: int) -> None:
        nonlocal requests
        print(f"{name:<28}{count:>9}{run.requests - requests:>10}")
        requests = run.requests

    print(f"\n{'Run':<28}{'passages':>9}{'requests':>10}")
    with closing(with_vectors(embedder, corpus, path)) as vectors:
        part = list(islice(vectors, int(PART * len(corpus))))  # here the machine is turned off
    report("a part, then interrupted", len(part))
    store = ingest_into_langchain(embedder, corpus, path)
    report("all, into LangChain", len(store.store))
    index = ingest_into_llama_index(embedder, corpus, path)
    report("all, into LlamaIndex", len(index.index_struct.nodes_dict))
    [document] = store.similarity_search(QUESTION, k=1)
    [node] = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)
    print(f"\nQuestion:    {QUESTION}\nLangChain:   {document.id}\nLlamaIndex:  {node.node_id}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Ingest a corpus into vector stores.")
    parser.add_argument("--checkpoint", type=Path, help="a file that keeps the vectors for the next start")
    path = parser.parse_args().checkpoint
    with session.connect("Both frameworks: ingestion that resumes") as run, tempfile.TemporaryDirectory() as folder:
        if embedder := run.embedder():
            ingest(run, embedder, path or Path(folder, "vectors.sqlite"))
        else:
            session.print_note(
                "vectors need an embedding model, which the service does not offer. EMBEDDING_BASE_URL names another"
            )
            session.print_note("server; docs/embeddings-elsewhere.md has some for this machine")


if __name__ == "__main__":
    main()

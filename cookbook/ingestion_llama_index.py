# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "bm25s>=0.2.12", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Embed each text of a corpus only once: LlamaIndex's ingestion pipeline with its caches on Together.

You learn what each of the two caches saves: the cache of the pipeline, a run on the same documents; the cache of the embedding
model, each text that is the same. Both work with another API key and in another process.

It prints the passages, the requests and the time of four runs. Where no embedding model can be reached, it says what to do, and
indexes the passages by keywords instead.

The service offers no embedding model any more, so that it needs another server: `EMBEDDING_BASE_URL`, see
docs/embeddings-elsewhere.md. It embeds the language reference of Python once (about 100,000 tokens). Without a key, it runs on the
emulator and costs nothing.

    uv run cookbook/ingestion_llama_index.py
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import session
from llama_index.core import Document
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index_together_adapters import TogetherEmbedding
from rag_llama_index import KeywordRetriever

from together_adapters.demo.corpus import passages

QUESTION = "What is a coroutine?"
SPLITTER = SentenceSplitter(chunk_size=400, chunk_overlap=0)


# %% The pipeline
def build_pipeline(embedder: session.Embedder, cache: IngestionCache, vectors: SimpleKVStore) -> IngestionPipeline:
    """Builds a pipeline that splits documents and embeds the passages. The API key is no part of the cache key."""
    embedding = TogetherEmbedding(embedder.model, client=embedder.client, embeddings_cache=vectors)
    return IngestionPipeline(transformations=[SPLITTER, embedding], cache=cache)


def load(path: Path) -> tuple[IngestionCache, SimpleKVStore]:
    """Loads both caches from files, as another process would; without files, they are empty."""
    if not path.exists():
        return IngestionCache(), SimpleKVStore()
    return IngestionCache.from_persist_path(str(path / "runs.json")), SimpleKVStore.from_persist_path(str(path / "vectors.json"))


def save(path: Path, cache: IngestionCache, vectors: SimpleKVStore) -> None:
    """Saves both caches."""
    cache.persist(str(path / "runs.json"))
    vectors.persist(str(path / "vectors.json"))


# %% A run
def ingest(run: session.Session, name: str, embedder: session.Embedder, documents: list[Document], path: Path) -> None:
    """Runs a new pipeline with the caches of the previous one; prints its requests and its time."""
    cache, vectors = load(path)
    requests, start_time = run.requests, time.monotonic()
    nodes = build_pipeline(embedder, cache, vectors).run(documents=documents)
    assert all(node.embedding for node in nodes)
    print(f"{name:<28}{len(nodes):>9}{run.requests - requests:>10}{time.monotonic() - start_time:>8.1f} s")
    save(path, cache, vectors)


def ingest_four_times(run: session.Session, embedder: session.Embedder, documents: list[Document]) -> None:
    """Ingests the documents, then again what the caches know: all of them, with another key, and with a new first one."""
    with_another_key = replace(embedder, client=embedder.client.with_options(api_key="sk-the-next-key"))
    new_documents = [Document(text="A new first passage.", id_=documents[0].id_), *documents[1:]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "caches")
        print(f"\n{'Run':<28}{'passages':>9}{'requests':>10}{'time':>10}")
        ingest(run, "the first", embedder, documents, path)
        ingest(run, "the same again", embedder, documents, path)
        ingest(run, "with another key", with_another_key, documents, path)
        ingest(run, "after one passage changed", embedder, new_documents, path)


# %% Without an embedding model
def index_by_keywords(documents: list[Document]) -> None:
    """Indexes the documents by keywords, which needs no request; prints the best passage for a question."""
    session.print_note("vectors need an embedding model, which the service does not offer. EMBEDDING_BASE_URL names another")
    session.print_note("server; docs/embeddings-elsewhere.md has some for this machine. This run indexes by keywords instead")
    start_time = time.monotonic()
    nodes = IngestionPipeline(transformations=[SPLITTER]).run(documents=documents)
    retriever = KeywordRetriever(nodes, 1)
    [best] = retriever.retrieve(QUESTION)
    print(f"\n{len(nodes)} passages indexed by keywords in {time.monotonic() - start_time:.1f} s")
    print(f"\nQuestion: {QUESTION}\nBest:     {best.node.ref_doc_id}")


def main() -> None:
    documents = [Document(text=passage.text, id_=passage.title) for passage in passages()]
    with session.connect("LlamaIndex: ingestion with caches") as run:
        if embedder := run.embedder():
            ingest_four_times(run, embedder, documents)
        else:
            index_by_keywords(documents)


if __name__ == "__main__":
    main()

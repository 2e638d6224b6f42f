# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Embed each text of a corpus only once: LlamaIndex's ingestion pipeline with its caches on Together.

You learn what each of the two caches saves: the cache of the pipeline, a run on the same documents; the cache of the embedding
model, each text that is the same. Both work with another API key and in another process.

It prints the passages, the requests and the time of four runs.

With `TOGETHER_API_KEY` set, it embeds the language reference of Python once (about 100,000 tokens). Without a key, it runs on the
emulator and costs nothing.

    python cookbook/ingestion_llama_index.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import session
from corpus import passages
from llama_index.core import Document
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index_together_adapters import TogetherEmbedding

from together_adapters import Together

MODEL = "BAAI/bge-base-en-v1.5"


# %% The pipeline
def build_pipeline(client: Together, cache: IngestionCache, vectors: SimpleKVStore) -> IngestionPipeline:
    """Builds a pipeline that splits documents and embeds the passages. The API key is no part of the cache key."""
    embedding = TogetherEmbedding(MODEL, client=client, embeddings_cache=vectors)
    return IngestionPipeline(transformations=[SentenceSplitter(chunk_size=400, chunk_overlap=0), embedding], cache=cache)


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
def ingest(run: session.Session, name: str, client: Together, documents: list[Document], path: Path) -> None:
    """Runs a new pipeline with the caches of the previous one; prints its requests and its time."""
    cache, vectors = load(path)
    requests, start_time = run.requests, time.monotonic()
    nodes = build_pipeline(client, cache, vectors).run(documents=documents)
    assert all(node.embedding for node in nodes)
    print(f"{name:<28}{len(nodes):>9}{run.requests - requests:>10}{time.monotonic() - start_time:>8.1f} s")
    save(path, cache, vectors)


def main() -> None:
    documents = [Document(text=passage.text, id_=passage.title) for passage in passages()]
    new_documents = [Document(text="A new first passage.", id_=documents[0].id_), *documents[1:]]
    with session.connect("LlamaIndex: ingestion with caches") as run, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "caches")
        print(f"\n{'Run':<28}{'passages':>9}{'requests':>10}{'time':>10}")
        ingest(run, "the first", run.client, documents, path)
        ingest(run, "the same again", run.client, documents, path)
        ingest(run, "with another key", run.client.with_options(api_key="sk-the-next-key"), documents, path)
        ingest(run, "after one passage changed", run.client, new_documents, path)


if __name__ == "__main__":
    main()

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Embed a corpus once and never again: LlamaIndex's ingestion pipeline with its caches on Together.

You learn which of the two caches saves what: the pipeline's answers for a whole run that comes again, the embedding model's for
each text that comes again. And that neither cares which key a run uses, or that another process filled it.

It prints, for each of four runs, how many passages it gave, how many requests that took, and how long.

Live (`TOGETHER_API_KEY` is set) it embeds the language reference of Python once, about 100,000 tokens. Without a key it runs
on the emulator and costs nothing.

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

MODEL = "intfloat/multilingual-e5-large-instruct"


# %% The pipeline
def build_pipeline(client: Together, cache: IngestionCache, vectors: SimpleKVStore) -> IngestionPipeline:
    """Cut documents, then embed the pieces. The name of a run's result is made of both steps' settings, and no key is among them."""
    embedding = TogetherEmbedding(MODEL, client=client, embeddings_cache=vectors)
    return IngestionPipeline(transformations=[SentenceSplitter(chunk_size=400, chunk_overlap=0), embedding], cache=cache)


def load(path: Path) -> tuple[IngestionCache, SimpleKVStore]:
    """Read both caches from files, as another process would, or begin with empty ones."""
    if not path.exists():
        return IngestionCache(), SimpleKVStore()
    return IngestionCache.from_persist_path(str(path / "runs.json")), SimpleKVStore.from_persist_path(str(path / "vectors.json"))


def save(path: Path, cache: IngestionCache, vectors: SimpleKVStore) -> None:
    """Write both caches."""
    cache.persist(str(path / "runs.json"))
    vectors.persist(str(path / "vectors.json"))


# %% A run
def ingest(run: session.Session, name: str, client: Together, documents: list[Document], path: Path) -> None:
    """Run a new pipeline on the caches of the last one; print what that took."""
    cache, vectors = load(path)
    requests, begun = run.requests, time.monotonic()
    nodes = build_pipeline(client, cache, vectors).run(documents=documents)
    assert all(node.embedding for node in nodes)
    print(f"{name:<28}{len(nodes):>9}{run.requests - requests:>10}{time.monotonic() - begun:>8.1f} s")
    save(path, cache, vectors)


def main() -> None:
    documents = [Document(text=passage.text, id_=passage.title) for passage in passages()]
    changed = [Document(text="A new first passage.", id_=documents[0].id_), *documents[1:]]
    with session.connect("LlamaIndex: ingestion with caches") as run, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "caches")
        print(f"\n{'Run':<28}{'passages':>9}{'requests':>10}{'took':>10}")
        ingest(run, "the first", run.client, documents, path)
        ingest(run, "the same again", run.client, documents, path)
        ingest(run, "with another key", run.client.with_options(api_key="sk-the-next-key"), documents, path)
        ingest(run, "after one passage changed", run.client, changed, path)


if __name__ == "__main__":
    main()

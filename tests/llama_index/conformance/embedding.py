"""Checks B01-B20: embeddings."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.storage.kvstore import SimpleKVStore

from .provider import ELSEWHERE, KEY, Events, Factory, Provider, run, texts_of
from .wire import WireServer, error, vector

TEXTS = [f"text number {number}" for number in range(25)]


def near(vectors: Any, expected: Any) -> bool:
    """Return whether two embeddings agree."""
    return len(vectors) == len(expected) and all(abs(a - b) < 1e-5 for a, b in zip(vectors, expected, strict=True))


class EmbeddingChecks:
    """Embeddings are batched, ordered, bounded, and never confused."""

    def test_b01_single(self, embedding_factory: Factory) -> None:
        """One text, one query, sync and async."""
        embedding = embedding_factory()

        async def scenario() -> list[Any]:
            return [await embedding.aget_text_embedding("abc"), await embedding.aget_query_embedding("abc")]

        vectors = [embedding.get_text_embedding("abc"), embedding.get_query_embedding("abc"), *run(scenario())]
        assert all(near(one, vector("abc")) for one in vectors)

    def test_b02_batches(self, embedding_factory: Factory, wire: WireServer) -> None:
        """25 texts in batches of 10 are three requests."""
        vectors = embedding_factory(embed_batch_size=10).get_text_embedding_batch(TEXTS)
        assert wire.count("/embeddings") == 3
        assert all(near(one, vector(text)) for one, text in zip(vectors, TEXTS, strict=True))

    def test_b03_batches_async(self, embedding_factory: Factory, wire: WireServer) -> None:
        """So they are when asynchronous."""
        embedding = embedding_factory(embed_batch_size=10)
        vectors = run(embedding.aget_text_embedding_batch(TEXTS))
        assert wire.count("/embeddings") == 3
        assert all(near(one, vector(text)) for one, text in zip(vectors, TEXTS, strict=True))

    def test_b04_order(self, embedding_factory: Factory, wire: WireServer) -> None:
        """A response in another order is sorted by its indexes."""
        wire.emulator.behave(shuffle_embeddings=True)
        vectors = embedding_factory(embed_batch_size=10).get_text_embedding_batch(TEXTS)
        assert all(near(one, vector(text)) for one, text in zip(vectors, TEXTS, strict=True))

    def test_b05_workers(self, embedding_factory: Factory, wire: WireServer) -> None:
        """`num_workers=2` allows two requests at a time."""
        wire.delay(0.1)
        embedding = embedding_factory(embed_batch_size=5, num_workers=2)
        run(embedding.aget_text_embedding_batch(TEXTS))
        assert wire.max_in_flight <= 2
        assert wire.count("/embeddings") == 5

    def test_b06_bounded(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Without it, requests are still per batch, not per text."""
        wire.delay(0.1)
        embedding = embedding_factory(embed_batch_size=10)
        run(embedding.aget_text_embedding_batch(TEXTS))
        assert wire.max_in_flight <= 4

    def test_b07_instructions(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Instructions are prefixed to queries and passages."""
        embedding = embedding_factory(query_instruction="Q: ", text_instruction="T: ")
        embedding.get_query_embedding("abc")
        embedding.get_text_embedding("abc")
        inputs = [body["input"] if isinstance(body["input"], str) else body["input"][0] for body in wire.bodies]
        assert inputs == ["Q: abc", "T: abc"]

    def test_b08_cache(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Cached texts are not sent again."""
        embedding = embedding_factory(embeddings_cache=SimpleKVStore())
        first = embedding.get_text_embedding_batch(TEXTS)
        count = len(wire.requests)
        assert embedding.get_text_embedding_batch(TEXTS) == first
        assert run(embedding.aget_text_embedding_batch(TEXTS)) == first
        assert len(wire.requests) == count

    def test_b09_persistent_rate_limit(self, embedding_factory: Factory, wire: WireServer) -> None:
        """A rate limit that stays ends in an error after few requests."""
        wire.script(error(429, "slow down", retry_after=0, times=None))
        with pytest.raises(Exception, match="slow down"):
            embedding_factory(embed_batch_size=10, max_retries=2).get_text_embedding_batch(TEXTS)
        assert len(wire.requests) <= 12

    def test_b10_server_error(self, embedding_factory: Factory, wire: WireServer) -> None:
        """A 500, then a response."""
        wire.script(error(500, "oops"))
        assert near(embedding_factory(max_retries=2).get_text_embedding("abc"), vector("abc"))

    def test_b11_no_key_in_any_form(self, embedding_factory: Factory) -> None:
        """No dump, repr or payload shows the key."""
        embedding = embedding_factory()
        outputs = [repr(embedding), str(embedding), repr(embedding.to_dict()), embedding.to_json()]
        if hasattr(embedding, "to_payload"):
            outputs.append(repr(embedding.to_payload()))
        assert not [form for form in outputs if KEY in form]

    def test_b12_dimensions(self, embedding_factory: Factory, wire: WireServer) -> None:
        """`dimensions` is sent when set, and only then."""
        wire.script({"embedding": vector("abc")[:32]})
        embedding_factory(dimensions=32).get_text_embedding("abc")
        embedding_factory().get_text_embedding("abc")
        assert [body.get("dimensions") for body in wire.bodies] == [32, None]

    def test_b13_connections(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Twenty calls in a row share connections."""
        embedding = embedding_factory()
        for text in TEXTS[:20]:
            embedding.get_text_embedding(text)
        assert wire.connections <= 2

    def test_b14_pickle(self, embedding_factory: Factory) -> None:
        """A used model survives a pickle round trip and embeds."""
        embedding = embedding_factory()
        embedding.get_text_embedding("abc")
        assert near(pickle.loads(pickle.dumps(embedding)).get_text_embedding("abc"), vector("abc"))

    def test_b15_nothing(self, embedding_factory: Factory, wire: WireServer) -> None:
        """No texts, no request."""
        embedding = embedding_factory()
        assert embedding.get_text_embedding_batch([]) == run(embedding.aget_text_embedding_batch([])) == []
        assert not wire.requests

    @pytest.mark.parametrize("flavour", ["sync", "async"])
    def test_b16_events(self, embedding_factory: Factory, events: Events, flavour: str) -> None:
        """One start and one end per batch, without the key."""
        embedding = embedding_factory(embed_batch_size=10)
        if flavour == "async":
            run(embedding.aget_text_embedding_batch(TEXTS))
        else:
            embedding.get_text_embedding_batch(TEXTS)
        assert (events.count("EmbeddingStartEvent"), events.count("EmbeddingEndEvent")) == (3, 3)
        assert not [event for event in events.events if KEY in texts_of(event)]

    def test_b17_missing_key(self, provider: Provider, wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a key it fails, names the variable, and sends nothing."""
        if provider.embedding is None:
            pytest.skip("the provider has no embedding model")
        monkeypatch.delenv(provider.key_variable, raising=False)
        with pytest.raises(Exception, match=provider.key_variable):
            provider.embedding(api_base=ELSEWHERE).get_text_embedding("abc")
        assert not wire.requests

    def test_b18_timeout(self, embedding_factory: Factory, wire: WireServer) -> None:
        """The timeout is enforced."""
        wire.delay(60)
        with pytest.raises(Exception, match=r"(?i)time"):
            embedding_factory(timeout=0.5, max_retries=0).get_text_embedding("abc")

    def test_b19_verbatim(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Texts are sent as they are, with their line breaks."""
        embedding_factory().get_text_embedding_batch(["a\nb", " c "])
        assert wire.bodies[0]["input"] == ["a\nb", " c "]

    def test_b20_roles_in_the_cache(self, embedding_factory: Factory) -> None:
        """In a cache, a query never gets the vector of a passage."""
        store = SimpleKVStore()
        embedding = embedding_factory(embeddings_cache=store, query_instruction="question", text_instruction="passage")
        passage = embedding.get_text_embedding("abc")
        assert not near(embedding.get_query_embedding("abc"), passage)
        assert near(embedding.get_text_embedding("abc"), passage)

    def test_x20_models_in_the_cache(self, embedding_factory: Factory, wire: WireServer) -> None:
        """Two models that share a cache do not get each other's vectors."""
        store = SimpleKVStore()
        for name in ("model-a", "model-b", "model-a"):
            embedding_factory(embeddings_cache=store, model_name=name).get_text_embedding("abc")
        assert [body["model"] for body in wire.bodies] == ["model-a", "model-b"]

    def test_x21_limiter_with_a_cache(self, embedding_factory: Factory) -> None:
        """A rate limiter is acquired for each request, also asynchronously and with a cache."""
        if "rate_limiter" not in BaseEmbedding.model_fields:
            pytest.skip("this LlamaIndex has no rate limiters")
        from .instrumentation import CountingLimiter

        limiter = CountingLimiter()
        embedding = embedding_factory(embeddings_cache=SimpleKVStore(), rate_limiter=limiter, embed_batch_size=10)
        run(embedding.aget_text_embedding_batch(TEXTS))
        assert limiter.count == 3

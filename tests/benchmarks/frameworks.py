"""Operations that the benchmarks of both frameworks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tests.benchmarks import payloads, raw
from tests.benchmarks.measure import Bench, Builder, Goal, Operation, Row, Work

PEER_FRACTION: Final = 50
"""Peers send one request for each document, so they embed this many times fewer."""


def in_both_flavours(framework: str, name: str, build: Callable[..., Operation], **settings: Any) -> dict[str, Builder]:
    """Return an operation for each flavour, `invoke` and `ainvoke` for example."""
    return {
        f"{framework} {prefix}{name}": partial(build, asynchronous=asynchronous, **settings)
        for prefix, asynchronous in (("", False), ("a", True))
    }


def embedding(
    name: str, bench: Bench, embed: Callable[[Any, list[str]], Work], model: Any, peers: dict[str, Any], goal: float
) -> Operation:
    """Return the embedding of many documents, against raw httpx."""
    texts = payloads.documents(10_000)
    peer_works = {peer: embed(peer_model, texts[: len(texts) // PEER_FRACTION]) for peer, peer_model in peers.items()}
    base = raw.embed(bench, "documents", texts)
    return Operation(name, embed(model, texts), (base,), Goal(goal), per=len(texts), peers=peer_works, peer_share=PEER_FRACTION)


def embedding_requests(name: str, bench: Bench, embed: Callable[[Any, list[str]], Work], model: Any) -> Row:
    """Return the number of requests for many documents."""
    texts = payloads.documents(10_000)
    counts = [bench.requests(embed(model, texts)), bench.requests(raw.embed(bench, "documents", texts))]
    return Row(name, "requests", counts[0], counts[1], (counts[0] / counts[1],), Goal(80, "value"))


def construction(name: str, make: Callable[[], Any], fake: type, make_peers: Callable[[], dict[str, Any]]) -> Operation:
    """Return the construction of a model, against that of a fake one."""
    peer_works = dict.fromkeys(make_peers(), _discard(make_peers))
    return Operation(name, _discard(make), (_discard(fake),), Goal(1, "value"), "ms", peers=peer_works)


def _discard(make: Callable[[], Any]) -> Work:
    """Return a work without a result, because results of works are compared."""

    def work() -> None:
        make()

    return work

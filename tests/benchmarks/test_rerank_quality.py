"""A few questions of the rerank benchmark: a chat model that never errs gives the best order, one that errs a good one."""

from __future__ import annotations

import pytest

from tests.benchmarks import rerank_quality


def test_rerank_by_an_oracle() -> None:
    cases = rerank_quality.questions(5)
    assert len(cases) >= 4  # each Python has another edition of the reference
    table = {(row.method, row.noise): row for row in rerank_quality.rows(cases, (0.0, 0.3))}
    lexical, best = table["lexical order (BM25)", None], table["best order of the candidates", None]
    assert lexical.ndcg < best.ndcg - 0.1
    for method, requests in (("listwise", 4), ("pointwise", 50)):
        exact, noisy = table[method, 0.0], table[method, 0.3]
        assert (exact.ndcg, exact.recall) == pytest.approx((best.ndcg, best.recall))
        assert lexical.ndcg - 0.1 < noisy.ndcg < exact.ndcg
        assert exact.requests == noisy.requests == requests
        assert exact.dollars > table["rerank", None].dollars > 0

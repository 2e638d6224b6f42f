"""The floor of what the demo finds and answers, below the values measured with Python 3.11: other Pythons have other editions."""

from __future__ import annotations

from tests.benchmarks.search_quality import measure


def test_quality_of_the_test_questions() -> None:
    quality = measure("test")
    assert quality.answerable >= 55
    assert quality.hits_4 >= 0.75 * quality.answerable
    assert quality.reranked_4 >= 0.8 * quality.answerable
    assert quality.reranked_1 >= 0.52 * quality.answerable
    assert quality.reranked_1 > quality.hits_1  # a rerank helps
    assert quality.reranked_4 > quality.hits_4
    assert quality.right >= 0.38 * quality.answerable
    assert quality.refused_rightly >= 0.9 * quality.unanswerable
    assert quality.wrong <= 0.07 * (quality.answerable + quality.unanswerable)

"""`rerank`: arguments, a file of documents, and invalid documents."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, one_error


def test_rerank(run: Run, tmp_path: Path) -> None:
    options = ("rerank", "a cat", "--model", "acme/ranker")
    table = run(*options, "a dog in the sun", "a cat on a mat", "--top-n", 1)
    assert table.out.splitlines()[1].endswith("1  a cat on a mat")
    objects = tmp_path / "documents.jsonl"
    objects.write_text('{"title": "dogs"}\n{"title": "cat"}\n', "utf-8")
    response = run(*options, "--documents-file", objects, "--rank-field", "title", "--json").json
    assert response["results"][0]["index"] == 1
    objects.write_text('{"title": "dogs"}\n{"title"\n', "utf-8")
    assert "line 2" in one_error(run(*options, "--documents-file", objects, code=1))
    assert "no documents" in one_error(run(*options, code=2))


def test_rerank_by_a_chat_model(run: Run) -> None:
    options = ("rerank", "a cat", "a dog in the sun", "a cat on a mat", "--model", "Qwen/Qwen3.5-9B")
    listwise = run(*options)
    assert listwise.out.splitlines()[1].split() == ["1.0000", "1", *"a cat on a mat".split()]
    assert "tokens" in listwise.err
    scores = [result["relevance_score"] for result in run(*options, "--method", "pointwise", "--json").json["results"]]
    assert 1 > scores[0] > 0.5 > scores[1] > 0
    assert "pointwise" in one_error(run(*options, "--method", "best", code=2))

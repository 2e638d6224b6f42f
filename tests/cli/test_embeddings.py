"""`embeddings`: a table of vectors, and the complete response as JSON."""

from __future__ import annotations

from tests.cli.conftest import Run
from together_adapters.emulator import Emulator


def test_embeddings(run: Run, emulator: Emulator) -> None:
    options = ("embeddings", "--model", "BAAI/bge-base-en-v1.5", "first", "-")
    table = run(*options, input="second\n\nthird\n")
    assert [line.split()[1] for line in table.out.splitlines()] == ["Text", "first", "second", "third"]
    document = run(*options, "--json", input="second\n").json
    assert [len(item["embedding"]) for item in document["data"]] == [768, 768]
    assert emulator.requests[0].json["input"] == ["first", "second", "third"]

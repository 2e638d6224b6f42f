"""`ft stats`: tables, a plot, and bars without block characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, conversation, one_error


def test_statistics(run: Run, many: Path, tmp_path: Path) -> None:
    many.write_text(many.read_text("utf-8") + conversation(1), "utf-8")
    (tmp_path / "validation.jsonl").write_text(conversation(2) + conversation(100), "utf-8")
    pytest.importorskip("matplotlib")
    result = run("ft", "stats", many, "--validation", "validation.jsonl", "--price", 5, "--epochs", 2, "--picture", "p.svg")
    assert "61 rows (conversation)" in result.out.splitlines()[0]
    facts = {line[:14].strip(): line[14:].strip() for line in result.out.splitlines()[1:13] if line}
    assert facts["duplicates"] == "1"
    assert facts["leakage"] == "1 exact, 1 prompt"
    assert facts["trained on"].endswith("% of the characters")
    assert "estimated cost" in facts
    assert "messages per row" in result.out
    assert "█" in result.out
    assert (tmp_path / "p.svg").read_text("utf-8").startswith("<?xml")
    assert "--overwrite" in one_error(run("ft", "stats", many, "--picture", "p.svg", code=2))
    assert ".png" in one_error(run("ft", "stats", many, "--picture", "p.gif", code=2))
    assert run("ft", "stats", "-", "--json", input=many.read_text("utf-8")).json["duplicates"] == 1


def test_statistics_of_an_invalid_file(run: Run, faulty: Path) -> None:
    result = run("ft", "stats", faulty, code=1)
    assert "cannot be used" in result.out
    assert "json_syntax" in result.out


def test_bars_in_ascii(run: Run, many: Path) -> None:
    result = run("ft", "stats", many, PYTHONIOENCODING="ascii")
    assert "####" in result.out
    assert result.out.isascii() and "\\u" not in result.out

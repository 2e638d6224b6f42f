"""`ft stats`: tables, a plot, and bars without block characters."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, conversation, one_error


def test_statistics(run: Run, many: Path, tmp_path: Path) -> None:
    many.write_text(many.read_text("utf-8") + conversation(1), "utf-8")
    (tmp_path / "validation.jsonl").write_text(conversation(2) + conversation(100), "utf-8")
    done = run("ft", "stats", many, "--validation", "validation.jsonl", "--price", 5, "--epochs", 2, "--picture", "p.svg")
    assert "61 rows (conversation)" in done.out.splitlines()[0]
    told = {line[:14].strip(): line[14:].strip() for line in done.out.splitlines()[1:13] if line}
    assert told["duplicates"] == "1"
    assert told["leakage"] == "1 exact, 1 prompt"
    assert told["trained on"].endswith("% of the characters")
    assert "estimated cost" in told
    assert "messages per row" in done.out
    assert "█" in done.out
    assert (tmp_path / "p.svg").read_text("utf-8").startswith("<?xml")
    assert "--overwrite" in one_error(run("ft", "stats", many, "--picture", "p.svg", code=2))
    assert ".png" in one_error(run("ft", "stats", many, "--picture", "p.gif", code=2))
    assert run("ft", "stats", "-", "--json", input=many.read_text("utf-8")).json["duplicates"] == 1


def test_statistics_of_an_invalid_file(run: Run, faulty: Path) -> None:
    done = run("ft", "stats", faulty, code=1)
    assert "cannot be used" in done.out
    assert "json_syntax" in done.out


def test_bars_in_ascii(run: Run, many: Path) -> None:
    done = run("ft", "stats", many, PYTHONIOENCODING="ascii")
    assert "####" in done.out
    assert done.out.isascii() and "\\u" not in done.out

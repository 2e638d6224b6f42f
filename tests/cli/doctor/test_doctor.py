"""`doctor` against emulators: whole, with planted differences, and as data for another emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import KEY, Run, one_error
from together_adapters.cli.doctor.questions import QUESTIONS
from together_adapters.emulator import Behaviour, Emulator, Fault, serve

CHAT = "openai/gpt-oss-120b"


@pytest.fixture(scope="module")
def strict() -> Iterator[Emulator]:
    with serve(behaviour=Behaviour(strict=True)) as emulator:
        yield emulator


def test_passes_against_the_emulator(run: Run, strict: Emulator, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f'llm = ChatTogether(model="{CHAT}")\n')
    page = run("doctor", "program.py", TOGETHER_BASE_URL=strict.base_url).out
    assert strict.errors == []
    lines = page.splitlines()
    assert lines[0].startswith("# together-adapters doctor, ")
    assert f"- host: {strict.base_url}" in lines and "- key: sk-... (27 characters)" in lines
    assert "- project: Emulated project" in lines
    assert "- key: 3 characters, without a prefix" in run("doctor", TOGETHER_BASE_URL=strict.base_url, TOGETHER_API_KEY="any").out
    assert any(line.startswith(f"- {CHAT}: served") and line.endswith("in the catalogue, answers") for line in lines)
    assert "- x-ratelimit-limit: 200" in lines
    assert all(f"- {probe.name}: {probe.question} " in page for probe in QUESTIONS)
    assert lines[-2:] == ["", "- nowhere in what both have shown"]


def test_a_planted_difference_is_named_and_an_emulator_as_recorded_has_none(run: Run, tmp_path: Path) -> None:
    planted = Behaviour(strict=True, cached_tokens="flat", finish="eos", usage="separate", null_content=True)
    with serve(behaviour=planted) as emulator:
        report = run("doctor", "--record", "seen", "--json", TOGETHER_BASE_URL=emulator.base_url).json
        assert emulator.errors == []
    assert {(each["name"], each["fact"]) for each in report["differences"]} == {
        ("chat", "cached_tokens"),
        ("chat-stream", "usage"),
        ("chat-stream", "null_content"),
        ("finish-reasons", "finish_reasons"),
    }
    record = json.loads((tmp_path / "seen" / "doctor.json").read_text("utf-8"))
    assert record["facts"]["chat"]["cached_tokens"] == "flat" and "payment" in record["not_seen"]
    with serve(as_recorded=tmp_path / "seen") as emulator:
        again = run("doctor", "--as-recorded", "seen", "--json", TOGETHER_BASE_URL=emulator.base_url).json
    assert again["differences"] == [] and again["calls"] == report["calls"]


def test_secrets_in_errors_are_left_out(run: Run, strict: Emulator, tmp_path: Path) -> None:
    message = f"{KEY} of ann@example.org may not do that"
    strict.inject(Fault("403", path="/v1/chat/completions", times=20, message=message))
    page = run("doctor", "--no-compare", "--record", "seen", TOGETHER_BASE_URL=strict.base_url).out
    strict.clear()
    assert "may not do that" in page
    for text in (page, (tmp_path / "seen" / "doctor.json").read_text("utf-8")):
        assert KEY not in text and "ann@" not in text


def test_what_ends_it(run: Run, strict: Emulator) -> None:
    url = {"TOGETHER_BASE_URL": strict.base_url}
    assert "Check TOGETHER_API_KEY" in one_error(run("doctor", code=3, TOGETHER_API_KEY="bad-key", **url))
    assert "404" in run("doctor", "--no-compare", "acme/does-not-exist", code=1, **url).out
    assert "more than $0" in one_error(run("doctor", "--max-price", "0", code=1, **url))
    assert "is not the name of a model" in one_error(run("doctor", "missing.py", code=2, **url))

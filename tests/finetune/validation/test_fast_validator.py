"""Both engines give the same report, to the last count."""

from __future__ import annotations

import json
import random
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.finetune.validation.engines import FAST_VALIDATOR, SEEDS, lines, reports, rows_with_tools
from together_adapters.finetune import check_jsonl
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.records import Row
from together_adapters.finetune.validation.check_row import validate_training_row
from together_adapters.finetune.validation.token_lengths import token_counter

pytestmark = pytest.mark.long

pytest.importorskip("msgspec")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"limits": {"max_seq_length_sft": 3, "max_seq_length_dpo": 2}},
    {"max_issues": 3},
    {"method": "sft"},
]


@pytest.fixture(params=["msgspec", "python"])
def engine(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setitem(sys.modules, FAST_VALIDATOR, None)
    return str(request.param)


@pytest.mark.parametrize("form", SEEDS)
@pytest.mark.parametrize("seed", range(4))
def test_equal_for_random_lines(form: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(f"{form}{seed}")
    for number in (1, 2, 3, 40, 200, 300):
        data = b"\n".join(lines(chance, form, number)) + chance.choice((b"", b"\n"))
        fast, slow = reports(monkeypatch, data, **chance.choice(OPTIONS))
        assert fast == slow


ROLE = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
TEXT: Any = st.one_of(st.none(), st.text(max_size=6), st.just(" "), st.just([{"type": "text", "text": "x"}]), st.just([]))
CALL = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b", ""]), "type": st.just("function"), "function": st.fixed_dictionaries(
        {"name": st.sampled_from(["add", "sub"]), "arguments": st.sampled_from(["{}", "[]", "x", '{"a": "é"}'])})}
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": ROLE, "content": TEXT},
    optional={"weight": st.sampled_from([0, 1, 1.0, None, 2]), "name": st.text(max_size=2), "reasoning": st.text(max_size=3),
              "tool_calls": st.lists(CALL, max_size=2), "tool_call_id": st.sampled_from(["a", "b"])},
)  # fmt: skip
TOOLS = st.sampled_from([None, [], [{"type": "function", "function": {"name": "add"}}], [{"type": "function"}]])
ROW = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=5)}, optional={"tools": TOOLS, "weight": st.sampled_from([0, 1, 0.5, -1])}
)


@pytest.mark.long
@given(rows=st.lists(ROW, max_size=4), ascii=st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_equal_for_generated_rows(rows: list[Row], ascii: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    json_lines = [SEEDS["conversation"][0], *(json.dumps(row, ensure_ascii=ascii).encode() for row in rows)]
    fast, slow = reports(monkeypatch, b"\n".join(json_lines))
    assert fast == slow


@pytest.mark.parametrize("line", [line for some in SEEDS.values() for line in some])
def test_lengths_are_those_of_the_estimate(line: bytes) -> None:
    row, notes = json.loads(line), RowFindings()
    validate_training_row(notes, row)
    assert notes.items == []
    assert -(-notes.chars // 4) == token_counter()(row)
    assert 0 < notes.trained_chars <= notes.chars


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("are_usual", [True, False])
def test_equal_for_rows_with_tools_of_their_own(seed: int, are_usual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_with_tools(random.Random(f"{seed}{are_usual}"), are_usual)
    fast, slow = reports(monkeypatch, b"\n".join(rows))
    assert fast == slow
    assert 0 < fast["valid"] < 900


def hostile(kind: str) -> bytes:
    good = SEEDS["conversation"][0]
    line = {
        "deep": b'{"messages": ' + b"[" * 100_000,
        "deep tools": b'{"tools": ' + b"[" * 300 + b"]" * 300 + b', "messages": []}',
        "deep parameters": good.removesuffix(b"}") + b', "tools": [{"type": "function", "function": {"name": "a", "parameters":'
        b' {"items": ' + b'{"items": ' * 300 + b"{}" + b"}" * 303 + b"]}",
        "digits": b'{"messages": [], "weight": ' + b"9" * 5000 + b"}",
        "infinite": b'{"messages": [], "weight": 1e999}',
        "nan": b'{"messages": [], "weight": NaN}',
        "surrogate": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        "garbage": random.Random(1).randbytes(5000).replace(b"\n", b""),
        "nul": b"\0" * 1000,
        "long": b'{"messages": [{"role": "user", "content": "' + b"x" * 10_000_000 + b'"}]}',
        "numbers": b'{"messages": [' + b"1," * 20_000 + b"1]}",
        "utf-16": '{"messages": []}'.encode("utf-16"),
    }[kind]
    return b"\n".join([good, line, good])


@pytest.mark.parametrize(
    "kind",
    [
        "deep",
        "deep tools",
        "deep parameters",
        "digits",
        "infinite",
        "nan",
        "surrogate",
        "garbage",
        "nul",
        "long",
        "numbers",
        "utf-16",
    ],
)
def test_hostile_lines_are_issues_and_do_not_raise(kind: str, engine: str, tmp_path: Path) -> None:
    (path := tmp_path / "x.jsonl").write_bytes(hostile(kind))
    report = check_jsonl(path)
    assert (report.rows, report.valid, report.engine) == (3, 2, engine)
    assert {issue.line for issue in report.issues} == {2}
    assert all(len(issue.excerpt) <= 80 for issue in report.issues)


def test_carriage_returns(engine: str, tmp_path: Path) -> None:
    good = SEEDS["conversation"][0]
    (path := tmp_path / "x.jsonl").write_bytes(good + b"\r\n" + good.replace(b", ", b",\r ") + b"\r\n")
    report = check_jsonl(path)
    assert (report.ok, report.rows, report.issues) == (True, 2, [])


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("broken", ["GG\nB\nB", "GG\nC", "B\nBG", "\nGG", "GG\n", "G G\nB\n B", " G\nG", "G \nG", "G\n\nGG"])
def test_a_row_in_two_lines_and_two_rows_in_one(broken: str, long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    good = b'{"text": "%s"}' % (b"x" * (2000 if long else 1))
    row = (
        broken.encode()
        .replace(b"G", good)
        .replace(b"C", good.replace(b": ", b":\n"))
        .replace(b"B\nB", good.replace(b": ", b":\n"))
    )
    fast, slow = reports(monkeypatch, b"\n".join([good] * 5 + [row] + [good] * 5))
    assert fast == slow


def test_memory_is_constant(engine: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with path.open("wb") as file:
        for _ in range(60):
            file.write(b"\n".join([*SEEDS["conversation"] * 20, b"{}", b""]))
    check_jsonl(path)
    tracemalloc.start()
    report = check_jsonl(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.rows == 60 * (6 * 20 + 1)
    assert peak < 12_000_000


def test_a_file_that_cannot_be_read(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "x.jsonl").write_bytes(SEEDS["general"][0])

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    report = check_jsonl(path)
    assert [issue.code for issue in report.issues] == ["file_unreadable"]


def test_a_file_that_grows_and_shrinks_while_it_is_read(engine: str, tmp_path: Path) -> None:
    line = SEEDS["conversation"][0] + b"\n"
    path = tmp_path / "x.jsonl"
    for change in (lambda file: file.write(line * 100), lambda file: file.truncate(300_000)):
        path.write_bytes(line * 5000)

        def alter(_: Any, change: Any = change) -> None:
            with path.open("ab") as file:
                change(file)

        report = check_jsonl(path, progress=alter)
        assert report.rows >= 500
        assert report.rows - report.valid <= 1

"""Usual rows, which are written at once, give the same bytes and the same report as all others, which are prepared one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.validation.engines import SEEDS, lines, rows_with_tools
from together_adapters.finetune import Fixes, load, write_jsonl
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.records import Row
from together_adapters.finetune.writing import row_writer
from together_adapters.finetune.writing.prepare_row import RowPreparer

pytest.importorskip("msgspec")
TEXTS = [
    "", " ", "é", "a < b", "<|im_start|>", "[1] note", "{a}", '{"name": 1}', '[{"name":"add"}]', "[add(a=1)]", "[INST] hi [/INST]",
    '<tool_call>{"name":"add","arguments":{}}</tool_call>', 'Action: add\nAction Input: {"a":1}', '{"tool":"add","parameters":{}}',
    "say {x} [y] <z>", "<tools>[]</tools>", "<arg_key>a</arg_key>", "FUNCTION RESPONSE: 1", "\x00", "\\u0000", "\x7f\x1f", "\ud800",
]  # fmt: skip
COLUMNS: list[Row] = [
    {}, {"id": "1"}, {"id": None, "source": "web"}, {"id": "", "metadata": {"a": [1]}}, {"score": 1}, {"own": "x"}, {"text": "x"},
    {"weight": 1}, {"weight": 0.5}, {"system": "s"}, {"label": True}, {"functions": []},
]  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("add", "sub")]
LIMITS = {"max_seq_length_sft": 12, "max_seq_length_dpo": 9}
DROP = Fixes(on_error="drop")
OPTIONS: list[dict[str, Any]] = [
    {"fixes": DROP}, {}, {"fixes": Fixes(on_error="collect"), "max_issues": 3}, {"fixes": DROP, "method": "dpo"},
    {"fixes": Fixes(on_error="drop", strip_nulls=False, strip_columns=False)}, {"fixes": DROP, "tokenizer": len},
    {"fixes": Fixes(on_error="drop", reasoning="drop", null_arguments="drop", unknown_fields="drop")},
    {"fixes": Fixes(on_error="drop", merge_consecutive=True, trim_trailing=True, leading_assistant="drop", normalize_calls=False)},
    {"fixes": DROP, "limits": LIMITS}, {"fixes": Fixes(on_error="drop", too_long="drop"), "limits": LIMITS},
    {"fixes": Fixes(on_error="drop", too_long="keep"), "limits": LIMITS}, {"max_bytes": 500},
    {"fixes": DROP, "severities": {"mixed_formats_across_lines": "warning", "extra_column": "error"}},
]  # fmt: skip


def outcome(make: Callable[[], TrainingData], path: Path, **options: Any) -> Any:
    """Returns everything that can be seen of writing: the bytes, and the report or the error."""
    try:
        file = write_jsonl(make(), path, overwrite=True, **options)
    except Exception as error:
        report = getattr(error, "report", None)
        return type(error).__name__, str(error), report and report.model_dump_json()
    return path.read_bytes() if file.written else b"", file.report.model_dump_json()


def assert_same(make: Callable[[], TrainingData], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    usual = outcome(make, path, **options)
    with monkeypatch.context() as patch:
        patch.setattr(row_writer, "_usual_rows", lambda _: None)
        assert usual == outcome(make, path, **options)
    return usual


class Records:
    """Random records of a kind: most are usual."""

    def __init__(self, kind: str, seed: int) -> None:
        self.chance = random.Random(f"{kind}{seed}")
        self.kind = kind
        self.odd_text = self.chance.choice((0, 0.05, 0.3))
        self.columns = self.chance.choice((0, 0.05, 1))

    def text(self, usual: str) -> str:
        return self.chance.choice(TEXTS) if self.chance.random() < self.odd_text else usual

    def answer(self, **fields: Any) -> Row:
        chance = self.chance
        odd: list[Row] = [{"weight": 1}, {"weight": 1.0}, {"name": "b"}, {"name": ""}, {"tool_calls": []}, {"tool_calls": None}, {"refusal": None},
               {"reasoning": "r"}, {"reasoning": ""}, {"reasoning_content": "r"}, {"content": [{"type": "text", "text": "x"}]}]  # fmt: skip
        fields |= chance.choice(odd) if chance.random() < self.odd_text else {}
        message = {"role": "assistant", "content": self.text("fine"), **fields}
        return dict(reversed(message.items())) if chance.random() < 0.1 else message

    def calls(self) -> list[Row]:
        chance = self.chance
        arguments = chance.choice(('{"a": 1}', '{"a": null}', "[]")) if chance.random() < self.odd_text else '{"a": 1}'
        functions = [{"name": chance.choice(("add", "sub")), "arguments": arguments} for _ in range(chance.randint(1, 2))]
        calls = [{"id": f"c{number}", "type": "function", "function": one} for number, one in enumerate(functions)]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": self.text('{"b": 2}')} for call in calls]
        message = self.answer(content=chance.choice((None, None, "", "let me")), tool_calls=calls)
        return [message, *results]

    def messages(self) -> list[Row]:
        chance = self.chance
        messages = [{"role": "system", "content": self.text("help")}] if chance.random() < 0.5 else []
        for _ in range(chance.randint(1, 2)):
            messages += [{"role": "user", "content": self.text("what?")}]
            messages += self.calls() if self.kind == "tools" and chance.random() < 0.6 else []
            messages += [self.answer()]
        if chance.random() < self.odd_text:
            messages[0]["role"] = chance.choice(("developer", "assistant"))
        return messages

    def tools(self) -> list[Any]:
        odd: list[Any] = [[], TOOLS[:1], [*TOOLS, TOOLS[0]], [TOOLS[0]["function"]], [{**TOOLS[0], "x": None}], [*TOOLS, {}],
               [{"type": "function", "function": {"name": "add", "parameters": {"default": 1e22, "x": [2**70, 0.5, None]}}}, TOOLS[1]],
               [{"type": "function", "function": {"name": "add", "description": None}}, TOOLS[1]]]  # fmt: skip
        return self.chance.choice(odd) if self.chance.random() < self.odd_text else TOOLS

    def record(self) -> Row:
        kind, text = self.kind, self.text
        if kind in ("messages", "tools"):
            record: Row = {"messages": self.messages()} | ({"tools": self.tools()} if kind == "tools" else {})
        elif kind == "sharegpt":
            names = {"user": ("human", "user"), "assistant": ("gpt", "assistant")}
            record = {"conversations": [
                {"from": self.chance.choice(names.get(one["role"], ("system",))), "value": one["content"]} for one in self.messages()
            ]}  # fmt: skip
        elif kind == "prompt_completion":
            record = {"prompt": text("q"), "completion": text("a")}
        elif kind == "alpaca":
            record = {"instruction": text("q"), "input": text("i"), "output": text("a")}
        elif kind == "text":
            record = {"text": text("t")}
        elif kind == "pair":
            record = {"prompt": text("q"), "chosen": text("a"), "rejected": text("b")}
        else:
            question = {"messages": self.messages()[:-1]}
            answers = [[self.answer(content=text(one))] for one in "ab"]
            record = {"input": question, "preferred_output": answers[0], "non_preferred_output": answers[1]}
        return record | (self.chance.choice(COLUMNS) if self.chance.random() < self.columns else {})


KINDS = ["messages", "tools", "sharegpt", "prompt_completion", "alpaca", "text", "pair", "preference"]
SCHEMAS = {"tools": "openai", "pair": "preference"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_files_of_records(kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random_records = Records(kind, seed)
    chance = random_records.chance
    records = [random_records.record() for _ in range(chance.choice((1, 3, 40, 400)))]
    if chance.random() < 0.3:
        records = [record | COLUMNS[seed] for record in records]
    dump: Row = {"ensure_ascii": chance.random() < 0.5, "separators": chance.choice(((", ", ": "), (",", ":")))}
    texts = [json.dumps(record, **dump).encode("utf-8", "surrogatepass") for record in records]
    texts = [chance.choice((b"", b" ", one + b" ", b"[]", one[:-1])) if chance.random() < 0.01 else one for one in texts]
    end = chance.choice((b"\n", b"\r\n"))
    (path := tmp_path / "data.jsonl").write_bytes(end.join(texts) + chance.choice((b"", end)))
    for options in [OPTIONS[0], *chance.sample(OPTIONS, 3)]:
        assert_same(lambda: load(path), tmp_path / "a.jsonl", monkeypatch, **options)
        schema = SCHEMAS.get(kind, kind)
        assert_same(lambda name=schema: load(path, schema=name), tmp_path / "a.jsonl", monkeypatch, **options)  # type: ignore[misc]
        assert_same(lambda: TrainingData.from_rows(records), tmp_path / "a.jsonl", monkeypatch, **options)


@pytest.mark.parametrize("form", SEEDS)
@pytest.mark.parametrize("seed", range(3))
def test_files_of_damaged_lines(form: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(f"{form}{seed}")
    (path := tmp_path / "data.jsonl").write_bytes(b"\n".join(lines(chance, form, chance.choice((2, 40, 300)))))
    for options in [OPTIONS[0], *chance.sample(OPTIONS, 2)]:
        assert_same(lambda: load(path), tmp_path / "a.jsonl", monkeypatch, **options)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("are_usual", [True, False])
def test_files_with_tools_of_their_own(seed: int, are_usual: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(f"{seed}{are_usual}")
    (path := tmp_path / "data.jsonl").write_bytes(b"\n".join(rows_with_tools(chance, are_usual)))
    for options in [OPTIONS[0], *chance.sample(OPTIONS, 2)]:
        assert_same(lambda: load(path), tmp_path / "a.jsonl", monkeypatch, **options)


def test_usual_rows_are_not_prepared_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RowPreparer, "prepare", None)
    chat = [{"role": "user", "content": "What does <b> mean?"}, {"role": "assistant", "content": "It means [bold]: {b}."}]
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    called = [chat[0], {"role": "assistant", "content": None, "tool_calls": [call]}]
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    for record in (
        {"messages": chat}, {"id": 7, "messages": chat, "source": ""}, {"messages": called, "tools": TOOLS}, {"text": "t", "id": "x"},
        {"conversations": turns}, {"conversations": turns, "id": "x"}, {"prompt": "q", "completion": "a"},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"input": {"messages": chat[:1]}, "preferred_output": chat[1:], "non_preferred_output": [{"role": "assistant", "content": "b"}]},
    ):  # fmt: skip
        (path := tmp_path / "data.jsonl").write_text(json.dumps(record) + "\n")
        report = write_jsonl(load(path), tmp_path / "a.jsonl", overwrite=True).report
        assert (report.rows, report.valid) == (1, 1)
    (path := tmp_path / "data.csv").write_text("prompt,completion\nq,a\n")
    assert write_jsonl(load(path), tmp_path / "a.jsonl", overwrite=True).report.valid == 1

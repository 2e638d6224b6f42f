"""Files of many forms, read by `load` and by `ft prepare`: converted, refused with a way on, or left out by name.

The files and `expect.json`, which says what is right for each, are in the folder that TOGETHER_DATA_FORMS names.
"""

from __future__ import annotations

import json
import os
import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.conftest import environment
from tests.fork_server import ForkServer
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl

FOLDER = os.environ.get("TOGETHER_DATA_FORMS", "")
CASES: dict[str, Any] = json.loads((Path(FOLDER) / "expect.json").read_text("utf-8")) if FOLDER else {}
FLAG = re.compile(r"--(column|schema|pair|form|fix)[ =]([\w.=-]+)")
ARGUMENT = re.compile(r"\b(schema|pair|form)=['\"](\w+)['\"]")
COLUMNS = re.compile(r"\bcolumns=(\{.*?\})")
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class Outcome(NamedTuple):
    """The rows of a file, or None; and what its report or the error says."""

    rows: list[Any] | None
    text: str


def normalized(row: Any) -> Any:
    """A row without what may differ: the ids of calls, how JSON is spelt, the schemas of parameters, the names of results."""
    ids: dict[str, str] = {}

    def message(fields: dict[str, Any]) -> dict[str, Any]:
        fields = {key: value for key, value in fields.items() if value is not None}
        for call in fields.get("tool_calls", ()):
            call["id"] = ids.setdefault(call["id"], str(len(ids) + 1))
            call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]), sort_keys=True)
        if fields["role"] == "tool":
            fields.pop("name", None)
            fields["tool_call_id"] = ids.get(fields["tool_call_id"], fields["tool_call_id"])
        content = fields.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
            fields["content"] = content[0]["text"]
        if fields.get("tool_calls") and not fields.get("content"):
            fields.pop("content", None)
        return fields

    if isinstance(row, dict):
        row = {key: normalized(value) if key == "input" else value for key, value in row.items()}
        for key in ("messages", "preferred_output", "non_preferred_output"):
            if key in row:
                row[key] = [message(dict(fields)) for fields in row[key]]
        if {"prompt", "completion"} <= row.keys():
            row = {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for tool in row["tools"] if isinstance(row.get("tools"), list) else ():
            function = tool["function"]
            function.pop("description", None)
            function["parameters"] = {**NO_PARAMETERS, **(function.get("parameters") or {})}
            function["parameters"]["properties"] = dict.fromkeys(function["parameters"]["properties"])
    return row


def matches(value: Any, expected: Any) -> bool:
    """Whether a value is the one that is expected, which may be a choice, a pattern, or anything."""
    if expected == "$free":
        return True
    if isinstance(expected, dict) and "$any" in expected:
        return any(matches(value, one) for one in expected["$any"])
    if isinstance(expected, dict) and "$re" in expected:
        return isinstance(value, str) and re.fullmatch(expected["$re"], value, re.DOTALL) is not None
    if isinstance(expected, dict):
        keys = expected.keys() | (value.keys() if isinstance(value, dict) else set())
        return isinstance(value, dict) and all(matches(value.get(key), expected.get(key)) for key in keys)
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(matches, value, expected))
    return bool(value == expected)


def is_one_of(rows: list[Any], choices: list[Any]) -> bool:
    return any(matches([*map(normalized, deepcopy(rows))], [*map(normalized, deepcopy(choice))]) for choice in choices)


def flags_in(text: str, is_python: bool) -> list[tuple[str, str]]:
    """The flags that a message names; in Python also its arguments."""
    flags = FLAG.findall(text)
    if is_python and not flags:
        columns = [pair for columns in COLUMNS.findall(text) for pair in literal_eval(columns).items()]
        flags = ARGUMENT.findall(text) + [("column", "=".join(pair)) for pair in columns]
    return list(dict.fromkeys(flags))


def is_right(outcome: Outcome, want: dict[str, Any], retry: Callable[[str], Outcome]) -> bool:
    """Whether a file was converted, refused or left out as it should be; a flag that the message names is tried."""
    either = want.get("refuse_or_rows", {})
    if outcome.rows is None:
        patterns = [one["refuse"] for one in (want, either) if "refuse" in one]
        if any(re.search(pattern, outcome.text, re.IGNORECASE) for pattern in patterns):
            return True
        again = retry(outcome.text) if "flag" in want else outcome
        return again.rows is not None and is_one_of(again.rows, [want["flag"]["rows"]])
    choices = [one["rows"] for one in (want, either) if "rows" in one] + either.get("rows_any", [])
    if is_one_of(outcome.rows, choices):
        return all(name in outcome.text for name in want.get("named", ()))
    warn = want.get("warn")
    if isinstance(warn, str):
        return re.search(warn, outcome.text) is not None
    return warn is not None and is_one_of(outcome.rows, [warn["rows"]]) and re.search(warn["names"], outcome.text) is not None


def text_of(report: dict[str, Any]) -> str:
    """What a report tells people: what is left out, and its issues."""
    return "\n".join(
        [*report["left_out"], *(f"{issue['path']}: {issue['message']} {issue['hint']}" for issue in report["issues"])]
    )


def without_name(text: str, name: str) -> str:
    """A message without the name of the file, which is no explanation."""
    return text.replace(name, "FILE").replace(name.split(".", maxsplit=1)[0], "FILE")


def read_rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def keywords(flags: list[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    columns = dict(value.split("=", 1) for flag, value in flags if flag == "column")
    if columns:
        yield "columns", columns
    yield from ((flag, value) for flag, value in flags if flag in ("schema", "pair", "form"))


@pytest.fixture(params=["load", "ft prepare"])
def prepare(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Outcome]:
    out = tmp_path / "out.jsonl"

    def by_load(name: str, options: dict[str, Any], flags: list[tuple[str, str]]) -> Outcome:
        arguments = {key: value for key, value in options.items() if key != "cli"} | dict(keywords(flags))
        try:
            file = write_jsonl(load(Path(FOLDER) / name, **arguments), out)
        except DatasetError as error:
            return Outcome(None, without_name(str(error), name))
        return Outcome(read_rows(out), text_of(file.report.model_dump()))

    def by_command(name: str, options: dict[str, Any], flags: list[tuple[str, str]]) -> Outcome:
        arguments = [*options.get("cli", ()), *(text for flag, value in flags for text in (f"--{flag}", value))]
        warm: ForkServer = request.getfixturevalue("warm")
        arguments = ["ft", "prepare", str(Path(FOLDER) / name), "-o", str(out), "--json", *arguments]
        ended = warm.run(arguments, tmp_path, environment("http://127.0.0.1:1"), "")
        assert ended.returncode in (0, 1), ended.stderr
        report = text_of(json.loads(ended.stdout)) if ended.stdout else ""
        return Outcome(None if ended.returncode else read_rows(out), without_name(f"{report}\n{ended.stderr}", name))

    return by_load if request.param == "load" else by_command


@pytest.mark.skipif(not CASES, reason="TOGETHER_DATA_FORMS names no folder of files")
@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_or_refused_with_a_way_on(
    name: str, prepare: Callable[..., Outcome], request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    options = case.get("options", {})
    outcome = prepare(name, options, [])

    def retry(message: str) -> Outcome:
        flags = flags_in(message, is_python="load" in request.node.callspec.id)
        return prepare(name, options, flags) if flags else outcome

    assert is_right(outcome, case["want"], retry), outcome

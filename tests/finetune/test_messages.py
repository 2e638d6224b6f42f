"""Messages name arguments that exist, in Python; the command line says its flags instead, and these exist too."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import together_adapters.finetune as package
from tests.conftest import example_count
from together_adapters.cli.flags import with_flags
from together_adapters.cli.ft.jobs import submit
from together_adapters.cli.ft.prepare import parse_fixes, prepare, split
from together_adapters.cli.ft.reports import check
from together_adapters.errors import DatasetError
from together_adapters.finetune import Fixes, TrainingData, check_jsonl, load, start, write_jsonl
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.recording import RecordingFile

FOLDER: Final = Path(package.__file__).parent
ARGUMENT: Final = re.compile(r"(?<![\w.?&'\"-])([a-z]\w*)=(?![=<>])")
FUNCTIONS: Final = (load, write_jsonl, check_jsonl, start, Fixes, TrainingData.map, TrainingData.split, RecordingFile)
IN_PYTHON_ONLY: Final = frozenset({"fetch", "mode", "reason", "reasoning"})
"""Arguments of functions that the command line does not call, or functions themselves."""
COMMANDS: Final[tuple[click.Command, ...]] = (prepare, check, split, submit)


def texts_of(path: Path) -> Iterator[tuple[str, int]]:
    """The texts of a module that people may read, with their lines; {} stands for what is filled in."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    skipped = documentation | {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "'x'" for part in node.values), node.lineno


MESSAGES: Final = [
    pytest.param(text, id=f"{path.name}:{line}")
    for path in sorted(FOLDER.rglob("*.py"))
    for text, line in texts_of(path)
    if " " in text and ARGUMENT.search(text) and path.name != "plot.py" and not text.startswith(("'x'(", "<"))
]


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 20


@pytest.mark.parametrize("text", MESSAGES)
def test_a_message_names_arguments_that_exist_and_flags_on_the_command_line(text: str) -> None:
    known = {name for function in FUNCTIONS for name in inspect.signature(function).parameters}
    names = set(ARGUMENT.findall(text.replace("data.limit(tokens=...)", "")))
    assert names <= known, names - known
    on_command_line = [with_flags(text, command, prepare) for command in COMMANDS]
    assert any(not names_in(flags) - IN_PYTHON_ONLY and "Fixes(" not in flags for flags in on_command_line), on_command_line


def names_in(text: str) -> set[str]:
    return set(ARGUMENT.findall(re.sub(r"--[a-z-]+ \S+", "", text)))


def test_the_library_names_no_flags() -> None:
    flags = [
        (path.name, text) for path in FOLDER.rglob("*.py") for text, _ in texts_of(path) if re.search(r"(^|[\s(`])--[a-z]", text)
    ]
    assert not flags


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if "Fixes(" in rule.hint])
def test_fixes_of_hints_exist(code: str) -> None:
    for text in re.findall(r"Fixes\(.*?\)", RULES[code].hint):
        assert eval(text.replace("NAME", "'x'"), {"Fixes": Fixes})
    flags = re.findall(r"--fix (\S+)", with_flags(RULES[code].hint, prepare))
    parse_fixes(flags, "raise")


VALUES: Final = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=8)


@example_count(200)
@given(
    columns=st.dictionaries(st.sampled_from(["prompt", "completion", "chosen"]), VALUES, min_size=1),
    names=st.lists(VALUES, min_size=1),
)
def test_any_names_become_flags_that_a_shell_reads(columns: dict[str, str], names: list[str]) -> None:
    import shlex

    text = f"columns={columns!r} reads them; or fixes=Fixes(leave_out={names!r}, on_error='drop', merge_consecutive=True), so"
    flags = with_flags(text, prepare)
    first, _, rest = flags.partition(" reads them; or ")
    assert shlex.split(first) == [part for pair in columns.items() for part in ("--column", "=".join(pair))]
    words = [part for name in names for part in ("--leave-out", name)]
    assert shlex.split(rest.removesuffix(", so")) == [*words, "--on-error", "drop", "--fix", "merge_consecutive"]


def arguments_in(message: str) -> dict[str, Any]:
    """The arguments that a message names, as values."""
    values: dict[str, Any] = {}
    for match in re.finditer(r"\b(columns|schema|pair|form|fixes)=(\{.*?\}|'\w+'|Fixes\(.*?\))", message):
        values.setdefault(match[1], eval(match[2], {"Fixes": Fixes}))
    return values


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"riddle": "q", "lösung": "a"}], {"prompt": "q", "completion": "a"}),
        ([{"a question": "q", "zonk": "a", "id": 3}], {"prompt": "q", "completion": "a"}),
        ([{"text": "q", "outputs": "a"}], {"prompt": "q", "completion": "a"}),
        ([{"text": "q", "label": "a"}], {"prompt": "q", "completion": "a"}),
        ([{"text": "a", "the query": "q"}], {"prompt": "q", "completion": "a"}),
        (
            [{"traj": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "task": 3}],
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        ),
        ([{"prompt": "q", "completion": "a", "score": 3}], {"prompt": "q", "completion": "a"}),
        ([{"prompt": "q", "completion": "a", "score of it": 3}], {"prompt": "q", "completion": "a"}),
        (
            [{"prompt": "q", "completion": "a", "label": True}, {"prompt": "q", "completion": "b", "label": False}],
            {"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": [{"role": "assistant", "content": "a"}],
             "non_preferred_output": [{"role": "assistant", "content": "b"}]},
        ),
        (
            [{"messages": [{"role": "user", "content": "q"}, {"role": "user", "content": "r"}, {"role": "assistant", "content": "a"}]}],
            {"messages": [{"role": "user", "content": "q\n\nr"}, {"role": "assistant", "content": "a"}]},
        ),
        (
            [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "zonk": 1}]}],
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        ),
        (
            [{"messages": [{"role": "assistant", "content": "z"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}],
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
        ),
        (
            [{"instruction": "q", "completions": [{"response": "a", "score": 2}, {"response": "b", "score": 1}]}],
            {"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": [{"role": "assistant", "content": "a"}],
             "non_preferred_output": [{"role": "assistant", "content": "b"}]},
        ),
    ],
)  # fmt: skip
def test_the_arguments_that_an_error_names_give_the_rows(rows: list[Any], expected: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        write_jsonl(load(rows), tmp_path / "a.jsonl")
    arguments = arguments_in(str(caught.value))
    assert arguments, caught.value
    fixes = arguments.pop("fixes", None)
    fixes = None if arguments else fixes  # one way on is tried, the more exact one
    file = write_jsonl(load(rows, **arguments), tmp_path / "a.jsonl", fixes=fixes)
    assert [*load(file.path)] == [expected]

"""No text vanishes: each of generated records is in the file, under a name that the report counts, or in a row that is refused."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.finetune.formats.reading import says, user
from tests.finetune.formats.test_counts import GOOD
from together_adapters.finetune import Fixes, load, write_jsonl
from together_adapters.finetune.formats.registry import DATA_FORMATS

MARK: Final = re.compile(r"mark\d+x")
TEXTS: Final = re.compile(r"(?<![\w|\\])[a-dqt](?!\w)")
"""The one-letter texts of the patterns below; all other strings are words of a format."""
KEYS_OF_IDS: Final = frozenset({"traceId", "trace_id", "current_node", "parent", "key"})
ABOUT: Final = {
    "llm_runs": {"id"}, "langchain": {"id", "name"}, "chatgpt": {"id", "name", "metadata"}, "claude": {"created_at", "id"}, "oasst": {"model_name"},
    "otel": {"context"}, "langfuse": {"id", "created_at"},
}  # fmt: skip
"""Fields that the formats themselves know: ids, which name a trace or a message, and what an export tells of each message."""
NAMES: Final = (
    "zonk", "käse", "Blah Blah", "q1", "id", "source", "created_at", "quality_score", "metadata", "model_name", "label", "thought",
    "rejected", "context", "image_path", "score", "loss_mask", "systemPrompt", "critique", "annotations", "name", "audio", "tools_used",
)  # fmt: skip
CALL: Final = {"id": "i", "type": "function", "function": {"name": "f", "arguments": '{"x": "q"}'}}
TOOL: Final = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {"x": {"type": "string", "description": "d"}}},
    },
}
AGENT: Final = [
    {"role": "system", "content": "c"}, user([{"type": "text", "text": "q"}, {"type": "text", "text": "b"}]), says(tool_calls=[CALL], reasoning="c"),
    {"role": "tool", "tool_call_id": "i", "content": "t"}, says("a"),
]  # fmt: skip
EVENT: Final = {"name": "gen_ai.choice", "attributes": {"zonk": "q", "gen_ai.event.content": "c"}}


def is_map(place: dict[str, Any]) -> bool:
    """Whether the keys of an object are ids, or those of a pair in OTLP, which may have no others."""
    return all(key.isdigit() for key in place) or "stringValue" in place or place.keys() == {"key", "value"}


class Pattern(NamedTuple):
    """Records of one layout, and how they are loaded."""

    schema: str
    record: Any
    options: dict[str, Any] = {}


PATTERNS: Final = (
    *(Pattern(schema, GOOD[schema]) for schema in DATA_FORMATS),
    Pattern("messages", {"messages": AGENT, "tools": [TOOL]}),
    Pattern("messages", {"messages": [user(), {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"x": "q"}'}},
                                      {"role": "function", "name": "f", "content": "t"}, says()], "functions": [TOOL["function"]]}),
    Pattern("prompt_completion", {"prompt": [user()], "completion": [says()], "system": "c"}),
    Pattern("sharegpt", {"system": "c", "tools": json.dumps([TOOL]), "conversations": [
        {"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "q"}}'},
        {"from": "observation", "value": "t"}, {"from": "gpt", "value": "a"}]}),
    Pattern("alpaca", {"instruction": "q", "input": "c", "output": "a", "system": "b", "history": [["q", "a"]]}),
    Pattern("preference", {"prompt": [user()], "chosen": [says()], "rejected": [says("b")], "system": "c"}),
    Pattern("preference", {"messages": [user(), says()], "rejected_response": "b"}),
    Pattern("openai", {"input": {"messages": [user()], "tools": [TOOL]}, "preferred_output": [says()], "non_preferred_output": [says("b")]}),
    Pattern("preference", {"prompt": "q", "completions": [{"response": "a", "score": 3}, {"response": "b", "score": 2}, {"response": "c", "score": 1}]},
            {"pair": "best_vs_worst"}),
    Pattern("preference", {"instruction": "q", "responses": ["a", "b"], "scores": [1, 2]}, {"pair": "best_vs_worst"}),
    Pattern("otel", {"name": "chat", "attributes": {"gen_ai.request.model": "m", "zonk": "q", "gen_ai.input.messages": [user()], "gen_ai.output.messages": [says()]},
                     "events": [EVENT], "resource": {"attributes": {"zonk.resource": "c"}}}),
    Pattern("otel", {"resourceSpans": [{"resource": {"attributes": [{"key": "service.zonk", "value": {"stringValue": "c"}}]}, "scopeSpans": [
        {"scope": {"name": "s", "zonk": "c"}, "spans": [{"traceId": "t", "attributes": [
            {"key": "gen_ai.input.messages", "value": {"stringValue": json.dumps([user()])}},
            {"key": "gen_ai.output.messages", "value": {"stringValue": json.dumps([says()])}},
            {"key": "käse", "value": {"stringValue": "b"}}]}]}]}]}),
    Pattern("langfuse", {"id": "trace-1", "käse": "b", "observations": [{"type": "GENERATION", "traceId": "t", "input": {"messages": AGENT[:2], "tools": [TOOL]}, "output": says()}]}),
    Pattern("labelled_rag", {"zonk": "b", "examples": [GOOD["labelled_rag"]]}),
    Pattern("llm_runs", {"run_type": "llm", "inputs": {"messages": [AGENT[:2]], "zonk": "b"}, "extra": {"invocation_params": {"tools": [TOOL], "käse": "c"}},
                         "outputs": {"generations": [[{"message": says(), "text": "b", "zonk": "c"}]], "käse": "b"}}),
    Pattern("examples", {"inputs": {"messages": [user()]}, "outputs": {"messages": [says()]}, "zonk": "b"}),
)  # fmt: skip


class Marked(NamedTuple):
    """A record whose texts are marks, and for each mark the name of the column or key that may be left out."""

    record: Any
    names: dict[str, tuple[str, ...]]


class Marker:
    """Makes records of a pattern in which every text is unique."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def record(self, pattern: Any) -> Marked:
        record, names = deepcopy(pattern), dict[str, tuple[str, ...]]()
        places = [place for place in objects_in(record) if place and not is_map(place)]
        for place, name in zip(self._random.sample(places, min(len(places), self._random.choice((0, 1, 1, 2)))),
                               self._random.sample(NAMES, 2), strict=False):  # fmt: skip
            if name not in place:
                place[name] = self._random.choice(("q", ["q"], {"x": "q"}, {"x": {"y": ["q", "b"]}}, "q b c"))
        return Marked(self._with_marks(record, (), names), names)

    def _with_marks(self, value: Any, name: tuple[str, ...], names: dict[str, tuple[str, ...]]) -> Any:
        if isinstance(value, dict):
            if "key" in value and "value" in value:  # an attribute in OTLP
                name = (*name, *str(value["key"]).split("."))
            return {
                key: self._with_marks(item, (*name, *key.split(".")), names) if key not in KEYS_OF_IDS else item
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._with_marks(item, name, names) for item in value]
        if not isinstance(value, str):
            return value

        def mark(text: re.Match[str]) -> str:
            if text.string.startswith("\n\nHuman") and (
                known := next((mark for mark in names if names[mark] == (text[0],)), None)
            ):
                return known  # the question, which both dialogues have
            self._count += 1
            names[f"mark{self._count}x"] = (text[0],) if text.string.startswith("\n\nHuman") else name
            return f"mark{self._count}x"

        return TEXTS.sub(mark, value)


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """All objects within a value, which may get more keys."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(item)


def vanished(pattern: Pattern, records: list[Marked], path: Path) -> list[Any]:
    """The records with a mark that is neither in the file, nor named with the right number of rows, nor in a refused row."""
    data = load([marked.record for marked in records], pattern.schema, **pattern.options)
    fixes = Fixes(on_error="drop", unknown_fields="drop")
    file = write_jsonl(data, path, fixes=fixes, max_issues=10**6, severities={"too_few_samples": "ignore"}, overwrite=True)
    written = set(MARK.findall(path.read_text("utf-8")))
    refused = {issue.source for issue in file.report.issues if issue.code in file.report.dropped}
    assert len(refused) < len(records), pattern
    named = {re.split(r"\]\.|\.", name.removesuffix("[]"))[-1] for name, rows in file.report.left_out.items() if rows}
    return [
        (pattern.schema, names, marked.record)
        for number, marked in enumerate(records, 1)
        if f"data record {number}" not in refused
        for mark, names in marked.names.items()
        if mark not in written and named.isdisjoint(names) and ABOUT.get(pattern.schema, set()).isdisjoint(names)
    ]


@pytest.mark.parametrize("count", [600, pytest.param(5000, marks=pytest.mark.slow)])
def test_no_text_of_a_record_vanishes(count: int, tmp_path: Path) -> None:
    marker = Marker(count)
    lost = []
    for pattern in PATTERNS:
        records = [marker.record(pattern.record) for _ in range(-(-count // len(PATTERNS)))]
        lost += vanished(pattern, records, tmp_path / "a.jsonl")
    assert not lost

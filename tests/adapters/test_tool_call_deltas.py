"""The assembler of tool calls, case by case: to which call a delta belongs, where engines leave it open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from together_adapters.adapters.tool_call_deltas import ToolCallAssembler, parse_arguments, whole_tool_calls


def delta(name: str | None = None, arguments: Any = "", **fields: Any) -> dict[str, Any]:
    return {**fields, "function": {"name": name, "arguments": arguments} if name else {"arguments": arguments}}


ONE, TWO = '{"n": 1}', '{"n": 2}'

CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[str | None, str, str]]]] = {
    "another id and a name at the same index start a call": (
        [delta("f", ONE, index=0, id="a"), delta("f", TWO, index=0, id="b")],
        [("a", "f", ONE), ("b", "f", TWO)],
    ),
    "another id alone at the same index starts a call, whose name follows": (
        [delta("f", ONE, index=0, id="a"), {"index": 0, "id": "b", "function": None}, delta("g", TWO, index=0)],
        [("a", "f", ONE), ("b", "g", TWO)],
    ),
    "a different id on each delta starts nothing": (
        [delta("f", '{"n"', index=0, id="a"), delta(None, ": 1}", index=0, id="b")],
        [("a", "f", ONE)],
    ),
    "the same id at another index is another call": (
        [delta("f", ONE, index=0, id="a"), delta("f", TWO, index=1, id="a")],
        [("a", "f", ONE), ("a", "f", TWO)],
    ),
    "the same id after complete arguments is another call": (
        [delta("f", ONE, id="a"), delta("f", TWO, id="a")],
        [("a", "f", ONE), ("a", "f", TWO)],
    ),
    "the same id selects a call that is not the latest": (
        [delta("f", '{"n"', index=0, id="a"), delta("g", TWO, index=0, id="b"), delta(None, ": 1}", index=0, id="a")],
        [("a", "f", ONE), ("b", "g", TWO)],
    ),
    "id and name are repeated on each delta": (
        [delta("f", '{"n"', index=0, id="a"), delta("f", ": 1}", index=0, id="a"), delta("f", "", index=0, id="a")],
        [("a", "f", ONE)],
    ),
    "a name in fragments": (
        [delta("get_", None, index=0, id="a"), delta("wea", index=0), delta("ther", ONE, index=0, id="a")],
        [("a", "get_weather", ONE)],
    ),
    "a name in fragments, without an id": (
        [delta("get_", index=0), delta("weather", ONE, index=0)],
        [(None, "get_weather", ONE)],
    ),
    "another name without id and index is another call": ([delta("f"), delta("g")], [(None, "f", ""), (None, "g", "")]),
    "the same name without id and index is repeated until the arguments are complete": (
        [delta("f", '{"n"'), delta("f", ": 1}"), delta("f", TWO)],
        [(None, "f", ONE), (None, "f", TWO)],
    ),
    "an id that comes late": ([delta("f", ONE, index=0), {"index": 0, "id": "a"}], [("a", "f", ONE)]),
    "an id that comes late, without an index": ([delta("f", ONE), {"id": "a", "function": {}}], [("a", "f", ONE)]),
    "a name that comes late": ([{"index": 0, "id": "a"}, delta(None, ONE, index=0), delta("f", index=0)], [("a", "f", ONE)]),
    "an index that comes late": ([delta("f", '{"n"', id="a"), delta(None, ": 1}", index=0)], [("a", "f", ONE)]),
    "an index that goes missing": ([delta("f", '{"n"', index=0, id="a"), delta(None, ": 1}")], [("a", "f", ONE)]),
    "an empty last delta with the name": ([delta("f", ONE, index=0, id="a"), delta("f", "", index=0)], [("a", "f", ONE)]),
    "arguments as an object": ([delta("f", {"n": 1}, index=0, id="a")], [("a", "f", ONE)]),
    "null for no arguments": ([delta("f", "null", index=0, id="a")], [("a", "f", "{}")]),
    "what is not an object": ([None, "x", delta("f", ONE, index=0, id="a")], [("a", "f", ONE)]),  # type: ignore[list-item]
    "complete calls without id and index": ([delta("f", ONE), delta("f", TWO)], [(None, "f", ONE), (None, "f", TWO)]),
}


@pytest.mark.parametrize("together", [True, False], ids=["one chunk", "a chunk each"])
@pytest.mark.parametrize("case", CASES)
def test_deltas(case: str, together: bool) -> None:
    deltas, expected = CASES[case]
    assembler = ToolCallAssembler()
    for chunk in [deltas] if together else [[each] for each in deltas]:
        assembler.add(chunk)
    assert [(call.service_id, call.name, call.arguments) for call in assembler.calls] == expected
    assert all(call.id for call in assembler.calls)


def test_a_generated_id_stays_until_the_service_sends_one() -> None:
    assembler = ToolCallAssembler()
    assembler.add([delta("f", index=0)])
    call = assembler.calls[0]
    assert call.id == call.id
    assert call.id.startswith("call_")
    assembler.add([delta(None, ONE, index=0, id="a")])
    assert call.id == "a"


def test_a_message_that_was_not_streamed() -> None:
    calls = whole_tool_calls([delta("f", ONE, id="a"), delta("f", TWO, id="a"), None, {"id": "b", "function": None}])
    assert [(call.service_id, call.name, call.arguments) for call in calls] == [("a", "f", ONE), ("a", "f", TWO), ("b", "", "")]
    assert whole_tool_calls(None) == whole_tool_calls([]) == []


@pytest.mark.parametrize("arguments", [{"n": 1}, ONE, json.dumps(ONE), f" {ONE}\n"])
def test_arguments_that_are_an_object(arguments: Any) -> None:
    assert parse_arguments(arguments) == {"n": 1}


def test_arguments_with_raw_line_breaks() -> None:
    assert parse_arguments('{"text": "a\nb"}') == {"text": "a\nb"}


@pytest.mark.parametrize("arguments", ["[1]", "1", "{", "nonsense", '"text"', "[" * 100_000, 5])
def test_arguments_that_are_not_an_object(arguments: Any) -> None:
    assert parse_arguments(arguments) is None


@pytest.mark.parametrize("names", [True, False])
def test_many_fragments_take_linear_time(names: bool) -> None:
    """A name on each delta does not parse the arguments each time."""
    text = json.dumps({"text": "x" * 60_000})
    assembler = ToolCallAssembler()
    for start in range(0, len(text), 4):
        assembler.add([delta("f" if names else None, text[start : start + 4], index=0)])
    assert parse_arguments(assembler.calls[0].arguments) == {"text": "x" * 60_000}

"""Streamed tool calls become the same blocks however they are split."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage
from llama_index_together_adapters.tool_calls import StreamedToolCalls, tool_selections

from tests.conftest import example_count
from together_adapters.adapters.tool_call_deltas import parse_arguments

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=4)


def head(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"index": number, "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": ""}, **more}


def read(calls: StreamedToolCalls) -> list[tuple[str, Any]]:
    calls.update(final=True)
    return [(call.block.tool_name, call.block.tool_kwargs) for call in calls.calls]


@example_count(60)
@given(st.lists(ARGUMENTS, min_size=1, max_size=3), st.integers(1, 7), st.booleans())
def test_fragments_in_sequence_or_alternating(expected: list[dict[str, Any]], size: int, alternate: bool) -> None:
    series = []
    for number, arguments in enumerate(expected):
        text = json.dumps(arguments)
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        series.append([head(number, f"f{number}"), *({"index": number, "function": {"arguments": part}} for part in parts)])
    calls = StreamedToolCalls()
    if alternate:
        for step in range(max(map(len, series))):
            for deltas in series:
                calls.add(deltas[step : step + 1])
                assert all(isinstance(call.block.tool_kwargs, dict) for call in calls.calls)
    else:
        for deltas in series:
            for delta in deltas:
                calls.add([delta])
    assert read(calls) == [(f"f{number}", arguments) for number, arguments in enumerate(expected)]


@pytest.mark.parametrize("same_name", [True, False])
def test_without_ids_and_indices(same_name: bool) -> None:
    calls = StreamedToolCalls()
    for name, text in (("f", '{"a": 1}'), ("f" if same_name else "g", '{"b": 2}')):
        calls.add([{"function": {"name": name, "arguments": ""}}])
        for start in range(0, len(text), 3):
            calls.add([{"function": {"arguments": text[start : start + 3]}}])
    assert [kwargs for _, kwargs in read(calls)] == [{"a": 1}, {"b": 2}]
    assert len({call.block.tool_call_id for call in calls.calls}) == 2


def test_id_and_name_on_every_delta() -> None:
    calls = StreamedToolCalls()
    for part in ('{"a"', ": 1", "}"):
        calls.add([{"index": 0, "id": "c", "function": {"name": "f", "arguments": part}}])
    assert read(calls) == [("f", {"a": 1})]


def test_a_late_id() -> None:
    calls = StreamedToolCalls()
    calls.add([{"index": 0, "function": {"name": "f", "arguments": "{}"}}])
    calls.add([{"index": 0, "id": "late", "function": {"arguments": ""}}])
    calls.update(final=True)
    assert [call.block.tool_call_id for call in calls.calls] == ["late"]


def test_arguments_as_an_object_and_encoded_twice() -> None:
    assert parse_arguments({"a": 1}) == parse_arguments('{"a": 1}') == parse_arguments('"{\\"a\\": 1}"') == {"a": 1}
    assert parse_arguments(None) == parse_arguments("") == parse_arguments("null") == {}
    assert parse_arguments("[1]") is None


def test_calls_of_an_older_message() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    assert [(selection.tool_id, selection.tool_kwargs) for selection in tool_selections(message)] == [("c", {"a": 1})]

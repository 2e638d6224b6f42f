"""Every fix: what it changes, what it keeps, and that it is idempotent."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import example_count
from together_adapters.finetune import Fixes, check_row
from together_adapters.finetune.records import Unconvertible
from together_adapters.finetune.writing.fixes import CODES

ALL = Fixes(
    merge_consecutive=True,
    trim_trailing=True,
    reasoning="drop",
    leading_assistant="drop",
    unknown_fields="drop",
    null_arguments="drop",
)


def user(content: Any = "q", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def says(content: Any = "a", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def conversation(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def calling(arguments: Any, **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}],
    }


CASES: list[tuple[str, Fixes, dict[str, Any], dict[str, Any]]] = [
    ("developer_to_system", Fixes(), conversation({"role": "developer", "content": "s"}, user(), says()), conversation({"role": "system", "content": "s"}, user(), says())),
    ("nulls_stripped", Fixes(), conversation(user(name=None, tool_calls=None), says(weight=None), tools=None), conversation(user(), says())),
    ("nulls_stripped", Fixes(), conversation(user(), {**calling("{}"), "content": None}), conversation(user(), calling("{}"))),
    ("nulls_stripped", Fixes(), conversation(user([{"type": "text", "text": "q", "image_url": None}]), says([{"type": "text", "text": "a"}])),
     conversation(user([{"type": "text", "text": "q"}]), says([{"type": "text", "text": "a"}]))),
    ("columns_stripped", Fixes(), conversation(user(), says(), id=7, when=object()), conversation(user(), says())),
    ("columns_stripped", Fixes(), conversation(user(), says(), parallel_tool_calls=True), conversation(user(), says())),
    ("weights_to_int", Fixes(), conversation(user(), says(weight=1.0)), conversation(user(), says(weight=1))),
    ("images_normalized", Fixes(), {"prompt": [{"type": "image_url", "image_url": "data:image/jpg;base64,/9j/"}], "completion": "a"},
     {"prompt": [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/"}}], "completion": "a"}),
    ("calls_normalized", Fixes(), conversation(user(), calling({"ü": 1})), conversation(user(), calling('{"ü":1}'))),
    ("null_arguments_dropped", ALL, conversation(user(), calling('{"a": 1, "b": null, "c": {"d": null}}')), conversation(user(), calling('{"a":1,"c":{}}'))),
    ("unknown_fields_dropped", ALL, conversation(user(), says(refusal="no")), conversation(user(), says())),
    ("reasoning_dropped", ALL, conversation(user(), says(reasoning="r", reasoning_content="r")), conversation(user(), says())),
    ("leading_assistant_dropped", ALL, conversation(says("hello"), user(), says()), conversation(user(), says())),
    ("trailing_trimmed", ALL, conversation(user(), says(), user("thanks")), conversation(user(), says())),
    ("messages_merged", ALL, conversation(user("a"), user("b"), says()), conversation(user("a\n\nb"), says())),
    ("messages_merged", ALL, conversation(user([{"type": "text", "text": "a"}]), user("b"), says([{"type": "text", "text": "x"}])),
     conversation(user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), says([{"type": "text", "text": "x"}]))),
    ("text_to_parts", Fixes(), conversation(user([{"type": "text", "text": "q"}]), says("a")), conversation(user([{"type": "text", "text": "q"}]), says([{"type": "text", "text": "a"}]))),
    ("tool_status_dropped", Fixes(), conversation(user(), calling("{}"), {"role": "tool", "tool_call_id": "c", "content": "5", "status": "error"}, says()),
     conversation(user(), calling("{}"), {"role": "tool", "tool_call_id": "c", "content": "5"}, says())),
    ("functions_converted", Fixes(),
     conversation(user(), {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}, {"role": "function", "name": "f", "content": "5"}, says(), functions=[{"name": "f"}]),
     conversation(user(), {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
          {"role": "tool", "name": "f", "tool_call_id": "call_0", "content": "5"}, says(), tools=[{"type": "function", "function": {"name": "f"}}])),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fixes", "row", "expected"), CASES)
def test_fix(code: str, fixes: Fixes, row: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.copy(row)
    result, codes = fixes.apply(row)
    assert result == expected
    assert code in codes
    assert row == before
    assert fixes.apply(result) == (result, [])
    if code != "images_normalized":
        assert not [issue for issue in check_row(result) if issue.severity == "error"]


def test_every_fix_has_a_case() -> None:
    assert {code for code, *_ in CASES} | {"tool_error"} == set(CODES)


@pytest.mark.parametrize(
    "row",
    [
        conversation(user("a", weight=0), user("b", weight=1), says()),
        conversation(user(), calling("{}"), calling("{}")),
        conversation(user(), user("b", name="bob"), says()),
    ],
)
def test_messages_that_differ_in_more_than_text_are_not_merged(row: dict[str, Any]) -> None:
    assert Fixes(merge_consecutive=True).apply(row)[0] == row


def test_reasoning_is_merged_as_well() -> None:
    row, _ = ALL.apply(conversation(user(), says("a"), says("b")))
    assert row == conversation(user(), says("a\n\nb"))
    row, _ = Fixes(merge_consecutive=True).apply(conversation(user(), says("a", reasoning="x"), says("b", reasoning="y")))
    assert row["messages"][1] == says("a\n\nb", reasoning="x\n\ny")


def test_rows_with_failed_tool_calls_can_be_dropped() -> None:
    row = conversation(user(), calling("{}"), {"role": "tool", "tool_call_id": "c", "content": "5", "status": "error"}, says())
    with pytest.raises(Unconvertible) as error:
        Fixes(tool_errors="drop_row").apply(row)
    assert (error.value.code, error.value.skipped) == ("tool_error", True)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({1, 2}, "not_json"),
        (b"x", "not_json"),
        ({1: 2}, "not_json"),
        (float("nan"), "json_syntax"),
        ((1 << 20_000), "number_too_large"),
    ],
    ids=["set", "bytes", "key", "nan", "huge"],
)
def test_values_that_are_not_json_are_refused_with_their_path(value: Any, code: str) -> None:
    with pytest.raises(Unconvertible) as error:
        Fixes().apply(conversation(user(), says(), tools=[{"x": value}]))
    assert (error.value.code, error.value.path) == (code, "tools[0].x")


def test_keys_are_ordered() -> None:
    row, codes = Fixes().apply(
        {"weight": 1, "messages": [{"content": "q", "role": "user"}, {"weight": 1, "content": "a", "role": "assistant"}]}
    )
    assert list(row) == ["messages", "weight"]
    assert [list(message) for message in row["messages"]] == [["role", "content"], ["role", "content", "weight"]]
    assert codes == []


def test_a_choice_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="on_error='skip' is none of raise, drop, collect"):
        Fixes(on_error="skip")  # type: ignore[arg-type]


SCALAR = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5]) | st.sampled_from(["", "a", " ", "null"])
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": SCALAR, "image_url": SCALAR})
CALL = st.fixed_dictionaries(
    {"id": SCALAR},
    optional={"type": SCALAR, "function": st.fixed_dictionaries({}, optional={"name": SCALAR, "arguments": SCALAR | st.dictionaries(st.sampled_from("ab"), SCALAR)})},
)  # fmt: skip
MESSAGE = SCALAR | st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"]) | SCALAR,
        "content": SCALAR | st.lists(PART | SCALAR, max_size=3),
        "weight": SCALAR,
        "name": SCALAR,
        "reasoning": SCALAR,
        "tool_calls": SCALAR | st.lists(CALL | SCALAR, max_size=2),
        "tool_call_id": SCALAR,
        "function_call": SCALAR | st.dictionaries(st.sampled_from(["name", "arguments"]), SCALAR),
        "status": SCALAR,
        "x": SCALAR,
    },
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "messages": SCALAR | st.lists(MESSAGE, max_size=5),
        "functions": SCALAR | st.lists(SCALAR, max_size=1),
        "tools": SCALAR | st.lists(st.dictionaries(st.sampled_from(["type", "function"]), SCALAR), max_size=1),
        "input": SCALAR
        | st.fixed_dictionaries({}, optional={"messages": st.lists(MESSAGE, max_size=3), "tools": SCALAR, "x": SCALAR}),
        "preferred_output": SCALAR | st.lists(MESSAGE, max_size=2),
        "non_preferred_output": SCALAR | st.lists(MESSAGE, max_size=2),
        "weight": SCALAR,
        "x": SCALAR,
    },
)


@given(ROW, st.sampled_from([Fixes(), ALL]))
@example_count(400)
def test_fixes_are_idempotent(row: dict[str, Any], fixes: Fixes) -> None:
    before = copy.deepcopy(row)
    try:
        result, _ = fixes.apply(row)
    except Unconvertible:
        return
    assert row == before
    assert fixes.apply(result) == (result, [])

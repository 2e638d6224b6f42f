"""Every rule of a row with the path that it reports, and that no row raises."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import each
from tests.conftest import example_count
from together_adapters.finetune import check_row
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.issues import RULES
from together_adapters.finetune.validation.check_messages import is_text_conversation
from together_adapters.finetune.validation.check_row import validate_row, validate_training_row

PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def user(content: Any = "q", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


def says(content: Any = "a", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def call(id: Any = "c1", name: Any = "add", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def calls(*tool_calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(tool_calls)}


def result(id: Any = "c1", content: Any = "5") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": content}


def conversation(*messages: Any, tools: Any = None, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **({} if tools is None else {"tools": tools}), **more}


def image(url: Any = PNG) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def text(value: Any = "t") -> dict[str, Any]:
    return {"type": "text", "text": value}


def pair(**more: Any) -> dict[str, Any]:
    return {"input": {"messages": [user()]}, "preferred_output": [says("a")], "non_preferred_output": [says("b")], **more}


SYSTEM = {"role": "system", "content": "s"}

GOOD = [
    {"text": "a"}, {"text": [text()]}, {"prompt": "p", "completion": "c"}, {"prompt": [text(), image()], "completion": "c"},
    {"text": "a", "weight": 0.5}, {"text": "a", "weight": 2}, conversation(user(), says()), conversation(SYSTEM, user(), says(), user(), says()),
    conversation(user(), says(weight=0), user(weight=1), says(weight=1)), conversation(user(), calls(call()), result(), says(), tools=[TOOL]),
    conversation(user(), calls(call("1"), call("2")), result("2"), result("1"), says(), tools=[TOOL]), conversation(user(), calls(call()), tools=[TOOL]),
    conversation(user(), says(None, tool_calls=[call()]), tools=[TOOL]), conversation(user(), says("", tool_calls=[call()]), tools=[TOOL]),
    conversation(user([text()]), calls(call()), result(content=[text()]), says([text()]), tools=[TOOL]), conversation(user(), says(tool_calls=[]), tools=[]),
    conversation(user(), calls(call()), result(), calls(call()), result(), says(), tools=[TOOL]), conversation(user(), says(reasoning="r")),
    conversation(user(name="bob"), says(reasoning_content="r")), conversation(user([text(), image()]), says([text()])), conversation(user([image()], weight=0), says([text()])),
    conversation(user([]), says([text()])), conversation(user(""), says()), pair(), pair(weight=0.1), pair(input={"messages": [SYSTEM, user(), says(), user()]}),
    pair(input={"messages": [user()], "tools": [TOOL]}, preferred_output=[calls(call())]),
    pair(input={"messages": [user(), calls(call()), result()], "tools": [TOOL]}),
    pair(preferred_output=[says("a", reasoning="r")], non_preferred_output=[says("a", reasoning="x")]),
]  # fmt: skip

BAD = [
    # code, path, row
    ("line_not_object", "", [1]), ("line_not_object", "", None), ("unknown_columns", "", {}), ("unknown_columns", "", {"prompt": "p"}),
    ("multiple_formats", "", {"text": "a", "messages": []}), ("extra_column", "source", {"text": "a", "source": 1}),
    ("extra_column", "tools", pair(tools=[TOOL])), ("extra_column", "input.x", pair(input={"messages": [user()], "x": 1})),
    *[("sample_weight_invalid", "weight", {"text": "a", "weight": weight}) for weight in list[Any]((True, "1", None, -0.1, [1]))],
    ("sample_weight_zero", "weight", {"text": "a", "weight": 0}), ("content_wrong_type", "text", {"text": 1}),
    ("content_wrong_type", "prompt", {"prompt": None, "completion": "c"}), ("content_wrong_type", "completion", {"prompt": "", "completion": {}}),
    ("image_outside_user_message", "completion[0].image_url", {"prompt": "p", "completion": [image()]}),
    *[("messages_not_list", "messages", {"messages": value}) for value in list[Any]((3, None, "x", {}))], ("messages_empty", "messages", conversation()),
    ("message_not_object", "messages[0]", conversation("hi", says())), ("role_missing", "messages[0]", conversation({"content": "q"}, says())),
    ("role_not_string", "messages[0].role", conversation({"role": ["user"], "content": "q"}, says())),
    *[("role_unknown", "messages[0].role", conversation({"role": role, "content": "q"}, says())) for role in ("User", "developer", "function", "bot", "")],
    ("unknown_message_key", "messages[0].foo", conversation(user(foo=1), says())), ("unknown_message_key", "messages[1].function_call", conversation(user(), says(function_call={}))),
    ("unknown_message_key", "messages[1].refusal", conversation(user(), says(refusal=None))),
    ("roles_do_not_alternate", "messages[1]", conversation(user(), user(), says())), ("roles_do_not_alternate", "messages[2]", conversation(user(), says(), says())),
    ("leading_assistant", "messages[0]", conversation(says(), user(), says())), ("leading_assistant", "messages[1]", conversation(SYSTEM, says())),
    ("system_not_first", "messages[2]", conversation(user(), says(), SYSTEM, user(), says())), ("system_not_first", "messages[1]", conversation(SYSTEM, SYSTEM, user(), says())),
    ("system_not_first", "messages[2]", conversation(user(), says(), SYSTEM)), ("no_assistant_message", "messages", conversation(SYSTEM, user())),
    ("ends_with_user", "messages", conversation(user(), says(), user())), ("ends_with_tool", "messages", conversation(user(), calls(call()), result(), tools=[TOOL])),
    ("nothing_to_train", "messages", conversation(user(weight=1), says(weight=0))),
    *[("message_weight_not_int", "messages[0].weight", conversation(user(weight=weight), says())) for weight in list[Any]((True, 1.0, "1", None, []))],
    *[("message_weight_range", "messages[0].weight", conversation(user(weight=weight), says())) for weight in (2, -1)],
    ("name_not_string", "messages[0].name", conversation(user(name=1), says())), ("null_field", "messages[0].name", conversation(user(name=None), says())),
    ("null_field", "messages[1].tool_calls", conversation(user(), says(tool_calls=None))), ("null_field", "tools", conversation(user(), says(), tools=None) | {"tools": None}),
    ("reasoning_not_string", "messages[1].reasoning", conversation(user(), says(reasoning=["r"]))), ("reasoning_twice", "messages[1]", conversation(user(), says(reasoning="r", reasoning_content="r"))),
    ("reasoning_outside_assistant", "messages[0].reasoning", conversation(user(reasoning="r"), says())),
    ("content_missing", "messages[0]", conversation({"role": "user"}, says())), ("content_missing", "messages[1]", conversation(user(), {"role": "assistant"})),
    ("content_missing", "messages[1]", conversation(user(), calls())), ("content_missing", "messages[1]", conversation(user(), {"role": "assistant", "tool_calls": None})),
    *[("content_wrong_type", "messages[0].content", conversation(user(value), says())) for value in (None, 0, {"a": 1}, True)],
    ("content_wrong_type", "messages[1].content", conversation(user(), says(None))), ("content_wrong_type", "messages[2].content", conversation(user(), calls(call()), result(content=0), says(), tools=[TOOL])),
    ("content_empty", "messages[1].content", conversation(user(), says(""))), ("content_empty", "messages[1].content", conversation(user([text()]), says([]))),
    ("content_empty", "messages[1].content", conversation(user(), says("", reasoning="only"))),
    ("content_empty", "completion", {"prompt": "", "completion": ""}), ("content_blank", "completion", {"prompt": "p", "completion": "\n "}),
    ("content_blank", "messages[1].content", conversation(user(), says(" \n"))), ("content_mixed", "messages[1].content", conversation(user([text()]), says("a"))),
    ("content_mixed", "messages[2].content", conversation(user(), calls(call()), result(content=[text()]), says([text()]), tools=[TOOL])),
    ("content_part_not_object", "messages[0].content[0]", conversation(user(["q"]), says([text()]))), ("content_part_not_object", "text[0]", {"text": ["a"]}),
    ("content_part_type_unknown", "messages[0].content[0].type", conversation(user([{"type": "video_url"}]), says([text()]))),
    ("content_part_type_unknown", "messages[0].content[0].type", conversation(user([{"type": ["text"]}]), says([text()]))),
    ("content_part_text_not_string", "messages[0].content[0].text", conversation(user([text(5)]), says([text()]))),
    *[("image_invalid", "messages[0].content[0].image_url", conversation(user([{"type": "image_url", "image_url": value}]), says([text()]))) for value in ("http://x", None, {}, {"url": 3}, {"url": ""})],
    *[("image_not_base64_data_url", "messages[0].content[0].image_url.url", conversation(user([image(url)]), says([text()])))
      for url in ("https://x/a.png", "data:image/jpg;base64,/9j/", "data:image/gif;base64,R0lG", "<x>")],
    *[("image_base64_invalid", "messages[0].content[0].image_url.url", conversation(user([image("data:image/png;base64," + data)]), says([text()])))
      for data in ("...", "", "iVBORw0KG", "iVBOR\nw0KGgo", "AAAAAAAAAAAAAAAA", "=", PNG[-20:])],
    ("image_type_mismatch", "messages[0].content[0].image_url.url", conversation(user([image(PNG.replace("png", "jpeg"))]), says([text()]))),
    ("image_too_large", "messages[0].content[0].image_url.url", conversation(user([image("data:image/png;base64," + "A" * 13_981_016)]), says([text()]))),
    ("image_outside_user_message", "messages[1].content[0].image_url", conversation(user([text()]), says([image()]))),
    ("too_many_images", "messages[0].content", conversation(user([image()] * 11), says([text()]))), ("too_many_images", "messages", conversation(user([image()] * 6), says([text()]), user([image()] * 5), says([text()]))),
    ("image_message_weight_nonzero", "messages[0].weight", conversation(user([image()], weight=1), says([text()]))),
    ("tools_not_list", "tools", conversation(user(), says(), tools={"a": 1})), ("tools_not_list", "tools", conversation(user(), says(), tools="add")),
    *[("tool_invalid", "tools[0]", conversation(user(), says(), tools=[tool])) for tool in (3, {}, {"type": "function"}, {"type": "function", "function": {}}, {"function": {"name": "x"}})],
    ("tool_invalid", "tools[0].function.parameters", conversation(user(), says(), tools=[{"type": "function", "function": {"name": "x", "parameters": "y"}}])),
    ("tool_duplicate", "tools[1]", conversation(user(), says(), tools=[TOOL, TOOL])), ("tools_missing", "messages[1].tool_calls[0].function.name", conversation(user(), calls(call()), result(), says())),
    ("tool_undeclared", "messages[1].tool_calls[0].function.name", conversation(user(), calls(call(name="sub")), result(), says(), tools=[TOOL])),
    ("tool_undeclared", "messages[1].tool_calls[0].function.name", conversation(user(), calls(call()), result(), says(), tools=[])),
    ("tool_calls_not_list", "messages[1].tool_calls", conversation(user(), {"role": "assistant", "tool_calls": "zzz"})),
    ("tool_calls_outside_assistant", "messages[0].tool_calls", conversation(user(tool_calls=[call()]), says(), tools=[TOOL])),
    *[("tool_call_invalid", "messages[1].tool_calls[0]" + path, conversation(user(), calls(bad), result(), says(), tools=[TOOL]))
      for path, bad in (("", 3), (".id", call(None)), (".id", call("")), (".id", call(7)), (".type", call(type="x")), (".function", call(function="f")),
                        (".function.name", call(name=None)), (".function.name", call(name="")))],
    ("tool_call_id_duplicate", "messages[1].tool_calls[1].id", conversation(user(), calls(call(), call()), result(), says(), tools=[TOOL])),
    ("tool_call_id_outside_tool", "messages[0].tool_call_id", conversation(user(tool_call_id="c1"), says())),
    *[("tool_arguments_not_string", "messages[1].tool_calls[0].function.arguments", conversation(user(), calls(call(arguments=value)), result(), says(), tools=[TOOL])) for value in ({"a": 1}, None, 3)],
    *[("tool_arguments_not_object", "messages[1].tool_calls[0].function.arguments", conversation(user(), calls(call(arguments=value)), result(), says(), tools=[TOOL])) for value in ("", "[1]", "{", "3", '{"a": NaN}', "[" * 999)],
    ("tool_result_unmatched", "messages[2].tool_call_id", conversation(user(), calls(call()), result("other"), says(), tools=[TOOL])),
    ("tool_result_unmatched", "messages[2]", conversation(user(), calls(call()), result(None), says(), tools=[TOOL])),
    ("tool_result_unmatched", "messages[3].tool_call_id", conversation(user(), calls(call()), result(), result(), says(), tools=[TOOL])),
    ("tool_result_unmatched", "messages[1].tool_call_id", conversation(user(), result(), says())), ("tool_result_unmatched", "messages[0].tool_call_id", conversation(result(), says())),
    ("tool_call_unanswered", "messages[1].tool_calls[0]", conversation(user(), calls(call()), user(), says(), tools=[TOOL])),
    ("tool_call_unanswered", "messages[1].tool_calls[1]", conversation(user(), calls(call("1"), call("2")), result("1"), says(), tools=[TOOL])),
    ("tool_call_unanswered", "messages[1].tool_calls[1]", conversation(user(), calls(call("1"), call("2")), result("1"), tools=[TOOL])),
    ("pref_input_not_object", "input", pair(input=[])), ("pref_input_messages_missing", "input", pair(input={})), ("messages_empty", "input.messages", pair(input={"messages": []})),
    ("pref_input_ends_with_assistant", "input.messages", pair(input={"messages": [user(), says()]})), ("role_unknown", "input.messages[0].role", pair(input={"messages": [{"role": "x", "content": "q"}]})),
    ("pref_output_not_list", "preferred_output", pair(preferred_output="a")), ("pref_output_not_exactly_one", "non_preferred_output", pair(non_preferred_output=[])),
    ("pref_output_not_exactly_one", "preferred_output", pair(preferred_output=[says(), says()])), ("message_not_object", "preferred_output[0]", pair(preferred_output=["a"])),
    ("pref_output_role_missing", "preferred_output[0]", pair(preferred_output=[{"content": "a"}])), ("pref_output_role_not_assistant", "preferred_output[0].role", pair(preferred_output=[user()])),
    ("pref_output_content_missing", "preferred_output[0]", pair(preferred_output=[{"role": "assistant"}])), ("content_wrong_type", "preferred_output[0].content", pair(preferred_output=[says(None)])),
    ("pref_outputs_identical", "non_preferred_output", pair(non_preferred_output=[says("a")])), ("pref_outputs_identical", "non_preferred_output", pair(non_preferred_output=[says([text("a")])])),
    ("tool_undeclared", "preferred_output[0].tool_calls[0].function.name", pair(input={"messages": [user()], "tools": [TOOL]}, preferred_output=[calls(call(name="sub"))])),
    ("json_syntax", "", {"text": "a", "weight": float("nan")}), ("json_syntax", "", {"text": object()}), ("not_encodable", "", {"text": "\ud83d"}),
]  # fmt: skip


@each("row", GOOD)
def test_good_rows(row: Any) -> None:
    assert check_row(row) == []


@each("code, path, row", BAD)
def test_bad_rows(code: str, path: str, row: Any) -> None:
    before = copy.deepcopy(row) if code != "json_syntax" else None
    issues = check_row(row, line=7, source="x.jsonl")
    matches = [issue for issue in issues if (issue.code, issue.path) == (code, path)]
    assert len(matches) == 1, issues
    (issue,) = matches
    assert issue.severity == RULES[code].severity
    assert (issue.line, issue.source, issue.hint) == (7, "x.jsonl", RULES[code].hint)
    assert issue.message and len(issue.excerpt) <= 80 and "\n" not in str(issue)
    if before is not None:
        assert row == before


def test_every_rule_of_a_row_has_a_case() -> None:
    of_files = set(list(RULES)[: list(RULES).index("unknown_columns")])
    elsewhere = {code for code in RULES if code.startswith(("batch_", "model_", "leaked_"))} | {"reasoning_missing"}
    of_sources = set(list(RULES)[list(RULES).index("row_too_long_estimated") :])
    assert set(RULES) - of_files - of_sources - elsewhere <= {code for code, _, _ in BAD}


def test_all_issues_of_a_row_are_reported() -> None:
    row = conversation({"role": "bot", "content": 3}, says("", weight=2, foo=1), user(), user(None), x=1)
    assert [(issue.path, issue.code) for issue in check_row(row)] == [
        ("x", "extra_column"), ("messages[0].role", "role_unknown"), ("messages[0].content", "content_wrong_type"),
        ("messages[1].foo", "unknown_message_key"), ("messages[1].weight", "message_weight_range"), ("messages[1].content", "content_empty"),
        ("messages[3]", "roles_do_not_alternate"), ("messages[3].content", "content_wrong_type"), ("messages", "ends_with_user"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "advice"),
    [("asistant", "do you mean 'assistant'?"), ("Assistant", "'assistant'"), ("model", "'assistant'"), ("human", "'user'"), ("function", "role tool")],
)  # fmt: skip
def test_an_unknown_role_is_said_with_the_one_that_is_meant(role: str, advice: str) -> None:
    unknown, missing = check_row(conversation(user(), {"role": role, "content": "a"}))
    assert (unknown.code, missing.code) == ("role_unknown", "no_assistant_message")
    assert advice in unknown.message
    assert missing.message == "there is no assistant message beside those of invalid roles"


def test_severities_can_be_overridden() -> None:
    row = conversation(says(), user(), says())
    assert [issue.severity for issue in check_row(row, severities={"leading_assistant": "warning"})] == ["warning"]
    assert check_row(row, severities={"leading_assistant": "ignore"}) == []
    for wrong in ({"no_such": "error"}, {"leading_assistant": "fatal"}):
        with pytest.raises(ValueError, match="no_such|fatal"):
            check_row(row, severities=wrong)


def test_methods() -> None:
    assert [issue.code for issue in check_row(pair(), method="sft")] == ["method_mismatch"]
    assert [issue.code for issue in check_row({"text": "a"}, method="dpo")] == ["method_mismatch"]
    assert check_row(pair(), method="dpo") == check_row({"text": "a"}, method="sft") == []


def test_other_purposes() -> None:
    assert check_row({"anything": 1}, purpose="eval") == []
    assert check_row({"custom_id": "1", "body": {}}, purpose="batch-api") == []
    issues = check_row({"custom_id": "x" * 65, "body": [], "z": 1}, purpose="batch-api")
    assert {issue.code for issue in issues} == {"batch_custom_id_invalid", "batch_body_invalid", "extra_column"}


@pytest.mark.parametrize("secret", [
    "sk-abcdefghijklmnop1234", "Bearer abcdefghijklmnopqrst", "hf_abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE", "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "https://me:hunter2hunter2@host/x", "ghp_abcdefghijklmnopqrst123", "f" * 64,
])  # fmt: skip
def test_excerpts_show_no_secrets(secret: str) -> None:
    (issue,) = check_row(conversation(user(), says(refusal=f"my {secret} yes")))
    assert "[redacted]" in issue.excerpt
    assert secret[8:16] not in issue.excerpt


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ROLE = st.sampled_from(["system", "user", "assistant", "tool", "developer"])
KEYS = ["role", "content", "weight", "name", "tool_calls", "tool_call_id", "reasoning", "reasoning_content", "odd"]
CALL = st.fixed_dictionaries(
    {}, optional={"id": st.sampled_from(["1", "2", 3]), "type": st.just("function") | JSON, "function": JSON}
)
MESSAGE = JSON | st.fixed_dictionaries(
    {"role": ROLE, "content": st.text(max_size=3) | JSON},
    optional={
        "weight": st.integers(-1, 2) | JSON,
        "tool_calls": st.lists(CALL | JSON, max_size=3) | JSON,
        "tool_call_id": st.sampled_from(["1", "2"]) | JSON,
        "x": JSON,
    },
)
MESSAGES = st.lists(MESSAGE, max_size=6) | JSON
ROW = JSON | st.fixed_dictionaries(
    {},
    optional={"messages": MESSAGES, "text": JSON, "tools": JSON, "weight": JSON, "prompt": JSON, "completion": JSON,
              "input": st.fixed_dictionaries({"messages": MESSAGES}) | JSON, "preferred_output": MESSAGES, "non_preferred_output": MESSAGES},
)  # fmt: skip


@pytest.mark.long
@example_count(400)
@given(row=ROW, purpose=st.sampled_from(["fine-tune", "eval", "batch-api"]))
def test_no_row_raises(row: Any, purpose: str) -> None:
    for issue in check_row(row, purpose=purpose):
        assert issue.code in RULES
        assert issue.model_dump_json()


TEXT_MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.sampled_from(["", " ", "a", "b"])}
)


def without_fast_path(value: Any) -> Any:
    """Returns a copy that no fast path accepts, since each message has an empty name, which changes nothing else."""
    if isinstance(value, dict):
        more = {"name": ""} if value.keys() == {"role", "content"} else {}
        return {key: without_fast_path(item) for key, item in value.items()} | more
    return [without_fast_path(item) for item in value] if isinstance(value, list) else value


@pytest.mark.long
@example_count(600)
@given(
    row=st.fixed_dictionaries({"messages": st.lists(TEXT_MESSAGE, max_size=6)}) | ROW.filter(lambda row: isinstance(row, dict))
)
def test_the_fast_path_agrees_with_the_full_checks(row: dict[str, Any]) -> None:
    short, long = RowFindings(), RowFindings()
    validate_training_row(long, without_fast_path(row))
    if is_text_conversation(short, row):
        assert short == long
        assert not long.items
    else:
        assert short == RowFindings()


TEXT_CONVERSATION = st.fixed_dictionaries({"messages": st.lists(TEXT_MESSAGE, max_size=6)})
TEXT_PREFERENCE = st.fixed_dictionaries(
    {
        "input": TEXT_CONVERSATION,
        "preferred_output": st.lists(TEXT_MESSAGE, max_size=2),
        "non_preferred_output": st.lists(TEXT_MESSAGE, max_size=2),
    }
)


@pytest.mark.long
@example_count(600)
@given(row=TEXT_CONVERSATION | TEXT_PREFERENCE, tools=st.sampled_from([None, [TOOL]]))
def test_fast_paths_within_rows_agree_with_the_full_checks(row: dict[str, Any], tools: Any) -> None:
    if tools:
        row.get("input", row)["tools"] = tools
    short, long = RowFindings(), RowFindings()
    validate_row(short, row)
    validate_row(long, without_fast_path(row))
    assert short == long


LONG = PNG[:-20] + "QUJD" * 30_000


@pytest.mark.parametrize("ending", ["", "QUI=", "QQ==", "+/+/"])
def test_long_images(ending: str) -> None:
    assert check_row(conversation(user([image(LONG + ending)]), says([text()]))) == []


@pytest.mark.parametrize("index", [PNG.index(",") + 1 + 32_767, PNG.index(",") + 1 + 32_768, 70_000, -2, -1])
@pytest.mark.parametrize("wrong", ["-", "=", "\n", "é", "\0"])
def test_an_invalid_character_anywhere_in_a_long_image(index: int, wrong: str) -> None:
    index %= len(LONG)
    url = LONG[:index] + wrong + LONG[index + 1 :]
    issues = [issue.code for issue in check_row(conversation(user([image(url)]), says([text()])))]
    assert issues == ([] if (index, wrong) == (len(LONG) - 1, "=") else ["image_base64_invalid"])


INFINITE = [
    conversation(user(), says(), tools=[{**TOOL, "x": [float("inf")]}]), conversation(user(), says(), more=float("inf")),
    conversation(user(), says(weight=float("inf"))), conversation(user([{**text(), "x": float("inf")}]), says([text()])),
    conversation(user([{**image(), "x": {"y": float("inf")}}]), says([text()])),
    conversation(user([{"type": "image_url", "image_url": {"url": PNG, "detail": float("inf")}}]), says([text()])),
    conversation(user(), calls(call(x=float("inf"))), tools=[TOOL]), {"text": "a", "x": float("inf")}, {"text": "a", "weight": float("inf")},
    conversation(user(), calls({**call(), "function": {"name": "add", "arguments": "{}", "x": float("inf")}}), tools=[TOOL]),
    conversation(user(), {"role": "assistant", "tool_calls": float("inf")}), pair(input={"messages": [user()], "x": float("inf")}),
]  # fmt: skip


@pytest.mark.parametrize("row", INFINITE, ids=lambda row: str(row)[:80])
def test_an_infinite_number_is_found_in_any_field(row: dict[str, Any]) -> None:
    findings = RowFindings()
    for _ in range(2):
        findings.start_row()
        validate_row(findings, row)
        assert [finding.code for finding in findings.items].count("number_too_large") == 1


VALUE = st.sampled_from([1, 1.0, True, 0, -0.0, False, None, "1", [1], [True], {"a": 1.0}, {"a": True}, float("inf")])


@pytest.mark.long
@example_count(300)
@given(values=st.lists(st.dictionaries(st.sampled_from("ab"), VALUE), max_size=12), name=st.sampled_from(["add", "sub"]))
def test_a_repeated_declaration_is_checked_as_if_it_were_the_first(values: list[Any], name: str) -> None:
    together, chars = RowFindings(), 0
    tool: dict[str, Any] = {"type": "function", "function": {"name": name}}
    for value in values * 2:
        tool["function"]["parameters"] = value
        row, alone = conversation(user(), calls(call()), tools=[tool]), RowFindings()
        together.start_row()
        validate_row(together, row)
        validate_row(alone, row)
        assert together.items == alone.items
        assert together.chars == chars + alone.chars
        chars = together.chars


def test_text_conversations_take_the_fast_path() -> None:
    for row in (conversation(user(), says()), conversation(SYSTEM, user(), says(), user(""), says())):
        assert is_text_conversation(RowFindings(), row)


def test_a_row_with_a_part_of_the_columns_of_a_format_is_told_the_rest() -> None:
    (issue,) = check_row({"prompt": "3 + 3 ="})
    assert (issue.code, issue.message) == ("unknown_columns", "'completion' is missing for the format instruction: 'prompt'")

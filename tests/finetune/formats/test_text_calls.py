"""Calls, results and declarations of tools that stand in texts: read as what they are, refused if broken, never trained as speech."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import example_count
from tests.finetune.formats.reading import examples, only_refusal, only_row, says, user
from together_adapters.finetune import load

TOOL = {"name": "bake", "description": "Bakes.", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}}}
SYSTEM = {"role": "system", "content": f"You may call tools. <tools>{json.dumps([TOOL])}</tools>"}
JSON = '{"name": "bake", "arguments": {"what": "rye, \\"dark\\""}}'
LLAMA = '{"name": "bake", "parameters": {"what": "rye, \\"dark\\""}}'
ARGUMENTS = '{"what": "rye, \\"dark\\""}'
ANSWERS = {
    "hermes": f"<tool_call>\n{JSON}\n</tool_call>",
    "hermes, not closed": f"<tool_call>{JSON}",
    "hermes, as python": """<tool_call>\n{'name': 'bake', 'arguments': {'what': 'rye, "dark"'}}\n</tool_call>""",
    "qwen coder": '<tool_call>\n<function=bake>\n<parameter=what>\nrye, "dark"\n</parameter>\n</function>\n</tool_call>',
    "llama function": f"<function=bake>{ARGUMENTS}</function>",
    "llama json": LLAMA,
    "llama tag": f"<|python_tag|>{LLAMA}<|eom_id|>",
    "llama python": """<|python_tag|>bake.call(what='rye, "dark"')""",
    "mistral": f"[TOOL_CALLS] [{JSON}]</s>",
    "mistral, named": f"[TOOL_CALLS]bake[ARGS]{ARGUMENTS}",
    "glaive": f"<functioncall> {JSON} <|endoftext|>",
    "glaive, quoted": f"""<functioncall> {{"name": "bake", "arguments": '{ARGUMENTS}'}}""",
    "granite": f"<|tool_call|>[{JSON}]<|/tool_call|>",
    "deepseek": (
        "<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>bake\n"
        f"```json\n{ARGUMENTS}\n```<\uff5ctool▁call▁end\uff5c><\uff5ctool▁calls▁end\uff5c>"
    ),
    "invoke": '<function_calls><invoke name="bake"><parameter name="what">rye, "dark"</parameter></invoke></function_calls>',
    "brackets": """[bake(what='rye, "dark"')]""",
    "json list": f"[{JSON}]",
    "action": f"Action: bake\nAction Input: {ARGUMENTS}",
}


def calls_of(message: dict[str, Any]) -> list[Any]:
    return [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in message.get("tool_calls", ())]


def chat(layout: str, messages: list[dict[str, Any]], **columns: Any) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt"}
    if layout == "messages":
        return {"messages": messages, **columns}
    turns = [{"from": names.get(one["role"], one["role"]), "value": one["content"]} for one in messages]
    return {"conversations": turns, **columns}


@pytest.mark.parametrize("layout", ["messages", "conversations"])
@pytest.mark.parametrize("syntax", ANSWERS)
def test_calls_are_read_in_each_syntax(syntax: str, layout: str) -> None:
    result = {"role": "tool", "content": "Done"}
    row = only_row(load([chat(layout, [SYSTEM, user("Bake!"), says(ANSWERS[syntax]), result, says("Here.")])]))
    answer, tool = row["messages"][2:4]
    assert calls_of(answer) == [("bake", {"what": 'rye, "dark"'})]
    assert not answer.get("content")
    assert (tool["tool_call_id"], tool["content"]) == (answer["tool_calls"][0]["id"], "Done")
    assert row["tools"] == [{"type": "function", "function": TOOL}]
    assert row["messages"][0] == SYSTEM


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ('<tool_response>\n{"name": "bake", "content": "Done"}\n</tool_response>', "tool"),
        ("<tool_response>\nDone\n</tool_response>", "user"),
        ("[TOOL_RESULTS]Done[/TOOL_RESULTS]", "tool"),
        ("FUNCTION RESPONSE: Done", "user"),
        ("Done", "ipython"),
        ("Done", "observation"),
    ],
)
def test_results_are_read_in_each_syntax(text: str, role: str) -> None:
    row = only_row(load([{"messages": [SYSTEM, user(), says(ANSWERS["hermes"]), {"role": role, "content": text}, says()]}]))
    assert (row["messages"][3]["role"], row["messages"][3]["content"]) == ("tool", "Done")


def test_several_calls_have_several_results() -> None:
    two = "[bake(what='rye'), bake(what='oat', times=[1, 2], hot=true)]"
    results = '[{"name": "bake", "results": "a"}, {"name": "bake", "results": "b"}]'
    row = only_row(load([{"messages": [SYSTEM, user(), says(two), {"role": "tool", "content": results}, says()]}]))
    assert calls_of(row["messages"][2]) == [("bake", {"what": "rye"}), ("bake", {"what": "oat", "times": [1, 2], "hot": True})]
    assert [json.loads(message["content"])["results"] for message in row["messages"][3:5]] == ["a", "b"]
    tags = "".join(f"<tool_response>{text}</tool_response>" for text in "ab")
    row = only_row(load([{"messages": [SYSTEM, user(), says(ANSWERS["hermes"] * 2), user(f"{tags} And?"), says()]}]))
    assert [message["content"] for message in row["messages"][3:6]] == ["a", "b", "And?"]


def test_text_around_calls_stays() -> None:
    (example,) = examples(load([{"messages": [SYSTEM, user(), says(f"Wait.\n{ANSWERS['hermes']}")]}]))
    assert example.row["messages"][2]["content"] == "Wait."
    assert example.changed == ("calls_read_from_text", "arguments_to_text", "tool_call_id_made", "tools_read_from_text")


@pytest.mark.parametrize(
    "prompt", [f"Functions:\n{json.dumps(TOOL)}\n", f"You can call [{json.dumps(TOOL)}].", f"- {json.dumps({'function': TOOL})}"]
)
def test_tools_are_read_from_prompts(prompt: str) -> None:
    row = only_row(load([{"messages": [{"role": "system", "content": prompt}, user(), says(ANSWERS["brackets"])]}]))
    assert [tool["function"]["name"] for tool in row["tools"]] == ["bake"]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{'name': bake</tool_call>",
        "<tool_call>bake\n<arg_key>what</arg_key></tool_call>",
        '<tool_call>{"name": "bake", "arguments": [1]}</tool_call>',
    ],
)
def test_broken_calls_are_refused(text: str) -> None:
    refusal = only_refusal(load([{"messages": [SYSTEM, user(), says(text)]}]))
    assert (refusal.code, refusal.path) == ("calls_in_text", "messages[2].content")
    assert "<tool_call>" in refusal.message


@pytest.mark.parametrize(
    "text", ["The mark `<tool_call>` opens a call.", "[bake(what=rye)]", "[1, 2]", '{"name": "Ann"}', "[ask(x=1)]"]
)
def test_texts_that_call_no_tool_stay_as_they_are(text: str) -> None:
    assert only_row(load([{"messages": [user("Which?"), says(text)]}]))["messages"][1]["content"] == text


def test_a_call_like_text_is_counted() -> None:
    (example,) = examples(load([{"messages": [user(), says("[ask(x=1)]")]}]))
    assert example.changed == ("calls_in_text",)


def test_calls_in_completions_and_preferences() -> None:
    row = only_row(load([{"prompt": "Bake!", "completion": ANSWERS["hermes"]}]))
    assert calls_of(row["messages"][1]) == [("bake", {"what": 'rye, "dark"'})]
    refusal = only_refusal(load([{"prompt": "Bake!", "completion": ANSWERS["hermes"]}], form="instruction"))
    assert "form='conversation'" in refusal.message
    (example,) = examples(load([{"prompt": "Bake!", "chosen": ANSWERS["hermes"], "rejected": "No."}]))
    assert calls_of(example.row["preferred_output"][0]) == [("bake", {"what": 'rye, "dark"'})]


def test_calls_in_rendered_texts() -> None:
    text = (
        f"<|im_start|>system\n{SYSTEM['content']}<|im_end|>\n<|im_start|>user\nBake!<|im_end|>\n<|im_start|>assistant\n"
        f"{ANSWERS['hermes']}<|im_end|>\n<|im_start|>user\n<tool_response>\nDone\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\nHere.<|im_end|>\n"
    )
    row = only_row(load([{"text": text}], "chatml"))
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert [tool["function"]["name"] for tool in row["tools"]] == ["bake"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii", categories=("L", "N", "P"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3),
    max_leaves=5,
)


@example_count(30)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUES, max_size=3))
def test_any_arguments_are_read(arguments: dict[str, Any]) -> None:
    in_json = json.dumps({"name": "bake", "arguments": arguments})
    in_python = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    for text in (f"<tool_call>{in_json}</tool_call>", in_json, f"[TOOL_CALLS][{in_json}]", f"[bake({in_python})]"):
        if "</tool_call>" not in in_json:
            row = only_row(load([{"messages": [SYSTEM, user(), says(text)]}]))
            assert calls_of(row["messages"][2]) == [("bake", arguments)]


def test_broken_calls_in_brackets_are_refused_where_their_tool_is_known() -> None:
    turns = [SYSTEM, user(), says("[bake(what=rye bread)]"), {"role": "tool", "content": "Done"}, says()]
    refusal = only_refusal(load([{"messages": turns}]))
    assert (refusal.code, "[bake(...)]" in refusal.message) == ("calls_in_text", True)


@pytest.mark.parametrize("columns", [("instruction", "output"), ("prompt", "completion"), ("question", "answer")])
def test_json_calls_of_declared_tools_in_answers(columns: tuple[str, str]) -> None:
    row = only_row(load([{columns[0]: "Bake!", columns[1]: JSON, "tools": json.dumps([TOOL])}]))
    assert calls_of(row["messages"][1]) == [("bake", {"what": 'rye, "dark"'})]

"""Conversations, instructions and texts in each data format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.finetune.formats.reading import examples, only_refusal, only_row, says, user
from together_adapters.finetune import check_row, load
from together_adapters.finetune.errors import SchemaDetectionError
from together_adapters.finetune.formats.layouts.provider_messages import ROLES

FUNCTION = {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


def test_messages_stay_as_they_are_and_bring_their_columns():
    conversation = [user(), says()]
    (result,) = examples(load([{"messages": conversation, "conversation_id": "c1", "prompt": "q"}]))
    assert result.row == {"messages": conversation, "conversation_id": "c1"}
    assert result.left_out == {"prompt": "q"}
    assert examples(load([{"messages": conversation, "id": "c1"}], group="id"))[0].group == "c1"
    assert only_row(
        load(
            [
                conversation,
            ]
        )
    ) == {"messages": conversation}


def test_functions_become_tools_and_their_results_find_the_calls():
    record = {
        "messages": [
            user(), {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1}'}},
            {"role": "function", "name": "add", "content": "2"}, says(),
        ],
        "functions": [FUNCTION], "parallel_tool_calls": False,
    }  # fmt: skip
    row = only_row(load([record], "openai"))
    call = row["messages"][1]["tool_calls"][0]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert row["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": "2"}
    assert row["tools"] == [{"type": "function", "function": FUNCTION}]
    assert set(examples(load([record]))[0].changed) == {
        "functions_converted", "tool_call_id_made", "parallel_tool_calls_dropped"
    }  # fmt: skip


def test_what_the_check_must_judge_stays_in_the_message():
    odd = {"messages": [user(), says("a", refusal="no", name="x", weight=0), {"role": "critic", "content": "b"}]}
    (result,) = examples(load([odd]))
    assert result.row["messages"] == odd["messages"]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (3, "messages_not_list"),
        ("{'role'", "column_not_json"),
        ([3], "message_not_object"),
        ([], "messages_empty"),
        ([user(5), says()], "content_wrong_type"),
        ([user([{"type": "input_audio", "input_audio": {}}]), says()], "content_part_unsupported"),
        ([user([{"type": "video_url"}]), says()], "content_part_unsupported"),
        ([user([{"type": "file"}]), says()], "content_part_unsupported"),
        (
            [user(), says([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}])],
            "image_outside_user_message",
        ),
        ([user([{"type": "image_url", "image_url": "https://example.com/a.png"}]), says()], "image_remote"),
        ([user(), says(tool_calls="zzz")], "tool_calls_not_list"),
        ([user(), says(tool_calls="")], "tool_calls_not_list"),
        ([user(), says(None, tool_calls=[{"function": {"name": "f", "arguments": [1]}}])], "tool_arguments_not_object"),
        ([user(), {"role": "function", "name": "f", "content": "x"}], "tool_result_unmatched"),
        ([user(), says(reasoning=3)], "reasoning_not_string"),
        ([user(), says([{"type": "thinking", "signature": "x"}])], "reasoning_unreadable"),
    ],
)
def test_messages_that_cannot_be_trained_on_are_refused(messages: Any, code: str):
    assert only_refusal(load([{"messages": messages}], "messages")).code == code


def test_reasoning_among_the_parts_becomes_the_message_s():
    conversation = [user(), says([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "a"}])]
    assert only_row(load([{"messages": conversation}]))["messages"][1] == {"role": "assistant", "content": "a", "reasoning": "hm"}


def test_a_column_may_hold_json_text():
    record = {"messages": json.dumps([user(), says()]), "tools": json.dumps([FUNCTION])}
    row = only_row(load([record]))
    assert row["messages"] == [user(), says()]
    assert row["tools"][0]["function"] == FUNCTION
    assert "Python's repr" in only_refusal(load([{"messages": str([user()])}])).message


def test_a_chat_as_prompt_is_not_trained_on():
    record = {"prompt": [user("a"), says("b"), user("c")], "completion": [says("d")]}
    assert [message["weight"] for message in only_row(load([record]))["messages"]] == [0, 0, 0, 1]
    assert only_row(load([record], prompt_weights=False))["messages"] == [user("a"), says("b"), user("c"), says("d")]
    assert only_refusal(load([{"prompt": [user()], "completion": [user()]}])).code == "completion_not_answer"


def test_a_prompt_with_its_completion():
    record = {"prompt": "q", "completion": "a", "source": "x"}
    assert only_row(load([record])) == record
    assert only_row(load([record], form="conversation"))["messages"] == [user(), says()]
    data = load([{"question": "q", "reply": "a"}], columns={"prompt": "question", "completion": "reply"})
    assert only_row(data) == {"prompt": "q", "completion": "a"}
    missing = load([{"question": "q"}], "prompt_completion", columns={"prompt": "question", "completion": "reply"})
    assert only_refusal(missing).code == "column_missing"
    assert "columns={'completion': 'COLUMN'} takes another" in only_refusal(missing).message
    assert only_refusal(load([{"prompt": "q", "completion": 5}])).code == "cell_not_text"
    assert only_refusal(load([{"prompt": None, "completion": "a"}], "prompt_completion")).code == "cell_missing"
    with pytest.raises(SchemaDetectionError, match="the column answer is empty in all records"):
        load([{"question": "q", "answer": ""}, {"question": "r", "answer": None}])


def test_what_is_missing_is_named():
    missing = only_refusal(load([{"mesages": [user(), says()]}], "messages"))
    assert (missing.code, missing.message) == ("column_missing", "there is no column messages; the columns are mesages")
    for message in ({"role": "assistant", "text": "a"}, {"role": "user", "text": "q"}):
        (example,) = examples(load([{"messages": [message, says()]}], "messages"))
        codes = {issue.code for issue in check_row(example.row)}
        assert "content_missing" in codes and "content_wrong_type" not in codes


@pytest.mark.parametrize("name", [*ROLES, "Human", "GPT ", "Function Call", "FUNCTION-CALL", "ChatGPT"])
def test_every_name_of_a_speaker(name: str):
    role = ROLES["_".join(name.lower().replace("-", " ").split())]
    value = '{"name": "f", "arguments": {}}' if role == "calls" else "x"
    first = [{"from": "gpt", "value": "a"}, {"from": "function_call", "value": '{"name": "f"}'}] if role == "tool" else []
    conversation = [{"from": "human", "value": "q"}, *first, {"from": name, "value": value}]
    (result,) = examples(load([{"conversations": conversation}]))
    assert result.row["messages"][-1]["role"] == ("assistant" if role == "calls" else role)


def test_sharegpt_with_tools():
    record = {
        "system": "s", "tools": json.dumps([FUNCTION]), "source": "web",
        "conversations": [
            {"from": "human", "value": "q"},
            {"from": "function_call", "value": '[{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}]'},
            {"from": "observation", "value": "1"}, {"from": "observation", "value": "2"}, {"from": "gpt", "value": "a"},
        ],
    }  # fmt: skip
    row = only_row(load([record]))
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert [message.get("tool_call_id") for message in row["messages"][3:5]] == ["call_1", "call_2"]
    assert row["messages"][2]["tool_calls"][1]["function"]["arguments"] == '{"a": 2}'


def test_sharegpt_refuses_strangers_by_name():
    strange = [{"from": "narrator", "value": "x"}] * 2 + [{"from": "gpt", "value": "a"}, {"from": None, "value": "x"}]
    refusal = only_refusal(load([{"conversations": strange}]))
    assert refusal.code == "speaker_unknown"
    assert "'narrator' (2)" in refusal.message and "'None' (1)" in refusal.message
    assert only_refusal(load([{"conversations": [{"from": "function_call", "value": "{"}]}])).code == "tool_call_invalid"
    assert only_refusal(load([{"conversations": [{"from": "tool", "value": "x"}]}])).code == "tool_result_unmatched"


def test_sharegpt_preference():
    conversation = {"conversations": [{"from": "human", "value": "q"}]}
    row = only_row(load([{**conversation, "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}]))
    assert row == {"input": {"messages": [user()]}, "preferred_output": [says()], "non_preferred_output": [says("b")]}


def test_alpaca():
    record = {"instruction": "i", "input": "x", "output": "o"}
    assert only_row(load([record])) == {"prompt": "i\n\nx", "completion": "o"}
    assert only_row(load([record], join="\n"))["prompt"] == "i\nx"
    assert only_row(load([{**record, "input": ""}]))["prompt"] == "i"
    assert only_row(load([record], template=lambda record: f"### {record['instruction']}"))["prompt"] == "### i"
    conversation = only_row(load([{**record, "history": [["a", "b"]], "system": "s"}]))["messages"]
    assert [message["content"] for message in conversation] == ["s", "a", "b", "i\n\nx", "o"]
    assert only_refusal(load([{**record, "output": {"a": 1}}])).code == "cell_not_text"
    assert only_refusal(load([{**record, "history": [["a"]]}])).code == "history_invalid"


RENDERED = {
    "chatml": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
    "llama3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user<|end_header_id|>"
    "\n\nq<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>",
    "llama2": "<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s>",
    "mistral": "<s>[INST] <<SYS>>s<</SYS>>q[/INST] a</s>",
}


@pytest.mark.parametrize("template", RENDERED)
def test_rendered_text_is_read_back_where_its_template_is_named(template: str):
    text = RENDERED[template]
    row = only_row(load([{"text": text}], "chatml", text_dialect=template))
    assert row == {"messages": [{"role": "system", "content": "s"}, user(), says()]}
    (example,) = examples(load([{"text": text}]))
    assert example.row == {"text": text} and example.changed == ("template_in_content",)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("before " + RENDERED["chatml"], "chatml"),
        (RENDERED["chatml"] + "after", "chatml"),
        (RENDERED["chatml"][:-12], "chatml"),
        ("<|im_start|>user\n<|im_start|>user\nq<|im_end|><|im_end|>", "chatml"),
        ("plain", "mistral"),
        ("<s>[INST] q [/INST]", "mistral"),
    ],
)
def test_rendered_text_that_does_not_fit_its_template_is_refused(text: str, template: str):
    assert only_refusal(load([{"text": text}], "chatml", text_dialect=template)).code == "template_broken"


def test_marks_of_templates_are_told_wherever_they_stand():
    content = "x <|im_start|>user"
    for record in (
        {"messages": [user(content), says()]},
        {"prompt": content, "completion": "a"},
        {"messages": [user(content), says(), user()], "tools": [FUNCTION]},
    ):
        assert "template_in_content" in examples(load([record]))[0].changed


def test_several_fitting_formats_are_an_error():
    with pytest.raises(SchemaDetectionError, match="messages, preference") as error:
        load([{"messages": [], "chosen": 1, "rejected": 2}])
    assert error.value.candidates == ("messages", "preference")
    with pytest.raises(SchemaDetectionError, match="messages, text"):
        load([{"messages": []}, {"text": "x"}])
    with pytest.raises(SchemaDetectionError, match="columns a, b"):
        load([{"a": 1, "b": 2}])
    with pytest.raises(SchemaDetectionError, match="no record"):
        load([])


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"queries": {}, "corpus": {}, "relevant_docs": {}}, "retrieval"),
        ({"anchor": "a", "positive": "b", "negative": "c"}, "retrieval"),
        ({"prompt": "p", "completion": "c", "label": True}, "KTO"),
        ({"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]}, "scores"),
        ({"input_ids": [1], "labels": [1]}, "tokenized"),
    ],
)
def test_data_that_trains_nothing_here_is_refused_with_a_pointer(record: dict[str, Any], words: str):
    with pytest.raises(SchemaDetectionError, match=words):
        load([record])
    with pytest.raises(SchemaDetectionError, match=words):
        load([record], "prompt_completion")


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match="alpacas"):
        load([], "alpacas")
    with pytest.raises(ValueError, match="gemma"):
        load([], "chatml", text_dialect="gemma")


def test_good_calls_stay_as_they_are():
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    for message in (
        {"role": "assistant", "tool_calls": [call]},
        says(None, tool_calls=[call]),
        says("x", tool_calls=[call], weight=0),
    ):
        record = {"messages": [user(), message, {"role": "tool", "tool_call_id": "c1", "content": "2"}, says()]}
        record["tools"] = [{"type": "function", "function": FUNCTION}]
        assert only_row(load([record])) == record
    bare = {"messages": [user(), {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": None}}}]}]}
    assert only_row(load([bare]))["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": null}'


@pytest.mark.parametrize("mark", ["loss", "train", "trainable"])
def test_a_mark_of_a_trainer_is_the_weight_of_a_message(mark: str) -> None:
    messages = [user("q"), says("a", **{mark: False}), user("r"), says("b", **{mark: True})]
    assert [message.get("weight") for message in only_row(load([{"messages": messages}]))["messages"]] == [None, 0, None, 1]


@pytest.mark.parametrize(("speaker", "text"), [("author", "content"), ("sender", "text"), ("from", "text")])
def test_messages_that_name_their_speaker_otherwise(speaker: str, text: str) -> None:
    turns = [{speaker: "user", text: "q"}, {speaker: "assistant", text: "a"}]
    assert only_row(load([{"messages": turns}])) == {"messages": [user("q"), says("a")]}
    strangers = [{speaker: "Ann", text: "q"}, {speaker: "Bob", text: "a"}]
    assert "unknown speakers: 'Ann' (1), 'Bob' (1)" in only_refusal(load([{"messages": strangers}])).message


def test_an_unknown_speaker_is_named_with_its_turn_and_what_may_be_meant() -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "humn", "value": "r"}, {"from": "gpt", "value": "a"}]
    refusal = only_refusal(load([{"conversations": turns}]))
    assert (refusal.code, refusal.path) == ("speaker_unknown", "conversations[1].from")
    assert "'humn' (1) (do you mean 'human'?)" in refusal.message

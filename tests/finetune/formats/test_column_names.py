"""Columns with the names that people give them: read where one reading makes sense, else refused with the names to give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.finetune.formats.reading import only_refusal, only_row, refusals, says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.formats.column_names import ANSWERS, CONTEXTS, QUESTIONS, reading_of

Q, A, C, S = "How high is it?", "Nine metres.", "The tower of Ely.", "Be brief."
ONE_QUESTION = {"prompt": Q, "completion": A}


@pytest.mark.parametrize(
    "record",
    [
        {"question": Q, "answer": A, "source": "wiki", "id": 3},
        {"Question": Q, "Answer": A},
        {"query": Q, "response": A},
        {"input_text": Q, "target_text": A},
        {"userMessage": Q, "assistant response": A},
        {"human": Q, "assistant": A},
        {"source": Q, "target": A},
        {"Q": Q, "A": A},
        {"instruction": Q, "response": A},
        {"instruction": Q, "completion": A, "input": None},
        {"instruction": Q, "output": A, "text": f"### Instruction:\n{Q}\n### Response:\n{A}"},
        {"question": Q, "answers": {"text": [A, A], "answer_start": [0, 7]}},
    ],
)
def test_one_question_and_one_answer_are_known(record: dict[str, Any]):
    row = only_row(load([record]))
    assert {key: row[key] for key in ONE_QUESTION} == ONE_QUESTION


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": Q, "context": C, "response": A, "category": "open_qa"},
        {"question": Q, "passage": C, "answer": A},
        {"question": Q, "context": C, "answers": {"text": [A], "answer_start": [0]}, "title": "Ely"},
        {"data": [{"title": "Ely", "paragraphs": [{"context": C, "qas": [{"question": Q, "answers": [{"text": A}]}]}]}]},
    ],
)
def test_a_context_is_in_the_prompt(record: dict[str, Any]):
    row = only_row(load([record]))
    assert (row["prompt"], row["completion"]) == (f"{Q}\n\n{C}", A)


def test_each_different_answer_has_a_row_and_none_is_refused():
    record = {"question": Q, "answers": {"text": [A, "9 m", A]}}
    assert [row["completion"] for row in load([record])] == [A, "9 m"]
    assert only_refusal(load([record | {"answers": {"text": []}}])).code == "answer_missing"


@pytest.mark.parametrize(
    "names", [("prompt", "completion"), ("question", "answer"), ("query", "response"), ("instruction", "output")]
)
def test_a_system_prompt_beside_a_question_is_the_first_message(names: tuple[str, str]):
    messages = [{"role": "system", "content": S}, user(Q), says(A)]
    assert only_row(load([{"system": S, names[0]: Q, names[1]: A}])) == {"messages": messages}
    only = only_row(load([{"history": [["Hello", "Hi"]], "system_prompt": S, names[0]: Q, names[1]: A}]))["messages"]
    assert only == [messages[0], user("Hello"), says("Hi"), *messages[1:]] or names[1] == "completion"


@pytest.mark.parametrize("names", [("question", "chosen", "rejected"), ("query", "chosen_response", "rejected_response")])
def test_a_preference_of_other_names(names: tuple[str, str, str]):
    row = only_row(load([{"system": S, **dict(zip(names, (Q, A, "Go."), strict=True))}]))
    assert row["input"]["messages"] == [{"role": "system", "content": S}, user(Q)]
    assert (row["preferred_output"], row["non_preferred_output"]) == ([says(A)], [says("Go.")])


def test_a_text_that_is_no_rendering_is_not_lost(tmp_path: Path):
    record = {"instruction": "Sum up.", "output": A, "text": C}
    with pytest.raises(DatasetError, match="'input': 'text'"):
        write_jsonl(load([record]), tmp_path / "out.jsonl")
    assert only_row(load([record], columns={"input": "text"})) == {"prompt": f"Sum up.\n\n{C}", "completion": A}


def test_mixed_records_become_conversations():
    records = [{"question": Q, "answer": A}, {"messages": [user("u"), says("v")]}, {"instruction": Q, "input": C, "output": A}]
    assert list(load(records)) == [
        {"messages": [user(Q), says(A)]}, {"messages": [user("u"), says("v")]}, {"messages": [user(f"{Q}\n\n{C}"), says(A)]}
    ]  # fmt: skip


def test_a_refusal_names_the_column_of_the_source():
    refusal = only_refusal(load([{"question": Q, "answer": 9}]))
    assert refusal.path == "answer"
    assert "completion" not in refusal.message


@given(
    st.lists(st.sampled_from(sorted(QUESTIONS | ANSWERS | CONTEXTS | {"id", "topic", "system"})), unique=True, max_size=6).map(
        tuple
    )
)
def test_a_reading_names_each_column_once_and_needs_one_question_and_answer(columns: tuple[str, ...]):
    reading = reading_of(columns)
    if reading is not None and reading.columns:
        sources = [column for _, column in reading.columns]
        assert len(set(sources)) == len(sources)
        assert set(sources) <= set(columns)
        assert len(ANSWERS.intersection(columns)) == 1
        assert len((QUESTIONS - {"input"}).intersection(columns)) <= 1


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"input": {"messages": [user(Q)]}, "output": {"messages": [says(A)]}}, [user(Q), says(A)]),
        ({"messages": [user(Q)], "completion": A}, [user(Q), says(A)]),
        ({"history": [user("Hello"), says("Hi")], "instruction": Q, "output": A}, [user("Hello"), says("Hi"), user(Q), says(A)]),
    ],
)
def test_questions_and_answers_may_be_messages(record: dict[str, Any], messages: list[Any]):
    rows = load([record], form="conversation", prompt_weights=False)
    assert only_row(rows) == {"messages": messages}


def test_ranked_answers_are_paired():
    record = {"prompt": Q, "answers": [{"answer": "Go.", "rank": 2.0}, {"answer": A, "rank": 1.0}]}
    with pytest.raises(DatasetError, match="pair='best_vs_worst'"):
        load([record])
    row = only_row(load([record], pair="best_vs_worst"))
    assert (row["preferred_output"], row["non_preferred_output"]) == ([says(A)], [says("Go.")])


def test_a_number_beside_a_conversation_is_no_question(tmp_path: Path):
    report = write_jsonl(load([{"messages": [user(Q), says(A)], "turn": 1}]), tmp_path / "out.jsonl").report
    assert report.left_out == {"turn": 1}
    assert report.issue_counts == {"column_left_out": 1}


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        ({"label": A, "message": Q}, {"prompt": "message", "completion": "label"}),
        ({"from": "ann", "subject": S, "body": Q, "reply": A}, {"prompt": "body", "completion": "reply"}),
        ({"Customer Question": Q, "Agent Reply": A, "CSAT": "5"}, {"prompt": "Customer Question", "completion": "Agent Reply"}),
        ({"question": Q, "correct_answer": A, "support": C}, {"prompt": "question", "completion": "correct_answer"}),
        ({"input": [user(Q)], "ideal": A}, {"prompt": "input", "completion": "ideal"}),
        ({"en": Q, "fr": A}, {"prompt": "en", "completion": "fr"}),
    ],
)
def test_an_advice_names_the_question_and_the_answer(record: dict[str, Any], columns: dict[str, str]):
    with pytest.raises(DatasetError) as problem:
        load([record])
    assert f"columns={columns!r}" in str(problem.value)
    messages = only_row(load([record], columns=columns, form="conversation", prompt_weights=False))["messages"]
    assert messages == [user(Q), says(A)]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"prompt": Q, "response_a": A, "response_b": "Go.", "winner": "b"}, "'response_a' and 'response_b' answer one question"),
        ({"goal": Q, "sol1": A, "sol2": "Go.", "label": 1}, "'sol1' and 'sol2' answer one question"),
        ({"conversation_a": [user(), says()], "conversation_b": [user(), says("b")]}, "'conversation_a' and 'conversation_b'"),
        ({"prompt": [user(Q)], "ability": "maths"}, "'prompt' ends without an answer"),
        ({"How tall is it?": Q, "Nine metres": A}, "is the line with names"),
        ({"text": Q, "tokens": [], "answer": "accept"}, "'COLUMN'"),
        ({"prompt": Q, "text": A, "audience": "all"}, "'COLUMN'"),
    ],
)
def test_an_advice_guesses_no_column(record: dict[str, Any], words: str):
    with pytest.raises(DatasetError) as problem:
        load([record])
    assert words in str(problem.value)
    assert "prompt" in str(problem.value)


def test_preferences_of_an_instruction_keep_its_input():
    row = only_row(load([{"instruction": "Translate.", "input": Q, "chosen": A, "rejected": "Go."}]))
    assert row["input"]["messages"] == [user(f"Translate.\n\n{Q}")]


@pytest.mark.parametrize("names", [("chosen_conversations", "rejected_conversations"), ("chosen_messages", "rejected_messages")])
def test_a_preference_of_two_chats_of_other_names(names: tuple[str, str]):
    row = only_row(load([dict(zip(names, ([user(Q), says(A)], [user(Q), says("Go.")]), strict=True))]))
    assert (row["input"]["messages"], row["preferred_output"]) == ([user(Q)], [says(A)])


def test_an_answer_that_is_a_list_of_texts_has_a_row_for_each() -> None:
    assert [row["completion"] for row in load([{"question": Q, "answer": [A, "9 m"]}])] == [A, "9 m"]
    records = [{"query": Q, "context": C, "response": A}, {"query": Q, "context": C, "response": [A, "9 m"]}]
    assert [row["prompt"] for row in load(records)] == [f"{Q}\n\n{C}"] * 3


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("question", {"raw": Q, "aliases": [A]}, "the keys raw, aliases"),
        ("answer", {"raw": Q, "aliases": [A]}, "the keys raw, aliases"),
        ("question", [Q], "a list of texts"),
    ],
)
def test_what_is_no_text_is_refused_in_its_own_words(column: str, value: Any, words: str) -> None:
    data = load([{"question": Q, "answer": A}, {"question": Q, "answer": A, column: value}])
    (refusal,) = refusals(data)
    assert (refusal.path, refusal.code) == (column, "cell_not_text")
    assert words in refusal.message


def test_reasoning_is_known_by_its_short_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="'Complex_CoT' is reasoning"):
        write_jsonl(load([{"Question": Q, "Complex_CoT": "It is high.", "Response": A}]), tmp_path / "out.jsonl")


@pytest.mark.parametrize("name", ["zipf", "score"])
def test_numbers_that_json_lacks_are_counted_where_they_are_left_out(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"prompt": "a", "completion": "b", "{name}": NaN}}\n{{"prompt": "c", "completion": "d"}}\n')
    assert write_jsonl(load(source), tmp_path / "out.jsonl").report.left_out == {name: 1}


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        ({"translation": {"en": Q, "de": A}}, {"prompt": "translation.en", "completion": "translation.de"}),
        ({"input": {"question": Q}, "expected": A}, {"prompt": "input.question", "completion": "expected"}),
        ({"fields": {"instruction": Q, "response": A}}, {"prompt": "fields.instruction", "completion": "fields.response"}),
        ({"id": "1", "chat": {"messages": [user(Q), says(A)]}}, {"messages": "chat.messages"}),
    ],
)
def test_the_fields_of_an_object_are_named_by_their_paths(record: dict[str, Any], columns: dict[str, str]) -> None:
    with pytest.raises(DatasetError) as problem:
        load([record])
    assert f"columns={columns!r}" in str(problem.value)
    messages = only_row(load([record], columns=columns, form="conversation"))["messages"]
    assert messages == [user(Q), says(A)]


def test_what_stands_beside_a_named_field_is_left_out_by_its_path(tmp_path: Path) -> None:
    record = {"translation": {"en": Q, "de": A, "dialect": "north"}}
    data = load([record], columns={"prompt": "translation.en", "completion": "translation.de"})
    assert write_jsonl(data, tmp_path / "out.jsonl").report.left_out == {"translation.dialect": 1}


def test_a_prompt_that_renders_the_whole_instruction_is_left_out_by_name(tmp_path: Path) -> None:
    record = {
        "instruction": Q,
        "input": C,
        "output": A,
        "prompt": f"### Instruction:\n{Q}\n\n### Input:\n{C}\n\n### Output:\n{A}",
    }
    assert write_jsonl(load([record]), tmp_path / "out.jsonl").report.left_out == {"prompt": 1}
    with pytest.raises(DatasetError, match="'prompt' is a question"):
        write_jsonl(load([record | {"prompt": "Something else?"}]), tmp_path / "other.jsonl")


def test_a_log_of_messages_is_no_question_with_an_answer() -> None:
    with pytest.raises(DatasetError, match="each record is a single message"):
        load([{"type": "user", "message": user(Q), "uuid": "1"}, {"type": "assistant", "message": says(A), "uuid": "2"}])

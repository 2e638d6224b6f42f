"""Preferences in all their forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.finetune.formats.reading import examples, only_refusal, only_row, refusals, says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.errors import SchemaDetectionError

PAIR = {"input": {"messages": [user()]}, "preferred_output": [says("good")], "non_preferred_output": [says("bad")]}


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": [user()], "chosen": [says("good")], "rejected": [says("bad")]},
        {"prompt": "q", "chosen": [says("good")], "rejected": [says("bad")]},
        {"prompt": "q", "chosen": [user(), says("good")], "rejected": [user(), says("bad")]},
        {"prompt": [user()], "chosen": [user(), says("good")], "rejected": [user(), says("bad")]},
        {"chosen": [user(), says("good")], "rejected": [user(), says("bad")]},
        {"prompt": "q", "chosen": says("good"), "rejected": says("bad")},
        PAIR,
        {**PAIR, "input": {"messages": [user()], "parallel_tool_calls": True}},
    ],
)
def test_every_form_gives_the_same_row(record: dict[str, Any]):
    assert only_row(load([record])) == PAIR


def test_the_common_beginning_belongs_to_the_question():
    shared = [user(), says("first"), user("more")]
    row = only_row(load([{"chosen": [*shared, says("good")], "rejected": [*shared, says("bad")], "score": 3}]))
    assert row["input"]["messages"] == shared and row["score"] == 3


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "pref_outputs_identical"),
        ({"chosen": [user(), says()], "rejected": [user(), says()]}, "pref_outputs_identical"),
        ({"chosen": [user("x"), says()], "rejected": [user("y"), says()]}, "pref_prompts_differ"),
        ({"chosen": [user(), says(), user("x"), says()], "rejected": [user(), says("b")]}, "pref_output_not_exactly_one"),
        ({"chosen": [user()], "rejected": [user(), says("b")]}, "pref_output_not_exactly_one"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "cell_missing"),
        ({"prompt": 3, "chosen": "a", "rejected": "b"}, "cell_not_text"),
        ({"prompt": "q", "chosen": [user("a")], "rejected": [user("b")]}, "pref_output_role_not_assistant"),
        ({**PAIR, "preferred_output": [says("a"), says("b")]}, "pref_output_not_exactly_one"),
        ({**PAIR, "input": "q"}, "pref_input_not_object"),
    ],
)
def test_pairs_that_cannot_be_told_apart_are_refused(record: dict[str, Any], code: str):
    assert only_refusal(load([record], "preference")).code == code


def test_tools_of_a_preference_go_with_its_question():
    tool = {"type": "function", "function": {"name": "f"}}
    row = only_row(load([{"prompt": "q", "chosen": "a", "rejected": "b", "tools": [tool]}]))
    assert row["input"]["tools"] == [tool]


def test_hh_splits_at_the_last_answer():
    begin = "\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:"
    record = {"chosen": f"{begin} good", "rejected": f"{begin} bad\nand more"}
    row = only_row(load([record], "hh"))
    assert [message["content"] for message in row["input"]["messages"]] == ["one", "two", "three"]
    assert (row["preferred_output"][0]["content"], row["non_preferred_output"][0]["content"]) == ("good", "bad\nand more")
    with pytest.raises(SchemaDetectionError, match="hh") as error:
        load([record])
    assert error.value.candidates == ("hh",)
    other = {"chosen": begin + " a", "rejected": begin.replace("two", "2") + " b"}
    assert only_refusal(load([other], "hh")).code == "pref_prompts_differ"
    assert only_refusal(load([{"chosen": "plain", "rejected": "text"}], "hh")).code == "pref_text_undeclared"
    assert only_refusal(load([record], "preference")).code == "pref_text_undeclared"


def test_scores_make_a_pair_where_it_is_asked_for():
    scored_answers = {"prompt": "q", "responses": ["bad", "good", "so-so"], "scores": [1, 5, 3]}
    assert only_row(load([scored_answers], pair="best_vs_worst")) == PAIR
    record = {
        "instruction": "q",
        "completions": [{"response": "good", "overall_score": 9}, {"response": "bad", "overall_score": 2}],
    }
    assert only_row(load([record], pair="best_vs_worst")) == PAIR
    assert only_refusal(load([{**scored_answers, "scores": [1, 1, 1]}], pair="best_vs_worst")).code == "pref_unscored"
    assert only_refusal(load([{**scored_answers, "scores": [1]}], pair="best_vs_worst")).code == "pref_unscored"


def test_labels_make_pairs_of_answers_to_the_same_prompt():
    kto = [
        {"prompt": "q", "completion": "good", "label": True}, {"prompt": "other", "completion": "x", "label": True},
        {"prompt": "q", "completion": "bad", "label": False}, {"prompt": "q", "completion": "bad", "label": None},
    ]  # fmt: skip
    data = load(kto, "preference", pair="best_vs_worst")
    (results,) = examples(data)
    assert results.row == PAIR and results.number == 3
    assert sorted((refusal.code, refusal.number) for refusal in refusals(data)) == [
        ("paired_with_another", 1), ("pref_unscored", 2), ("pref_unscored", 4),
    ]  # fmt: skip


GOOD_WORDS = (True, 1, 1.0, "1", "good", "Desirable", "thumbs_up", "thumbs up", "positive", "yes", "true", "+1")
BAD_WORDS = (False, 0, -1, "-1", "bad", "undesirable", "thumbs_down", "thumbs-down", "negative", "no", "FALSE", "0")

LABELS = ("label", "kto_tag", "ktoTag", "feedback", "is_good", "rating")


@pytest.mark.parametrize(("good", "bad", "column"), list(zip(GOOD_WORDS, BAD_WORDS, LABELS * 2, strict=True)))
def test_labels_in_any_spelling_pair_or_are_refused(good: Any, bad: Any, column: str, tmp_path: Path):
    layouts: list[Any] = [
        lambda answer: {"prompt": "q", "completion": answer},
        lambda answer: {"messages": [user(), says(answer)]},
        lambda answer: {"instruction": "q", "input": "", "output": answer},
        lambda answer: {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": answer}]},
    ]
    for layout in layouts:
        records = [{**layout("bad"), column: bad}, {**layout("good"), column: good, "id": 7}]
        data = load(records, pair="best_vs_worst")
        (preference,) = examples(data)
        assert preference.row == {**PAIR, "id": 7} and [refusal.number for refusal in refusals(data)] == [1]
        with pytest.raises(DatasetError, match=rf"\b{column}\b|a label \(KTO\)"):
            write_jsonl(load(records), tmp_path / "a.jsonl")


def test_a_score_is_never_trained_as_good(tmp_path: Path):
    for column in ("score", "rating", "overall_score", "rank", "reward_score", "scores"):
        with pytest.raises(DatasetError, match=f"'{column}' judges an answer"):
            write_jsonl(load([{"prompt": "q", "completion": "a", column: 0.3}]), tmp_path / "a.jsonl")
    data = load([{"prompt": "q", "completion": "a", "label": word} for word in (True, "so-so", 0.5)], pair="best_vs_worst")
    assert [refusal.code for refusal in refusals(data)] == ["pref_unscored"] * 3 and not examples(data)


@pytest.mark.parametrize("worse", ["bad", says("bad"), [says("bad")], [user(), says("bad")]])
@pytest.mark.parametrize("column", ["rejected_response", "rejected_messages"])
def test_a_worse_answer_beside_messages_makes_a_preference(column: str, worse: Any):
    assert only_row(load([{"messages": [user(), says("good")], column: worse}])) == PAIR


def test_a_preference_has_the_system_prompt_beside_it():
    row = only_row(load([{"prompt": "q", "chosen": "good", "rejected": "bad", "system": "s"}]))
    assert row["input"]["messages"] == [{"role": "system", "content": "s"}, user()]


CHATS = {"chosen": [user("q"), says("good")], "rejected": [user("q"), says("bad")]}


@pytest.mark.parametrize(
    "beside", [{"messages": CHATS["chosen"]}, {"conversation": [{"input": "q", "output": "good"}], "original_response": "good"}]
)
def test_a_chat_beside_the_pair_that_holds_it_is_no_format_of_its_own(beside: dict[str, Any]) -> None:
    row = only_row(load([CHATS | beside]))
    assert (row["input"]["messages"], row["non_preferred_output"]) == ([user("q")], [says("bad")])


@pytest.mark.parametrize(
    "record",
    [
        {"contents": [{"role": "user", "parts": [{"text": "q"}]}],
         "completions": [{"score": score, "completion": {"role": "model", "parts": [{"text": text}]}} for text, score in (("bad", 0), ("good", 1))]},
        {"context": [user("q")], "completions": [{"rank": rank, "completion": [says(text)]} for rank, text in ((1, "bad"), (0, "good"))]},
        {"instruction": "q", "generations": ["bad", "good"], "ratings": [1, 5], "rationales": ["poor", "fine"]},
        {"prompt": "q", "answers": [{"answer": "bad", "rank": 2}, {"answer": "good", "rank": 1}], "turns": 1},
    ],
)  # fmt: skip
def test_scored_answers_of_any_layout_are_paired(record: dict[str, Any]) -> None:
    with pytest.raises(DatasetError, match="pair='best_vs_worst'"):
        load([record])
    data = load([record], pair="best_vs_worst")
    row = only_row(data)
    assert (row["input"]["messages"], row["preferred_output"], row["non_preferred_output"]) == (
        [user("q")], [says("good")], [says("bad")]
    )  # fmt: skip


def test_answers_without_scores_are_not_said_to_have_some() -> None:
    with pytest.raises(DatasetError, match="'responses' holds several answers, and no score"):
        load([{"prompt": "q", "responses": ["one", "two"]}])

"""Training data: read again, mapped, filtered, deduplicated, limited; all dropped rows are counted."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import example_count
from together_adapters.errors import DatasetError
from together_adapters.finetune import ConversionError, TrainingData, from_messages
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.records import Example, Record, Refusal


def row(question: str = "q", answer: str = "a", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


def dropped(data: TrainingData) -> dict[str, int]:
    return dict(Counter(record.code for record in data.records() if isinstance(record, Refusal)))


def test_data_can_be_read_again() -> None:
    data = TrainingData.from_rows([row("a"), row("b")]).map(lambda row: row).filter(lambda row: True).dedupe()
    assert list(data) == list(data) == [row("a"), row("b")]


def test_an_iterator_is_never_silently_empty() -> None:
    for data in (TrainingData.from_rows(iter([row()])), from_messages(iter([row()["messages"]]))):
        assert len(list(data)) == 1
        with pytest.raises(DatasetError, match="only once"):
            list(data)


def test_nothing_is_read_before_it_is_needed() -> None:
    def read() -> Iterator[Record]:
        yield Example(row(), 1)
        raise AssertionError("read too far")

    data = TrainingData(read).map(lambda row: row).filter(lambda row: True).dedupe().limit(1)
    assert list(data) == [row()]


def test_map_gets_a_copy_and_counts_what_changed() -> None:
    source = [row("a"), row("b")]

    def shout(given: dict[str, Any]) -> dict[str, Any]:
        given["messages"][0]["content"] = given["messages"][0]["content"].replace("b", "B")
        return given

    records = list(TrainingData.from_rows(source).map(shout, name="shouted").records())
    assert [record.changed for record in records if isinstance(record, Example)] == [(), ("shouted",)]
    assert source == [row("a"), row("b")]


def test_map_to_none_is_an_error_without_a_reason() -> None:
    data = TrainingData.from_rows([row("a"), row("b")], "chats.jsonl")
    with pytest.raises(ConversionError, match=r"chats.jsonl record 1: map returned None") as error:
        list(data.map(lambda row: None))
    assert error.value.issue_counts == {"map_not_row": 2}
    assert dropped(data.map(lambda row: None, reason="gone")) == {"gone": 2}
    assert list(data.map(lambda row: None, reason="gone")) == []


def test_errors_of_user_functions_name_the_row() -> None:
    with pytest.raises(KeyError) as error:
        list(TrainingData.from_rows([row(score=1), row(id="b-2")]).filter(lambda row: row["score"]))
    assert error.value.__notes__ == ["at data record 2 (id b-2)"]


def test_filter_counts_by_reason() -> None:
    data = TrainingData.from_rows([row(score=score) for score in range(5)])
    rows_left = data.filter(lambda row: row["score"] > 1, reason="low_score").filter(lambda row: row["score"] < 4)
    assert len(list(rows_left)) == 2
    assert dropped(rows_left) == {"low_score": 2, "filtered": 1}


def test_dedupe_by_what_is_trained() -> None:
    def calling(id: str) -> dict[str, Any]:
        call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": id, "content": "5"},
            ]
        }

    rows = [row(), row(id=7), row("q "), calling("call_x"), calling("call_y"), row(), row(answer="b")]
    data = TrainingData.from_rows(rows).dedupe()
    assert list(data) == [rows[0], rows[2], rows[3], rows[6]]
    assert dropped(data) == {"duplicate": 3}


def test_dedupe_can_keep_the_last() -> None:
    data = TrainingData.from_rows([row(id=1), row("b"), row(id=2)]).dedupe(keep="last")
    assert list(data) == [row("b"), row(id=2)]
    assert dropped(data) == {"duplicate": 1}


@pytest.mark.parametrize("keep", ["first", "last"])
def test_dedupe_by_prompt_distinguishes_conflicts_from_duplicates(keep: Any) -> None:
    data = TrainingData.from_rows([row("Q"), row("q ", "b"), row("Q"), row("other"), row("Q")]).dedupe("prompt", keep=keep)
    assert dropped(data) == {"conflicting_answers": 1, "duplicate": 2}
    assert len(list(data)) == 2


def test_dedupe_by_a_function() -> None:
    data = TrainingData.from_rows([row("a", id=1), row("b", id=1), row("c", id=2)]).dedupe(lambda row: row["id"])
    assert list(data) == [row("a", id=1), row("c", id=2)]


def test_limit() -> None:
    data = TrainingData.from_rows([row("x" * 39) for _ in range(10)])
    assert len(list(data.limit(3))) == 3
    assert list(data.limit(0)) == []
    assert len(list(data.limit(tokens=35))) == 3
    assert len(list(data.limit(tokens=100, tokenizer=str.split))) == 10
    assert len(list(data.limit(tokens=5, tokenizer=str.split))) == 2


def test_messages_of_one_conversation_and_of_several() -> None:
    messages = row()["messages"]
    tool = {"type": "function", "function": {"name": "f"}}
    assert list(from_messages(messages)) == [row()]
    assert list(from_messages([messages, tuple(messages)], tools=[tool])) == [row(tools=[tool])] * 2
    with pytest.raises(ConversionError, match="must be a list of messages"):
        list(from_messages([messages, "hello"]))


def test_all_items_that_are_not_rows_are_refused_at_the_end() -> None:
    rows = []
    with pytest.raises(ConversionError) as error:
        for each in TrainingData.from_rows([row(), 3, None, row()], "x"):
            rows.append(each)
    assert len(rows) == 2
    assert [(issue.code, issue.source) for issue in error.value.issues] == [
        ("line_not_object", "x record 2"),
        ("line_not_object", "x record 3"),
    ]
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.issues) == (str(error.value), error.value.issues)


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(0, 8))
def test_digests_are_a_set(numbers: list[int], extra: int) -> None:
    """A common prefix puts all digests into one bucket, where the bytes of one may occur across two others."""
    table, expected = Digests(extra), {}
    for number in numbers:
        key, value = b"\0\0" + number.to_bytes(2, "big"), bytes(extra)
        assert (table.put(key, value) is None) == (key not in expected)
        expected[key] = value
    for number in range(301):
        assert (b"\0\0" + number.to_bytes(2, "big") in table) == (b"\0\0" + number.to_bytes(2, "big") in expected)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "messages", "tool_calls", "text", "input"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["messages", "text", "prompt", "input", "tools", "x"]), ANY))
@example_count(300)
def test_any_row_has_a_content_and_a_prompt(given: dict[str, Any]) -> None:
    assert canonical(given) == canonical(dict(reversed(given.items())))
    assert len(digest(prompt_of(given))) == 16

"""Splits: the same everywhere, stable when rows are added, and without leakage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.conftest import example_count
from together_adapters.errors import DatasetError
from together_adapters.finetune import TrainingData, leakage
from together_adapters.finetune.records import Example, Refusal


def row(question: Any, answer: Any = "a", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": str(question)}, {"role": "assistant", "content": str(answer)}], **more}


def test_a_split_is_the_same_on_every_machine() -> None:
    train, validation = TrainingData.from_rows([row(number) for number in range(100)]).split(0.1)
    assert [each["messages"][0]["content"] for each in validation] == [
        "6",
        "10",
        "11",
        "17",
        "28",
        "32",
        "44",
        "45",
        "63",
        "80",
        "90",
        "93",
    ]
    assert len(list(train)) + len(list(validation)) == 100


def test_another_seed_gives_another_split() -> None:
    data = TrainingData.from_rows([row(number) for number in range(100)])
    assert list(data.split(0.2, seed=1)[1]) != list(data.split(0.2, seed=2)[1])


ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.none() | st.integers(0, 8)), min_size=2, max_size=60)


@given(ROWS, st.integers(0, 5))
@settings(deadline=None)
def test_no_row_leaks_or_is_lost(given: list[tuple[int, int, int | None]], seed: int) -> None:
    examples = [
        Example(row(question, answer), number, group=None if group is None else f"g{group}")
        for number, (question, answer, group) in enumerate(given, 1)
    ]
    train, validation = TrainingData.from_rows(examples).split(0.4, seed=seed)
    try:
        sides = [list(validation.records()), list(train.records())]
    except DatasetError:
        assume(False)
    sides_rows = [[each for each in side if isinstance(each, Example)] for side in sides]
    refusals = [each for each in sides[0] if isinstance(each, Refusal)]
    assert leakage([each.row for each in sides_rows[1]], [each.row for each in sides_rows[0]]) == (0, 0)
    assert len(sides_rows[0]) + len(sides_rows[1]) + len(refusals) == len(examples)
    assert {each.code for each in refusals} <= {"prompt_in_training"}
    groups = [{each.group for each in side if each.group} for side in sides_rows]
    assert not groups[0] & groups[1]


@given(st.lists(st.integers(), min_size=40, max_size=60, unique=True), st.lists(st.integers(), max_size=20))
@example_count(30)
def test_rows_keep_their_side_when_others_are_added(numbers: list[int], more: list[int]) -> None:
    def sides(each: list[int]) -> tuple[set[str], set[str]]:
        train, validation = TrainingData.from_rows([row(number) for number in each]).split(0.5)
        return {one["messages"][0]["content"] for one in train}, {one["messages"][0]["content"] for one in validation}

    try:
        before = sides(numbers)
    except DatasetError:
        assume(False)
    after = sides(numbers + more)
    assert before[0] <= after[0]
    assert before[1] <= after[1]


def test_groups_can_be_named() -> None:
    rows = [row(number, user=f"u{number % 10}") for number in range(100)]
    for by in ("user", lambda each: each["user"]):
        train, validation = TrainingData.from_rows(rows).split(0.3, by=by)
        users = [{each["user"] for each in side} for side in (train, validation)]
        assert not users[0] & users[1]
        assert len(users[0] | users[1]) == 10
    with pytest.raises(DatasetError, match="data record 1 has no group to split by"):
        list(TrainingData.from_rows(rows).split(by="group")[0])


def test_an_empty_side_is_an_error_with_a_possible_share() -> None:
    data = TrainingData.from_rows([row(number) for number in range(5)])
    train, validation = data.split(0.01)
    with pytest.raises(DatasetError, match="the validation data is empty with .* too few rows with different prompts"):
        list(train)
    with pytest.raises(DatasetError, match="too few groups"):
        list(TrainingData.from_rows([row(1, user="a"), row(2, user="b")]).split(0.01, by="user")[0])
    with pytest.raises(DatasetError, match="the validation data is empty") as error:
        list(validation)
    assert "exact=True" in str(error.value)
    share = float(str(error.value).split("at least ")[1].split(",")[0])
    assert len(list(data.split(share)[1])) == 1
    with pytest.raises(DatasetError, match="the training data is empty") as error:
        list(data.split(0.999)[0])
    share = float(str(error.value).split("at most ")[1].split(",")[0])
    assert len(list(data.split(share)[0])) == 1
    with pytest.raises(DatasetError, match="one group"):
        list(TrainingData.from_rows([row(1), row(1, "b")]).split()[0])
    with pytest.raises(DatasetError, match="no rows"):
        list(TrainingData.from_rows([]).split()[0])
    with pytest.raises(ValueError, match="between 0 and 1"):
        data.split(1)


@pytest.mark.parametrize(
    ("rows", "share", "number"), [(5, 0.3, 1), (5, 0.4, 2), (5, 0.01, 1), (5, 0.99, 4), (50, 0.2, 10), (2, 0.5, 1)]
)
def test_an_exact_share_is_the_nearest_possible(rows: int, share: float, number: int) -> None:
    data = TrainingData.from_rows([row(number) for number in range(rows)])
    for seed in range(5):
        train, validation = data.split(share, seed=seed, exact=True)
        sides = [[each["messages"][0]["content"] for each in side] for side in (validation, train)]
        assert list(map(len, sides)) == [number, rows - number]
        assert len({*sides[0], *sides[1]}) == rows
        assert sides[0] == [each["messages"][0]["content"] for each in data.split(share, seed=seed, exact=True)[1]]


def test_an_exact_share_keeps_groups_together() -> None:
    data = TrainingData.from_rows([row(number, user=f"u{number % 7}") for number in range(70)])
    train, validation = data.split(0.25, by="user", exact=True)
    users = [{each["user"] for each in side} for side in (train, validation)]
    assert not users[0] & users[1]
    assert len(list(validation)) == 20
    with pytest.raises(DatasetError, match="one group"):
        list(TrainingData.from_rows([row(1), row(1, "b")]).split(exact=True)[0])


def test_prompts_that_differ_in_their_division_into_messages_are_equal() -> None:
    parts = {
        "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "x"}]
    }
    assert leakage([parts], [row("A \n b")]) == (0, 1)


def test_leakage_counts_rows_and_prompts() -> None:
    assert leakage([row(1), row(2)], [row(1), row(2, "other"), row(3)]) == (1, 2)


def test_refusals_are_on_one_side() -> None:
    data = TrainingData.from_rows([*[row(number) for number in range(50)], 3])
    train, validation = data.split(0.3)
    assert [sum(isinstance(each, Refusal) for each in side.records()) for side in (train, validation)] == [1, 0]


def test_a_share_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="validation must be a share between 0 and 1, not '0.1'"):
        TrainingData.from_rows([]).split(validation="0.1")  # type: ignore[arg-type]

"""Names that people give to columns of questions and answers: which names mean what, where exactly one reading makes sense."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

QUESTIONS: Final = frozenset(
    "prompt question query instruction input user human problem request user_message user_prompt user_input user_query".split()
)
ANSWERS: Final = frozenset(
    """completion answer response output assistant reply target solution bot gpt assistant_response assistant_message assistant_reply
    model_response bot_response bot_reply expected_output expected_answer ground_truth""".split()
)
CONTEXTS: Final = frozenset("context passage document paragraph background knowledge".split())
_PAIRS: Final = (("source", "target"), ("src", "tgt"), ("q", "a"))
"""Names that are a question and an answer only beside each other: `source` alone says where a record is from."""
_CHOICES: Final = (
    ("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response_chosen", "response_rejected"),
    ("preferred", "rejected"), ("preferred", "dispreferred"), ("accepted", "rejected"), ("better", "worse"), ("winner", "loser"),
    ("response_j", "response_k"),
    *((f"chosen_{what}", f"rejected_{what}") for what in ("answer", "completion", "output", "messages", "conversation", "conversations")),
)  # fmt: skip
_LIKELY_QUESTIONS: Final = QUESTIONS | set("article document source sentence body message post text".split())
_LIKELY_ANSWERS: Final = ANSWERS | set("answers summary highlights generation ideal label class sql".split())
"""Last words of names that are likely a question, or an answer: good for an advice, not for a reading."""
_SIDE: Final = re.compile(r"_?(?:[abjk]|\d)$")
_OF_SIDES: Final = frozenset("response answer completion output solution sol ref conversation summary reply".split())
_SYSTEM: Final = frozenset({"system", "system_prompt", "system_message"})
_GAP: Final = re.compile(r"[\s-]+|(?<=[a-z0-9])(?=[A-Z])")


class Reading(NamedTuple):
    """A format; and each of its columns with that of the source, where the names differ."""

    schema: str
    columns: tuple[tuple[str, str], ...] = ()


def _reading(schema: str, **columns: str) -> Reading:
    renamed = any(target != column for target, column in columns.items())
    return Reading(schema, tuple(columns.items()) if renamed else ())


@lru_cache(10_000)
def reading_of(columns: tuple[str, ...], /) -> Reading | None:
    """Returns how columns are read; None where no reading, or more than one, makes sense."""
    names = {_plain(column): column for column in columns}
    questions, answers, contexts = ([names[name] for name in names if name in group] for group in (QUESTIONS, ANSWERS, CONTEXTS))
    if len(names) < len(columns):
        return None  # two columns have one name
    choices = _choices(names)
    if choices is not None:
        question = {"prompt": questions[0]} if questions else {}
        if len(questions) == 2 and "instruction" in names and "input" in names:
            question = {"prompt": names["instruction"], "input": names["input"]}
        is_one = (len(questions) < 2 or "input" in question) and not answers
        return _reading("preference", **question, chosen=choices[0], rejected=choices[1]) if is_one else None
    for question_name, answer_name in _PAIRS:
        if question_name in names and answer_name in names and not questions and answers in ([], [names[answer_name]]):
            return _reading("prompt_completion", prompt=names[question_name], completion=names[answer_name])
    context = {"input": contexts[0]} if contexts else {}
    if len(questions) == 2 and "instruction" in names and "input" in names and not contexts:
        questions, context = [names["instruction"]], {"input": names["input"]}
    if len(questions) != 1 or len(contexts) > 1:
        return None
    if not answers and "answers" in names:
        context = {"context": contexts[0]} if contexts else {}
        return _reading("question_answers", question=questions[0], **context, answers=names["answers"])
    if len(answers) != 1:
        return None
    if context or "history" in names or questions == [names.get("instruction")]:
        return _reading("alpaca", instruction=questions[0], **context, output=answers[0])
    return _reading("prompt_completion", prompt=questions[0], completion=answers[0])


def _choices(names: Mapping[str, str]) -> tuple[str, str] | None:
    """Returns the columns of the better and the worse answer."""
    return next(((names[better], names[worse]) for better, worse in _CHOICES if better in names and worse in names), None)


def way_on(columns: Sequence[str], *, is_all: bool = True) -> str:
    """Returns how to name the columns of records that have more than one reading, or none; empty where a guess may be wrong.

    `is_all` says that no other column of the records carries meaning.
    """
    names = {_plain(column).rpartition(".")[2]: column for column in columns}
    names = {name: column for name, column in names.items() if name not in _SYSTEM}
    questions, answers = (
        _likely(names, exact, last) for exact, last in ((QUESTIONS, _LIKELY_QUESTIONS), (ANSWERS, _LIKELY_ANSWERS))
    )
    others = [column for column in names.values() if column not in (*questions, *answers)]
    choices = _choices(names)
    if choices is not None and questions:
        return _argument(prompt=questions[0], chosen=choices[0], rejected=choices[1])
    if is_all and len(others) == 1 and len(questions) + len(answers) == 1:
        questions, answers = questions or others, answers or others
    elif is_all and len(others) == 2 == len(names):
        questions, answers = others[:1], others[1:]
    return _argument(prompt=questions[0], completion=answers[0]) if questions and answers else ""


def _likely(names: Mapping[str, str], exact: frozenset[str], last: frozenset[str]) -> list[str]:
    """Returns the columns that are named so; else the one whose name ends so."""
    sure = [column for name, column in names.items() if name in exact]
    likely = [column for name, column in names.items() if name.rpartition("_")[2].removesuffix("s") in last or name in last]
    return sure or (likely if len(likely) == 1 else [])


def sides_of(columns: Sequence[str]) -> list[str]:
    """Returns the columns that hold several answers to one question, such as `response_a` and `response_b`."""
    stems: dict[str, list[str]] = {}
    for column in columns:
        stem = _SIDE.sub("", name := _plain(column))
        if stem != name and stem.rpartition("_")[2] in _OF_SIDES:
            stems.setdefault(stem, []).append(column)
    return next((sides for sides in stems.values() if len(sides) > 1), [])


def _argument(**columns: str) -> str:
    return f"columns={columns!r}"


def is_question_or_answer(column: str) -> bool:
    """Whether a column has the name of a question or an answer."""
    return _plain(column) in QUESTIONS | ANSWERS


def _plain(column: str) -> str:
    """Returns a name in lower case with underscores, without `_text`."""
    return _GAP.sub("_", str(column).strip()).lower().removesuffix("_text")

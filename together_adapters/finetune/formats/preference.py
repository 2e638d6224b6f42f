"""Questions with a better and a worse answer: explicit, implicit in two whole chats, OpenAI's, Anthropic's HH, and scored answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.chat_template import marked
from together_adapters.finetune.formats.conversation import Talk, parsed
from together_adapters.finetune.formats.openai import declared_tools, read_messages
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.formats.placeholders import with_images
from together_adapters.finetune.readers.columns import extras, require_record
from together_adapters.finetune.records import Converted, Row, Unconvertible

_USED: Final = frozenset(
    {"prompt", "chosen", "rejected", "tools", "functions", "images", "image", "input", "preferred_output", "non_preferred_output"}
)
_BESIDE: Final = frozenset({"tools", "functions", "images", "image"})
_MARK: Final = "\n\nAssistant:"
_TURN: Final = re.compile(r"\n\n(Human|Assistant):")
ANSWERS: Final = ("completions", "responses", "answers")
_SCORES: Final = ("scores", "ratings", "score", "rating")
_OWN_SCORES: Final = ("score", "overall_score", "rating")


def preference(record: Any, options: Options) -> Iterator[Converted]:
    """Convert a record with `chosen` and `rejected`, with or without `prompt`, or in OpenAI's form."""
    record = require_record(record)
    if "preferred_output" in record and "chosen" not in record:
        yield from _openai(record, options)
        return
    if "chosen" not in record and options.pair == "best_vs_worst":
        record = best_vs_worst(record)
    if (plain := _plain(record)) is not None:
        yield plain
        return
    prompt = _asked(record.get("prompt"))
    better, worse = (_chat(record, column, bool(prompt)) for column in ("chosen", "rejected"))
    if prompt:
        better, worse = _without(prompt, better), _without(prompt, worse)
    yield _pair(record, prompt, better, worse, options)


def _plain(record: Row) -> Converted | None:
    """The row of a record of three texts."""
    texts = prompt, better, worse = record.get("prompt"), record.get("chosen"), record.get("rejected")
    if not all(type(text) is str for text in texts) or not prompt or better == worse or not _BESIDE.isdisjoint(record):
        return None
    if better[:2] == "[{" or worse[:2] == "[{":  # type: ignore[index]
        return None
    changed = ["template_in_content"] if any(marked(text) for text in texts) else []  # type: ignore[arg-type]
    row = {
        "input": {"messages": [{"role": "user", "content": prompt}]},
        "preferred_output": [{"role": "assistant", "content": better}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }
    return Converted(row | extras(record, _USED, changed) if len(record) > 3 else row, None, tuple(changed))


def hh(record: Any, options: Options) -> Iterator[Converted]:
    """Convert two whole texts, whose turns begin with `Human:` and `Assistant:`; the last answer is what they differ in."""
    record = require_record(record)
    sides = []
    for column in ("chosen", "rejected"):
        text = record.get(column)
        if not isinstance(text, str):
            raise Unconvertible("cell_not_text", f"the column {column} must hold a text, not {kind_of(text)}", column, text)
        asked, mark, said = text.rpartition(_MARK)
        if not mark:
            raise Unconvertible(
                "pref_text_undeclared", f"the column {column} has no answer after {_MARK.strip()!r}", column, text
            )
        sides.append((asked, said.strip()))
    if sides[0][0] != sides[1][0]:
        raise Unconvertible("pref_prompts_differ", "the two texts differ before the last answer", "rejected")
    turns = _turns(sides[0][0])
    answers = [[{"role": "assistant", "content": said}] for _, said in sides]
    yield _pair(record, turns, answers[0], answers[1], options)


def best_vs_worst(record: Row) -> Row:
    """Return a record of scored answers as a pair of the best and the worst.

    Raises:
        Unconvertible: There are no scores, or all are the same.
    """
    column = next((name for name in ANSWERS if isinstance(record.get(name), list)), None)
    if column is None:
        raise Unconvertible("pref_unscored", "the record has neither a pair nor a list of answers", "", list(record))
    answers = record[column]
    given = next((record[name] for name in _SCORES if isinstance(record.get(name), list)), None)
    scores = given if given is not None else [_own(answer) for answer in answers]
    if len(scores) != len(answers) or not all(isinstance(score, int | float) for score in scores):
        raise Unconvertible("pref_unscored", "not every answer has a score", column, scores)
    best, worst = (pick(range(len(scores)), key=scores.__getitem__) for pick in (max, min))
    if not scores or scores[best] == scores[worst]:
        raise Unconvertible("pref_unscored", "all answers have the same score", column, scores)
    kept = {key: value for key, value in record.items() if key not in (*ANSWERS, *_SCORES)}
    prompt = kept.pop("instruction", None)
    return {"prompt": prompt, **kept, "chosen": _said(answers[best]), "rejected": _said(answers[worst])}


def _own(answer: Any) -> Any:
    return next((answer[key] for key in _OWN_SCORES if key in answer), None) if isinstance(answer, dict) else None


def _said(answer: Any) -> Any:
    if isinstance(answer, dict) and "role" not in answer:
        return next((answer[key] for key in ("response", "completion", "content", "text") if key in answer), answer)
    return answer


def _asked(prompt: Any) -> list[Any]:
    """The messages of a prompt."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}] if prompt else []
    if prompt is None or isinstance(prompt, list):
        return prompt or []
    raise Unconvertible("cell_not_text", f"the prompt must be a text or a chat, not {kind_of(prompt)}", "prompt", prompt)


def _chat(record: Row, column: str, asked: bool) -> list[Any]:
    """The messages of a side."""
    value = record.get(column)
    if value is None:
        raise Unconvertible("cell_missing", f"the column {column} is empty", column)
    if isinstance(value, str) and value.startswith("[{"):
        value = parsed(value, column)
    if isinstance(value, str):
        if not asked:
            raise Unconvertible(
                "pref_text_undeclared", "a whole dialogue as text has no place where its answer begins; HH's has: schema='hh'", column, value
            )  # fmt: skip
        return [{"role": "assistant", "content": value}]
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise Unconvertible(
            "cell_not_text", f"the column {column} must hold a text or a chat, not {kind_of(value)}", column, value
        )
    return value


def _without(prompt: list[Any], side: list[Any]) -> list[Any]:
    """A side without the prompt, where it repeats it."""
    return side[len(prompt) :] if len(side) > len(prompt) and side[: len(prompt)] == prompt else side


def _pair(record: Row, prompt: list[Any], better: list[Any], worse: list[Any], options: Options) -> Converted:
    """Make a row; what both sides have in common before their answers belongs to the question."""
    common = 0
    while common < min(len(better), len(worse)) and better[common] == worse[common]:
        common += 1
    if common and common == len(better) == len(worse):
        raise Unconvertible("pref_outputs_identical", "the two answers are the same", "rejected")
    asked = [*prompt, *better[:common]]
    if not asked:
        raise Unconvertible("pref_prompts_differ", "the two sides have no question in common", "chosen")
    talk = Talk(options)
    read_messages(talk, with_images(asked, record))
    changed = talk.changed
    outputs = [_answer(talk, side[common:], column) for side, column in ((better, "chosen"), (worse, "rejected"))]
    given: Row = {"messages": talk.messages}
    if tools := talk.converted(declared_tools(record)).row.get("tools"):
        given["tools"] = tools
    row = {"input": given, "preferred_output": outputs[0], "non_preferred_output": outputs[1]}
    return Converted(row | extras(record, _USED, changed), None, tuple(changed))


def _answer(asked: Talk, side: list[Any], column: str) -> list[Row]:
    if len(side) != 1:
        raise Unconvertible(
            "pref_output_not_exactly_one", f"{column} has {len(side)} messages where the sides differ; one answer can be trained", column
        )  # fmt: skip
    if not isinstance(side[0], dict) or side[0].get("role") != "assistant":
        raise Unconvertible("pref_output_role_not_assistant", f"{column} ends without an answer", column, side[0])
    talk = Talk(asked.options)
    read_messages(talk, side)
    for code in talk.changed:
        asked.change(code)
    return talk.messages


def _openai(record: Row, options: Options) -> Iterator[Converted]:
    given = record.get("input")
    if not isinstance(given, dict):
        raise Unconvertible("pref_input_not_object", f"input must be an object, not {kind_of(given)}", "input", given)
    better, worse = (_chat(record, column, True) for column in ("preferred_output", "non_preferred_output"))
    record = {**record, "tools": declared_tools(given) or declared_tools(record)}
    converted = _pair(record, [*given.get("messages", [])], better, worse, options)
    dropped = ("parallel_tool_calls_dropped",) if given.get("parallel_tool_calls") is not None else ()
    yield converted._replace(changed=converted.changed + dropped)


def _turns(text: str) -> list[Row]:
    begin, *parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    if begin.strip() or not parts:
        raise Unconvertible("pref_text_undeclared", "the text does not begin with 'Human:'", "chosen", text[:80])
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]

"""Preferences: a prompt with two answers, two whole chats, OpenAI's format, Anthropic's HH, and answers with scores or labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.accounting import REPLACED, TRACE, has_value, leaving, unread
from together_adapters.finetune.formats.chat_template import has_template_marks
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.formats.layouts.text_calls import has_tagged_calls
from together_adapters.finetune.formats.openai import CHAT_COLUMNS, declared_tools, messages_in, read_messages, with_columns
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require, require_record, without_value
from together_adapters.finetune.records import Converted, Row, Unconvertible

_OUTPUTS: Final = ("preferred_output", "non_preferred_output")
COLUMNS_OF_OPENAI: Final = frozenset({"input", *_OUTPUTS})
_PAIR_COLUMNS: Final = frozenset({"prompt", "chosen", "rejected"})
_WORSE_ANSWERS: Final = ("rejected_response", "rejected_messages")
BESIDE_MESSAGES: Final = tuple(("messages", column) for column in _WORSE_ANSWERS)
"""Messages that end with the better answer, beside the worse one, or messages that end with it."""
_WORSE_KEYS: Final = frozenset(_WORSE_ANSWERS)
_NOT_IN_PAIRS: Final = COLUMNS_OF_OPENAI | _WORSE_KEYS | {"messages"}
COLUMNS: Final = CHAT_COLUMNS.union(_PAIR_COLUMNS, COLUMNS_OF_OPENAI, _WORSE_ANSWERS, ("messages",))
_INPUT_KEYS: Final = frozenset({"messages", "tools", "parallel_tool_calls"})
_ANSWER_MARK: Final = "\n\nAssistant:"
_TURN: Final = re.compile(r"\n\n(Human|Assistant):")
ANSWERS: Final = ("completions", "responses", "answers", "generations")
_SCORES: Final = ("scores", "ratings", "score", "rating")
_PROMPTS: Final = ("prompt", "instruction", "contents", "context")
PAIRED_COLUMNS: Final = frozenset({*_PROMPTS, *ANSWERS, *_SCORES})
_SCORE_KEYS: Final = ("score", "overall_score", "rating")
_SCORE_KEY_SET: Final = frozenset(_SCORE_KEYS)
_ANSWER_KEYS: Final = frozenset({"response", "completion", "content", "text", "answer", "rank", "role", *_SCORE_KEYS})


def preference(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `chosen` and `rejected`, with or without `prompt`, or in OpenAI's format."""
    record = require_record(record)
    if "preferred_output" in record and "chosen" not in record:
        yield leaving(_openai(record, options), record, _PAIR_COLUMNS)
        return
    others: Row = {}
    if "chosen" not in record and options.pair == "best_vs_worst":
        record, others = best_vs_worst(record)
    if "input" in record and isinstance(record["input"], str) and isinstance(record.get("prompt"), str):
        record = _with_input(record, options)
    is_usual = _WORSE_KEYS.isdisjoint(record)
    columns = [] if is_usual else [column for column in _WORSE_ANSWERS if has_value(record.get(column))]
    if columns and "chosen" not in record and "messages" in record:
        converted = _beside_messages(record, columns[0], options)
        yield leaving(converted, record, (COLUMNS_OF_OPENAI | _PAIR_COLUMNS).union(columns[1:]))
    else:
        converted = _of_texts(record) or _of_chats(record, options)
        converted = converted._replace(left_out={**others, **converted.left_out}) if others else converted
        yield leaving(converted, record, _NOT_IN_PAIRS)


def _with_input(record: Row, options: Options) -> Row:
    """Returns a record whose prompt is an instruction with its input."""
    columns = {key: value for key, value in record.items() if key != "input"}
    return {**columns, "prompt": f"{record['prompt']}{options.join}{record['input']}"} if record["input"] else columns


def _beside_messages(record: Row, column: str, options: Options) -> Converted:
    """Converts messages that end with the better answer, beside the worse one or messages that end with it."""
    messages, worse = messages_in(record), _chat(record, column, True)
    has_question = any(isinstance(message, dict) and message.get("role") == "user" for message in worse)
    return _pair(record, [], messages, worse if has_question else [*messages[:-1], *worse], options)


def _of_chats(record: Row, options: Options) -> Converted:
    prompt = _prompt_messages(record.get("prompt"))
    better, worse = (_chat(record, column, bool(prompt)) for column in ("chosen", "rejected"))
    if prompt:
        better, worse = _without_prompt(prompt, better), _without_prompt(prompt, worse)
    return _pair(record, prompt, better, worse, options)


def _of_texts(record: Row) -> Converted | None:
    """Converts a record of three texts, or returns None for others."""
    prompt, better, worse = record.get("prompt"), record.get("chosen"), record.get("rejected")
    if type(prompt) is not str or type(better) is not str or type(worse) is not str:
        return None
    if not prompt or better == worse or not CHAT_COLUMNS.isdisjoint(record):
        return None
    if has_tagged_calls(better) or has_tagged_calls(worse):
        return None
    if better[:2] == "[{" or worse[:2] == "[{":
        return None
    is_marked = has_template_marks(prompt) or has_template_marks(better) or has_template_marks(worse)
    row = {
        "input": {"messages": [{"role": "user", "content": prompt}]},
        "preferred_output": [{"role": "assistant", "content": better}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }
    return Converted(row, None, ("template_in_content",) if is_marked else ())


def hh(record: Any, options: Options) -> Iterator[Converted]:
    """Converts two dialogues as text, with turns of `Human:` and `Assistant:`, which differ in the last answer."""
    record = require_record(record)
    sides = []
    for column in ("chosen", "rejected"):
        text = require(record.get(column), str, "cell_not_text", f"the column {column} must hold a text", column)
        question, mark, answer = text.rpartition(_ANSWER_MARK)
        if not mark:
            message = f"the column {column} has no answer after {_ANSWER_MARK.strip()!r}"
            raise Unconvertible("pref_text_undeclared", message, column, text)
        sides.append((question, answer.strip()))
    if sides[0][0] != sides[1][0]:
        raise Unconvertible("pref_prompts_differ", "the two texts differ before the last answer", "rejected")
    turns = _turns(sides[0][0])
    answers = [[{"role": "assistant", "content": answer}] for _, answer in sides]
    yield _pair(record, turns, answers[0], answers[1], options)


def best_vs_worst(record: Row) -> tuple[Row, Row]:
    """Converts a record of scored answers to a pair of the best and the worst; equal or missing scores are refused.

    Returns the pair, and what it leaves out: the answers between the two, and what stands beside an answer.
    """
    column = next((name for name in ANSWERS if isinstance(record.get(name), list)), None)
    if column is None:
        raise Unconvertible("pref_unscored", "the record has neither a pair nor a list of answers", "", list(record))
    answers = record[column]
    scores = next((record[name] for name in _SCORES if isinstance(record.get(name), list)), None)
    scores = scores if scores is not None else [_score(answer) for answer in answers]
    if len(scores) != len(answers) or not all(isinstance(score, int | float) for score in scores):
        raise Unconvertible("pref_unscored", "not every answer has a score", column, scores)
    best, worst = (pick(range(len(scores)), key=scores.__getitem__) for pick in (max, min))
    if not scores or scores[best] == scores[worst]:
        raise Unconvertible("pref_unscored", "all answers have the same score", column, scores)
    columns = {key: value for key, value in record.items() if key not in (*ANSWERS, *_SCORES)}
    name = next((name for name in _PROMPTS if has_value(columns.get(name))), "prompt")
    prompt = columns.pop(name, None)
    left_out = unread(
        {key: record[key] for key in (*ANSWERS, *_SCORES, "rejected") if key in record and record[key] not in (answers, scores)},
        frozenset(),
    )
    for index, answer in enumerate(answers):
        if index not in (best, worst):
            left_out[f"{REPLACED}{column}[]"] = answer
        left_out |= unread(answer, _ANSWER_KEYS, f"{TRACE}{column}[]")
    return {**columns, "prompt": prompt, "chosen": _text(answers[best]), "rejected": _text(answers[worst])}, left_out


def has_scores(record: Row, column: str) -> bool:
    """Whether a score stands in or beside some of the answers in a column."""
    return any(name in record for name in (*_SCORES, "label")) or any(_score(answer) is not None for answer in record[column])


def _score(answer: Any) -> Any:
    """Returns the score of an answer; the first rank is the best."""
    if isinstance(answer, dict) and isinstance(rank := answer.get("rank"), int | float) and _SCORE_KEY_SET.isdisjoint(answer):
        return -rank
    return next((answer[key] for key in _SCORE_KEYS if key in answer), None) if isinstance(answer, dict) else None


def _text(answer: Any) -> Any:
    if isinstance(answer, dict) and "role" not in answer:
        return next((answer[key] for key in ("response", "completion", "content", "text", "answer") if key in answer), answer)
    return answer


def _prompt_messages(prompt: Any) -> list[Any]:
    """Returns the messages of a prompt."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}] if prompt else []
    messages: list[Any] = require(
        [] if prompt is None else prompt, list, "cell_not_text", "the prompt must be a text or a chat", "prompt"
    )
    return messages


def _chat(record: Row, column: str, has_prompt: bool) -> list[Any]:
    """Returns the messages of `chosen` or `rejected`."""
    value = record.get(column)
    if value is None:
        raise without_value(record, column)
    if isinstance(value, str) and value.startswith("[{"):
        value = parsed(value, column)
    if isinstance(value, str):
        if not has_prompt:
            text = "a whole dialogue as text has no place where its answer begins; HH's has: schema='hh'"
            raise Unconvertible("pref_text_undeclared", text, column, value)
        return [{"role": "assistant", "content": value}]
    value = [value] if isinstance(value, dict) else value
    chat: list[Any] = require(value, list, "cell_not_text", f"the column {column} must hold a text or a chat", column)
    return chat


def _without_prompt(prompt: list[Any], side: list[Any]) -> list[Any]:
    """Removes the prompt from a side that repeats it."""
    return side[len(prompt) :] if len(side) > len(prompt) and side[: len(prompt)] == prompt else side


def _pair(record: Row, prompt: list[Any], better: list[Any], worse: list[Any], options: Options) -> Converted:
    """Returns the row; messages that both sides have in common before their answers belong to the question."""
    common = 0
    while common < min(len(better), len(worse)) and better[common] == worse[common]:
        common += 1
    if common and common == len(better) == len(worse):
        raise Unconvertible("pref_outputs_identical", "the two answers are the same", "rejected")
    question = [*prompt, *better[:common]]
    if not question:
        raise Unconvertible("pref_prompts_differ", "the two sides have no question in common", "chosen")
    builder = ConversationBuilder(options)
    builder.tools = declared_tools(record)
    read_messages(builder, with_columns(question, record))
    outputs = [_answer(builder, side[common:], column) for side, column in ((better, "chosen"), (worse, "rejected"))]
    input: Row = {"messages": builder.messages}
    if tools := builder.converted(declared_tools(record)).row.get("tools"):
        input["tools"] = tools
    row = {"input": input, "preferred_output": outputs[0], "non_preferred_output": outputs[1]}
    return Converted(row, None, tuple(builder.changes), builder.left_out)


def _answer(question: ConversationBuilder, side: list[Any], column: str) -> list[Row]:
    if len(side) != 1:
        text = f"{column} has {len(side)} messages where the sides differ; one answer can be trained"
        raise Unconvertible("pref_output_not_exactly_one", text, column)
    if not isinstance(side[0], dict) or role_of(side[0].get("role")) != "assistant":
        raise Unconvertible("pref_output_role_not_assistant", f"{column} ends without an answer", column, side[0])
    builder = ConversationBuilder(question.options)
    builder.tools = question.tools
    read_messages(builder, side)
    for code in builder.changes:
        question.change(code)
    question.left_out.update(builder.left_out)
    return builder.messages


def _openai(record: Row, options: Options) -> Converted:
    input = require(record.get("input"), dict, "pref_input_not_object", "input must be an object", "input")
    better, worse = (_chat(record, column, True) for column in _OUTPUTS)
    record = {**record, "tools": declared_tools(input) or declared_tools(record)}
    converted = _pair(record, [*input.get("messages", [])], better, worse, options)
    changes = ("parallel_tool_calls_dropped",) if input.get("parallel_tool_calls") is not None else ()
    left_out = unread(input, _INPUT_KEYS, "input")
    return converted._replace(changed=converted.changed + changes, left_out={**converted.left_out, **left_out})


def _turns(text: str) -> list[Row]:
    begin, *parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    if begin.strip() or not parts:
        raise Unconvertible("pref_text_undeclared", "the text does not begin with 'Human:'", "chosen", text[:80])
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": text.strip()} for who, text in zip(parts[::2], parts[1::2], strict=True)]

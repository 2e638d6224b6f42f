"""Turns in the layouts that people give them, as turns with a role and a content."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.formats.column_names import ANSWERS, QUESTIONS
from together_adapters.finetune.formats.layouts.provider_messages import role_of
from together_adapters.finetune.records import Row, Unconvertible

COLUMNS: Final = ("conversations", "conversation", "dialog", "dialogue", "dialogs", "turns", "chat", "messages")
"""Columns that hold turns, the usual ones first."""
_SPEAKERS: Final = ("from", "role", "speaker", "sender", "author")
_TEXTS: Final = ("value", "content", "text", "message", "utterance")
_SYSTEM: Final = ("system", "system_prompt")


def turn_column(record: Row) -> str | None:
    """Returns the column of a record that holds turns; messages with a role are none."""
    for column in COLUMNS:
        turns = record.get(column)
        if isinstance(turns, str) and column != "messages" and turns.lstrip()[:2] in ("[{", "[["):
            return column
        if isinstance(turns, list | tuple) and turns and (column != "messages" or _is_turn(turns[0])):
            return column
    return None


def _is_turn(turn: Any) -> bool:
    """Whether an item of `messages` is a turn of another layout than that of a message."""
    if isinstance(turn, list | tuple):
        return len(turn) == 2
    if not isinstance(turn, dict) or "role" in turn:
        return False
    return (
        _pair_of(turn) is not None
        or {"from", "value"} <= turn.keys()
        or None not in (_text_key(turn, _SPEAKERS), _text_key(turn, _TEXTS))
    )


def _text_key(turn: Row, keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if isinstance(turn.get(key), str)), None)


def with_roles(turns: list[Any], column: str) -> list[Any]:
    """Returns turns, each with one speaker: a question with its answer, or a pair in a list, becomes two."""
    if all(isinstance(turn, dict) and ("from" in turn or "role" in turn) and "text" not in turn for turn in turns):
        return turns
    lists = [turn for turn in turns if isinstance(turn, list | tuple)]
    are_roles = bool(lists) and all(len(turn) == 2 and role_of(turn[0]) is not None for turn in lists)
    result: list[Any] = []
    for index, turn in enumerate(turns):
        if isinstance(turn, list | tuple) and len(turn) == 2:
            roles = [(turn[0], turn[1])] if are_roles else [("user", turn[0]), ("assistant", turn[1])]
            result += [{"role": role, "content": text} for role, text in roles]
        elif isinstance(turn, str):
            text = "a turn is a text alone, which does not say who speaks; write turns as {'role': ..., 'content': ...}"
            raise Unconvertible("message_not_object", text, f"{column}[{index}]", turn)
        else:
            result += _of_object(turn) if isinstance(turn, dict) else [turn]
    return result


def _of_object(turn: Row) -> list[Row]:
    has_text = isinstance(turn.get("text"), str) and turn.keys().isdisjoint(("value", "content", "parts"))
    if ("from" in turn or "role" in turn) and not has_text:
        return [turn]
    speaker, text = (_text_key(turn, keys) for keys in (_SPEAKERS, _TEXTS))
    if speaker is not None and text is not None:
        return [{("role" if key == speaker else "content" if key == text else key): value for key, value in turn.items()}]
    pair = _pair_of(turn)
    if pair is None:
        return [turn]
    keys = [(role, key) for role, key in zip(("user", "assistant"), pair, strict=True) if key is not None]
    system = next((key for key in _SYSTEM if turn.get(key)), None)
    keys = [("system", system), *keys] if system else keys
    rest = {key: value for key, value in turn.items() if key not in _SYSTEM and key not in pair}
    turns: list[Row] = [{"role": role, "content": turn[key]} for role, key in keys if turn.get(key) not in (None, "")]
    return [*turns[:-1], {**rest, **turns[-1]}] if turns else []


def _pair_of(turn: Row) -> tuple[str | None, str | None] | None:
    """Returns the keys of the question and of the answer in a turn, one of which may be missing."""
    questions, answers = ([key for key in turn if str(key).lower() in names] for names in (QUESTIONS, ANSWERS))
    if len(questions) > 1 or len(answers) > 1 or not (questions or answers):
        return None
    if not (questions and answers) and role_of((questions or answers)[0]) is None:
        return None
    return next(iter(questions), None), next(iter(answers), None)

"""Good rows recognised at a glance: parsed straight into types that only they fit, which the extra `finetune` makes possible.

It accepts only rows in which the checker of `rows` finds nothing, and counts the same facts; whatever it does not know goes there.
A test holds both against each other.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from itertools import chain, repeat
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import UNSET, DecodeError, UnsetType
from msgspec.json import Decoder
from pydantic_core import from_json

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.validation.check_tools import check_tools, is_json_object
from together_adapters.finetune.validation.fast_schemas import (
    Assistant,
    Conversation,
    General,
    Instruction,
    Pair,
    Result,
    System,
    Talk,
    TextPart,
    User,
    WideAnswer,
    WideSystem,
    WideUser,
)
from together_adapters.finetune.validation.json_values import is_finite
from together_adapters.finetune.validation.token_lengths import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from together_adapters.finetune.validation.file_check import FileChecker

_LONG: Final = 32_768
_PATIENCE: Final = 8
_SPARSE: Final = 1024
_MOST_KNOWN: Final = 16
_FAILED: Final = (DecodeError, ValueError, RecursionError)
_NOTHING: Final = (0, 0, NoneType)


class FastValidator:
    """Recognises good rows of one file.

    Where a batch does not fit, fewer lines are tried, and then each alone; where hardly any fits, nothing is tried for a while.
    """

    def __init__(self) -> None:
        self._skipped = 0
        self._tried = self._failed = 0
        self._looks: dict[str, tuple[_Look, ...]] = {
            "conversation": (_talks, partial(_wide, {})),
            "preference": (_pairs,),
            "general": (_texts,),
            "instruction": (_instructions,),
        }

    def accepts(self, check: FileChecker, lines: bytes) -> int:
        """Count lines if all are good rows of the first format.

        Args:
            check: Where to count them.
            lines: Whole lines, the last without its line feed.

        Returns:
            How many lines there are, or 0 where they are not counted.
        """
        self._skipped = max(0, self._skipped - 1)
        if self._skipped or (len(lines) > _LONG and lines.find(b"\n", 0, _LONG) < 0):
            return 0
        self._tried, self._failed = 0, 0
        return self._look(check, lines)

    def accepts_few(self, check: FileChecker, lines: list[bytes]) -> bool:
        """Whether some lines of a batch that did not fit as a whole are good rows; they are then counted."""
        if self._skipped or max(map(len, lines)) > _LONG:
            return False
        if self._look(check, b"\n".join(lines)):
            self._tried += len(lines)
            return True
        if len(lines) == 1:
            self._tried += 1
            self._failed += 1
            if self._failed > _PATIENCE and self._failed * 2 > self._tried:
                self._skipped = _PATIENCE
        return False

    def _look(self, check: FileChecker, lines: bytes) -> int:
        """Try what may fit. Nothing that is made here has cycles, so the collector of cycles would search in vain."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            looks = self._looks[check.first or ""]
            for look in looks:
                if rows := look(check, lines):
                    if look is not looks[0]:
                        self._looks[check.first or ""] = (look, *(other for other in looks if other != look))
                    return rows
            return 0
        finally:
            if enabled:
                gc.enable()


_Look = Callable[["FileChecker", bytes], int]
"""Looks at lines; returns how many there are if all are good rows and were counted, else 0."""


def _rows(decode: Callable[[bytes], list[Any]], lines: bytes) -> list[Any]:
    """Parse lines; return the rows, or none where a line is no good row by its form alone.

    The parser is told nothing of lines, so it is made sure that each line feed stands between two rows, and each row in a line.
    Nothing that is parsed holds NUL, which JSON can only spell with an escape.
    """
    if b"u0000" in lines:
        return []
    try:
        rows = decode(lines)
    except _FAILED:
        return []
    return rows if _are_between(lines, len(rows)) else []


def _are_between(lines: bytes, rows: int) -> bool:
    """Whether each line feed stands between two rows. To count is to read every byte; to search, a step for each row."""
    if len(lines) < rows * _SPARSE:
        return lines.count(b"\n") == lines.count(b"}\n{") == rows - 1
    place = -1
    for _ in range(rows - 1):
        place = lines.find(b"\n", place + 1)
        if place < 1 or lines[place - 1 : place + 2] != b"}\n{":
            return False
    return lines.find(b"\n", place + 1) < 0


def _talks(check: FileChecker, lines: bytes) -> int:
    """Conversations of texts alone."""
    chars: list[int] = []
    turns: list[int] = []
    trained = 0
    for row in _rows(_talk, lines):
        messages = row.messages
        size, learnt, last = _spoken(messages)
        if last is not Assistant:
            return 0
        chars.append(size)
        turns.append(len(messages))
        trained += learnt
    return _take(check, "conversation", chars, trained, turns, _roles_of(turns))


def _spoken(messages: list[System | User | Assistant]) -> tuple[int, int, type]:
    """Return the characters of messages that follow each other as they must, those of answers, and the last one's type."""
    chars = trained = 0
    last: type = NoneType
    for message in messages:
        text = message.content
        kind = type(message)
        if kind is Assistant:
            if last is not User or not text or text.isspace():
                return _NOTHING
            trained += len(text)
        elif kind is last or (kind is System and last is not NoneType):
            return _NOTHING
        chars += len(text)
        last = kind
    return chars, trained, last


def _pairs(check: FileChecker, lines: bytes) -> int:
    """Preferences of texts alone."""
    chars: list[int] = []
    turns: list[int] = []
    trained = 0
    for row in _rows(_pair, lines):
        messages = row.input.messages
        size, _, last = _spoken(messages)
        if last is not User:
            return 0
        (preferred,), (other,) = row.preferred_output, row.non_preferred_output
        better, worse = preferred.content, other.content
        if better == worse or not better or not worse or better.isspace() or worse.isspace():
            return 0
        outputs = len(better) + len(worse)
        chars.append(size + outputs)
        turns.append(len(messages) + 1)
        trained += outputs
    roles = _roles_of(turns)
    roles["assistant"] += len(turns)
    return _take(check, "preference", chars, trained, [number + 1 for number in turns], roles)


def _texts(check: FileChecker, lines: bytes) -> int:
    """Plain texts."""
    rows = _rows(_general, lines)
    chars = [len(row.text) for row in rows]
    return _take_texts(check, "general", rows, chars, sum(chars))


def _instructions(check: FileChecker, lines: bytes) -> int:
    """Prompts with completions."""
    rows = _rows(_instruction, lines)
    chars = [len(row.prompt) + len(row.completion) for row in rows]
    return _take_texts(check, "instruction", rows, chars, sum([len(row.completion) for row in rows]))


def _wide(known: dict[bytes, bytes], check: FileChecker, lines: bytes) -> int:
    """Conversations with tools, weights, reasoning and lists of texts."""
    rest, declarations = _apart(lines, known) if b'"tools"' in lines else (lines, [])
    rows = _rows(_conversation, rest)
    found: list[_Facts] = []
    kinds: list[type] = []
    declared: bytes | None = None
    tools: _Tools | None = _NONE
    for row, declaration in zip(rows, declarations or repeat(None), strict=False):
        if declaration != declared:
            declared, tools = declaration, _NONE if declaration is None else _declared(declaration)
        facts = _facts(row.messages, tools) if tools else None
        if facts is None:
            return 0
        found.append(facts)
        kinds.extend(map(type, row.messages))
    roles: Counter[str] = Counter()
    for kind, count in Counter(kinds).items():
        roles[_ROLES[kind]] += count
    turns = [len(row.messages) for row in rows]
    trained, weighted = sum([facts.trained for facts in found]), sum([facts.weighted for facts in found])
    taken = _take(check, "conversation", [facts.chars for facts in found], trained, turns, roles, weighted)
    if taken:
        notes = check.notes
        notes.has_tools |= any(facts.tools for facts in found)
        notes.has_parallel_tool_calls |= any(facts.parallel for facts in found)
        notes.has_reasoning |= any(facts.reasoning for facts in found)
        notes.has_sample_weights |= any(row.weight is not UNSET for row in rows)
        for name, count in Counter(chain.from_iterable(facts.called for facts in found)).items():
            notes.count_tool(name[:80], count)
    return taken


def _take(
    check: FileChecker, form: str, chars: list[int], trained: int, turns: list[int], roles: Mapping[str, int], weighted: int = 0
) -> int:
    """Count good rows; return how many there are, or 0 where one may be longer than the model takes: how long is said elsewhere."""
    most = check.longest.get(form)
    if not chars or (most is not None and max(chars) > most * CHARS_PER_TOKEN):
        return 0
    notes = check.notes
    notes.chars += sum(chars)
    notes.trained_chars += trained
    for role, count in roles.items():
        if count:
            notes.turns += count
            notes.roles[role] = notes.roles.get(role, 0) + count
    check.accept(form, chars, turns, weighted)
    return len(chars)


def _take_texts(check: FileChecker, form: str, rows: list[Any], chars: list[int], trained: int) -> int:
    taken = _take(check, form, chars, trained, [], {})
    if taken and not check.notes.has_sample_weights:
        check.notes.has_sample_weights = any(row.weight is not UNSET for row in rows)
    return taken


def _roles_of(turns: list[int]) -> dict[str, int]:
    """Return who speaks how often, in conversations of so many messages: an odd one begins with the system."""
    pairs = sum([number // 2 for number in turns])
    return {"system": sum(turns) - 2 * pairs, "user": pairs, "assistant": pairs}


_talk: Final = Decoder(Talk).decode_lines
_conversation: Final = Decoder(Conversation).decode_lines
_pair: Final = Decoder(Pair).decode_lines
_general: Final = Decoder(General).decode_lines
_instruction: Final = Decoder(Instruction).decode_lines
_ROLES: Final[dict[type, str]] = {WideSystem: "system", WideUser: "user", WideAnswer: "assistant", Result: "tool"}


def _apart(lines: bytes, known: dict[bytes, bytes]) -> tuple[bytes, list[bytes | None]]:
    """Take declarations of tools out of lines where they stand last or before the messages; elsewhere no row will fit.

    Most rows repeat a declaration, and to compare is much quicker than to search or to parse.

    Args:
        lines: The lines.
        known: Declarations by the endings of lines that have them; those that are found are added.

    Returns:
        The lines without declarations, and the declaration of each: None where there is none, while an empty one is a fault.
    """
    comma, colon = (b", ", b": ") if b'"tools": ' in lines else (b",", b":")
    last, first, messages = comma + b'"tools"' + colon, b'{"tools"' + colon, comma + b'"messages"' + colon
    rests: list[bytes] = []
    declarations: list[bytes | None] = []
    start = 0
    while start <= len(lines):
        end = lines.find(b"\n", start)
        end = end if end >= 0 else len(lines)
        for ending, declaration in known.items():
            if lines.endswith(ending, start, end):
                rests.append(lines[start : end - len(ending)])
                declarations.append(declaration)
                break
        else:
            line = lines[start:end]
            if not line.endswith(b"}"):
                return lines, []
            if line.startswith(first):
                place = line.find(messages)
                declarations.append(line[len(first) : place])
                rests.append(b"{" + line[place + len(comma) : -1])
            else:
                rest, found, tail = line.rpartition(last)
                declarations.append(tail[:-1] if found else None)
                rests.append(rest if found else line[:-1])
                if found:
                    _keep(known, found + tail, tail[:-1])
        start = end + 1
    return b"}\n".join(rests) + b"}", declarations


def _keep(known: dict[bytes, bytes], ending: bytes, declaration: bytes) -> None:
    if len(known) == _MOST_KNOWN:
        known.clear()
    known[ending] = declaration


class _Facts(NamedTuple):
    chars: int
    trained: int
    called: list[str]
    tools: bool
    parallel: bool
    reasoning: bool
    weighted: bool


def _facts(messages: list[Any], tools: _Tools) -> _Facts | None:
    """Return the facts of a good row, or None where that is not plain."""
    names = tools.names
    chars, trained = tools.chars, 0
    called: list[str] = []
    waiting: set[str] = set()
    parallel = reasoning = weighted = learns = has_texts = has_parts = False
    last: type = NoneType
    for message in messages:
        kind = type(message)
        content = message.content
        size = 0
        if type(content) is str:
            if content:
                has_texts = True
                size = len(content)
        elif content is not UNSET and content is not None:
            has_parts = True
            for part in content:
                size += len(part.text)
        elif kind is not WideAnswer or not message.tool_calls:
            return None
        if message.name is not UNSET:
            size += len(message.name)
        if kind is Result:
            if message.tool_call_id not in waiting:
                return None
            waiting.remove(message.tool_call_id)
        elif waiting or last is kind:
            return None
        elif kind is WideAnswer:
            if last is NoneType or last is WideSystem:
                return None
            if message.tool_calls:
                for call in message.tool_calls:
                    name, arguments = call.function.name, call.function.arguments
                    if name not in names or call.id in waiting or not is_json_object(arguments):
                        return None
                    waiting.add(call.id)
                    called.append(name)
                    size += len(name) + len(arguments)
                parallel = parallel or len(message.tool_calls) > 1
            elif not _is_said(content):
                return None
            if message.reasoning is not UNSET or message.reasoning_content is not UNSET:
                thought = _thought(message)
                if thought is None:
                    return None
                size += len(thought)
                reasoning = reasoning or bool(thought)
            if message.weight != 0:
                learns = True
                trained += size
        elif kind is WideSystem and last is not NoneType:
            return None
        if message.weight is not UNSET:
            weighted = True
        chars += size
        last = kind
    if last is not WideAnswer or not learns or (has_texts and has_parts):
        return None
    return _Facts(chars, trained, called, tools.any or bool(called), parallel, reasoning, weighted)


def _thought(answer: WideAnswer) -> str | None:
    """Return the reasoning of an answer that has any, or None where that is not plain."""
    thought = answer.reasoning if answer.reasoning_content is UNSET else answer.reasoning_content
    both = answer.reasoning is not UNSET and answer.reasoning_content is not UNSET
    return None if both or thought is UNSET else thought


def _is_said(content: str | list[TextPart] | UnsetType | None) -> bool:
    if isinstance(content, str):
        return bool(content) and not content.isspace()
    return isinstance(content, list) and any(part.text.strip() for part in content)


class _Tools(NamedTuple):
    names: frozenset[str]
    chars: int
    any: bool


_NONE: Final = _Tools(frozenset(), 0, any=False)


@lru_cache(maxsize=64)
def _declared(raw: bytes) -> _Tools | None:
    """Return what is declared, or None where there is a fault. One declaration is repeated in most rows of a file."""
    notes = RowFindings()
    # As deep in brackets as it stands in its row: the parser's limit of depth is that of whole lines.
    try:
        (value,) = from_json(b"[" + raw + b"]", allow_inf_nan=False)
    except ValueError:
        return None
    names = check_tools(notes, value, "tools")
    if names is None or notes.findings or b"\\u0000" in raw or not is_finite(value):
        return None
    return _Tools(frozenset(names), notes.chars, notes.has_tools)

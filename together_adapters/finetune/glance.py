"""Good rows recognised at a glance: parsed straight into types that only they fit, which the extra `finetune` makes possible.

It accepts only rows in which the checker of `rows` finds nothing, and counts the same facts; whatever it does not know goes there.
A test holds both against each other. Most rows are of one of a few shapes, the sequence of their messages' types: each is judged once.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, chain, pairwise, repeat
from operator import attrgetter, contains, itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import UNSET, DecodeError, UnsetType
from msgspec.json import Decoder
from pydantic_core import from_json

from together_adapters.finetune.lines import Cut
from together_adapters.finetune.notes import Notes
from together_adapters.finetune.rows import finite
from together_adapters.finetune.shapes import (
    Answer,
    Assistant,
    Conversation,
    Declaring,
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
from together_adapters.finetune.tools import check_tools, is_object

if TYPE_CHECKING:
    from together_adapters.finetune.inspection import Check

_LONG: Final = 32_768
_MOST_SHAPES: Final = 65_536
_PATIENCE: Final = 8
_FAILED: Final = (DecodeError, ValueError, RecursionError)
_messages: Final = attrgetter("messages")
_content: Final = attrgetter("content")


class Glance:
    """Recognises good rows of one file.

    Where a batch does not fit, its lines are tried one by one; where hardly any fits, nothing is tried for a while.
    """

    def __init__(self) -> None:
        self._shapes: set[tuple[type, ...]] = set()
        self._skipped = 0
        self._tried = self._failed = 0
        self._looks: dict[str, tuple[Any, ...]] = {
            "conversation": (self._talks, self._wide),
            "preference": (self._pairs,),
            "general": (self._texts,),
            "instruction": (self._instructions,),
        }

    def accepts(self, check: Check, lines: list[bytes]) -> bool:
        """Whether all lines are good rows of the first format; they are then counted."""
        if check.first is None or len(lines[0]) > _LONG or self._rests() or Cut in map(type, lines):
            return False
        self._tried, self._failed = 0, 0
        return self._look(check, lines)

    def accepts_few(self, check: Check, lines: list[bytes]) -> bool:
        """Whether some lines of a batch that did not fit as a whole are good rows; they are then counted."""
        if check.first is None or self._skipped or Cut in map(type, lines) or max(map(len, lines)) > _LONG:
            return False
        if self._look(check, lines):
            self._tried += len(lines)
            return True
        if len(lines) == 1:
            self._tried += 1
            self._failed += 1
            if self._failed > _PATIENCE and self._failed * 2 > self._tried:
                self._skipped = _PATIENCE
        return False

    def _rests(self) -> bool:
        """Whether this batch is not tried, because hardly a line of one before fitted."""
        self._skipped = max(0, self._skipped - 1)
        return bool(self._skipped)

    def _look(self, check: Check, lines: list[bytes]) -> bool:
        """Try what may fit. Nothing that is made here has cycles, so the collector of cycles would search in vain."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            looks = self._looks[check.first or ""]
            for look in looks:
                if look(check, lines):
                    if look is not looks[0]:
                        self._looks[check.first or ""] = (look, *(other for other in looks if other != look))
                    return True
            return False
        except _FAILED:
            return False
        finally:
            if enabled:
                gc.enable()

    def _talks(self, check: Check, lines: list[bytes]) -> bool:
        """Conversations of texts alone."""
        try:
            talks = [row.messages for row in map(_talk, lines)]
        except _FAILED:
            return False
        shapes = Counter([tuple(map(type, talk)) for talk in talks])
        if not self._shapes.issuperset(shapes) and not all(map(self._fits, shapes)):
            return False
        messages = list(chain.from_iterable(talks))
        texts = list(map(_content, messages))
        answers = [message.content for message in messages if type(message) is Assistant]
        if not _are_said(answers) or _has_nul(texts):
            return False
        lengths = list(map(len, talks))
        chars = Counter(_sums(list(map(len, texts)), lengths))
        if _too_long(check, "conversation", chars):
            return False
        notes = check.notes
        notes.chars += sum(value * count for value, count in chars.items())
        notes.trained_chars += sum(map(len, answers))
        _count_shapes(check, shapes)
        check.accept("conversation", len(talks), Counter(lengths), chars)
        return True

    def _fits(self, shape: tuple[type, ...]) -> bool:
        """Whether messages of these types, in this order, make a conversation of texts."""
        start = shape[:1] == (System,)
        fits = len(shape) > start and (len(shape) - start) % 2 == 0 and shape[start::2] == (User,) * ((len(shape) - start) // 2)
        fits = fits and shape[start + 1 :: 2] == (Assistant,) * ((len(shape) - start) // 2)
        if fits and len(self._shapes) < _MOST_SHAPES:
            self._shapes.add(shape)
        return fits

    def _wide(self, check: Check, lines: list[bytes]) -> bool:
        """Conversations with tools, weights, reasoning and lists of texts."""
        decode: Callable[[bytes], Conversation | Declaring] = _conversation
        if b'"tools"' in lines[0]:
            if not _declare_once(lines):
                return False
            decode = _declaring
        facts: list[_Facts] = []
        for row in map(decode, lines):
            found = _facts(row)
            if found is None:
                return False
            facts.append(found)
        chars = Counter([fact.chars for fact in facts])
        if _too_long(check, "conversation", chars):
            return False
        notes = check.notes
        turns: Counter[int] = Counter()
        for fact in facts:
            notes.chars += fact.chars
            notes.trained_chars += fact.trained
            notes.has_tools |= fact.tools
            notes.has_parallel_tool_calls |= fact.parallel
            notes.has_reasoning |= fact.reasoning
            notes.has_sample_weights |= fact.sample_weight
            check.found.rows_with_message_weights += fact.weighted
            for name in fact.called:
                notes.count_tool(name)
            turns[len(fact.shape)] += 1
        _count_shapes(check, Counter([fact.shape for fact in facts]))
        check.accept("conversation", len(facts), turns, chars)
        return True

    def _pairs(self, check: Check, lines: list[bytes]) -> bool:
        """Preferences of texts alone."""
        rows = list(map(_pair, lines))
        talks = [row.input.messages for row in rows]
        shapes = Counter([tuple(map(type, talk)) for talk in talks])
        if not all(shape[-1:] == (User,) and self._fits((*shape, Assistant)) for shape in shapes):
            return False
        better = [row.preferred_output[0].content for row in rows]
        worse = [row.non_preferred_output[0].content for row in rows]
        asked = list(map(_content, chain.from_iterable(talks)))
        answers = [message.content for talk in talks for message in talk if type(message) is Assistant]
        if not (_are_said(better) and _are_said(worse) and all(map(str.__ne__, better, worse))):
            return False
        if _has_nul(asked) or _has_nul(better) or _has_nul(worse) or not _are_said(answers):
            return False
        lengths = list(map(len, talks))
        outputs = [len(one) + len(other) for one, other in zip(better, worse, strict=True)]
        chars = Counter([one + other for one, other in zip(_sums(list(map(len, asked)), lengths), outputs, strict=True)])
        if _too_long(check, "preference", chars):
            return False
        notes = check.notes
        notes.chars += sum(value * count for value, count in chars.items())
        notes.trained_chars += sum(outputs)
        _count_shapes(check, shapes)
        notes.turns += 2 * len(rows)
        notes.roles["assistant"] = notes.roles.get("assistant", 0) + 2 * len(rows)
        check.accept("preference", len(rows), Counter([length + 2 for length in lengths]), chars)
        return True

    def _texts(self, check: Check, lines: list[bytes]) -> bool:
        """Plain texts."""
        rows = list(map(_general, lines))
        texts = [row.text for row in rows]
        chars = Counter(map(len, texts))
        if _has_nul(texts) or _too_long(check, "general", chars):
            return False
        _count_texts(check, rows, "general", chars, sum(map(len, texts)))
        return True

    def _instructions(self, check: Check, lines: list[bytes]) -> bool:
        """Prompts with completions."""
        rows = list(map(_instruction, lines))
        prompts, answers = [row.prompt for row in rows], [row.completion for row in rows]
        chars = Counter([len(row.prompt) + len(row.completion) for row in rows])
        if _has_nul(prompts) or _has_nul(answers) or _too_long(check, "instruction", chars):
            return False
        _count_texts(check, rows, "instruction", chars, sum(map(len, answers)))
        return True


_talk: Final = Decoder(Talk).decode
_conversation: Final = Decoder(Conversation).decode
_declaring: Final = Decoder(Declaring).decode
_pair: Final = Decoder(Pair).decode
_general: Final = Decoder(General).decode
_instruction: Final = Decoder(Instruction).decode
_ROLES: Final[dict[type, str]] = {
    System: "system", User: "user", Assistant: "assistant",
    WideSystem: "system", WideUser: "user", WideAnswer: "assistant", Result: "tool", Answer: "assistant",
}  # fmt: skip


def _are_said(answers: list[str]) -> bool:
    return all(answers) and not any(map(str.isspace, answers))


def _has_nul(texts: list[str]) -> bool:
    return any(map(contains, texts, repeat("\0")))


def _sums(values: list[int], lengths: list[int]) -> list[int]:
    """Return the sums of consecutive runs of values."""
    ends = list(accumulate(lengths, initial=0))
    sums = list(accumulate(values, initial=0))
    found = itemgetter(*ends)(sums)
    return [last - first for first, last in pairwise(found)]


def _too_long(check: Check, form: str, chars: Counter[int]) -> bool:
    """Whether a row may be longer than the model takes; how long exactly is said elsewhere."""
    most = check.longest.get(form)
    return most is not None and max(chars) > most * 4


def _count_shapes(check: Check, shapes: Counter[tuple[type, ...]]) -> None:
    notes = check.notes
    for shape, count in shapes.items():
        notes.turns += len(shape) * count
        for kind, number in Counter(shape).items():
            role = _ROLES[kind]
            notes.roles[role] = notes.roles.get(role, 0) + number * count


def _count_texts(check: Check, rows: list[Any], form: str, chars: Counter[int], trained: int) -> None:
    notes = check.notes
    notes.chars += sum(value * count for value, count in chars.items())
    notes.trained_chars += trained
    notes.has_sample_weights = notes.has_sample_weights or any(row.weight is not UNSET for row in rows)
    check.accept(form, len(rows), {}, chars)


def _declare_once(lines: list[bytes]) -> bool:
    """Whether each line has one key `tools`, and none that is spelt with escapes.

    Its value is skipped over when lines are parsed, so one that is followed by a second would never be looked at.
    """
    return all(line.count(b'"tools"') == 1 for line in lines) and not any(
        b"\\u006" in line or b"\\u007" in line or b"\\u0000" in line for line in lines
    )


class _Facts(NamedTuple):
    shape: tuple[type, ...]
    chars: int
    trained: int
    called: list[str]
    tools: bool
    parallel: bool
    reasoning: bool
    sample_weight: bool
    weighted: bool


def _facts(row: Conversation | Declaring) -> _Facts | None:
    """Return the facts of a good row, or None where that is not plain."""
    tools = _declared(bytes(row.tools)) if isinstance(row, Declaring) else _NONE
    if tools is None:
        return None
    chars, trained, weighted, reasoning, parallel = tools.chars, 0, False, False, False
    called: list[str] = []
    waiting: set[str] = set()
    parts: bool | None = None
    last: type | None = None
    learns = False
    message: Any
    for message in row.messages:
        kind = type(message)
        before = chars
        content = message.content
        if content.__class__ is str:
            if "\0" in content:
                return None
            chars += len(content)
            if content:
                if parts is True:
                    return None
                parts = False
        elif content is UNSET or content is None:
            if kind is not WideAnswer or not message.tool_calls:
                return None
        else:
            if parts is False:
                return None
            parts = True
            size = _parts(content)
            if size is None:
                return None
            chars += size
        if message.name is not UNSET:
            if "\0" in message.name:
                return None
            chars += len(message.name)
        if kind is WideAnswer:
            if waiting or last is WideAnswer or last is WideSystem or last is None:
                return None
            if message.tool_calls:
                if not tools.names:
                    return None
                for call in message.tool_calls:
                    function = call.function
                    if call.id in waiting or function.name not in tools.names or not is_object(function.arguments):
                        return None
                    if "\0" in call.id or "\0" in function.arguments:
                        return None
                    waiting.add(call.id)
                    called.append(function.name[:80])
                    chars += len(function.name) + len(function.arguments)
                parallel = parallel or len(message.tool_calls) > 1
            elif not _is_said(content):
                return None
            thought = message.reasoning if message.reasoning is not UNSET else message.reasoning_content
            if thought is not UNSET:
                if (message.reasoning is not UNSET and message.reasoning_content is not UNSET) or "\0" in thought:
                    return None
                chars += len(thought)
                reasoning = reasoning or bool(thought)
            if message.weight != 0:
                learns = True
                trained += chars - before
        elif kind is Result:
            if message.tool_call_id not in waiting:
                return None
            waiting.remove(message.tool_call_id)
        elif waiting or last is kind or (kind is WideSystem and last is not None):
            return None
        weighted = weighted or message.weight is not UNSET
        last = kind
    if last is not WideAnswer or not learns:
        return None
    weight = row.weight is not UNSET
    return _Facts(
        tuple(map(type, row.messages)), chars, trained, called, tools.any or bool(called), parallel, reasoning, weight, weighted
    )


def _parts(parts: list[TextPart]) -> int | None:
    """Return how many characters a list of parts has, or None where it is not plain."""
    texts = [part.text for part in parts]
    return None if _has_nul(texts) else sum(map(len, texts))


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
    notes = Notes()
    # As deep in brackets as it stands in its row: the parser's limit of depth is that of whole lines.
    (value,) = from_json(b"[" + raw + b"]", allow_inf_nan=False)
    names = check_tools(notes, value, "tools")
    if names is None or notes.findings or b"\\u0000" in raw or not finite(value):
        return None
    return _Tools(frozenset(names), notes.chars, notes.has_tools)

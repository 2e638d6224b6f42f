"""Regular expressions matched in polynomial time: all states at once, where the standard library would backtrack for ever."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

_parser: Final[Any] = importlib.import_module("re._parser")
_MAX_PATTERN: Final = 20_000
_MAX_STEPS: Final = 400_000
_State = tuple[int, tuple[tuple[int, int, int], ...]]  # a position, and the groups that were matched before it


class Regex:
    """A pattern with its parse tree. Raises `ValueError` where it is invalid or too complex."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _MAX_PATTERN:
            raise ValueError("the pattern is too long")
        try:
            self.tree = _parser.parse(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the pattern cannot be compiled: {str(error)[:200]}") from None
        self._flags = self.tree.state.flags
        self._has_references = "GROUPREF" in str(self.tree.data)

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return any(end == len(text) for end, _ in self._ends(text, [0]))

    def is_found(self, text: str) -> bool:
        """Whether the pattern matches a part of the text."""
        return bool(self._ends(text, range(len(text) + 1)))

    def _ends(self, text: str, starts: Iterable[int]) -> set[_State]:
        try:
            return _Match(text, self._has_references).sequence(self.tree, {(start, ()) for start in starts}, self._flags)
        except RecursionError:
            raise ValueError("the pattern is nested too deeply") from None


compile_regex = lru_cache(maxsize=512)(Regex)


class _Match:
    """One match of a text. Each method returns the states in which a node can end."""

    def __init__(self, text: str, has_references: bool) -> None:
        self.text = text
        self.has_references = has_references
        self.steps = 0

    def sequence(self, nodes: Any, states: set[_State], flags: int) -> set[_State]:
        for operator, argument in nodes:
            self.steps += len(states) + 1
            if self.steps > _MAX_STEPS:
                raise ValueError("the pattern is too complex")
            states = self._node(str(operator), argument, states, flags)
            if not states:
                break
        return states

    def _node(self, operator: str, argument: Any, states: set[_State], flags: int) -> set[_State]:
        match operator:
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return {
                    (position + 1, groups)
                    for position, groups in states
                    if position < len(self.text) and _accepts(operator, argument, self.text[position], flags)
                }
            case "BRANCH":
                return {state for branch in argument[1] for state in self.sequence(branch, states, flags)}
            case "SUBPATTERN":
                return self._group(argument, states, flags)
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(argument, states, flags)
            case "AT":
                return {state for state in states if self._is_at(str(argument), state[0], flags)}
            case "ASSERT" | "ASSERT_NOT":
                return {state for state in states if self._is_around(argument, state, flags) is (operator == "ASSERT")}
            case "GROUPREF":
                return {
                    (end, groups) for position, groups in states for end in self._repetition(argument, position, groups, flags)
                }
            case "FAILURE":
                return set()
        raise ValueError(f"{operator.lower()} is not supported in patterns")

    def _group(self, argument: Any, states: set[_State], flags: int) -> set[_State]:
        number, added, removed, nodes = argument
        flags = (flags | added) & ~removed
        if number is None or not self.has_references:
            return self.sequence(nodes, states, flags)
        ends = set()
        for start, groups in states:
            others = tuple(group for group in groups if group[0] != number)
            ends |= {
                (end, (*(group for group in inner if group[0] != number), (number, start, end)))
                for end, inner in self.sequence(nodes, {(start, others)}, flags)
            }
        return ends

    def _repeat(self, argument: Any, states: set[_State], flags: int) -> set[_State]:
        minimum, maximum, nodes = argument
        for _ in range(int(minimum)):
            before, states = states, self.sequence(nodes, states, flags)
            if states in (before, set()):
                break
        result, count = set(states), int(minimum)
        while states and count < int(maximum):
            states = self.sequence(nodes, states, flags) - result
            result |= states
            count += 1
        return result

    def _is_at(self, anchor: str, position: int, flags: int) -> bool:
        text, end = self.text, len(self.text)
        match anchor:
            case "AT_BEGINNING":
                return position == 0 or bool(flags & re.MULTILINE and text[position - 1] == "\n")
            case "AT_BEGINNING_STRING":
                return position == 0
            case "AT_END":
                is_line_end = text[position : position + 1] == "\n"
                return position == end or (is_line_end and (position == end - 1 or bool(flags & re.MULTILINE)))
            case "AT_END_STRING":
                return position == end
        if not text:  # versions of Python differ on `\\B`
            return False
        sides = [
            _is_in("CATEGORY_WORD", side, flags)
            for side in (text[max(position - 1, 0) : position], text[position : position + 1])
        ]
        return (sides[0] != sides[1]) is (anchor == "AT_BOUNDARY")

    def _is_around(self, argument: Any, state: _State, flags: int) -> bool:
        direction, nodes = argument
        if direction > 0:
            return bool(self.sequence(nodes, {state}, flags))
        start = state[0] - nodes.getwidth()[0]
        return start >= 0 and any(end == state[0] for end, _ in self.sequence(nodes, {(start, state[1])}, flags))

    def _repetition(self, number: int, position: int, groups: tuple[tuple[int, int, int], ...], flags: int) -> list[int]:
        """Where the repetition of a group ends: nowhere, if the text does not repeat it."""
        for group, start, end in groups:
            content = self.text[start:end]
            following = self.text[position : position + len(content)]
            is_equal = content == following or (flags & re.IGNORECASE and content.lower() == following.lower())
            if group == number and is_equal:
                return [position + len(content)]
        return []


def _accepts(operator: str, argument: Any, character: str, flags: int) -> bool:
    if operator == "ANY":
        return character != "\n" or bool(flags & re.DOTALL)
    members = argument if operator == "IN" else [("LITERAL", argument)]
    is_negated = operator == "NOT_LITERAL" or str(members[0][0]) == "NEGATE"
    cases = {character, character.lower(), character.upper()} if flags & re.IGNORECASE else {character}
    return is_negated is not any(_is_member(member, case, flags) for member in members for case in cases)


def _is_member(member: Any, character: str, flags: int) -> bool:
    match str(member[0]):
        case "LITERAL":
            return character == chr(member[1])
        case "RANGE":
            return len(character) == 1 and member[1][0] <= ord(character) <= member[1][1]
        case "CATEGORY":
            return _is_in(str(member[1]), character, flags)
    return False


def _is_in(category: str, character: str, flags: int) -> bool:
    name = category.removeprefix("CATEGORY_")
    is_ascii = not flags & re.ASCII or character.isascii()
    match name.removeprefix("NOT_"):
        case "DIGIT":
            is_inside = character.isdecimal()
        case "SPACE":
            is_inside = character.isspace()
        case _:
            is_inside = character.isalnum() or character == "_"
    return (is_inside and is_ascii) is not name.startswith("NOT_")

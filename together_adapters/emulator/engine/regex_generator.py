"""Strings that match a regular expression, built from its parse tree; nothing is ever matched, so no pattern can be slow."""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

_parser: Final[Any] = importlib.import_module("re._parser")
_LONGEST: Final = 2_000


def example(pattern: str, text: str = "") -> str:
    """Build a string for a pattern; of alternatives, the one that `text` mentions, else the first.

    Raises:
        ValueError: The pattern is no regular expression, or no string of bearable length matches it.
    """
    if len(pattern) > 20_000:
        raise ValueError("the pattern is too long")
    try:
        built = _sequence(_parser.parse(pattern), text.lower()[:50_000], {})
    except (re.error, RecursionError, OverflowError, KeyError) as error:
        raise ValueError(f"the pattern cannot be compiled: {str(error)[:200]}") from None
    if len(built) > _LONGEST:
        raise ValueError("the pattern wants too long a text")
    return built


def _sequence(parsed: Any, text: str, groups: dict[int, str]) -> str:
    built: list[str] = []
    size = 0
    for operator, argument in parsed:
        piece = _piece(str(operator), argument, text, groups)
        size += len(piece)
        if size > _LONGEST:
            raise ValueError("the pattern wants too long a text")
        built.append(piece)
    return "".join(built)


def _piece(operator: str, argument: Any, text: str, groups: dict[int, str]) -> str:
    match operator:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return "a" if argument != ord("a") else "b"
        case "ANY":
            return "a"
        case "IN":
            return _member(argument)
        case "BRANCH":
            return _alternative(argument[1], text, groups)
        case "SUBPATTERN":
            built = _sequence(argument[3], text, groups)
            if argument[0] is not None:
                groups[argument[0]] = built
            return built
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, repeated = argument
            return _repeat(_sequence(repeated, text, groups), int(least), int(most))
        case "ATOMIC_GROUP":
            return _sequence(argument, text, groups)
        case "GROUPREF":
            return groups[argument]
        case _:  # anchors and look-around take no room
            return ""


def _repeat(unit: str, least: int, most: int) -> str:
    # A few more than the least where that is none: an empty string is a poor example of `.*`.
    times = least or min(most, 1 if len(unit) != 1 else 5)
    if times * len(unit) > _LONGEST:
        raise ValueError("the pattern wants too long a text")
    return unit * times


def _alternative(branches: list[Any], text: str, groups: dict[int, str]) -> str:
    built = [_sequence(branch, text, groups) for branch in branches[:200]]
    found = [(text.find(option.lower()), option) for option in built if option and option.lower() in text]
    return min(found)[1] if found else built[0]


_CATEGORIES: Final = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_DIGIT": "a",
                      "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_WORD": "-"}  # fmt: skip


def _member(members: list[Any]) -> str:
    if str(members[0][0]) == "NEGATE":
        refused = {character for member in members[1:] for character in _some(member)}
        return next(
            character for character in "aA0 _-.xyz!" + "".join(map(chr, range(0x100, 0x4000))) if character not in refused
        )
    return _some(members[0])[0]


def _some(member: Any) -> str:
    operator, argument = str(member[0]), member[1]
    if operator == "LITERAL":
        return chr(argument)
    if operator == "RANGE":
        return "".join(map(chr, range(argument[0], min(argument[1], argument[0] + 0x400) + 1)))
    excluded = {"CATEGORY_DIGIT": "0123456789", "CATEGORY_SPACE": " \t\n", "CATEGORY_WORD": "aA0_xyz"}.get(str(argument))
    return (
        excluded[1:] + excluded[0]
        if excluded and operator == "CATEGORY" and str(argument) == "CATEGORY_DIGIT"
        else _CATEGORIES.get(str(argument), "a")
    )

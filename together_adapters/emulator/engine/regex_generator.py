"""Strings that match a regular expression, built from its parse tree; nothing is ever matched, so no pattern can be slow."""

from __future__ import annotations

import importlib
import re
import string
from typing import Any, Final

_parser: Final[Any] = importlib.import_module("re._parser")
_MAX_LENGTH: Final = 2_000
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": "1234567890", "CATEGORY_SPACE": " \t\n", "CATEGORY_WORD": "a" + string.ascii_letters + string.digits + "_",
    "CATEGORY_NOT_DIGIT": "a", "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_WORD": "-",
}  # fmt: skip
"""Members of each character class, the preferred one first."""
_CANDIDATES: Final = "aA0 _-.xyz!" + "".join(map(chr, range(0x100, 0x4000)))
"""Characters to choose from for a class that excludes some."""


def generate_match(pattern: str, text: str = "") -> str:
    """Builds a string that matches a pattern; of alternatives, the one that `text` mentions first, else the first one.

    Raises `ValueError` if the pattern is invalid, or if it requires a very long string.
    """
    if len(pattern) > 20_000:
        raise ValueError("the pattern is too long")
    try:
        return _sequence(_parser.parse(pattern), text.lower()[:50_000], {})
    except (re.error, RecursionError, OverflowError, KeyError) as error:
        raise ValueError(f"the pattern cannot be compiled: {str(error)[:200]}") from None


def _sequence(nodes: Any, text: str, groups: dict[int, str]) -> str:
    result = ""
    for operator, argument in nodes:
        result += _node(str(operator), argument, text, groups)
        if len(result) > _MAX_LENGTH:
            raise ValueError("the pattern requires too long a text")
    return result


def _node(operator: str, argument: Any, text: str, groups: dict[int, str]) -> str:
    match operator:
        case "LITERAL":
            return chr(argument)
        case "NOT_LITERAL":
            return "a" if argument != ord("a") else "b"
        case "ANY":
            return "a"
        case "IN":
            return _character(argument)
        case "BRANCH":
            options = [_sequence(branch, text, groups) for branch in argument[1][:200]]
            mentions = [(text.find(option.lower()), option) for option in options if option and option.lower() in text]
            return min(mentions)[1] if mentions else options[0]
        case "SUBPATTERN":
            group = _sequence(argument[3], text, groups)
            if argument[0] is not None:
                groups[argument[0]] = group
            return group
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            unit = _sequence(argument[2], text, groups)
            # Optional repetitions are made nevertheless: an empty string is a poor example of `.*`.
            count = int(argument[0]) or min(int(argument[1]), 1 if len(unit) != 1 else 5)
            if count * len(unit) > _MAX_LENGTH:
                raise ValueError("the pattern requires too long a text")
            return unit * count
        case "ATOMIC_GROUP":
            return _sequence(argument, text, groups)
        case "GROUPREF":
            return groups[argument]
        case _:  # anchors and look-around match no characters
            return ""


def _character(members: list[Any]) -> str:
    if str(members[0][0]) == "NEGATE":
        excluded = {character for member in members[1:] for character in _members(member)}
        return next(character for character in _CANDIDATES if character not in excluded)
    return _members(members[0])[0]


def _members(member: Any) -> str:
    operator, argument = str(member[0]), member[1]
    if operator == "LITERAL":
        return chr(argument)
    if operator == "RANGE":
        return "".join(map(chr, range(argument[0], min(argument[1], argument[0] + 0x400) + 1)))
    return _CATEGORIES.get(str(argument), "a")

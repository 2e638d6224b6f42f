"""Strings that match a regular expression, built from its parse tree and checked by `regular_expressions`."""

from __future__ import annotations

import string
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from together_adapters.emulator.engine.regular_expressions import Regex, compile_regex

_MAX_LENGTH, _MAX_NODES = 2_000, 20_000
_ATTEMPTS: Final = 120
_CATEGORIES: Final = {  # members of each class, the preferred one first
    "CATEGORY_DIGIT": "1234567890", "CATEGORY_SPACE": " \t\n", "CATEGORY_WORD": "a" + string.ascii_letters + string.digits + "_",
    "CATEGORY_NOT_DIGIT": "a" + string.ascii_letters + " -", "CATEGORY_NOT_SPACE": "a" + string.ascii_letters + string.digits + "-",
    "CATEGORY_NOT_WORD": "- .,!",
}  # fmt: skip
_ANY: Final = "aA0 _-.xyz!@"
_CANDIDATES: Final = _ANY + string.printable.rstrip("\t\n\r\x0b\x0c") + "".join(map(chr, range(0x100, 0x4000)))


def generate_match(pattern: str, text: str = "") -> str:
    """Builds a string that the whole pattern matches: a word of `text` if one does, else by the choices that `text` mentions.

    Raises `ValueError` if the pattern is invalid, requires a very long string, or no match is found.
    """
    for match in generate_matches(compile_regex(pattern), text):
        return match
    raise ValueError("no text that matches the pattern was found")


def generate_matches(regex: Regex, text: str = "") -> Iterator[str]:
    """Yields strings that a pattern matches as a whole, the preferred one first."""
    text = text[:50_000]
    words = (word.strip(".,;:!?\"'()") for word in text[:5_000].split())
    yield from (word for word in words if len(word) < 100 and any(map(str.isdigit, word)) and regex.matches(word))
    for attempt in range(_ATTEMPTS):
        value = _Attempt(text.lower(), Random(attempt) if attempt else None).sequence(regex.tree, {})
        if regex.matches(value):
            yield value


class _Attempt:
    """One way through the parse tree: the preferred one, or a random one where that breaks an assertion."""

    def __init__(self, text: str, random: Random | None) -> None:
        self.text = text
        self.random = random
        self.reach = random.choice((0, 1, 3, 8, 30)) if random else 0
        self.nodes = 0

    def sequence(self, nodes: Any, groups: dict[int, str]) -> str:
        """Builds a string for a list of nodes. The content of look-aheads covers what follows them."""
        result, lookahead, start = "", "", 0
        for operator, argument in nodes:
            self.nodes += 1
            if str(operator) == "ASSERT" and argument[0] > 0 and self.random:
                if not lookahead:
                    start = len(result)
                lookahead += self.sequence(argument[1], groups)
            else:
                result += self._node(str(operator), argument, groups)
            if len(result) > _MAX_LENGTH or self.nodes > _MAX_NODES:
                raise ValueError("the pattern requires too long a text")
        return result[:start] + lookahead + result[start + len(lookahead) :]

    def _node(self, operator: str, argument: Any, groups: dict[int, str]) -> str:
        match operator:
            case "LITERAL":
                return chr(argument)
            case "NOT_LITERAL":
                return self._choose("".join(character for character in _ANY if character != chr(argument)))
            case "ANY":
                return self._choose(_ANY)
            case "IN":
                return self._choose(_characters(argument))
            case "BRANCH":
                return self._branch(argument[1][:200], groups)
            case "SUBPATTERN":
                group = self.sequence(argument[3], groups)
                if argument[0] is not None:
                    groups[argument[0]] = group
                return group
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(int(argument[0]), int(argument[1]), argument[2], groups)
            case "GROUPREF":
                return groups.get(argument, "")
            case _:  # anchors and look-around match no characters
                return ""

    def _choose(self, characters: str) -> str:
        return self.random.choice(characters) if self.random and characters else characters[:1]

    def _branch(self, branches: list[Any], groups: dict[int, str]) -> str:
        if self.random:
            return self.sequence(self.random.choice(branches), groups)
        options = [self.sequence(branch, groups) for branch in branches]
        mentions = [(self.text.find(option.lower()), option) for option in options if option and option.lower() in self.text]
        return min(mentions)[1] if mentions else options[0]

    def _repeat(self, minimum: int, maximum: int, nodes: Any, groups: dict[int, str]) -> str:
        unit = self.sequence(nodes, groups)
        if self.random:
            count = self.random.randint(minimum, max(minimum, min(maximum, max(minimum, 1) + self.reach)))
        else:  # optional repetitions are made nevertheless: an empty string is a poor example of `.*`
            count = minimum or min(maximum, 1 if len(unit) != 1 else 5)
        if count * len(unit) > _MAX_LENGTH:
            raise ValueError("the pattern requires too long a text")
        if not self.random or count > 100:
            return unit * count
        return "".join(self.sequence(nodes, groups) for _ in range(count))


def _characters(members: list[Any]) -> str:
    if str(members[0][0]) == "NEGATE":
        unwanted = {character for member in members[1:] for character in _members(member)}
        return "".join(character for character in _CANDIDATES if character not in unwanted)[:64]
    return "".join(map(_members, members))


def _members(member: Any) -> str:
    operator, argument = str(member[0]), member[1]
    if operator == "LITERAL":
        return chr(argument)
    if operator == "RANGE":
        return "".join(map(chr, range(argument[0], min(argument[1], argument[0] + 0x400) + 1)))
    return _CATEGORIES.get(str(argument), "a")

"""Strings that match a regular expression, built from its parse tree and checked by `regular_expressions`."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from itertools import islice
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
_MEMBERS: Final[dict[str, Callable[[Any], str]]] = {
    "LITERAL": chr,
    "RANGE": lambda bounds: "".join(map(chr, range(bounds[0], min(bounds[1], bounds[0] + 0x400) + 1))),
    "CATEGORY": lambda category: _CATEGORIES[str(category)],
}
_ANY: Final = "aA0 _-.xyz!@"
_CANDIDATES: Final = _ANY + string.printable.rstrip("\t\n\r\x0b\x0c") + "".join(map(chr, range(0x100, 0x4000)))


def generate_match(pattern: str, text: str = "") -> str:
    """Builds a string that the whole pattern matches: of several, one that `text` contains.

    Raises `ValueError` if the pattern is invalid, requires a very long string, or no match is found.
    """
    matches = list(islice(generate_matches(compile_regex(pattern), text), 20))
    if not matches:
        raise ValueError("no text that matches the pattern was found")
    return next((match for match in matches if match and match.lower() in text.lower()), matches[0])


def generate_matches(regex: Regex, text: str = "") -> Iterator[str]:
    """Yields strings that a pattern matches as a whole: words of `text` with digits, then the preferred one, then any."""
    words = (word.strip(".,;:!?\"'()") for word in text[:5_000].split())
    yield from (word for word in words if len(word) < 100 and any(map(str.isdigit, word)) and regex.matches(word))
    for attempt in range(_ATTEMPTS):
        value = _Attempt(Random(attempt) if attempt else None).sequence(regex.tree, {})
        if regex.matches(value):
            yield value


class _Attempt:
    """One way through the parse tree: the preferred one, or a random one where that breaks an assertion."""

    def __init__(self, random: Random | None) -> None:
        self.random = random
        self.reach = random.choice((0, 1, 3, 8, 30)) if random else 0
        self.nodes = 0

    def sequence(self, nodes: Any, groups: dict[int, str]) -> str:
        """Builds a string for a list of nodes. The content of look-aheads covers what follows them."""
        result, lookahead, start = "", "", 0
        self.nodes += 1
        for operator, argument in nodes:
            self.nodes += 1
            if str(operator) == "ASSERT" and argument[0] > 0 and self.random:
                start = start if lookahead else len(result)
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
                return str(self._choose(_characters([("NEGATE", None), ("LITERAL", argument)])))
            case "ANY" | "IN":
                return str(self._choose(_characters(argument) if argument else _ANY))
            case "BRANCH":
                return self.sequence(self._choose(argument[1]), groups)
            case "SUBPATTERN":
                groups[argument[0]] = self.sequence(argument[3], groups)
                return groups[argument[0]]
            case "MAX_REPEAT" | "MIN_REPEAT":
                minimum, maximum, nodes = int(argument[0]), int(argument[1]), argument[2]
                count = max(minimum, min(maximum, 1))  # optional ones too: an empty string is a poor example of `.*`
                if self.random:
                    count = self.random.randint(minimum, min(maximum, count + self.reach))
                return "".join(self.sequence(nodes, groups) for _ in range(count))
            case "GROUPREF":
                return groups.get(argument, "")
            case _:  # anchors and look-around match no characters
                return ""

    def _choose(self, options: Any) -> Any:
        return options and (self.random.choice(options) if self.random else options[0])


def _characters(members: list[Any]) -> str:
    """The characters of a class, the preferred one first."""
    if str(members[0][0]) == "NEGATE":
        exclusions = set(_characters(members[1:]))
        return "".join(character for character in _CANDIDATES if character not in exclusions)[:64]
    return "".join(_MEMBERS[str(operator)](argument) for operator, argument in members)

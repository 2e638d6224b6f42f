"""Extracts the value of a named field from a text: numbers beside its name, quoted strings, proper names, locations, dates."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.engine.text_features import WORDS


class Confidence(IntEnum):
    """How certain a value is."""

    GUESS = 0  # the text offers no value; this is a default
    LIKELY = 1  # the text has a value of this kind
    CERTAIN = 2  # the text says that this field has this value


def field_pattern(names: str) -> re.Pattern[str]:
    """A pattern that finds one of some words in the name of a field."""
    return re.compile(rf"(?:^|_)(?:{'|'.join(names.split())})(?:$|_)")


GUESS, LIKELY, CERTAIN = Confidence
_MAX_CHARS: Final = 20_000  # characters of a text that are searched: its two ends

_QUOTATION: Final = re.compile(
    r"\"([^\"\n]{1,500})\"|(?<!\w)'([^'\n]{1,500})'(?!\w)|“([^”\n]{1,500})”|‘([^’\n]{1,500})’|「([^」\n]{1,500})」|『([^』\n]{1,500})』|«([^»\n]{1,500})»|`([^`\n]{1,500})`"
)
_NAME: Final = re.compile(
    r"(?:[A-Z][\w'’.-]*[\w]|[A-Z])(?: (?:(?:de|van|von|der|da|of|the|la|al|bin) ){0,2}(?:[A-Z][\w'’-]*\w|[A-Z]\.?))*"
)
_NUMBER: Final = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?![\d\w]*[A-Za-z_])|(?<![\w.])[-−]?\d+(?:\.\d+)?(?=[%°a-zA-Z])")
_DIGITS: Final = r"([-−]?\d[\d,]*(?:\.\d+)?)"
_NOT_NAMES: Final = frozenset(WORDS["not_names"].split())
_DAYS: Final = r"today|tomorrow|tonight|yesterday|(?:next |this |last )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|week|month|year)"
_MONTHS: Final = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_PATTERNS: Final[dict[str, re.Pattern[str]]] = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}"),
    "url": re.compile(r"https?://[^\s<>\"')\]]{1,2000}"),
    "date": re.compile(rf"\d{{4}}-\d\d-\d\d|\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}|\b{_MONTHS} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b|\b\d{{1,2}} {_MONTHS}(?: \d{{4}})?\b|\b(?:{_DAYS})\b", re.I),
    "time": re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?\b|\b\d{1,2} ?[ap]m\b|\bnoon\b|\bmidnight\b", re.I),
    "expression": re.compile(r"(?<!\w)[-(]*\d[\d\s+\-*/().^%]*[\d)](?!\w)"),
}  # fmt: skip
_KINDS: Final = tuple((field_pattern(names), kind) for kind, names in WORDS["kinds"].items())


@dataclass
class ValueExtractor:
    """Extracts values from one text. A value is used once, as long as there are others."""

    text: str
    used: set[str] = field(default_factory=set)

    @cached_property
    def _excerpt(self) -> str:
        return self.text if len(self.text) <= _MAX_CHARS else self.text[: _MAX_CHARS // 2] + "\n" + self.text[-_MAX_CHARS // 2 :]

    @cached_property
    def _lowercase(self) -> str:
        return self._excerpt.lower()

    @cached_property
    def quotations(self) -> list[str]:
        """Strings in quotation marks."""
        return [next(filter(None, match.groups())) for match in _QUOTATION.finditer(self._excerpt)]

    @cached_property
    def names(self) -> list[str]:
        """Proper names, by their capital letters."""
        names = []
        for match in _NAME.finditer(self._excerpt):
            parts = match[0].split(" ")
            while parts and parts[0] in _NOT_NAMES:
                parts.pop(0)
            name = re.sub(r"['’]s$", "", " ".join(parts)).rstrip(".'’-")
            if name and name not in _NOT_NAMES:
                names.append(name)
        return list(dict.fromkeys(names))

    @cached_property
    def numbers(self) -> list[tuple[str, float | int]]:
        """Numbers in the order of the text: a key for `used`, and the value."""
        return [(f"{match.start()}:{match[0]}", _to_number(match[0])) for match in _NUMBER.finditer(self._excerpt)]

    def string(self, name: str) -> tuple[str, Confidence]:
        """Finds a string for a field."""
        name = name[:60]
        if (assignment := self._assignment(name)) is not None:
            return self._use(assignment), CERTAIN
        kind = kind_of(name)
        quotation = self._unused(self.quotations)
        if kind == "request":
            return (self._use(quotation), CERTAIN) if quotation else (one_line(self.text), LIKELY)
        if kind in _PATTERNS:
            value = self._unused([match[0].strip() for match in _PATTERNS[kind].finditer(self._excerpt)])
            return (self._use(value), CERTAIN) if value else ("", GUESS)
        if kind == "location" and (location := self._location(name)):
            return self._use(location), CERTAIN
        value = quotation or (self._unused(self.names) if kind in ("name", "location") else "")
        return (self._use(value), LIKELY) if value else ("", GUESS)

    def number(self, name: str, integer: bool) -> tuple[float | int, Confidence]:
        """Finds a number for a field: one beside its name, else the first unused one."""
        name = name[:60]
        if self._mentions(name):
            phrase = re.escape(name.replace("_", " "))
            suffix = r"\w*" if len(name) > 2 else ""  # `age` is in "aged 44", but `b` is not in "by 7"
            verb = r"(?: (?:is|of|to|at|was|are|set to|equals?))*"
            pattern = rf"\b{phrase}{suffix}\b[\"'`]?{verb}[ :=]*{_DIGITS}|{_DIGITS}[- ]{phrase}\b"
            if match := re.search(pattern, self._excerpt, re.IGNORECASE):
                group = 1 if match[1] else 2
                self.used.add(f"{match.start(group)}:{match[group]}")
                value = _to_number(match[group])
                return int(value) if integer else value, CERTAIN
        for key, value in self.numbers:
            if key not in self.used and (not integer or value == int(value)):
                self.used.add(key)
                return int(value) if integer else value, LIKELY
        return 0, GUESS

    def boolean(self, name: str) -> tuple[bool, Confidence]:
        """Finds a truth value for a field: false where the text negates its name."""
        phrase = name[:60].replace("_", " ").removeprefix("is ").removeprefix("has ")
        if match := re.search(rf"\b{re.escape(phrase)}", self._excerpt, re.IGNORECASE):
            context = self._lowercase[max(0, match.start() - 25) : match.end() + 12]
            return not re.search(r"\b(?:no|not|never|without|isn't|don't|doesn't|false|non|off|disabled?)\b", context), CERTAIN
        return True, GUESS

    def member(self, options: list[Any]) -> tuple[Any, Confidence]:
        """Finds which of some options the text mentions first; later mentions are often a list of all options."""
        mentions = []
        for order, option in enumerate(options[:500]):
            phrase = str(option)[:100].lower().replace("_", " ")
            match = re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", self._lowercase)
            if match and phrase.strip():
                mentions.append((match.start(), order))
        return (options[min(mentions)[1]], CERTAIN) if mentions else (options[0], GUESS)

    def _mentions(self, name: str) -> bool:
        """Whether the text contains a field's name: cheaper than to compile a pattern."""
        return name.replace("_", " ").lower() in self._lowercase or name.lower() in self._lowercase

    def _assignment(self, name: str) -> str | None:
        """A value that the text assigns to a field: `name: Ada`, `the name is Ada`, `name="Ada"`."""
        if not self._mentions(name):
            return None
        names = f"{re.escape(name.replace('_', ' '))}|{re.escape(name)}"
        pattern = rf"(?<!\w)[\"'`]?(?:{names})[\"'`]?\s*(?:[:=]|\bis\b|\bnamed\b|\bcalled\b)\s*([^\n]{{1,200}})"
        for match in re.finditer(pattern, self._excerpt, re.IGNORECASE):
            value = match[1].strip()
            if quotation := _QUOTATION.match(value):
                return str(next(filter(None, quotation.groups())))
            if proper_name := _NAME.match(value):
                return proper_name[0].rstrip(".")
            phrase = re.split(r"[,;.!?)}\]]|\s(?:and|with|who|from|in)\s", value)[0].strip(" \"'`")
            if phrase and phrase.count(" ") < 5 and phrase not in ("str", "string", "int", "a", "the"):
                return phrase
        return None

    def _location(self, name: str) -> str:
        """A proper name after a preposition that suits the field's name, else the first proper name."""
        default = r"in|at|for|near|from|to|of|around|over|about|visit(?:ing)?"
        pattern = rf"\b(?:{WORDS['prepositions'].get(name.rsplit('_', 1)[-1], default)})\s+({_NAME.pattern}(?:, [A-Z][A-Za-z]+)?)"
        names = [re.sub(r"['’]s$", "", match[1]).rstrip(".,'’") for match in re.finditer(pattern, self._excerpt)]
        return self._unused([name for name in names if name.split(" ")[0] not in _NOT_NAMES]) or self._unused(self.names)

    def _unused(self, values: list[str]) -> str:
        return next((value for value in values if value not in self.used), "")

    def _use(self, value: str) -> str:
        self.used.add(value)
        return value


def kind_of(name: str) -> str:
    """The kind of value that a field's name suggests; empty when it suggests none."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower().replace("-", "_")
    return next((kind for pattern, kind in _KINDS if pattern.search(snake_case)), "")


def one_line(text: str) -> str:
    """A text as one line of limited length."""
    return " ".join(text[:4_000].split())[:1_000]


def _to_number(digits: str) -> float | int:
    value = float(digits.replace("−", "-").replace(",", "").rstrip(".")[:300])
    return int(value) if value == int(value) else value

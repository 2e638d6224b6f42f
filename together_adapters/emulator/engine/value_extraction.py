"""Extracts the value of a named field from a text: numbers beside its name, quoted strings, proper names, locations, dates."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.text.features import WORDS, one_line


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
    r"(?:, [A-Z]{2}\b)?"
)
NUMBER: Final = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?![\d\w]*[A-Za-z_])|(?<![\w.])[-−]?\d+(?:\.\d+)?(?=[%°a-zA-Z])")
_DIGITS: Final = r"([-−]?\d[\d,]*(?:\.\d+)?)"
_NOT_NAMES: Final = re.compile(rf"^(?:(?:{'|'.join(WORDS['not_names'].split())})(?:['’]s)?[.'’-]*(?: |$))+")
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
    """Extracts values from one text; of a long one, from its two ends. A value is used once, as long as there are others."""

    text: str
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_CHARS:
            self.text = self.text[: _MAX_CHARS // 2] + "\n" + self.text[-_MAX_CHARS // 2 :]
        self._lowercase = self.text.lower()

    @cached_property
    def quotations(self) -> list[str]:
        """Strings in quotation marks."""
        return [next(filter(None, match.groups())) for match in _QUOTATION.finditer(self.text)]

    @cached_property
    def names(self) -> list[str]:
        """Proper names, by their capital letters."""
        names = (_NOT_NAMES.sub("", match[0]) for match in _NAME.finditer(self.text))
        return list(filter(None, dict.fromkeys(re.sub(r"['’]s$", "", name).rstrip(".'’-") for name in names)))

    @cached_property
    def numbers(self) -> list[tuple[str, float | int]]:
        """Numbers in the order of the text: a key for `used`, and the value."""
        return [(f"{match.start()}:{match[0]}", _to_number(match[0])) for match in NUMBER.finditer(self.text)]

    def string(self, name: str) -> tuple[str, Confidence]:
        """Finds a string for a field."""
        name = name[:60]
        if assignment := self._assignment(name):
            self.used.add(assignment)
            return assignment, CERTAIN
        kind = kind_of(name)
        if kind in _PATTERNS:
            value = self._use([match[0].strip() for match in _PATTERNS[kind].finditer(self.text)])
            return (value, CERTAIN) if value else ("", GUESS)
        if kind == "location" and (value := self._use([*self._locations(name), *self.names])):
            return value, CERTAIN
        if value := self._use([*self.quotations, *(self.names if kind == "name" else ())]):
            return value, CERTAIN if kind == "request" else LIKELY
        return (one_line(self.text), LIKELY) if kind == "request" else ("", GUESS)

    def proper_name(self) -> str:
        """A name that no field has yet, and that is more than the first word of a sentence: one after `to` or `into`, else the first."""
        names = [name for name in self.names[:20] if name not in self.used]
        names = [name for name in names if name.isupper() or not self._follows(r"(?:^|[.!?]\s+)", name)]
        return next((name for name in names if self._follows(r"\b(?:in)?to ", name)), names[0] if names else "")

    def _follows(self, before: str, name: str) -> bool:
        return re.search(rf"{before}{re.escape(name)}(?!\w)", self.text) is not None

    def number(self, name: str, integer: bool) -> tuple[float | int, Confidence]:
        """Finds a number for a field: one beside its name, else the first unused one."""
        name = name[:60]
        suffix = r"\w*" if len(name) > 2 else ""  # `age` is in "aged 44", but `b` is not in "by 7"
        phrase = rf"\b{re.escape(name.replace('_', ' '))}{suffix}\b"
        pattern = rf"{phrase}[\"'`]?(?: (?:is|of|to|at|was|are|set to|equals?))*[ :=]*{_DIGITS}|{_DIGITS}[- ]{phrase}"
        if self._mentions(name) and (match := re.search(pattern, self.text, re.IGNORECASE)):
            group = match.lastindex or 0
            self.used.add(f"{match.start(group)}:{match[group]}")
            value = _to_number(match[group])
            return int(value) if integer else value, CERTAIN
        suitable = ((key, value) for key, value in self.numbers if key not in self.used and (not integer or value == int(value)))
        key, value = next(suitable, ("", 0))
        self.used.add(key)
        return int(value) if integer else value, LIKELY if key else GUESS

    def boolean(self, name: str) -> tuple[bool, Confidence]:
        """Finds a truth value for a field: false where the text negates its name."""
        phrase = re.escape(name[:60].replace("_", " ").removeprefix("is ").removeprefix("has "))
        negation = r"(?P<no>\b(?:no|not|never|without|isn't|don't|doesn't)\b.{0,20})?"
        match = re.search(rf"{negation}\b{phrase}(?:[ :=]+(?P<off>false|no|off|disabled))?\b", self.text, re.IGNORECASE)
        return (not (match["no"] or match["off"]), CERTAIN) if match else (True, GUESS)

    def member(self, options: list[Any]) -> tuple[Any, Confidence]:
        """Finds which of some options the text mentions first; later mentions are often a list of all options."""
        phrases = [re.escape(str(option)[:100].lower().replace("_", " ")) for option in options[:500]]
        matches = [re.search(rf"(?<!\w){phrase}(?!\w)", self._lowercase) for phrase in phrases]
        mentions = [(match.start(), i) for i, match in enumerate(matches) if match and match[0].strip()]
        return (options[min(mentions)[1]], CERTAIN) if mentions else (options[0], GUESS)

    def _mentions(self, name: str) -> bool:
        """Whether the text contains a field's name: cheaper than to compile a pattern."""
        return name.replace("_", " ").lower() in self._lowercase or name.lower() in self._lowercase

    def _assignment(self, name: str) -> str:
        """A value that the text assigns to a field: `name: Ada`, `the name is Ada`, `name="Ada"`."""
        if not self._mentions(name):
            return ""
        names = f"{re.escape(name.replace('_', ' '))}|{re.escape(name)}"
        pattern = rf"(?<!\w)[\"'`]?(?:{names})[\"'`]?\s*(?:[:=]|\bis\b|\bnamed\b|\bcalled\b)\s*([^\n]{{1,200}})"
        kind = kind_of(name)
        if kind != "request" and kind not in _PATTERNS:  # `the item M6`
            for match in re.finditer(rf"(?<!\w)(?:{names.lower()}) ({_NAME.pattern})", self.text):
                if value := _NOT_NAMES.sub("", match[1]).rstrip("."):
                    return value
        for match in re.finditer(pattern, self.text, re.IGNORECASE):
            value = match[1].strip()
            if literal := _QUOTATION.match(value) or _NAME.match(value):
                return next(filter(None, literal.groups()), literal[0].rstrip("."))
            phrase = re.split(r"[,;.!?)}\]]|\s(?:and|with|who|from|in)\s", value)[0].strip(" \"'`")
            if phrase and phrase.count(" ") < 5 and phrase not in ("str", "string", "int", "a", "the"):
                return phrase
        return ""

    def _locations(self, name: str) -> list[str]:
        """The proper names after a preposition that suits the field's name."""
        default = r"in|at|for|near|from|to|of|around|over|about|visit(?:ing)?"
        prepositions = next(filter(None, map(WORDS["prepositions"].get, name.split("_"))), default)
        return [location for location in self.names if re.search(rf"\b(?:{prepositions})\s+{re.escape(location)}", self.text)]

    def _use(self, values: list[str]) -> str:
        """The first value that is not used yet, or nothing."""
        value = next((value for value in values if value not in self.used), "")
        self.used |= {value} if value else set()
        return value


def kind_of(name: str) -> str:
    """The kind of value that a field's name suggests; empty when it suggests none."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower().replace("-", "_")
    return next((kind for pattern, kind in _KINDS if pattern.search(snake_case)), "")


def _to_number(digits: str) -> float | int:
    value = float(digits.replace("−", "-").replace(",", "").rstrip(".")[:300])
    return int(value) if value == int(value) else value

"""Values that a text offers for a named field: numbers beside its name, quoted strings, proper names, places, dates.

Each finder returns a value and how sure it is: `SURE` when the text says that this field has this value, `LIKELY` when the
kind fits, `GUESS` when something had to be said.
"""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

GUESS: Final = 0
LIKELY: Final = 1
SURE: Final = 2
_READ: Final = 20_000
"""Characters of a text that are searched; what a field is to hold stands near one of the ends."""

_QUOTED: Final = re.compile(
    r"\"([^\"\n]{1,500})\"|(?<!\w)'([^'\n]{1,500})'(?!\w)|“([^”\n]{1,500})”|‘([^’\n]{1,500})’|「([^」\n]{1,500})」|『([^』\n]{1,500})』|«([^»\n]{1,500})»|`([^`\n]{1,500})`"
)
_NAME: Final = re.compile(
    r"(?:[A-Z][\w'’.-]*[\w]|[A-Z])(?: (?:(?:de|van|von|der|da|of|the|la|al|bin) ){0,2}(?:[A-Z][\w'’-]*\w|[A-Z]\.?))*"
)
_NUMBER: Final = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?![\d\w]*[A-Za-z_])|(?<![\w.])[-−]?\d+(?:\.\d+)?(?=[%°a-zA-Z])")
_SPELLED: Final = {name: value for value, name in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split())}  # fmt: skip
_NO_NAMES: Final = frozenset(
    """I I'm A An The What What's Which Who Where When Why How Is Are Was Were Do Does Did Can Could Would Should Will Please Give Tell Show
    Find Get Use ParsedToolCall Extract Return Create Make Add Write Set Book Send Translate Convert Compute Calculate Multiply Search Look List Name
    Also And Or Then If It This That There Here My Your Our He She They We You In On At For From To With Of Schedule Remind Generate Describe
    Summarize Answer Question Query JSON Let Now Thanks Hello Hi Hey Plan Check Play Run Open Generation Order Buy Sell Compare Explain Need Want
    Choose Pick Select Respond Reply Output Provide Transfer Hand Ask Draft Email Weather Mr Mrs Ms Dr Magic Human User Assistant""".split()
)
_DAYS: Final = r"today|tomorrow|tonight|yesterday|(?:next |this |last )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|week|month|year)"
_MONTHS: Final = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_SHAPES: Final[dict[str, re.Pattern[str]]] = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}"),
    "url": re.compile(r"https?://[^\s<>\"')\]]{1,2000}"),
    "datetime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:?\d\d)?"),
    "date": re.compile(rf"\d{{4}}-\d\d-\d\d|\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{2,4}}|\b{_MONTHS} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?\b|\b\d{{1,2}} {_MONTHS}(?: \d{{4}})?\b|\b(?:{_DAYS})\b", re.I),
    "time": re.compile(r"\b\d{1,2}:\d\d(?::\d\d)?(?: ?[ap]m)?\b|\b\d{1,2} ?[ap]m\b|\bnoon\b|\bmidnight\b", re.I),
    "phone": re.compile(r"\+?\d[\d ()-]{6,18}\d"),
    "uuid": re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I),
    "expression": re.compile(r"(?<!\w)[-(]*\d[\d\s+\-*/().^%]*[\d)](?!\w)"),
    "path": re.compile(r"(?:[\w.~-]*/)+[\w.-]+|\b[\w-]+\.(?:txt|py|md|json|csv|pdf|yaml|toml)\b"),
}  # fmt: skip
_KINDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(rf"(?:^|_)(?:{names})(?:$|_)"), kind)
    for names, kind in (
        ("e?mail|email_address", "email"), ("url|uri|link|website|href", "url"), ("datetime|timestamp", "datetime"),
        ("date|day|when|deadline|due|birthday|departure|arrival|start|end|on", "date"), ("time|hour", "time"), ("phone|telephone|mobile", "phone"),
        ("uuid|guid", "uuid"), ("expression|equation|formula|calculation|math", "expression"), ("path|file|filename|file_name|filepath", "path"),
        ("city|location|place|town|country|destination|origin|region|state|address|area|venue|where|source|target|from|to|capital", "place"),
        ("name|names|author|person|people|customer|user|username|owner|recipient|sender|who|contact|title|company|organization|artist|song|movie|book"
         "|product|team|customer_name|employee|patient|student|character|hero", "name"),
        ("query|question|q|text|input|content|prompt|message|task|topic|subject|request|sentence|search_query|search|keywords?|note|body|instruction|statement", "request"),
    )
)  # fmt: skip
_BESIDE: Final[dict[str, str]] = {
    "age": r"(?:aged? )?{n}(?:[- ]years?[- ]olds?| years?\b|\b)", "price": r"[$€£] ?{n}", "cost": r"[$€£] ?{n}", "amount": r"[$€£] ?{n}",
    "year": r"\b{y}\b", "temperature": r"{n} ?(?:°|degrees|celsius|fahrenheit)", "percent": r"{n} ?%", "percentage": r"{n} ?%",
    "height": r"{n} ?(?:cm|m|feet|ft|in|meters)\b", "weight": r"{n} ?(?:kg|lbs?|pounds|g)\b", "distance": r"{n} ?(?:km|miles?|m)\b",
    "duration": r"{n}[ -]?(?:s|sec|seconds?|min|minutes?|h|hours?|days?)\b", "days": r"{n}[ -]?days?\b", "rating": r"{n} ?(?:/ ?\d+|stars?|out of)",
}  # fmt: skip


@dataclass
class Evidence:
    """A text to draw values from. What was drawn once is not drawn again while there is anything else."""

    text: str
    used: set[str] = field(default_factory=set)

    @cached_property
    def _text(self) -> str:
        return self.text if len(self.text) <= _READ else self.text[: _READ // 2] + "\n" + self.text[-_READ // 2 :]

    @cached_property
    def _lowered(self) -> str:
        return self._text.lower()

    @cached_property
    def quoted(self) -> list[str]:
        """Strings that stand in quotation marks."""
        return [next(filter(None, match.groups())) for match in _QUOTED.finditer(self._text)]

    @cached_property
    def names(self) -> list[str]:
        """Proper names, by their capital letters."""
        found = []
        for match in _NAME.finditer(self._text):
            parts = match[0].split(" ")
            while parts and parts[0] in _NO_NAMES:
                parts.pop(0)
            name = re.sub(r"['’]s$", "", " ".join(parts)).rstrip(".'’-")
            if name and name not in _NO_NAMES and not (len(name) == 1 and name in "AI"):
                found.append(name)
        return list(dict.fromkeys(found))

    @cached_property
    def numbers(self) -> list[tuple[str, float]]:
        """Numbers in the order of the text, as written and as values."""
        found = [(match.start(), match[0]) for match in _NUMBER.finditer(self._text)]
        spelled = re.finditer(rf"\b(?:{'|'.join(_SPELLED)})\b", self._text, re.IGNORECASE)
        found += [(match.start(), match[0].lower()) for match in spelled]
        return [(f"{at}:{written}", _value(written)) for at, written in sorted(found)]

    def string(self, name: str, description: str = "") -> tuple[str, int]:
        """Find a string for a field."""
        name = name[:60]
        if (said := self._said(name)) is not None:
            return self._take(said), SURE
        kind = kind_of(name)
        if kind == "request":
            return (self._take(self.quoted[0]), SURE) if self._fresh(self.quoted) else (plain(self.text), LIKELY)
        if kind in _SHAPES:
            if shaped := self._fresh([match[0].strip() for match in _SHAPES[kind].finditer(self._text)]):
                return self._take(shaped), SURE
            return "", GUESS
        if kind == "place" and (place := self._place(name)):
            return self._take(place), SURE
        if quoted := self._fresh(self.quoted):
            return self._take(quoted), LIKELY
        if kind in ("name", "place") and (named := self._fresh(self.names)):
            return self._take(named), LIKELY
        return "", GUESS

    def number(self, name: str, whole: bool) -> tuple[float | int, int]:
        """Find a number for a field."""
        name = name[:60]
        spoken = re.escape(name.replace("_", " "))
        digits = r"([-−]?\d[\d,]*(?:\.\d+)?)"
        near = []
        if self._mentions(name):
            near += [
                rf"\b{spoken}\b[\"'`]?(?: (?:is|of|to|at|was|are|set to|equals?))*[ :=]*{digits}",
                rf"{digits}[- ]{spoken}\b",
            ]
        last = name.rsplit("_", 1)[-1]
        beside = _BESIDE.get(name, _BESIDE.get(last))
        if beside:
            near.insert(0, beside.replace("{n}", digits).replace("{y}", r"((?:1[5-9]|20)\d\d)"))
        for pattern in near:
            if match := re.search(pattern, self._text, re.IGNORECASE):
                self.used.add(f"{match.start(1)}:{match[1]}")
                return _fit(_value(match[1]), whole), SURE
        for key, value in self.numbers:
            if key not in self.used and (not whole or value == int(value)):
                self.used.add(key)
                return _fit(value, whole), LIKELY
        return 0, GUESS

    def boolean(self, name: str) -> tuple[bool, int]:
        """Find a truth value for a field: false where the text denies it."""
        name = name[:60]
        spoken = name.replace("_", " ").removeprefix("is ").removeprefix("has ")
        head = re.escape(spoken.split(" ")[-1][:-2] if len(spoken) > 5 else spoken)
        if match := re.search(rf"\b(?:{re.escape(spoken)}|{head}\w*)", self._text, re.IGNORECASE):
            around = self.text[max(0, match.start() - 25) : match.end() + 12].lower()
            return not re.search(r"\b(?:no|not|never|without|isn't|don't|doesn't|false|non|off|disabled?)\b", around), SURE
        return True, GUESS

    def member(self, options: list[Any]) -> tuple[Any, int]:
        """Find which of some allowed values the text mentions first."""
        lowered = f" {self._lowered} "
        found = []
        for order, option in enumerate(options[:500]):
            said = str(option)[:100].lower().replace("_", " ")
            match = re.search(rf"(?<!\w){re.escape(said)}(?!\w)", lowered) or (
                re.search(rf"(?<!\w){re.escape(said[:-1])}", lowered) if len(said) > 5 else None
            )
            if match and said.strip():
                found.append((match.start(), order, option))
        # Lists of the options themselves come last in a prompt; the first mention is the one that means something.
        return (min(found, key=lambda item: item[:2])[2], SURE) if found else (options[0], GUESS)

    def _mentions(self, name: str) -> bool:
        """Whether the text holds a field's name at all: cheaper to see than a pattern is to compile."""
        return name.replace("_", " ").lower() in self._lowered or name.lower() in self._lowered

    def _said(self, name: str) -> str | None:
        """A value that the text gives in so many words: `name: Ada`, `the name is Ada`, `name="Ada"`."""
        if not self._mentions(name):
            return None
        spoken = re.escape(name.replace("_", " "))
        pattern = (
            rf"(?<!\w)[\"'`]?(?:{spoken}|{re.escape(name)})[\"'`]?\s*(?:[:=]|\bis\b|\bnamed\b|\bcalled\b)\s*([^\n]{{1,200}})"
        )
        for match in re.finditer(pattern, self._text, re.IGNORECASE):
            value = match[1].strip()
            if quoted := _QUOTED.match(value):
                return str(next(filter(None, quoted.groups())))
            if proper := _NAME.match(value):
                return proper[0].rstrip(".")
            short = re.split(r"[,;.!?)}\]]|\s(?:and|with|who|from|in)\s", value)[0].strip(" \"'`")
            if short and short.count(" ") < 5 and short not in ("...", "str", "string", "int", "a", "the"):
                return short
        return None

    def _place(self, name: str) -> str:
        words = {
            "origin": "from|leaving",
            "source": "from",
            "from": "from",
            "destination": "to|towards|for",
            "target": "to",
            "to": "to",
        }
        before = words.get(name, words.get(name.rsplit("_", 1)[-1], r"in|at|for|near|from|to|of|around|over|about|visit(?:ing)?"))
        names = [
            match[1]
            for match in re.finditer(
                rf"\b(?:{before})\s+(?:the (?:city|town) of\s+)?({_NAME.pattern}(?:, [A-Z][A-Za-z]+)?)", self._text
            )
        ]
        found = [re.sub(r"['’]s$", "", name).rstrip(".,'’") for name in names]
        return self._fresh([name for name in found if name.split(" ")[0] not in _NO_NAMES]) or self._fresh(self.names)

    def _fresh(self, values: list[str]) -> str:
        return next((value for value in values if value not in self.used), "")

    def _take(self, value: str) -> str:
        self.used.add(value)
        return value


def kind_of(name: str) -> str:
    """What kind of value a field's name asks for; empty when it does not tell."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower().replace("-", "_")
    return next((kind for pattern, kind in _KINDS if pattern.search(snake)), "")


def plain(text: str) -> str:
    """A text as one line, not too long."""
    return " ".join(text[:4_000].split())[:1_000]


def _value(written: str) -> float:
    if written in _SPELLED:
        return float(_SPELLED[written])
    return float(written.replace("−", "-").replace(",", "").rstrip(".")[:300])


def _fit(value: float, whole: bool) -> float | int:
    return int(value) if whole or value == int(value) else value

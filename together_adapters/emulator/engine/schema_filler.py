"""JSON that fits a schema, with values from the prompt where the prompt offers them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.engine import framework_prompts as habits
from together_adapters.emulator.engine import regex_generator as patterns
from together_adapters.emulator.engine.extractive_qa import topic
from together_adapters.emulator.engine.prompt_parser import question_in
from together_adapters.emulator.engine.text_features import coverage, stems
from together_adapters.emulator.engine.value_extraction import GUESS, LIKELY, SURE, Evidence, kind_of, plain

_DEEPEST: Final = 24
_MOST_VALUES: Final = 400
_FORMATS: Final = {
    "date": "2024-01-15", "date-time": "2024-01-15T10:30:00Z", "time": "10:30:00", "email": "user@example.com",
    "uri": "https://example.com", "url": "https://example.com", "uuid": "3f0f6a52-8b7e-4c2c-9b1e-2f6d5a4c3b21",
    "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "hostname": "example.com", "duration": "PT1H",
}  # fmt: skip
_JOKE: Final = {
    "setup": "Why did the {} cross the network?", "punchline": "To get to the other site.",
    "rating": 7, "joke": "Why did the {} cross the network? To get to the other site.",
}  # fmt: skip
_TOLD: Final = re.compile(
    r"(?:^|_)(?:answer|response|reply|result|output|summary|explanation|description|reason|reasoning|rationale|analysis|thought|justification|evidence|quote|conclusion|comment|final_answer|steps?)(?:$|_)"
)
_NUMERIC_NAME: Final = re.compile(
    r"(?:^|_)(?:age|count|number|year|price|score|rating|quantity|amount|temperature|total|population|size|id)(?:$|_)"
)
_BOOLEAN_NAME: Final = re.compile(r"^(?:is|has|can|should|was|are)_|(?:^|_)(?:valid|enabled|active|flag)(?:$|_)")
_NONE: Final = object()


@dataclass
class Filler:
    """One schema being filled. `answer` is what a prose answer would say, for the fields that ask for one."""

    root: Any
    evidence: Evidence
    answer: str
    whole: str
    made: int = 0
    open_refs: dict[str, int] = field(default_factory=dict)

    def fill(self, schema: Any, name: str = "", depth: int = 0) -> tuple[Any, int]:
        """Return a value for a schema, and how sure it is."""
        self.made += 1
        if not isinstance(schema, dict) or depth > _DEEPEST or self.made > _MOST_VALUES:
            return (plain(self.answer)[:200] if schema is True else _least(schema)), GUESS
        if "const" in schema:
            return schema["const"], LIKELY
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._enum(schema["enum"])
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, name, depth)
        for union in ("anyOf", "oneOf"):
            if isinstance(schema.get(union), list) and schema[union]:
                return self._union(schema, schema[union], name, depth)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self.fill(_merged(schema, self.root), name, depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._union(schema, [{**schema, "type": one} for one in kind], name, depth)
        return self._typed(kind if isinstance(kind, str) else _implied(schema), schema, name, depth)

    def _typed(self, kind: str, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, int]:
        match kind:
            case "object":
                return self._object(schema, name, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return self._number(schema, name, kind == "integer")
            case "boolean":
                return self.evidence.boolean(name)
            case "null":
                return None, GUESS
            case _:
                return self._string(schema, name)

    def _enum(self, options: list[Any]) -> tuple[Any, int]:
        self.made += min(len(options), 500) // 10
        if {str(option).lower() for option in options} == {"yes", "no"} and (verdict := _verdict(self.whole)):
            return next(option for option in options if str(option).lower() == verdict), SURE
        return self.evidence.member(options)

    def _reference(self, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, int]:
        reference = schema["$ref"]
        if self.open_refs.get(reference, 0) >= 2:
            return _NONE, GUESS
        self.open_refs[reference] = self.open_refs.get(reference, 0) + 1
        target = resolve(self.root, reference)
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        found = self.fill({**target, **siblings} if isinstance(target, dict) else target, name, depth + 1)
        self.open_refs[reference] -= 1
        return found

    def _union(self, schema: dict[str, Any], options: list[Any], name: str, depth: int) -> tuple[Any, int]:
        """The option that the text supports best; `null` only where it supports none."""
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "type")}
        nullable = any(isinstance(option, dict) and option.get("type") == "null" for option in options)
        best: tuple[Any, int] = (_NONE, -1)
        for option in options[:50]:
            if isinstance(option, dict) and option.get("type") == "null":
                continue
            used = set(self.evidence.used)
            found = self.fill({**rest, **option} if isinstance(option, dict) else option, name, depth + 1)
            if found[0] is not _NONE and found[1] > best[1]:
                best = found
            else:
                self.evidence.used = used
            if best[1] == SURE:
                break
        if best[0] is _NONE or (nullable and best[1] == GUESS):
            return (None if nullable else _least({"type": "string"})), GUESS
        return best

    def _object(self, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, int]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return {}, GUESS
        required = schema.get("required")
        needed = set(map(str, required)) if isinstance(required, list) else set()
        value, sure = {}, GUESS
        for key, inner in list(properties.items())[:_MOST_VALUES]:
            used = set(self.evidence.used)
            found, how_sure = self.fill(inner, str(key), depth + 1)
            certain = how_sure == SURE or (
                how_sure == LIKELY and isinstance(inner, dict) and inner.get("type") != "string" and "default" not in inner
            )
            if key not in needed and (
                found is _NONE or not (certain or (how_sure == LIKELY and kind_of(str(key)) in ("name", "place")))
            ):
                self.evidence.used = used
                continue
            value[key] = _least(inner) if found is _NONE else found
            sure = max(sure, how_sure)
        for key in sorted(needed - set(properties))[:_MOST_VALUES]:
            value[key] = plain(self.answer)[:200]
        return value, sure

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, int]:
        items = schema.get("items", {"type": "string"})
        least, most = _bound(schema.get("minItems"), 0), _bound(schema.get("maxItems"), 20)
        if isinstance(schema.get("prefixItems"), list):
            return [_shown(self.fill(item, name, depth + 1)[0], item) for item in schema["prefixItems"][:100]], LIKELY
        target = resolve(self.root, items["$ref"]) if isinstance(items, dict) and isinstance(items.get("$ref"), str) else items
        found: list[Any] = []
        if isinstance(target, dict) and _implied(target) == "object":
            found = self._records(items, name, depth)
        elif isinstance(target, dict) and _implied(target) == "string" and "enum" not in target and "format" not in target:
            found = _listed(self.evidence, name)
        elif isinstance(target, dict) and target.get("type") in ("integer", "number"):
            whole = target["type"] == "integer"
            found = [
                int(number) if whole else number for _, number in self.evidence.numbers if not whole or number == int(number)
            ]
        elif isinstance(target, dict) and isinstance(target.get("enum"), list):
            found = [option for option in target["enum"] if self.evidence.member([option])[1] == SURE]
        sure = SURE if found else GUESS
        while len(found) < max(least, 0 if found else 1) and len(found) < 200:
            item = self.fill(items, name.rstrip("s"), depth + 1)[0]
            if item is _NONE:
                break
            found.append(item if item not in found or not schema.get("uniqueItems") else _another(item, len(found)))
        return found[: max(most, least)], sure

    def _records(self, items: Any, name: str, depth: int) -> list[Any]:
        """Objects for a list of them: one for each part of the text that speaks of one."""
        for separator in (r"\n+", r";\s*", r"(?<=[.!?])\s+", r",? and |, (?=[A-Z])"):
            records = []
            for part in re.split(separator, self.evidence.text[:20_000])[:60]:
                inner = Filler(self.root, Evidence(part), plain(part), part, self.made, dict(self.open_refs))
                value, sure = inner.fill(items, name, depth + 1)
                self.made = inner.made
                if sure >= LIKELY and value is not _NONE and _specific(value, part):
                    records.append(value)
            if len(records) > 1:
                return records
        return []

    def _number(self, schema: dict[str, Any], name: str, whole: bool) -> tuple[Any, int]:
        if re.search(r"(?:^|_)(?:index|choice|selection)(?:$|_)", name) and (choice := habits.best_choice(self.whole)):
            return choice, SURE
        value, sure = self.evidence.number(name, whole)
        low, high = _number(schema.get("minimum")), _number(schema.get("maximum"))
        above, below = _number(schema.get("exclusiveMinimum")), _number(schema.get("exclusiveMaximum"))
        step = 1 if whole else 0.5
        if sure == GUESS:
            value = 1 if whole else 1.0
        if low is not None and value < low:
            value = math.ceil(low) if whole else low
        if above is not None and value <= above:
            value = math.floor(above) + 1 if whole else above + step
        if high is not None and value > high:
            value = math.floor(high) if whole else high
        if below is not None and value >= below:
            value = math.ceil(below) - 1 if whole else below - step
        multiple = _number(schema.get("multipleOf"))
        if multiple and value % multiple:
            value = math.ceil(value / multiple) * multiple
        return (int(value) if whole else value), sure

    def _string(self, schema: dict[str, Any], name: str) -> tuple[Any, int]:
        about = str(schema.get("description") or "") + " " + str(schema.get("title") or "")
        value, sure = self._worded(schema, name, about)
        shortest, longest = _bound(schema.get("minLength"), 1), _bound(schema.get("maxLength"), 100_000)
        if len(value) < shortest:
            value = (value + " " + (self.answer or "text ") * (shortest // max(len(self.answer), 1) + 1))[:shortest].ljust(
                shortest, "."
            )
        return value[: max(longest, 0)], sure

    def _worded(self, schema: dict[str, Any], name: str, about: str) -> tuple[str, int]:
        if isinstance(schema.get("pattern"), str):
            try:
                return patterns.example(schema["pattern"], self.evidence.text), LIKELY
            except ValueError:
                pass
        if re.search(r"['\"]yes['\"] or ['\"]no['\"]", about, re.IGNORECASE) and (verdict := _verdict(self.whole)):
            return verdict, SURE
        if name in _JOKE:
            return str(_JOKE[name]).format(_about(self.evidence.text)), LIKELY
        form = schema.get("format")
        value, sure = self.evidence.string(
            {"date-time": "datetime", "uri": "url"}.get(form, form) if isinstance(form, str) else name, about
        )
        if isinstance(form, str) and form in _FORMATS:
            return (value, SURE) if sure == SURE and form in ("email", "uri", "uuid") else (_FORMATS[form], GUESS)
        if _TOLD.search(name) and sure < SURE:
            return plain(self.answer), LIKELY
        if sure > GUESS:
            return value, sure
        examples = schema.get("examples")
        if isinstance(examples, list) and examples and isinstance(examples[0], str) and examples[0]:
            return examples[0], GUESS
        if isinstance(schema.get("default"), str) and schema["default"]:
            return schema["default"], GUESS
        return _about(self.evidence.text) or name or "text", GUESS


def fill(schema: Any, text: str, answer: str = "", whole: str = "") -> Any:
    """Return a value that fits a schema.

    Args:
        schema: A JSON schema; references are resolved inside it.
        text: Where values come from: usually the last user message.
        answer: What a prose answer would say.
        whole: The whole prompt, for choices and verdicts that rest on its context.
    """
    found, _ = Filler(schema, Evidence(text), answer or text, whole or text).fill(schema)
    return _least(schema) if found is _NONE else found


def object_for(text: str, answer: str) -> dict[str, Any]:
    """Return an object with the keys that a prompt names, for a request that wants JSON and gives no schema."""
    names = list(dict.fromkeys(_keys(text)))[:50] or ["answer"]
    properties = {name: {"type": _type_by_name(name)} for name in names}
    value = fill({"type": "object", "properties": properties, "required": names}, text, answer)
    return value if isinstance(value, dict) else {}


def names_keys(text: str) -> bool:
    """Whether a text names the keys of the JSON that it wants."""
    return bool(_keys(text))


def in_text(text: str) -> tuple[Any, str] | None:
    """Find the JSON schema that a prompt spells out: the last object in it that looks like one, with its source."""
    if '{{"' in text:  # braces doubled for a template, and left so
        text = text.replace("{{", "{").replace("}}", "}")
    best = None
    decoder = json.JSONDecoder()
    at, tries = text.find("{"), 0
    while at >= 0 and tries < 200:
        tries += 1
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(found, dict) and (isinstance(found.get("properties"), dict) or "$ref" in found):
                best = (found, text[at:end])
        at = text.find("{", end)
    return best


def resolve(root: Any, reference: str) -> Any:
    """Follow a local `$ref`; what leads nowhere allows anything."""
    target: Any = root
    steps = [step.replace("~1", "/").replace("~0", "~") for step in reference.lstrip("#").split("/")[:50]]
    for step in filter(None, steps):
        if not isinstance(target, dict) or step not in target:
            return {}
        target = target[step]
    return target if isinstance(target, dict) else {}


def _keys(text: str) -> list[str]:
    shown = re.findall(r"[\"'](\w{1,60})[\"']\s*:", text[:20_000])
    if shown:
        return shown
    quoted = re.findall(r"(?<!\w)['\"`“]([A-Za-z_]\w{0,60})['\"`”](?!\w)", text[:20_000])
    if quoted:
        return quoted
    listed = re.search(
        r"\b(?:keys?|fields?|properties|attributes)\b[ :]*(?:named |called |are )?([\w, ]{2,200}?)(?:[.\n;]|$)",
        text[:20_000],
        re.IGNORECASE,
    )
    words = re.split(r",\s*(?:and\s+)?|\s+and\s+", listed[1]) if listed else []
    return [word.strip() for word in words if re.fullmatch(r"[A-Za-z_]\w*", word.strip())]


def _type_by_name(name: str) -> str:
    if _BOOLEAN_NAME.search(name):
        return "boolean"
    return (
        "integer"
        if _NUMERIC_NAME.search(name)
        else "array"
        if name.endswith("s") and name[:-1].isalpha() and len(name) > 5 and not name.endswith(("ss", "us", "is"))
        else "string"
    )


def _listed(evidence: Evidence, name: str) -> list[str]:
    """Strings for a list: what follows its name, what is quoted, or the proper names of the text."""
    spoken = re.escape(name.replace("_", " "))
    match = re.search(
        rf"\b{spoken}\b[^:\n.]{{0,30}}(?::| are| include| like| such as)\s*([^\n.;]{{2,500}})",
        evidence.text[:20_000],
        re.IGNORECASE,
    )
    found = [match[1]] if match else []
    if not found and (lone := re.search(r":\s*([^\n.;:]+(?:, | and )[^\n.;:]+)", evidence.text[:20_000])):
        found = [lone[1]]
    if found:
        parts = [part.strip(" \"'`.") for part in re.split(r",\s*(?:and\s+|or\s+)?|\s+and\s+", found[0])]
        return [part for part in parts if part][:50]
    return [quoted for quoted in evidence.quoted if quoted not in evidence.used] or list(evidence.names)


def _specific(value: Any, part: str) -> bool:
    """Whether a record holds something of its part of the text, beyond the part itself."""
    if not isinstance(value, dict):
        return False
    strings = [item for item in value.values() if isinstance(item, str) and item]
    return bool(strings) and any(item in part and item != plain(part) for item in strings)


def _another(item: Any, number: int) -> Any:
    return f"{item} {number + 1}" if isinstance(item, str) else item + number if isinstance(item, int | float) else item


def _verdict(whole: str) -> str:
    """Whether the context of a prompt speaks of its question: `yes` or `no`."""
    question = question_in(whole[-20_000:])
    rest = whole.replace(question, " ")
    return "yes" if coverage(stems(question), stems(rest[:200_000])) >= 0.4 else "no"


def _about(text: str) -> str:
    match = re.search(r"\babout (?:an? |the )?([\w' -]{1,40}?)(?:[.,!?\n]| in | for | with | that |$)", text[:4_000])
    if match:
        return match[1].strip()
    return topic(text, 4)


def _merged(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"][:50]:
        referred = resolve(root, part["$ref"]) if isinstance(part, dict) and isinstance(part.get("$ref"), str) else {}
        own = part if isinstance(part, dict) else {}
        for key, value in (referred | {key: value for key, value in own.items() if key != "$ref"}).items():
            if key == "properties" and isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = {**merged[key], **value}
            elif key == "required" and isinstance(value, list) and isinstance(merged.get(key), list):
                merged[key] = [*merged[key], *value]
            else:
                merged.setdefault(key, value)
    return merged


def _implied(schema: dict[str, Any]) -> str:
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    return "object" if "properties" in schema else "array" if "items" in schema or "prefixItems" in schema else "string"


def _least(schema: Any) -> Any:
    """The smallest value of a schema's type, where nothing better may be built."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    kind = kind[0] if isinstance(kind, list) and kind else kind
    known = {"object": {}, "array": [], "integer": 0, "number": 0, "boolean": False, "string": "text"}
    return known.get(kind) if isinstance(kind, str) else ({} if isinstance(schema, dict) and "properties" in schema else None)


def _shown(value: Any, schema: Any) -> Any:
    return _least(schema) if value is _NONE else value


def _bound(value: Any, usual: int) -> int:
    return min(value, 10_000) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else usual


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None

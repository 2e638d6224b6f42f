"""JSON that is valid under a schema: of the candidates of its branches, those from the prompt first, the first valid one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from together_adapters.emulator.engine.extractive_qa import topic
from together_adapters.emulator.engine.json_schema import TYPES, JsonSchema, Part, References
from together_adapters.emulator.engine.prompt_parser import find_question
from together_adapters.emulator.engine.regex_generator import generate_matches
from together_adapters.emulator.engine.regular_expressions import Regex, compile_regex
from together_adapters.emulator.engine.text_features import WORDS, coverage, stems
from together_adapters.emulator.engine.value_extraction import (
    CERTAIN,
    GUESS,
    LIKELY,
    Confidence,
    ValueExtractor,
    field_pattern,
    one_line,
)
from together_adapters.emulator.errors import Unsatisfiable

_MAX_VALUES, _MAX_RECORD_VALUES = 5_000, 2_000  # the second of the records that a text may have; others are not looked for
_MAX_BRANCHES, _MAX_LENGTH, _MAX_ITEMS = 100, 100_000, 1_000
_ANSWER_FIELD, _NUMBER_FIELD = (field_pattern(WORDS["fields"][kind]) for kind in ("answer", "number"))
_IMPLIED_TYPES: Final = {  # by keywords, where a schema names none
    keyword: kind
    for kind, keywords in {
        "object": "properties required additionalProperties patternProperties minProperties maxProperties propertyNames dependentRequired",
        "array": "items prefixItems contains minItems maxItems uniqueItems",
        "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
    }.items()
    for keyword in keywords.split()
}
Candidates = Iterator[tuple[Any, Confidence]]
Fields = dict[str, tuple[Any, Confidence]]


def fill(schema: Any, text: str, answer: str = "", full_prompt: str = "") -> Any:
    """Returns a value that is valid under a schema, from `text`; raises `Unsatisfiable` if none is found.

    Fields such as `summary` get `answer`, which is prose; verdicts depend on `full_prompt`, with its context.
    """
    json_schema = JsonSchema(schema)
    filler = SchemaFiller(json_schema, ValueExtractor(text), answer or text, full_prompt or text)
    try:
        return filler.fill(json_schema.root)[0]
    except RecursionError:
        raise Unsatisfiable("$ref") from None


def fill_named_keys(prompt: str, full_prompt: str, answer: str) -> dict[str, Any]:
    """Returns an object with the keys that a prompt names, for a request that wants JSON and gives no schema."""
    keys = (_named_keys(prompt) or _named_keys(full_prompt) or ["answer"])[:50]
    properties = {key: {"type": "integer" if _NUMBER_FIELD.search(key) else "string"} for key in keys}
    text = re.sub(rf"['\"`“]({'|'.join(keys)})['\"`”]", r"\1", prompt)  # a key in quotation marks is not a value
    return dict(fill({"type": "object", "properties": properties, "required": keys}, text, answer))


def find_schema(text: str) -> tuple[dict[str, Any], str] | None:
    """Finds the last JSON schema in a text; returns it with its source."""
    if '{{"' in text:  # a template whose braces were not unescaped
        text = text.replace("{{", "{").replace("}}", "}")
    result, decoder, start = None, json.JSONDecoder(), text.find("{")
    for _ in range(200 if start >= 0 else 0):
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            value, end = None, start + 1
        if isinstance(value, dict) and (isinstance(value.get("properties"), dict) or "$ref" in value):
            result = (value, text[start:end])
        if (start := text.find("{", end)) < 0:
            break
    return result


@dataclass
class SchemaFiller:
    """Fills one schema. Each method returns a value, or yields candidates, with how certain they are."""

    json_schema: JsonSchema
    extractor: ValueExtractor
    answer: str
    full_prompt: str
    budget: Iterator[int] = field(default_factory=lambda: iter(range(_MAX_VALUES)))
    record_budget: Iterator[int] = field(default_factory=lambda: iter(range(_MAX_RECORD_VALUES)))

    def fill(
        self, schema: Any, name: str = "", references: References = (), others: tuple[Any, ...] = ()
    ) -> tuple[Any, Confidence]:
        """The value of the branch that the text supports best; `null` only where it supports none."""
        keywords = schema if isinstance(schema, dict) else {}
        failure = Unsatisfiable(
            next((key for key in ("$ref", "oneOf", "anyOf", "allOf", "not") if key in keywords), "false"), name
        )
        if next(self.budget, None) is None:
            raise failure
        if options := self._options(schema, references):
            return self._first_valid(schema, self._choices(options), name, others)
        best: tuple[float, Any, Confidence, set[str]] | None = None
        used = self.extractor.used
        for parts, inner_references in islice(self.json_schema.branches(schema, references), _MAX_BRANCHES):
            self.extractor.used = set(used)
            try:
                candidates = self._candidates(parts, name, inner_references, others)
                value, confidence = self._first_valid(schema, candidates, name, others)
            except Unsatisfiable as error:
                failure = error
                continue
            rank = 0.5 if value is None else float(confidence)
            if best is None or rank > best[0]:
                best = rank, value, confidence, self.extractor.used
            if confidence == CERTAIN:
                break
        self.extractor.used = best[3] if best else used
        if best is None:
            raise failure
        return best[1], best[2]

    def _first_valid(self, schema: Any, candidates: Candidates, name: str, others: tuple[Any, ...]) -> tuple[Any, Confidence]:
        keyword = "type"
        for value, confidence in candidates:
            if any(_is_same(value, other) for other in others):
                keyword = "uniqueItems"
            elif not (keyword := self.json_schema.failed_keyword(value, schema)):
                return value, confidence
        raise Unsatisfiable(keyword, name)

    def _candidates(self, parts: list[Part], name: str, references: References, others: tuple[Any, ...]) -> Candidates:
        """Yields values for a branch. Defaults and examples come before those that the text does not offer."""
        if options := _part_options(parts):
            yield from self._choices(options)
            return
        defaults = [(value, GUESS) for part in parts for value in (*_list(part, "default"), *_list(part, "examples"))]
        makers: dict[str, Callable[[], Candidates]] = {
            "object": lambda: self._objects(parts, references, others),
            "array": lambda: self._arrays(parts, name, references, others),
            "integer": lambda: self._numbers(parts, name, True, len(others)),
            "number": lambda: self._numbers(parts, name, False, len(others)),
            "boolean": lambda: self._booleans(name),
            "null": lambda: iter([(None, GUESS)]),
            "string": lambda: self._texts(parts, name, len(others)),
        }
        failure = None
        for kind in _types(parts):
            try:
                for value, confidence in makers.get(kind, makers["string"])():
                    if confidence == GUESS:
                        yield from defaults
                        defaults = []
                    yield value, confidence
            except Unsatisfiable as error:
                failure = failure or error
        if failure:
            raise failure

    def _booleans(self, name: str) -> Candidates:
        value, confidence = self.extractor.boolean(name)
        yield from ((value, confidence), (not value, GUESS))

    def _options(self, schema: Any, references: References) -> list[Option]:
        """The values of a schema that consists of constants; empty for others."""
        options = []
        for parts, _ in islice(self.json_schema.branches(schema, references), _MAX_BRANCHES * 5):
            if not (part_options := _part_options(parts)):
                return []
            options += part_options
        return options

    def _choices(self, options: list[Option]) -> Candidates:
        """Yields constants: first the one that the text mentions, or else has the most words of."""
        values = [option.value for option in options]
        for _ in range(len(options) // 10):
            next(self.budget, None)
        if {str(value).lower() for value in values} == {"yes", "no"}:
            verdict = self._verdict()
            value, confidence = next(value for value in values if str(value).lower() == verdict), CERTAIN
        else:
            value, confidence = self.extractor.member(values)
            if confidence == GUESS and len(values) > 1:
                terms = set(stems(self.extractor.text[:20_000]))
                value = max(
                    options, key=lambda option: len(terms & set(stems(f"{option.value} {option.description}"[:2_000])))
                ).value
            elif confidence == GUESS and options[0].is_constant:
                confidence = LIKELY
        yield value, confidence
        yield from ((value, GUESS) for value in values)

    def _objects(self, parts: list[Part], references: References, others: tuple[Any, ...]) -> Candidates:
        """Yields objects: with the optional fields that the text has values for, with none, with all, with one."""
        required = list(dict.fromkeys(key for part in parts for key in part.get("required", ())))
        fields: Fields = {}
        likely = []
        for key in dict.fromkeys([*(key for part in parts for key in part.get("properties", ())), *required]):
            inner, used = _property_schema(parts, key), set(self.extractor.used)
            try:
                fields[key] = self.fill(inner, key, references)
            except Unsatisfiable:
                if key in required:
                    raise
                continue
            # An optional field is filled where its value is certain, or is likely and not just any string.
            is_specific = isinstance(inner, dict) and inner.get("type") != "string" and "default" not in inner
            if key in required or fields[key][1] >= (LIKELY if is_specific else CERTAIN):
                likely.append(key)
            else:
                self.extractor.used = used
        optional = [key for key in fields if key not in required]
        for keys in (likely, required, list(fields), *([*required, key] for key in optional[:20])):
            complete = self._complete_keys(parts, keys, required, fields, references)
            value = {key: fields[key][0] for key in fields if key in complete}
            yield value, max((fields[key][1] for key in value), default=GUESS)
        for key in [*required, *optional][:20] if others else ():
            values = tuple(other[key] for other in others if isinstance(other, dict) and key in other)
            try:
                variant = self.fill(_property_schema(parts, key), key, references, values)[0]
            except Unsatisfiable:
                continue
            yield {**{name: fields[name][0] for name in required}, key: variant}, GUESS

    def _complete_keys(
        self, parts: list[Part], keys: list[str], required: list[str], fields: Fields, references: References
    ) -> set[str]:
        """Adds the keys that others depend on, and as many as the object needs; leaves out those that are too many."""
        result = dict.fromkeys(keys)
        maximum = min((part["maxProperties"] for part in parts if "maxProperties" in part), default=len(result) + _MAX_ITEMS)
        for key in [key for key in reversed(result) if key not in required][: max(0, len(result) - int(maximum))]:
            del result[key]
        keywords = ("dependentRequired", "dependencies")
        lists = [item for part in parts for keyword in keywords for item in part.get(keyword, {}).items()]
        dependencies = [(key, names) for key, names in lists if isinstance(names, list)]
        for _ in dependencies:
            result |= dict.fromkeys(name for key, names in dependencies if key in result for name in names)
        minimum = int(max((part.get("minProperties", 0) for part in parts), default=0))
        if minimum > _MAX_ITEMS:
            raise Unsatisfiable("minProperties")
        new_names = self._new_names(parts, references, minimum) if minimum > len(result) else iter(())
        for key in (key for names in (list(result), list(fields), new_names) for key in names):
            if key in result and key in fields:
                continue
            if key not in result and len(result) >= minimum:
                break
            if key not in fields:
                try:
                    fields[key] = self.fill(_property_schema(parts, key), key, references)
                except Unsatisfiable:
                    continue
            result[key] = None
        return set(result)

    def _new_names(self, parts: list[Part], references: References, minimum: int) -> Iterator[str]:
        """Yields names for further properties."""
        if rules := [part["propertyNames"] for part in parts if "propertyNames" in part]:
            names: tuple[str, ...] = ()
            while len(names) < minimum + 20:
                names += (self.fill({"type": "string", "allOf": rules}, "", references, names)[0],)
                yield names[-1]
            return
        for pattern in (pattern for part in parts for pattern in part.get("patternProperties", ())):
            yield from generate_matches(_regex(pattern))
        yield from (f"field{number}" for number in range(1, minimum + 20))

    def _arrays(self, parts: list[Part], name: str, references: References, others: tuple[Any, ...]) -> Candidates:
        """Yields lists: of what the text offers, the shortest one, the longest one, and the empty one."""
        minimum = int(max((part.get("minItems", 0) for part in parts), default=0))
        maximum = int(min((part["maxItems"] for part in parts if "maxItems" in part), default=max(20, minimum)))
        if minimum > _MAX_ITEMS:
            raise Unsatisfiable("minItems", name)
        prefix = max((len(_prefix(part)) for part in parts), default=0)
        is_unique = any(part.get("uniqueItems") for part in parts)
        with_contains = [part for part in parts if "contains" in part]

        text_items = [] if prefix else self._items_of_text(_item_schema(parts, 0), name, references)
        confidence = CERTAIN if text_items else LIKELY if prefix else GUESS

        def build(text_items: list[Any], size: int, rule: Any) -> list[Any]:
            values: list[Any] = []

            def add(rule: Any) -> None:
                schema = _all_of([_item_schema(parts, len(values)), rule])
                values.append(self.fill(schema, name, references, tuple(values) if is_unique else ())[0])

            for part in with_contains:
                present = sum(not self.json_schema.failed_keyword(value, part["contains"]) for value in text_items[:maximum])
                for _ in range(int(part.get("minContains", 1)) - present):
                    add(part["contains"])
            for value in text_items:
                is_new = not (is_unique and any(_is_same(value, other) for other in values))
                fits = len(values) < maximum and not self.json_schema.failed_keyword(value, _item_schema(parts, len(values)))
                if is_new and fits:
                    values.append(value)
            while len(values) < min(size, maximum):
                try:
                    add(rule)
                except Unsatisfiable:
                    if len(values) < minimum:
                        raise
                    break
            return values

        sizes = range(minimum, min(maximum, minimum + len(others) + 2) + 1)
        not_contains = {"not": {"anyOf": [part["contains"] for part in with_contains]}} if with_contains else True
        plans: list[tuple[list[Any], int, Any]] = [(text_items, max(minimum, prefix or 1), True), ([], minimum, not_contains)]
        failure = None
        for values, size, rule in (*plans, *(([], size, True) for size in sizes)):
            try:
                yield build(values, size, rule), confidence if values is text_items else GUESS
            except Unsatisfiable as error:
                failure = failure or error
        if failure:
            raise failure

    def _items_of_text(self, schema: Any, name: str, references: References) -> list[Any]:
        """The items of a list that the text offers."""
        if options := self._options(schema, references):
            return [option.value for option in options if self.extractor.member([option.value])[1] == CERTAIN]
        parts, _ = next(self.json_schema.branches(schema, references), ([], references))
        match next(_types(parts), ""):
            case "object":
                return self._records(schema, name, references)
            case "string" if not any(part.keys() & {"format", "pattern"} for part in parts):
                return list(self._strings(name))
            case "integer" | "number" as kind:
                return [number for _, number in self.extractor.numbers if kind == "number" or isinstance(number, int)]
            case _:
                return []

    def _records(self, schema: Any, name: str, references: References) -> list[Any]:
        """Objects: one for each part of the text that has values for one."""
        for separator in (r"\n+", r";\s*", r"(?<=[.!?])\s+", r",? and |, (?=[A-Z])"):
            records = []
            for part in re.split(separator, self.extractor.text[:20_000])[:60]:
                extractor = ValueExtractor(part)
                filler = replace(self, extractor=extractor, answer=one_line(part), full_prompt=part, budget=self.record_budget)
                try:
                    record, confidence = filler.fill(schema, name, references)
                except Unsatisfiable:
                    continue
                if confidence >= LIKELY and isinstance(record, dict):
                    records.append(record)
            if len(records) > 1:
                return records
        return []

    def _strings(self, name: str) -> list[str]:
        """Strings: the list after the field's name, else what is quoted, else proper names."""
        phrase = re.escape(name.replace("_", " "))
        pattern = rf"\b{phrase}\b[^:\n.]{{0,30}}(?::| are| include| like| such as)\s*([^\n.;]{{2,500}})"
        if match := re.search(pattern, self.extractor.text[:20_000], re.IGNORECASE):
            parts = [part.strip(" \"'`.") for part in re.split(r",\s*(?:and\s+|or\s+)?|\s+and\s+", match[1])]
            return [part for part in parts if part][:50]
        unused = [quotation for quotation in self.extractor.quotations if quotation not in self.extractor.used]
        return unused or list(self.extractor.names)

    def _numbers(self, parts: list[Part], name: str, is_integer: bool, variants: int) -> Candidates:
        """Yields numbers: the one of the text within the bounds, then those beside it and at the bounds."""
        number, confidence = self.extractor.number(name, is_integer)
        if confidence == GUESS:
            number = 1 if is_integer else 1.0
        low, high, step = _number_range(parts, is_integer)
        unit = step or Fraction(1, 2)
        target = Fraction(number)
        nearest = min(max(target, low), high)
        yield number, confidence
        starts = [nearest, low, high, Fraction(0), (low + high) / 2]
        for start in starts:
            first = math.ceil(start / unit) * unit if step else start
            for distance in range(variants + 3):
                for value in (first + distance * unit, first - distance * unit):
                    yield _to_number(value, is_integer), confidence if start == nearest and distance < 2 else GUESS

    def _texts(self, parts: list[Part], name: str, variants: int) -> Candidates:
        """Yields strings: what the text has, then examples of the format or pattern, then any of the right length."""
        minimum = int(max((part.get("minLength", 0) for part in parts), default=0))
        maximum = int(min((part["maxLength"] for part in parts if "maxLength" in part), default=_MAX_LENGTH))
        if minimum > _MAX_LENGTH:
            raise Unsatisfiable("minLength", name)
        value, confidence = self._text(parts, name)
        patterns = [str(part["pattern"]) for part in parts if "pattern" in part]
        if value and (confidence > GUESS or not patterns):
            yield value[:maximum] if len(value) >= max(minimum, 1) else self._pad(value, minimum)[:maximum], confidence
        for pattern in patterns:
            for match in generate_matches(_regex(pattern), self.extractor.text):
                yield match, LIKELY
                if len(match) < minimum:
                    yield match + match[-1:] * (minimum - len(match)), LIKELY
                    yield match[:1] * (minimum - len(match)) + match, LIKELY
        for part in parts:
            for example in WORDS["examples"].get(part.get("format"), "").split():
                padding = "a" * (minimum - len(example))
                yield from ((text, GUESS) for text in (padding + example, example + padding))
        base = value or "text"
        for text in (
            base,
            *(f"{base} {number}" for number in range(2, variants + 4)),
            *"abcdefghijklmnopqrstuvwxyz0123456789",
            "",
            " ",
        ):
            yield (text if len(text) >= minimum else text.ljust(minimum, "a"))[: maximum if len(text) < 20 else None], GUESS
        yield from (("".join(chr(97 + int(digit)) for digit in str(number))[:maximum], GUESS) for number in range(variants + 1))

    def _pad(self, value: str, length: int) -> str:
        filling = self.answer or "text "
        return f"{value} {filling * (length // len(filling) + 1)}"[:length].ljust(length, ".")

    def _text(self, parts: list[Part], name: str) -> tuple[str, Confidence]:
        texts = " ".join(f"{part.get('description')} {part.get('title')}" for part in parts)
        if re.search(r"['\"]yes['\"] or ['\"]no['\"]", texts, re.IGNORECASE):
            return self._verdict(), CERTAIN
        format = next((part["format"] for part in parts if "format" in part), "")
        value, confidence = self.extractor.string(format or name)
        if examples := WORDS["examples"].get(format):
            is_valid = confidence == CERTAIN and (format in ("email", "uri", "uuid") or _is_date(format, value))
            return (value, CERTAIN) if is_valid else (examples.split()[0], GUESS)
        if _ANSWER_FIELD.search(name) and confidence < CERTAIN:
            return one_line(self.answer), LIKELY
        return (value, confidence) if confidence > GUESS else (topic(self.extractor.text, 4), GUESS)

    def _verdict(self) -> str:
        """Whether the context of the prompt contains the words of its question: `yes` or `no`."""
        question = find_question(self.full_prompt[-20_000:])
        context = self.full_prompt.replace(question, " ")[:200_000]
        return "yes" if coverage(stems(question), stems(context)) >= 0.4 else "no"


@dataclass(frozen=True, slots=True)
class Option:
    """A constant of a schema with its description."""

    value: Any
    description: str
    is_constant: bool


def _named_keys(text: str) -> list[str]:
    """The keys that a text names: those of a JSON example, else quoted words."""
    text = text[:20_000]
    keys = re.findall(r"[\"'](\w{1,60})[\"']\s*:", text) or re.findall(r"(?<!\w)['\"`“]([A-Za-z_]\w{0,60})['\"`”](?!\w)", text)
    return list(dict.fromkeys(keys))


def _part_options(parts: list[Part]) -> list[Option]:
    """The constants of the first part that has some."""
    for part in parts:
        if "const" in part:
            return [Option(part["const"], " ".join(str(each.get("description") or "") for each in parts), True)]
        if "enum" in part:
            return [Option(value, "", False) for value in part["enum"]]
    return []


def _types(parts: list[Part]) -> Iterator[str]:
    """Yields the types that all parts allow; without any, the one that their keywords suggest comes first."""
    allowed = [part["type"] for part in parts if "type" in part]
    if not allowed:
        yield (kind := next((_IMPLIED_TYPES[key] for part in parts for key in part if key in _IMPLIED_TYPES), "string"))
        yield from (other for other in TYPES if other != kind)
    elif len(types := set(allowed)) == 1:
        yield allowed[0]
    elif types == {"integer", "number"}:
        yield "integer"


def _property_schema(parts: list[Part], key: str) -> Any:
    """What all parts demand of a property."""
    schemas = []
    for part in parts:
        own = [part["properties"][key]] if key in part.get("properties", {}) else []
        own += [schema for pattern, schema in part.get("patternProperties", {}).items() if _regex(pattern).is_found(key)]
        schemas += own or [part.get("additionalProperties", True)]
    return _all_of(schemas)


def _item_schema(parts: list[Part], index: int) -> Any:
    """What all parts demand of an item."""
    schemas = []
    for part in parts:
        prefix = _prefix(part)
        others = part.get("additionalItems" if isinstance(part.get("items"), list) else "items", True)
        schemas.append(prefix[index] if index < len(prefix) else others)
    return _all_of(schemas)


def _prefix(part: Part) -> list[Any]:
    """The schemas of the first items: `prefixItems`, or `items` in old drafts."""
    items = part.get("items")
    return items if isinstance(items, list) else list(part.get("prefixItems", ()))


def _all_of(schemas: list[Any]) -> Any:
    schemas = [schema for schema in schemas if schema is not True]
    return schemas[0] if len(schemas) == 1 else {"allOf": schemas} if schemas else True


def _number_range(parts: list[Part], is_integer: bool) -> tuple[Fraction, Fraction, Fraction | None]:
    """The bounds of numbers, and the step between them."""
    step = Fraction(1) if is_integer else None
    for part in parts:
        if "multipleOf" in part:
            multiple = Fraction(str(part["multipleOf"]))
            step = multiple if step is None else _common_multiple(step, multiple)
    low, high = (
        max(_bounds(parts, "minimum", "exclusiveMinimum"), default=None),
        min(_bounds(parts, "maximum", "exclusiveMaximum"), default=None),
    )
    below, above = min(high or Fraction(0), Fraction(0)) - 1_000_000, max(low or Fraction(0), Fraction(0)) + 1_000_000
    return below if low is None else low, above if high is None else high, step


def _bounds(parts: list[Part], *keys: str) -> list[Fraction]:
    return [Fraction(part[key]) for part in parts for key in keys if not isinstance(part.get(key, True), bool)]


def _common_multiple(a: Fraction, b: Fraction) -> Fraction:
    return Fraction(math.lcm(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def _to_number(value: Fraction, is_integer: bool) -> float | int:
    return int(value) if is_integer or value.denominator == 1 else float(value)


def _is_same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _is_date(format: str, value: str) -> bool:
    try:
        return format == "date" and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _list(part: Part, key: str) -> list[Any]:
    value = part.get(key, [])
    return value if key == "examples" and isinstance(value, list) else [value] if key in part else []


def _regex(pattern: str) -> Regex:
    try:
        return compile_regex(pattern)
    except ValueError:
        raise Unsatisfiable("pattern", pattern[:100]) from None

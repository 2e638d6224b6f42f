"""JSON that is valid under a schema: of the candidates of its branches, those from the prompt first, the first valid one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice, product
from string import ascii_lowercase, digits
from typing import TYPE_CHECKING, Any, Final

from together_adapters.emulator.engine.extractive_qa import Sentence, is_vague, topic
from together_adapters.emulator.engine.prompt_parser import find_question
from together_adapters.emulator.engine.regex_generator import generate_matches
from together_adapters.emulator.engine.regular_expressions import compile_regex
from together_adapters.emulator.engine.value_extraction import (
    CERTAIN,
    GUESS,
    LIKELY,
    NUMBER,
    Confidence,
    ValueExtractor,
    field_pattern,
)
from together_adapters.emulator.errors import Unsatisfiable
from together_adapters.emulator.text.features import WORDS, one_line, separate_words, stem, stems, words
from together_adapters.emulator.text.questions import content
from together_adapters.emulator.text.similarity import coverage

if TYPE_CHECKING:
    from together_adapters.emulator.engine.json_schema import JsonSchema, Part, References

_MAX_VALUES, _MAX_RECORD_VALUES = 5_000, 2_000  # the second of the records that a text may have; others are not looked for
_MAX_BRANCHES, _MAX_LENGTH, _MAX_ITEMS = 100, 100_000, 1_000
_ANSWER_FIELD, _NUMBER_FIELD = (field_pattern(WORDS["fields"][kind]) for kind in ("answer", "number"))
_CITATION_FIELD, _QUOTE_FIELD, _SOURCE_FIELD = (field_pattern(WORDS["fields"][kind]) for kind in ("citation", "quote", "source"))
_HINTS: Final = {  # the types, with keywords that suggest one where a schema names none
    "object": r"ropert|required", "array": r"[iI]tems|ontains", "number": r"imum|multipleOf", "string": "", "integer": "$^", "boolean": "$^", "null": "$^",
}  # fmt: skip
_COMBINING: Final = ("$ref", "oneOf", "anyOf", "allOf", "not")
_REQUESTS: Final = frozenset(f"{WORDS['not_names']} {WORDS['measured']}".lower().split())
_KEY: Final = re.compile(r"(?<![\w:])(?<!: )['\"`“]([A-Za-z_]\w{0,60})['\"`”](?!\w)")
Candidates = Iterator[tuple[Any, Confidence]]
Option = tuple[Any, str]  # a constant of a schema, and its description
Others = tuple[Any, ...]  # values from which the new one must differ


def fill(
    schema: Any,
    text: str,
    answer: str = "",
    full_prompt: str = "",
    name: str = "",
    quotations: Sequence[Sentence] | None = None,
) -> Any:
    """Returns a value that is valid under a schema, from `text`; raises `Unsatisfiable` if none is found.

    Fields such as `summary` get `answer`, which is prose; verdicts depend on `full_prompt`, with its context. The words of `name`, which is
    that of a tool, and of the title of the schema are no values. `quotations` are what citations name, where the prompt has passages with
    labels.
    """
    from together_adapters.emulator.engine.json_schema import JsonSchema

    json_schema = JsonSchema(schema)
    title = schema.get("title") if isinstance(schema, dict) else None
    filler = SchemaFiller(
        json_schema, ValueExtractor(text), answer or text, full_prompt or text, f"{name} {title or ''}", quotations
    )
    try:
        return filler.fill(json_schema.root)[0]
    except RecursionError:
        raise Unsatisfiable("$ref") from None


def schema_of_keys(prompt: str, system: str) -> tuple[dict[str, Any], str]:
    """A schema of the keys that a prompt quotes, or those of a JSON example; and the prompt without these quotation marks."""
    keys = list(dict.fromkeys(_KEY.findall(prompt[-20_000:]) or _KEY.findall(system[-20_000:]) or ["answer"]))[:50]
    properties = {key: {"type": "integer" if _NUMBER_FIELD.search(key) else "string"} for key in keys}
    return {"type": "object", "properties": properties, "required": keys}, _KEY.sub(r"\1", prompt)


def find_schema(text: str) -> tuple[dict[str, Any] | None, str]:
    """Finds the last JSON schema in a text; returns it, and the rest of the text."""
    if '{{"' in text:  # a template whose braces were not unescaped
        text = text.replace("{{", "{").replace("}}", "}")
    schema, source, end = None, "", 0
    for opening in islice(re.finditer("{", text), 200):
        with suppress(ValueError, RecursionError):
            if opening.start() >= end:
                value, end = json.JSONDecoder().raw_decode(text, opening.start())
                if isinstance(value.get("properties"), dict) or "$ref" in value:
                    schema, source = value, text[opening.start() : end]
    return schema, text.replace(source, "") if source else text


@dataclass
class SchemaFiller:
    """Fills one schema. Each method returns a value, or yields candidates, with how certain they are."""

    json_schema: JsonSchema
    extractor: ValueExtractor
    answer: str
    full_prompt: str
    name: str = ""
    quotations: Sequence[Sentence] | None = None
    budget: Iterator[int] = field(default_factory=lambda: iter(range(_MAX_VALUES)))
    record_budget: Iterator[int] = field(default_factory=lambda: iter(range(_MAX_RECORD_VALUES)))

    @cached_property
    def _has_numbers(self) -> bool:
        return bool(re.search("'(?:integer|number)'", str(self.json_schema.root)))

    def fill(self, schema: Any, name: str = "", references: References = (), others: Others = ()) -> tuple[Any, Confidence]:
        """The value of the branch that the text supports best; `null` only where it supports none."""
        keywords = _COMBINING if isinstance(schema, dict) else ()
        failure = Unsatisfiable(next((key for key in keywords if key in schema), "false"), name)
        if next(self.budget, None) is None:
            raise failure
        if options := self._options(schema, references):
            return self._first_valid(schema, self._choices(options), name, others)
        results: list[tuple[float, Any, Confidence, set[str]]] = []
        used = self.extractor.used
        for parts, inner_references in islice(self.json_schema.branches(schema, references), _MAX_BRANCHES):
            self.extractor.used = set(used)
            try:
                candidates = self._candidates(parts, name, inner_references, others)
                value, confidence = self._first_valid(schema, candidates, name, others)
            except ValueError as error:  # of a pattern, unless it is `Unsatisfiable`
                failure = error if isinstance(error, Unsatisfiable) else Unsatisfiable("pattern", name)
                continue
            results.append((0.5 if value is None else float(confidence), value, confidence, self.extractor.used))
            if confidence == CERTAIN:
                break
        if not results:
            self.extractor.used = used
            raise failure
        _, value, confidence, self.extractor.used = max(results, key=lambda result: result[0])
        return value, confidence

    def _first_valid(self, schema: Any, candidates: Candidates, name: str, others: Others) -> tuple[Any, Confidence]:
        keyword = "type"
        for value, confidence in candidates:
            if any(_is_same(value, other) for other in others):
                keyword = "uniqueItems"
            elif not (keyword := self.json_schema.failed_keyword(value, schema)):
                return value, confidence
        raise Unsatisfiable(keyword, name)

    def _candidates(self, parts: list[Part], name: str, references: References, others: Others) -> Candidates:
        """Yields values for a branch. Defaults and examples come before those that the text does not offer."""
        if options := _part_options(parts):
            yield from self._choices(options)
            return
        defaults = [(part["default"], GUESS) for part in parts if "default" in part]
        defaults += [(value, GUESS) for part in parts if isinstance(part.get("examples"), list) for value in part["examples"]]
        makers: dict[str, Callable[..., Candidates]] = {
            "object": self._objects,
            "array": self._arrays,
            "boolean": lambda *_: iter([self.extractor.boolean(name), (True, GUESS), (False, GUESS)]),
            "null": lambda *_: iter([(None, GUESS)]),
            "string": self._texts,
        }
        failure = None
        for kind in _types(parts):
            try:
                for value, confidence in makers.get(kind, self._numbers)(parts, name, references, others):
                    if confidence == GUESS:
                        yield from defaults
                        defaults = []
                    yield value, confidence
            except Unsatisfiable as error:
                failure = failure or error
        if failure:
            raise failure

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
        values = [value for value, _ in options]
        next(islice(self.budget, len(options) // 10, None), None)  # many constants take as long as many values
        value, confidence = self.extractor.member(values)
        if {str(value).lower() for value in values} == {"yes", "no"}:
            verdict = self._verdict()
            value, confidence = next(value for value in values if str(value).lower() == verdict), CERTAIN
        elif confidence == GUESS:
            terms = set(stems(self.extractor.text[:20_000]))
            value, _ = max(options, key=lambda option: len(terms & set(stems(f"{option[0]} {option[1]}"[:2_000]))))
            confidence = LIKELY if len(options) == 1 else GUESS
        yield value, confidence
        yield from ((value, GUESS) for value in values)

    def _objects(self, parts: list[Part], _name: str, references: References, others: Others) -> Candidates:
        """Yields objects: with the optional fields that the text has values for, with none, with all, with one."""
        required = list(dict.fromkeys(key for part in parts for key in part.get("required", ())))
        fields: dict[str, tuple[Any, Confidence]] = {}
        likely = []
        for key in dict.fromkeys([*(key for part in parts for key in part.get("properties", ())), *required]):
            inner, used = _property_schema(parts, key), set(self.extractor.used)
            try:
                fields[key] = self.fill(inner, key, references)
            except Unsatisfiable:
                if key in required:
                    raise
                continue
            if key in required or fields[key][1] >= self._least_confidence(inner, key, fields[key][0]):
                likely.append(key)
            else:
                self.extractor.used = used
        optional = [key for key in fields if key not in required]
        minimum = _limit(max, parts, "minProperties", 0)
        if minimum > _MAX_ITEMS:
            raise Unsatisfiable("minProperties")
        for names in (likely, required, list(fields), *([*required, key] for key in optional[:20])):
            keys = set(names)
            for key in chain(list(fields), self._new_names(parts, references, minimum)):
                if len(keys) >= minimum:
                    break
                with suppress(Unsatisfiable):
                    fields[key] = fields.get(key) or self.fill(_property_schema(parts, key), key, references)
                    keys.add(key)
            value = {key: fields[key][0] for key in fields if key in keys}
            yield value, max((fields[key][1] for key in value), default=GUESS)
        for key in [*required, *optional][:20] if others else ():
            values = tuple(other[key] for other in others if isinstance(other, dict) and key in other)
            with suppress(Unsatisfiable):
                variant = self.fill(_property_schema(parts, key), key, references, values)[0]
                yield {**{name: fields[name][0] for name in required}, key: variant}, GUESS

    def _least_confidence(self, schema: Any, name: str, value: Any) -> Confidence:
        """How certain the value of an optional field must be: one that is a string, or has a default, more than a number is."""
        if not isinstance(schema, dict) or schema.get("type") == "string":
            return CERTAIN
        if "default" not in schema:
            return LIKELY
        types = [part.get("type") for part in schema.get("anyOf", [schema]) if isinstance(part, dict)]
        is_number = types != ["null"] and all(kind in ("integer", "number", "null") for kind in types)
        is_year = "year" not in name.lower() and re.search(
            rf"\b(?:in|since|until|before|after|by) {value}\b", self.extractor.text
        )
        return LIKELY if is_number and not is_year else CERTAIN

    def _new_names(self, parts: list[Part], references: References, minimum: int) -> Iterator[str]:
        """Yields names for further properties."""
        if rules := [part["propertyNames"] for part in parts if "propertyNames" in part]:
            names: tuple[str, ...] = ()
            while len(names) < minimum + 20:
                names += (self.fill({"type": "string", "allOf": rules}, "", references, names)[0],)
                yield names[-1]
            return
        for pattern in (pattern for part in parts for pattern in part.get("patternProperties", ())):
            yield from generate_matches(compile_regex(pattern))
        yield from (f"field{number}" for number in range(1, minimum + 20))

    def _arrays(self, parts: list[Part], name: str, references: References, others: Others) -> Candidates:
        """Yields lists: of what the text offers, the shortest one, the longest one, and the empty one."""
        minimum = _limit(max, parts, "minItems", 0)
        maximum = _limit(min, parts, "maxItems", max(20, minimum))
        if minimum > _MAX_ITEMS:
            raise Unsatisfiable("minItems", name)
        prefix = max((len(_prefix(part)) for part in parts), default=0)
        if not prefix and (citations := self._citations(_item_schema(parts, 0), name, references)) is not None:
            yield citations, CERTAIN
        is_unique = any(part.get("uniqueItems") for part in parts)
        with_contains = [part for part in parts if "contains" in part]
        contains = [part["contains"] for part in with_contains for _ in range(min(int(part.get("minContains", 1)), _MAX_ITEMS))]
        text_items = [] if prefix else self._items_of_text(_item_schema(parts, 0), name, references)
        confidence = CERTAIN if text_items else LIKELY if prefix else GUESS

        def build(text_items: list[Any], size: int, rule: Any) -> list[Any]:
            values: list[Any] = []
            rules = list(contains)
            for value in text_items:
                is_new = not (is_unique and any(_is_same(value, other) for other in values))
                fits = not self.json_schema.failed_keyword(value, _item_schema(parts, len(values)))
                if is_new and fits and len(values) < maximum - len(rules):
                    values.append(value)
            while rules or len(values) < min(size, maximum):
                schema = _all_of([_item_schema(parts, len(values)), rules.pop() if rules else rule])
                try:
                    values.append(self.fill(schema, name, references, tuple(values) if is_unique else ())[0])
                except Unsatisfiable:
                    if len(values) < minimum:
                        raise
                    break
            return values

        not_contains = {"not": {"anyOf": [part["contains"] for part in with_contains] or [False]}}
        plans: list[tuple[list[Any], int, Any]] = [(text_items, max(minimum, prefix or 1), True), ([], minimum, not_contains)]
        plans += [([], size, True) for size in range(minimum, min(maximum, minimum + len(others) + 2) + 1)]
        failure = None
        for values, size, rule in plans:
            try:
                yield build(values, size, rule), confidence if values is text_items else GUESS
            except Unsatisfiable as error:
                failure = failure or error
        if failure:
            raise failure

    def _citations(self, schema: Any, name: str, references: References) -> list[Any] | None:
        """The citations of the answer, for a list of labels, or of objects with a label and a quotation; None for other lists."""
        if self.quotations is None:
            return None
        parts, inner_references = next(self.json_schema.branches(schema, references), ([], references))
        kind = next(iter(_types(parts)), "")
        if kind == "object":
            keys = list(dict.fromkeys(key for part in parts for key in part.get("properties", ())))
            quote = next(filter(_QUOTE_FIELD.search, keys), "")
            source = next((key for key in keys if key != quote and _SOURCE_FIELD.search(key)), "")
            if not quote or not source:
                return None
            schemas = {key: _property_schema(parts, key) for key in keys}
            others = {key: self.fill(schemas[key], key, inner_references)[0] for key in keys if key not in (quote, source)}
            is_text = not (isinstance(schemas[source], dict) and schemas[source].get("type") in ("integer", "number"))
            return [{**others, source: _label(each, is_text), quote: each.text} for each in self.quotations]
        if kind not in ("integer", "number", "string") or not _CITATION_FIELD.search(name):
            return None
        return list(dict.fromkeys(_label(each, kind == "string") for each in self.quotations))

    def _items_of_text(self, schema: Any, name: str, references: References) -> list[Any]:
        """The items of a list that the text offers."""
        if options := self._options(schema, references):
            return [value for value, _ in options if self.extractor.member([value])[1] == CERTAIN]
        parts, _ = next(self.json_schema.branches(schema, references), ([], references))
        match next(iter(_types(parts)), ""):
            case "object":
                return self._records(schema, name, references)
            case "string" if not any(part.keys() & {"format", "pattern"} for part in parts):
                unused = [quotation for quotation in self.extractor.quotations if quotation not in self.extractor.used]
                return unused or self.extractor.names
            case "integer" | "number" as kind:
                return [number for _, number in self.extractor.numbers if kind == "number" or isinstance(number, int)]
            case _:
                return []

    def _records(self, schema: Any, name: str, references: References) -> list[Any]:
        """Objects: one for each part of the text that has values for one."""
        for separator in (r"\n+|;\s*", r"(?<=[.!?])\s+", r",? and |, (?=[A-Z])"):
            records = []
            for part in re.split(separator, self.extractor.text[:20_000])[:60]:
                extractor = ValueExtractor(part)
                filler = replace(self, extractor=extractor, answer=one_line(part), full_prompt=part, budget=self.record_budget)
                with suppress(Unsatisfiable):
                    records += [record for record, confidence in [filler.fill(schema, name, references)] if confidence >= LIKELY]
            if len(records) > 1:
                return records
        return []

    def _numbers(self, parts: list[Part], name: str, _references: References, others: Others) -> Candidates:
        """Yields numbers: the one of the text within the bounds, then those beside it and at the bounds."""
        is_integer = "integer" in _types(parts)[:1]
        number, confidence = self.extractor.number(name, is_integer)
        number = number if confidence > GUESS else 1
        yield number, confidence
        low, high, step = _number_range(parts, is_integer)
        unit = step or Fraction(1, 2)
        nearest = min(max(Fraction(number), low), high)
        for start in (nearest, low, high, Fraction(0), (low + high) / 2):
            first = math.ceil(start / unit) * unit if step else start
            for distance in range(len(others) + 3):
                for value in (first + distance * unit, first - distance * unit):
                    number = int(value) if is_integer or value.denominator == 1 else float(value)
                    yield number, confidence if start == nearest and distance < 2 else GUESS

    def _texts(self, parts: list[Part], name: str, _references: References, others: Others) -> Candidates:
        """Yields strings: what the text has, then examples of the format or pattern, then any of the right length."""
        minimum, maximum = _limit(max, parts, "minLength", 0), _limit(min, parts, "maxLength", _MAX_LENGTH)
        if minimum > _MAX_LENGTH:
            raise Unsatisfiable("minLength", name)
        value, confidence = self._text(parts, name)
        patterns = [str(part["pattern"]) for part in parts if "pattern" in part]
        if value and (confidence > GUESS or not patterns):
            text = value if len(value) >= minimum else f"{value} {self.answer}".ljust(minimum, ".")[:minimum]
            yield text[:maximum], confidence
        for match in chain.from_iterable(generate_matches(compile_regex(pattern), self.extractor.text) for pattern in patterns):
            missing = max(minimum - len(match), 0)
            yield from ((text, LIKELY) for text in (match, match + match[-1:] * missing, match[:1] * missing + match))
        for example in (example for part in parts for example in WORDS["examples"].get(part.get("format"), "").split()):
            yield from ((text, GUESS) for text in (example.rjust(minimum, "a"), example.ljust(minimum, "a")))
        short = map("".join, chain.from_iterable(product(ascii_lowercase + digits, repeat=size) for size in (1, 2, 3)))
        variants = (f"{value or 'text'} {number}" for number in (len(others) + 1, *range(2, len(others) + 4)))
        for text in chain([value or "text"], variants, islice(short, len(others) + 40)):
            yield text.ljust(minimum, "a")[:maximum], GUESS

    def _text(self, parts: list[Part], name: str) -> tuple[str, Confidence]:
        format = next((part["format"] for part in parts if "format" in part), "")
        value, confidence = self.extractor.string(format or name)
        if examples := WORDS["examples"].get(format):
            is_of_text = confidence == CERTAIN and format in ("date", "email", "uri", "uuid")
            return (value, CERTAIN) if is_of_text else (examples.split()[0], GUESS)
        if _ANSWER_FIELD.search(name) and confidence < CERTAIN:
            return one_line(self.answer), LIKELY
        return (value, confidence) if confidence > GUESS else (self._subject(name), GUESS)

    def _subject(self, name: str) -> str:
        """A name in capitals, else what the text is about without the words by which it asks and those of the tool and the field.

        Without numbers, too, if these have fields.
        """
        if proper_name := self.extractor.proper_name():
            return proper_name
        text = content(self.extractor.text[:2_000])
        text = NUMBER.sub(" ", text) if self._has_numbers else text
        own = {stem(word) for word in words(separate_words(f"{self.name} {name}").replace("_", " "))}
        rest = [word for word in topic(text, 50).split() if word.lower() not in _REQUESTS and stem(word.lower()) not in own]
        return " ".join(rest[:4]) or topic(text, 4).strip(" ?.!,")

    def _verdict(self) -> str:
        """Whether the context of the prompt contains the words of its question: `yes` or `no`."""
        question = find_question(self.full_prompt[-20_000:])
        context = self.full_prompt.replace(question, " ")[:200_000]
        return "yes" if coverage(stems(content(question)), stems(context)) >= 0.4 and not is_vague(question) else "no"


def _label(sentence: Sentence, is_text: bool) -> str | int:
    """The label of the passage of a sentence; a number where none but numbers are valid: its place if the label is a name."""
    if is_text:
        return sentence.label
    return int(sentence.label) if sentence.label.isdigit() else sentence.passage + 1


def _part_options(parts: list[Part]) -> list[Option]:
    """The constants of the first part that has some, each with its description."""
    for part in parts:
        if "const" in part:
            return [(part["const"], " ".join(str(each.get("description") or "") for each in parts))]
        if "enum" in part:
            return [(value, "") for value in part["enum"]]
    return []


def _types(parts: list[Part]) -> list[str]:
    """The types that all parts allow; without any, the one that their keywords suggest comes first."""
    types = {part["type"] for part in parts if "type" in part}
    if types:
        return list(types) if len(types) == 1 else ["integer"] if types == {"integer", "number"} else []
    keywords = " ".join(key for part in parts for key in part)
    return sorted(_HINTS, key=lambda kind: not re.search(_HINTS[kind], keywords))


def _property_schema(parts: list[Part], key: str) -> Any:
    """What all parts demand of a property."""
    schemas = []
    for part in parts:
        own = [part["properties"][key]] if key in part.get("properties", {}) else []
        own += [schema for pattern, schema in part.get("patternProperties", {}).items() if compile_regex(pattern).is_found(key)]
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


def _limit(choose: Callable[..., float], parts: list[Part], keyword: str, default: int) -> int:
    """The narrowest of the bounds that parts have."""
    return int(choose((part[keyword] for part in parts if keyword in part), default=default))


def _number_range(parts: list[Part], is_integer: bool) -> tuple[Fraction, Fraction, Fraction | None]:
    """The bounds of numbers, and the step between them."""
    steps = [Fraction(1)] * is_integer + [Fraction(str(part["multipleOf"])) for part in parts if "multipleOf" in part]
    lows, highs = _bounds(parts, "minimum", "exclusiveMinimum"), _bounds(parts, "maximum", "exclusiveMaximum")
    low = max(lows, default=min([Fraction(0), *highs]) - 1_000_000)
    high = min(highs, default=max([Fraction(0), *lows]) + 1_000_000)
    scale = math.lcm(*(step.denominator for step in steps))
    return low, high, Fraction(math.lcm(*(int(step * scale) for step in steps)), scale) if steps else None


def _bounds(parts: list[Part], *keys: str) -> list[Fraction]:
    return [Fraction(part[key]) for part in parts for key in keys if not isinstance(part.get(key, True), bool)]


def _is_same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)

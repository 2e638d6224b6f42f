"""JSON that fits a schema: values from the prompt where it offers them, defaults elsewhere."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.engine import regex_generator
from together_adapters.emulator.engine.extractive_qa import topic
from together_adapters.emulator.engine.prompt_parser import find_question, rank_choices
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

_MAX_DEPTH: Final = 24
_MAX_VALUES: Final = 400
_ANSWER_FIELD, _CHOICE_FIELD, _NUMBER_FIELD = (field_pattern(WORDS["fields"][kind]) for kind in ("answer", "choice", "number"))
_MISSING: Final = object()  # the value of a schema that refers to itself too often


def fill(schema: Any, text: str, answer: str = "", full_prompt: str = "") -> Any:
    """Returns a value that fits a schema.

    Values come from `text`, usually the last user message; fields such as `summary` get `answer`, the answer in prose; choices and
    verdicts depend on `full_prompt`, with its context.
    """
    value, _ = SchemaFiller(schema, ValueExtractor(text), answer or text, full_prompt or text).fill(schema)
    return _default(schema) if value is _MISSING else value


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
    result = None
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(200):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(value, dict) and (isinstance(value.get("properties"), dict) or "$ref" in value):
                result = (value, text[start:end])
        start = text.find("{", end)
    return result


@dataclass
class SchemaFiller:
    """Fills one schema. Each method returns a value and how certain it is."""

    root: Any
    extractor: ValueExtractor
    answer: str
    full_prompt: str
    value_count: int = 0
    open_references: dict[str, int] = field(default_factory=dict)

    def fill(self, schema: Any, name: str = "", depth: int = 0) -> tuple[Any, Confidence]:
        """Fills a schema for the field `name`."""
        self.value_count += 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self.value_count > _MAX_VALUES:
            return (one_line(self.answer)[:200] if schema is True else _default(schema)), GUESS
        if "const" in schema:
            return schema["const"], LIKELY
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._enum(schema["enum"])
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, name, depth)
        for keyword in ("anyOf", "oneOf"):
            if isinstance(schema.get(keyword), list) and schema[keyword]:
                return self._union(schema, schema[keyword], name, depth)
        if isinstance(schema.get("allOf"), list) and schema["allOf"]:
            return self.fill(self._merge(schema), name, depth + 1)
        if isinstance(schema.get("type"), list):
            return self._union(schema, [{**schema, "type": option} for option in schema["type"]], name, depth)
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return self._number(schema, name, kind == "integer")
            case "boolean":
                return self.extractor.boolean(name)
            case "null":
                return None, GUESS
            case _:
                return self._string(schema, name)

    def _enum(self, options: list[Any]) -> tuple[Any, Confidence]:
        self.value_count += min(len(options), 500) // 10
        if {str(option).lower() for option in options} == {"yes", "no"}:
            verdict = self._verdict()
            return next(option for option in options if str(option).lower() == verdict), CERTAIN
        return self.extractor.member(options)

    def _reference(self, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, Confidence]:
        reference = schema["$ref"]
        if self.open_references.get(reference, 0) >= 2:
            return _MISSING, GUESS
        self.open_references[reference] = self.open_references.get(reference, 0) + 1
        result = self.fill(self._resolve(schema), name, depth + 1)
        self.open_references[reference] -= 1
        return result

    def _resolve(self, schema: Any) -> Any:
        """Follows a local `$ref` and keeps the keywords beside it; one that leads nowhere allows anything."""
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return schema
        target: Any = self.root
        for key in filter(None, schema["$ref"].lstrip("#").split("/")[:50]):
            target = target.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        siblings = {key: value for key, value in schema.items() if key != "$ref"}
        return {**target, **siblings} if isinstance(target, dict) else siblings

    def _merge(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Merges the parts of an `allOf` into one schema."""
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"][:50]:
            resolved = self._resolve(part)
            for key, value in (resolved if isinstance(resolved, dict) else {}).items():
                if key == "properties" and isinstance(value, dict) and isinstance(merged.get(key), dict):
                    merged[key] = {**merged[key], **value}
                elif key == "required" and isinstance(value, list) and isinstance(merged.get(key), list):
                    merged[key] = [*merged[key], *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _union(self, schema: dict[str, Any], options: list[Any], name: str, depth: int) -> tuple[Any, Confidence]:
        """The option that the text supports best; `null` only where it supports none."""
        shared = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "type")}
        nullable = any(isinstance(option, dict) and option.get("type") == "null" for option in options)
        best: tuple[Any, int] = (_MISSING, -1)
        for option in options[:50]:
            if isinstance(option, dict) and option.get("type") == "null":
                continue
            used = set(self.extractor.used)
            value, confidence = self.fill({**shared, **option} if isinstance(option, dict) else option, name, depth + 1)
            if value is not _MISSING and confidence > best[1]:
                best = value, confidence
            else:
                self.extractor.used = used
            if best[1] == CERTAIN:
                break
        if best[0] is _MISSING or (nullable and best[1] == GUESS):
            return (None if nullable else "text"), GUESS
        return best[0], Confidence(best[1])

    def _object(self, schema: dict[str, Any], depth: int) -> tuple[Any, Confidence]:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict):
            return {}, GUESS
        required_keys = set(map(str, required)) if isinstance(required, list) else set()
        result, confidence = {}, GUESS
        for key, inner in list(properties.items())[:_MAX_VALUES]:
            used = set(self.extractor.used)
            value, certainty = self.fill(inner, str(key), depth + 1)
            # An optional field is filled where its value is certain, or is likely and not just any string.
            is_specific = isinstance(inner, dict) and inner.get("type") != "string" and "default" not in inner
            is_included = value is not _MISSING and certainty >= (LIKELY if is_specific else CERTAIN)
            if key not in required_keys and not is_included:
                self.extractor.used = used
                continue
            result[key] = _default(inner) if value is _MISSING else value
            confidence = max(confidence, certainty)
        for key in sorted(required_keys - set(properties))[:_MAX_VALUES]:
            result[key] = one_line(self.answer)[:200]
        return result, confidence

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> tuple[Any, Confidence]:
        if isinstance(schema.get("prefixItems"), list):
            values = [(self.fill(item, name, depth + 1)[0], item) for item in schema["prefixItems"][:100]]
            return [_default(item) if value is _MISSING else value for value, item in values], LIKELY
        items = schema.get("items", {"type": "string"})
        min_items, max_items = _size(schema.get("minItems"), 0), _size(schema.get("maxItems"), 20)
        result = self._items(items, name, depth)
        confidence = CERTAIN if result else GUESS
        while len(result) < max(min_items, 1) and len(result) < 200:
            item = self.fill(items, name, depth + 1)[0]
            if item is _MISSING:
                break
            if item in result and schema.get("uniqueItems") and isinstance(item, str | int | float):
                item = f"{item} {len(result) + 1}" if isinstance(item, str) else item + len(result)
            result.append(item)
        return result[: max(max_items, min_items)], confidence

    def _items(self, items: Any, name: str, depth: int) -> list[Any]:
        """The items of a list that the text offers."""
        target = self._resolve(items)
        if not isinstance(target, dict):
            return []
        if isinstance(target.get("enum"), list):
            return [option for option in target["enum"] if self.extractor.member([option])[1] == CERTAIN]
        match _type_of(target):
            case "object":
                return self._records(items, name, depth)
            case "string" if "format" not in target:
                return self._strings(name)
            case "integer" | "number" as kind:
                return [number for _, number in self.extractor.numbers if kind == "number" or isinstance(number, int)]
            case _:
                return []

    def _records(self, items: Any, name: str, depth: int) -> list[Any]:
        """Objects: one for each part of the text that has values for one."""
        for separator in (r"\n+", r";\s*", r"(?<=[.!?])\s+", r",? and |, (?=[A-Z])"):
            records = []
            for part in re.split(separator, self.extractor.text[:20_000])[:60]:
                references = dict(self.open_references)
                filler = SchemaFiller(self.root, ValueExtractor(part), one_line(part), part, self.value_count, references)
                record, confidence = filler.fill(items, name, depth + 1)
                self.value_count = filler.value_count
                if confidence >= LIKELY and isinstance(record, dict):
                    records.append(record)
            if len(records) > 1:
                return records
        return []

    def _strings(self, name: str) -> list[str]:
        """Strings: the list after the field's name, else what is quoted, else proper names."""
        pattern = (
            rf"\b{re.escape(name.replace('_', ' '))}\b[^:\n.]{{0,30}}(?::| are| include| like| such as)\s*([^\n.;]{{2,500}})"
        )
        if match := re.search(pattern, self.extractor.text[:20_000], re.IGNORECASE):
            parts = [part.strip(" \"'`.") for part in re.split(r",\s*(?:and\s+|or\s+)?|\s+and\s+", match[1])]
            return [part for part in parts if part][:50]
        unused = [quotation for quotation in self.extractor.quotations if quotation not in self.extractor.used]
        return unused or list(self.extractor.names)

    def _number(self, schema: dict[str, Any], name: str, integer: bool) -> tuple[Any, Confidence]:
        if _CHOICE_FIELD.search(name) and (ranking := rank_choices(self.full_prompt)):
            return int(ranking[0][1].label), CERTAIN
        value, confidence = self.extractor.number(name, integer)
        if confidence == GUESS:
            value = 1 if integer else 1.0
        step = 1 if integer else 0.5
        if (minimum := _bound(schema.get("minimum"))) is not None:
            value = max(value, math.ceil(minimum) if integer else minimum)
        if (above := _bound(schema.get("exclusiveMinimum"))) is not None and value <= above:
            value = (math.floor(above) if integer else above) + step
        if (maximum := _bound(schema.get("maximum"))) is not None:
            value = min(value, math.floor(maximum) if integer else maximum)
        if (below := _bound(schema.get("exclusiveMaximum"))) is not None and value >= below:
            value = (math.ceil(below) if integer else below) - step
        if (multiple := _bound(schema.get("multipleOf"))) and value % multiple:
            value = math.ceil(value / multiple) * multiple
        return (int(value) if integer else value), confidence

    def _string(self, schema: dict[str, Any], name: str) -> tuple[Any, Confidence]:
        value, confidence = self._text(schema, name)
        min_length, max_length = _size(schema.get("minLength"), 1), _size(schema.get("maxLength"), 100_000)
        if len(value) < min_length:
            filling = self.answer or "text "
            value = f"{value} {filling * (min_length // len(filling) + 1)}"[:min_length].ljust(min_length, ".")
        return value[:max_length], confidence

    def _text(self, schema: dict[str, Any], name: str) -> tuple[str, Confidence]:
        if isinstance(schema.get("pattern"), str):
            try:
                return regex_generator.generate_match(schema["pattern"], self.extractor.text), LIKELY
            except ValueError:
                pass
        if re.search(r"['\"]yes['\"] or ['\"]no['\"]", f"{schema.get('description')} {schema.get('title')}", re.IGNORECASE):
            return self._verdict(), CERTAIN
        format_name = schema["format"] if isinstance(schema.get("format"), str) else ""
        value, confidence = self.extractor.string(format_name or name)
        if format_name in WORDS["formats"]:
            is_valid = confidence == CERTAIN and format_name in ("email", "uri", "uuid")
            return (value, CERTAIN) if is_valid else (WORDS["formats"][format_name], GUESS)
        if _ANSWER_FIELD.search(name) and confidence < CERTAIN:
            return one_line(self.answer), LIKELY
        if confidence > GUESS:
            return value, confidence
        default = schema.get("default")
        return (default if isinstance(default, str) and default else topic(self.extractor.text, 4)), GUESS

    def _verdict(self) -> str:
        """Whether the context of the prompt contains the words of its question: `yes` or `no`."""
        question = find_question(self.full_prompt[-20_000:])
        context = self.full_prompt.replace(question, " ")[:200_000]
        return "yes" if coverage(stems(question), stems(context)) >= 0.4 else "no"


def _named_keys(text: str) -> list[str]:
    """The keys that a text names: those of a JSON example, else quoted words."""
    text = text[:20_000]
    keys = re.findall(r"[\"'](\w{1,60})[\"']\s*:", text) or re.findall(r"(?<!\w)['\"`“]([A-Za-z_]\w{0,60})['\"`”](?!\w)", text)
    return list(dict.fromkeys(keys))


def _type_of(schema: dict[str, Any]) -> str:
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    return "object" if "properties" in schema else "array" if "items" in schema or "prefixItems" in schema else "string"


def _default(schema: Any) -> Any:
    """The simplest value of a schema's type."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    kind = kind[0] if isinstance(kind, list) and kind else kind
    defaults = {"object": {}, "array": [], "integer": 0, "number": 0, "boolean": False, "string": "text"}
    return defaults.get(kind) if isinstance(kind, str) else ({} if isinstance(schema, dict) and "properties" in schema else None)


def _size(value: Any, default: int) -> int:
    return min(value, 10_000) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _bound(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 else None

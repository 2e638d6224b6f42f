"""From the JSON of a response or an event to a model, or to a dict of the same form.

This is where the library decides what it takes from a server; clients and adapters work on what comes out. JSON that fits a model
passes as it is. What deviates is repaired where its meaning is clear, and else is a ValueError that names the place.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from together_adapters.transport.surrogates import lenient_json

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

_MAX_REPAIRS = 1000
_ROUNDS = 8  # a repair can lead to a field that was not checked before
_LISTS_WITH_NULLS = frozenset({"choices", "tool_calls"})  # lists that lose nothing with a null
_ERROR_ALONE = {"error"}  # also of models that have such a field
_TEXT_KEYS = ("text", "content", "thinking", "reasoning", "summary")
_METADATA = frozenset({"created", "object", "role", "token_id", "seed", "system_fingerprint"})
_REASONING_TYPES = frozenset({"thinking", "reasoning", "reasoning.text", "reasoning.summary"})


class ModelParser(Generic[M]):
    """Parses JSON into one model. `is_plain` is a cheap test that a dict has the types of the model."""

    def __init__(self, model: type[M], is_plain: Callable[[Any], bool] | None = None) -> None:
        self._model = model
        self._is_plain = is_plain
        self._validate: Callable[[bytes], M] = self._build_and_validate

    def parse(self, data: bytes) -> M:
        """Returns the model of a response's body or an event's data."""
        try:
            return self._validate(data)
        except ValidationError:
            return self.parse_document(from_json(data))

    def parse_dict(self, data: bytes) -> dict[str, Any]:
        """Returns parsed JSON that has the form of the model. Fields that the model does not know may be anything."""
        document = from_json(data)
        if self._is_plain is not None and self._is_plain(document):
            return document  # type: ignore[no-any-return]
        try:
            self._model.__pydantic_validator__.validate_python(document, strict=True)
        except ValidationError:
            return self.parse(data).model_dump(exclude_unset=True, warnings=False)
        return document  # type: ignore[no-any-return]

    def parse_document(self, document: Any) -> M:
        """Returns the model of parsed JSON, which is changed where it is repaired."""
        for _ in range(_ROUNDS):
            try:
                return self._model.model_validate(document)
            except ValidationError as error:
                if error.error_count() > _MAX_REPAIRS or not _repair(document, error):
                    raise
        return self._model.model_validate(document)

    def _build_and_validate(self, data: bytes) -> M:
        """Validates for the first time. The method is looked up once, because streams call it often."""
        self._model.model_rebuild()
        self._validate = self._model.__pydantic_validator__.validate_json
        return self._validate(data)


class ResponseParser(ModelParser[M]):
    """Parses responses whose body is a model. A body that reports an error is a ValueError."""

    def __call__(self, response: Any) -> M:
        value: Any = _parse_body(self.parse, response.content)
        extra, fields = value.__pydantic_extra__, value.__pydantic_fields_set__
        if (extra and extra.get("error")) or (fields == _ERROR_ALONE and value.error):
            raise ValueError("the body reports an error")
        return value  # type: ignore[no-any-return]

    def dict(self, response: Any) -> dict[str, Any]:
        """Returns the response as parsed JSON that has the form of the model."""
        value = _parse_body(self.parse_dict, response.content)
        if value.get("error"):
            raise ValueError("the body reports an error")
        return value


def _parse_body(parse: Callable[[bytes], T], content: bytes) -> T:
    try:
        return parse(content)
    except ValueError:
        if (text := lenient_json(content)) == content:
            raise
        return parse(text)


def _repair(document: Any, error: ValidationError) -> bool:
    """Changes what can be changed without loss, and says whether it changed anything."""
    # All of them, from the end: a removed item moves those behind it.
    details = error.errors(include_url=False, include_context=False)
    return sum(_repair_value(*_find(document, detail["loc"]), detail) for detail in reversed(details)) > 0


def _find(document: Any, location: tuple[int | str, ...]) -> tuple[list[Any], list[Any]]:
    """Returns the containers of a value, the innermost last, and the key of the value in each. A location may also name branches of a union."""
    containers: list[Any] = []
    keys: list[Any] = []
    value: Any = document
    step: Any
    for step in location:
        is_key = step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value))
        if is_key:
            containers.append(value)
            keys.append(step)
            value = value[step]
    return containers, keys


def _repair_value(containers: list[Any], keys: list[Any], detail: Any) -> bool:
    if not containers:
        return False
    container, key = containers[-1], keys[-1]
    value = container[key]
    if isinstance(container, list):
        if value is not None or len(keys) < 2 or keys[-2] not in _LISTS_WITH_NULLS:
            return False
        del container[key]
        return True
    if detail["type"] == "int_from_float" and key != "index":
        container[key] = int(value)
        return True
    if value is None or value in ([], {}, "") or key in _METADATA:
        del container[key]  # nothing, in another type, or nothing of the answer
        return True
    if detail["type"] != "string_type":
        return False
    if key == "arguments":
        container[key] = json.dumps(value, ensure_ascii=False)
        return True
    return _repair_text(container, key, value)


def _repair_text(container: dict[str, Any], key: str, value: Any) -> bool:
    """Joins a text that comes in parts; parts that are reasoning go to its field."""
    parts = value if isinstance(value, list) else [value]
    reasoning_parts = [part for part in parts if isinstance(part, dict) and part.get("type") in _REASONING_TYPES]
    text = _text_of([part for part in parts if part not in reasoning_parts])
    reasoning = _text_of(reasoning_parts)
    if text is None or reasoning is None:
        return False
    if reasoning_parts and key == "content":
        container[key] = text
        container["reasoning"] = (container.get("reasoning") or "") + reasoning
    else:
        container[key] = _text_of(parts)
    return True


def _text_of(parts: Any) -> str | None:
    """Returns the text of parts, or None if there is anything but text."""
    if isinstance(parts, str):
        return parts
    if isinstance(parts, dict):
        texts = [parts[name] for name in _TEXT_KEYS if parts.get(name) is not None]
        if not texts and not parts.keys().isdisjoint(_TEXT_KEYS):
            return ""  # a text that is null
        return _text_of(texts[0]) if len(texts) == 1 else None
    if not isinstance(parts, list):
        return None
    texts = [text for part in parts if part is not None and (text := _text_of(part)) is not None]
    return "".join(texts) if len(texts) == len(parts) - parts.count(None) else None

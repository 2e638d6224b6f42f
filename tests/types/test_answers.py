"""Every response model reads what the service may send: nothing, nulls, new values, new fields."""

from __future__ import annotations

import importlib
import json
import pkgutil
import types as python_types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from tests.cases import each
from together_adapters import types
from together_adapters.transport.model_parser import ModelParser
from together_adapters.types.response import ResponseModel

NEW = "a-word-of-tomorrow"
REQUIRED: dict[str, dict[str, Any]] = {
    "UploadTarget": {"file_id": "f", "url": "u"},
    "PartTarget": {"PartNumber": 1, "URL": "u"},
    "MultipartUpload": {"upload_id": "u", "file_id": "f"},
    "Embedding": {"embedding": [0.5]},
    "RerankResult": {"index": 0, "relevance_score": 0.5},
    "RerankResponse": {"results": []},
    "ChatChoice": {"message": {}},
    "ChatCompletion": {"choices": [{"message": {}}]},
    "Completion": {"choices": [{}]},
    "RealtimeEvent": {"type": "e"},
    "SessionStart": {"type": "e"},
    "TranscriptDelta": {"type": "e", "delta": "d"},
    "FinalTranscript": {"type": "e", "transcript": "t"},
}
"""Required fields: the type and text of a realtime event, the address of an upload, the numbers of an embedding, the index and score of a document, the answer itself."""


def answers() -> list[type[ResponseModel]]:
    for module in pkgutil.iter_modules(types.__path__):
        importlib.import_module(f"{types.__name__}.{module.name}")
    result: list[type[ResponseModel]] = []
    waiting: list[type[ResponseModel]] = [ResponseModel]
    while waiting:
        kind = waiting.pop()
        result.append(kind)
        waiting += kind.__subclasses__()
    return sorted({kind for kind in result if kind.__module__.startswith(f"{types.__name__}.")}, key=lambda kind: kind.__name__)


def required(kind: type[ResponseModel]) -> dict[str, Any]:
    return dict(REQUIRED.get(kind.__name__, {}))


def read(kind: type[ResponseModel], request_body: Any) -> ResponseModel:
    """Reads a response as the client does."""
    return ModelParser(kind).parse(json.dumps(request_body).encode())


def words(hint: Any) -> bool:
    """Whether a field takes a string, as fields with values of the service do."""
    if typing.get_origin(hint) in (typing.Union, python_types.UnionType, typing.Annotated, Literal):
        return any(words(part) for part in typing.get_args(hint))
    return hint is str or isinstance(hint, str)


def wire_samples(kind: type[ResponseModel]) -> Iterator[tuple[str, Any]]:
    """Yields the fields of a response model under their names in JSON."""
    hints = typing.get_type_hints(kind)
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        choices = [choice for choice in getattr(alias, "choices", [alias or name]) if isinstance(choice, str)]
        yield choices[0], hints[name]


@each("kind", answers())
def test_nothing_and_nulls_are_read(kind: type[ResponseModel]) -> None:
    read(kind, required(kind)).model_dump()
    names = [name for name, _ in wire_samples(kind) if name not in required(kind)]
    for name in names:
        read(kind, {**required(kind), name: None}).model_dump()
    read(kind, {**required(kind), **dict.fromkeys(names)}).model_dump()


@each("kind", answers())
def test_new_values_and_new_fields_are_kept(kind: type[ResponseModel]) -> None:
    texts = {name: NEW for name, hint in wire_samples(kind) if words(hint)}
    answer = read(kind, {**required(kind), **texts, "brand_new": {"deep": [1]}})
    dump = answer.model_dump()
    assert dump["brand_new"] == {"deep": [1]}
    assert list(dump.values()).count(NEW) >= len(set(texts) - required(kind).keys())
    assert repr(answer)


def test_no_response_has_an_enum() -> None:
    """Values of the service are strings: an enum would fail on a new one."""
    closed = {
        f"{kind.__name__}.{name}"
        for kind in answers()
        for name, hint in wire_samples(kind)
        if "Literal" in str(hint) and "str" not in str(hint)
    }
    assert closed == set()

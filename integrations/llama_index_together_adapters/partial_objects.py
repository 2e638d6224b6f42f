"""Objects of an answer that is still streaming: as far as it has come, with None for what is missing."""

from __future__ import annotations

from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.program.utils import FlexibleModel
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from llama_index_together_adapters.output_modes import Plan

_SHORT = 2048
_STEP = 64


class Partials:
    """Makes objects of an answer that is still streaming. Linear: long texts are read again when they have grown enough."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._read = 0
        self._last: ChatResponse | None = None

    def add(self, response: ChatResponse) -> Any:
        """Return the object so far, incomplete perhaps, or None where there is nothing new."""
        self._last = response
        text = self._plan.text(response)
        size = len(text)
        if size == self._read or (size >= _SHORT and (size - self._read) * _STEP < size):
            return None
        self._read = size
        begin = text.find("{")
        try:
            value = from_json(text[begin:], allow_partial="trailing-strings") if begin >= 0 else None
        except ValueError:
            return None
        return self._object(value) if isinstance(value, dict) and value else None

    @property
    def whole(self) -> ChatResponse:
        """The answer, once the stream has ended."""
        return self._last or ChatResponse(message=ChatMessage())

    def _object(self, value: dict[str, Any]) -> Any:
        try:
            return self._plan.output_cls.model_validate(value)
        except ValidationError:
            return incomplete(self._plan.output_cls).model_validate(value)


class _Incomplete(FlexibleModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


@lru_cache(maxsize=256)
def incomplete(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model with the fields of another, where any of them may be missing or half there, at every depth.

    LlamaIndex's own does this at the top alone: below, it leaves plain dicts.
    """
    fields: dict[str, Any] = {
        name: (_loose(field.annotation, (model,)), Field(default=None, validation_alias=field.validation_alias))
        for name, field in model.model_fields.items()
    }
    return create_model(f"Incomplete{model.__name__}", __base__=_Incomplete, **fields)


def _loose(annotation: Any, around: tuple[type[BaseModel], ...]) -> Any:
    """Return what a value may be while it streams: models become incomplete ones, and anything else is taken as it is."""
    models = [kind for kind in _alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    kinds: list[Any] = [incomplete(kind) for kind in models if kind not in around]
    for kind in _alternatives(annotation):
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (list, tuple, dict) and inner:
            item = _loose(inner[-1] if inner[-1] is not ... else inner[0], around)
            kinds.append(dict[str, item] if origin is dict else list[item])  # type: ignore[valid-type]
    return Annotated[Union[(*kinds, Any)], Field(union_mode="left_to_right")] if kinds else Any


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for each in get_args(annotation) for kind in _alternatives(each))
    return (annotation,)

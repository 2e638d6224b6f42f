"""Partial objects of a response that is being streamed, with None for missing values."""

from __future__ import annotations

from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.program.utils import FlexibleModel
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import from_json

from llama_index_together_adapters.output_modes import OutputMode
from llama_index_together_adapters.tool_calls import has_grown


class PartialObjects:
    """Parses partial objects, in time that is linear in the length of the text.

    Attributes:
        response: The last response.
    """

    def __init__(self, mode: OutputMode) -> None:
        self.response = ChatResponse(message=ChatMessage())
        self._mode = mode
        self._parsed_size = 0

    def feed(self, response: ChatResponse) -> Any:
        """Return the object so far, which may be incomplete, or None where nothing is new."""
        self.response = response
        text = self._mode.text(response)
        if len(text) == self._parsed_size or not has_grown(len(text), self._parsed_size):
            return None
        self._parsed_size = len(text)
        start = text.find("{")
        try:
            value = from_json(text[start:], allow_partial="trailing-strings") if start >= 0 else None
        except ValueError:
            return None
        if not isinstance(value, dict) or not value:
            return None
        output_cls = self._mode.output_cls
        try:
            return output_cls.model_validate(value)
        except ValidationError:
            return incomplete(output_cls).model_validate(value)


class _Incomplete(FlexibleModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())


@lru_cache(maxsize=256)
def incomplete(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model whose fields may be missing or incomplete, at every depth; LlamaIndex's own does so at the top alone."""
    fields: dict[str, Any] = {
        name: (_partial_type(field.annotation, (model,)), Field(default=None, validation_alias=field.validation_alias))
        for name, field in model.model_fields.items()
    }
    return create_model(f"Incomplete{model.__name__}", __base__=_Incomplete, **fields)


def _partial_type(annotation: Any, parents: tuple[type[BaseModel], ...]) -> Any:
    """Return the type of a value that is being streamed: models become incomplete ones, and other values are not validated."""
    models = [kind for kind in _alternatives(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
    kinds: list[Any] = [incomplete(kind) for kind in models if kind not in parents]
    for kind in _alternatives(annotation):
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (list, tuple, dict) and inner:
            item = _partial_type(inner[-1] if inner[-1] is not ... else inner[0], parents)
            kinds.append(dict[str, item] if origin is dict else list[item])  # type: ignore[valid-type]
    return Annotated[Union[(*kinds, Any)], Field(union_mode="left_to_right")] if kinds else Any


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for each in get_args(annotation) for kind in _alternatives(each))
    return (annotation,)

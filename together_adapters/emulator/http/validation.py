"""Request bodies as pydantic models, whose errors become the service's error responses."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from together_adapters.emulator.errors import ApiError, bad_request, unprocessable
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.http.sse import compact

Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64)]
_SUBJECT = re.compile(r"^[A-Z]\w* should ")


class RequestModel(BaseModel):
    """Base of the models of request bodies. A field that is null counts as absent.

    The `description` of a field completes the sentence "x must be ..." where pydantic's own message would not help.
    """

    model_config = ConfigDict(strict=True, protected_namespaces=())
    other_fields: ClassVar[frozenset[str]] = frozenset({"model"})
    """Names that a strict emulator accepts besides the fields."""
    lenient_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that a strict emulator does not accept."""
    refuses_unknown: ClassVar[bool] = True
    """Whether a strict emulator refuses other names."""

    @classmethod
    def read(cls, context: RequestContext, body: Any = None) -> Self:
        """Validates a body, by default that of the request; raises `ApiError`."""
        body = context.body if body is None else body
        if not isinstance(body, dict):
            raise bad_request("Invalid JSON data: the body must be an object.")
        try:
            model = cls._validate(body)
        except ValidationError as error:
            raise cls.api_error(*_describe(cls, error)) from None
        if context.behaviour.strict and cls.refuses_unknown:
            fields = {field.alias or name for name, field in cls.model_fields.items()}
            if unknown := sorted(body.keys() - (fields - cls.lenient_only) - cls.other_fields):
                raise unprocessable(f"unknown parameter {unknown[0]}", param=unknown[0])
        return model

    @classmethod
    def _validate(cls, body: dict[str, Any]) -> Self:
        values = {name: value for name, value in body.items() if value is not None}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            if all(problem["type"] != "string_unicode" for problem in error.errors()):
                raise
            return cls.model_validate(json.loads(compact(values)))  # with question marks for lone surrogates

    @staticmethod
    def api_error(message: str, param: str) -> ApiError:
        """Returns the error response for a field."""
        return bad_request(f"{message}.", param=param)


def _describe(model: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """Returns the message of the first error, and the field that it is about."""
    first = error.errors(include_url=False, include_input=False)[0]
    param = str(first["loc"][0])
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{param} is required", param
    description = model.model_fields[param].description if param in model.model_fields else None
    if description:
        return f"{param} must be {description}", param
    path = ".".join(map(str, first["loc"]))
    text = "is required" if first["type"] == "missing" else _SUBJECT.sub("must ", first["msg"])
    return f"{path} {text}", param

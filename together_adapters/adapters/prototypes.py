"""Models of which a stream has one for every token: copies of a valid one, because to check each would cost more than all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

# The four slots of a pydantic model, which its own `__copy__` sets as well.
_set_values, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[f"__{name}__"].__set__ for name in ("dict", "pydantic_fields_set", "pydantic_extra", "pydantic_private")
)


def copies_of(prototype: M) -> Callable[..., M]:
    """Return a function that returns a copy of a model, with the values that it gets as keywords.

    They are not checked, so they must have the types of the model, and leave its validators nothing to do. Each copy has lists and dicts
    of its own, which are empty, and the same fields set as the prototype.
    """
    kind, new, fields, fields_set = type(prototype), type(prototype).__new__, dict(vars(prototype)), prototype.model_fields_set
    containers = [(name, type(value)) for name, value in fields.items() if isinstance(value, dict | list)]
    has_extra = prototype.model_extra is not None

    def copy(**values: object) -> M:
        state = fields.copy()
        for name, container in containers:
            state[name] = container()
        state.update(values)
        model = new(kind)
        _set_values(model, state)
        _set_fields_set(model, fields_set.copy())
        _set_extra(model, {} if has_extra else None)
        _set_private(model, None)
        return model

    return copy

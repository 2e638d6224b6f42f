"""Embeddings: lists of floats, or base64 of little-endian float32; the result is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import PlainValidator, PrivateAttr, SerializerFunctionWrapHandler, ValidationInfo, model_serializer

from together_adapters._lazy import pip_install
from together_adapters.types.response import ResponseModel, Usage
from together_adapters.vectors import list_of, parse_vector, table_of

if TYPE_CHECKING:
    import numpy


def _validate_vector(value: Any, info: ValidationInfo) -> list[float]:
    return value if info.context is PARSED else list_of(parse_vector(value))


PARSED: Final = {"vectors": "floats"}
"""Validation context for responses whose embeddings are lists of floats already."""

if TYPE_CHECKING:
    Vector = list[float]
else:
    Vector = Annotated[list[float], PlainValidator(_validate_vector)]


class Embedding(ResponseModel):
    """The embedding of one text; `index` is the position of the text in the input."""

    object: str | None = None
    index: int | None = None
    embedding: Vector


class EmbeddingResponse(ResponseModel):  # noqa: PLW1641 - models have no hash
    """Embeddings of all inputs, in the order of the inputs.

    `usage` is the sum of all requests, or None where the model reports none.
    """

    object: str | None = None
    id: str | None = None
    model: str | None = None
    data: list[Embedding] = []
    usage: Usage | None = None

    _rows: list[dict[str, Any]] | None = PrivateAttr(default=None)
    """What `data` is made of when somebody asks for it: `to_numpy` needs no objects for each number."""

    @classmethod
    def of_rows(cls, response: dict[str, Any]) -> Self:
        """Returns a response by its fields, of which `data` has floats in lists or arrays."""
        rows = response["data"]
        if all(isinstance(row["embedding"], list) for row in rows):
            return cls.model_validate(response, context=PARSED)
        self = cls.model_validate({**response, "data": []})
        del vars(self)["data"]
        self._rows = rows
        return self

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # of what is not there
            if name == "data":
                return self._make_data()
            return super().__getattr__(name)

    def _make_data(self) -> list[Embedding]:
        rows, fields = self._rows, vars(self)
        if rows is not None:
            for row in rows:
                row["embedding"] = list_of(row["embedding"])
            fields.setdefault("data", EmbeddingResponse.model_validate({"data": rows}, context=PARSED).data)
            object.__setattr__(self, "__dict__", {name: fields[name] for name in type(self).model_fields})  # in their order
            self._rows = None
        return fields["data"]  # type: ignore[no-any-return]

    # What reads the fields without asking for them

    @model_serializer(mode="wrap")
    def _serialize(self, serialize: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # Without a type, so that the JSON schema is that of the fields.
        self._make_data()
        return serialize(self)

    def __iter__(self) -> Any:
        self._make_data()
        return super().__iter__()

    def __eq__(self, other: Any) -> bool:
        if isinstance(other, EmbeddingResponse):
            self._make_data()
            other._make_data()
        return super().__eq__(other)

    def __repr_args__(self) -> Any:
        self._make_data()
        return super().__repr_args__()

    def to_numpy(self) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
        """Returns the embeddings as a float32 array of shape `(n, dimensions)`, ordered by `index`.

        Raises:
            ImportError: numpy is not installed (`pip install "together-adapters[numpy]"`).
        """
        try:
            import numpy  # noqa: F401
        except ImportError:
            raise ImportError(f"to_numpy() needs numpy: {pip_install('numpy')}") from None
        if (rows := self._rows) is not None and "data" not in vars(self):
            return table_of([row["embedding"] for row in rows])
        return table_of([item.embedding for item in sorted(self.data, key=lambda item: item.index or 0)])

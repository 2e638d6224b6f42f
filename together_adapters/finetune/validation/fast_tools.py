"""Declarations of tools in valid rows: known ones are found again, and usual new ones parsed fast."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, Literal, NamedTuple, TypeVar

from msgspec import UNSET, Meta, MsgspecError, Raw, Struct, UnsetType, defstruct
from msgspec.json import Decoder, Encoder
from pydantic_core import from_json, to_json

from together_adapters.finetune.validation.json_values import is_finite
from together_adapters.finetune.validation.row_schemas import NonEmptyStr

_MAX_DECLARATIONS: Final = 64
_MAX_TOOLS: Final = 256
_MAX_BYTES: Final = 65_536
_LEVELS: Final = 4
_new: Final = tuple.__new__  # twice as fast as the class
T = TypeVar("T")
_Nothing = Annotated[int, Meta(gt=0, lt=0)]  # no value is of this type
_Scalar = str | int | bool | None  # parsers write floats in different ways


def _usual_schema(levels: int) -> type[Struct]:
    """Returns a type of the usual JSON schemas that are nested in so many levels; a type that names itself would have no bound."""
    inner: Any = _usual_schema(levels - 1) if levels > 1 else _Nothing
    types: dict[str, Any] = {
        "type": str | list[str], "description": str, "properties": dict[str, inner], "required": list[str], "items": inner,
        "enum": list[_Scalar], "default": _Scalar, "title": str, "format": str, "minimum": int, "maximum": int,
        "additionalProperties": bool, "anyOf": list[inner],
    }  # fmt: skip
    fields = [(name, kind | UnsetType, UNSET) for name, kind in types.items()]
    return defstruct("UsualSchema", fields, forbid_unknown_fields=True, gc=False)


class _UsualFunction(Struct, forbid_unknown_fields=True, gc=False):
    name: NonEmptyStr
    description: str | UnsetType = UNSET
    parameters: _usual_schema(_LEVELS) | UnsetType | None = UNSET  # type: ignore[valid-type]
    strict: bool | UnsetType = UNSET


class UsualTool(Struct, forbid_unknown_fields=True, gc=False):
    """A tool whose parameters are described in a usual way."""

    type: Literal["function"]
    function: _UsualFunction


class Tools(NamedTuple):
    """The tools of a row."""

    names: frozenset[str]
    chars: int
    any: bool


class _Tool(NamedTuple):
    name: str
    chars: int


NO_TOOLS: Final = Tools(frozenset(), 0, any=False)
_decode_each: Final = Decoder(list[Raw]).decode
_encode: Final = Encoder().encode


class ToolReader:
    """Reads declarations of tools: knows whole ones again; if most are new, single tools; if most of these are new, none."""

    def __init__(self) -> None:
        self._declarations: _Cache[Tools | None] = _Cache(_MAX_DECLARATIONS)
        self._tools: _Cache[_Tool | None] = _Cache(_MAX_TOOLS)

    @property
    def is_useful(self) -> bool:
        """Whether declarations or tools repeat."""
        return self._declarations.is_useful or self._tools.is_useful

    def read(self, declaration: Raw) -> Tools | None:
        """Returns the tools of a declaration; None if it is invalid."""
        if self._declarations.is_useful:
            key, cache = bytes(declaration), self._declarations
            cache.reads += 1
            return cache.values[key] if key in cache.values else cache.add(key, self._read_each(key))
        return self._read_each(declaration)

    def _read_each(self, declaration: bytes | Raw) -> Tools | None:
        try:
            texts = _decode_each(declaration)
        except MsgspecError:
            return None
        cache, values = self._tools, self._tools.values
        cache.reads += len(texts)
        tools = [values[key] if (key := bytes(text)) in values else cache.add(key, _parse_tool(key)) for text in texts]
        names = frozenset([tool[0] for tool in tools if tool])
        if len(names) < len(tools):
            return None
        chars = sum([tool[1] for tool in tools if tool]) + max(len(tools) + 1, 2)  # brackets and commas
        return _new(Tools, (names, chars, bool(tools)))


class _Cache(Generic[T]):
    """The values of the latest texts; `is_useful` until most of all that are read are new."""

    def __init__(self, size: int) -> None:
        self.is_useful = True
        self.values: dict[bytes, T] = {}
        self.reads = 0
        self._size = size
        self._misses = 0

    def add(self, text: bytes, value: T) -> T:
        """Adds the value of a new text, and returns it."""
        self._misses += 1
        if self._misses > self._size and self._misses * 2 > self.reads:
            self.is_useful = False
        if len(text) <= _MAX_BYTES:
            if len(self.values) == self._size:
                self.values.clear()
            self.values[text] = value
        return value


def usual_tools(tools: list[UsualTool]) -> Tools | None:
    """Returns the tools of a usual declaration; None if it is invalid."""
    try:
        json = _encode(tools)
    except OverflowError:
        return None
    names = frozenset([tool.function.name for tool in tools])
    if len(names) < len(tools):
        return None
    return _new(Tools, (names, len(json) if json.isascii() else len(json.decode()), bool(tools)))


def _parse_tool(text: bytes) -> _Tool | None:
    """Parses a declaration of one tool as rows are parsed, and as deep as in its row; returns None if it is invalid."""
    try:
        ((tool,),) = from_json(b"[[" + text + b"]]", allow_inf_nan=False)
    except ValueError:
        return None
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function" or not is_finite(tool):
        return None
    name = function.get("name")
    if not isinstance(name, str) or not name or not isinstance(function.get("parameters", {}), dict | None):
        return None
    return _Tool(name, len(to_json(tool).decode()))

"""Declarations of tools in valid rows: known ones are found again, and usual new ones parsed fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

from msgspec import UNSET, MsgspecError, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder
from pydantic_core import from_json, to_json

from together_adapters.finetune.validation.json_values import is_finite
from together_adapters.finetune.validation.row_schemas import NonEmptyStr

_MAX_DECLARATIONS: Final = 64
_MAX_TOOLS: Final = 256
_MIN_MISSES: Final = 48
_MAX_BYTES: Final = 65_536
_LEVELS: Final = 6
T = TypeVar("T")
_new: Final = tuple.__new__  # twice as fast as the class


def _usual_object(levels: int) -> Any:
    """Returns a type of JSON objects of up to so many levels, without floats, which parsers write in different ways."""
    value: Any = str | int | bool | None
    for _ in range(levels):
        value = str | int | bool | list[value] | dict[str, value] | None
    return dict[str, value]


_Parameters: Final = _usual_object(_LEVELS)
_Function: Final = _usual_object(_LEVELS + 1)


class _UsualFunction(Struct, forbid_unknown_fields=True, gc=False):
    name: NonEmptyStr
    description: str | UnsetType = UNSET
    parameters: _Parameters | UnsetType | None = UNSET  # type: ignore[valid-type]
    strict: bool | UnsetType = UNSET


class UsualTool(Struct, forbid_unknown_fields=True, gc=False):
    """A tool whose parameters are described in a usual way."""

    type: Literal["function"]
    function: _UsualFunction


UsualDeclaration: Final = list[dict[str, str | _Function]]  # type: ignore[valid-type]
"""Usual tools with their keys in any order."""


class Tool(NamedTuple):
    """A declaration of a tool: its length, and its JSON where it is written."""

    name: str
    chars: int
    json: bytes | None = None


class Tools(NamedTuple):
    """The tools of a row."""

    names: AbstractSet[str]
    chars: int
    any: bool
    json: Raw | None = None


NO_TOOLS: Final = Tools(frozenset(), 0, any=False)
_decode_each: Final = Decoder(list[Raw]).decode
_decode_tool: Final = Decoder(UsualTool).decode
_encode: Final = Encoder().encode
_encode_lines: Final = Encoder().encode_lines


class ToolReader:
    """Reads declarations of tools, and knows them again: whole ones until most are new, then single tools until most are new."""

    def __init__(self, parse: Callable[[bytes], Tool | None] | None = None) -> None:
        self._parse = parse or parse_tool
        self._declarations: _Cache[Tools | None] = _Cache(_MAX_DECLARATIONS)
        self._tools: _Cache[Tool | None] = _Cache(_MAX_TOOLS)

    @property
    def kind(self) -> Literal["whole", "each", "new"]:
        """What repeats: whole declarations, each tool, or nothing."""
        return "whole" if self._declarations.is_useful else "each" if self._tools.is_useful else "new"

    def read(self, declaration: Raw | list[Raw]) -> Tools | None:
        """Returns the tools of a row, given a declaration or its tools; None if one is invalid."""
        if type(declaration) is not Raw:
            return self._read_each(declaration)
        cache, key = self._declarations, bytes(declaration)
        cache.reads += 1
        return cache.values[key] if key in cache.values else cache.add(key, self._read_whole(key))

    def _read_whole(self, declaration: bytes) -> Tools | None:
        try:
            return self._read_each(_decode_each(declaration))
        except MsgspecError:
            return None

    def _read_each(self, declarations: list[Raw]) -> Tools | None:
        cache, values = self._tools, self._tools.values
        cache.reads += len(declarations)
        names: set[str] = set()
        chars = max(len(declarations) + 1, 2)  # brackets and commas
        texts: list[bytes] = []
        for declaration in declarations:
            text = bytes(declaration)
            tool = values.get(text) or (None if text in values else cache.add(text, self._parse(text)))
            if tool is None:
                return None
            name, size, json = tool
            names.add(name)
            chars += size
            if json is not None:
                texts.append(json)
        if len(names) < len(declarations):
            return None
        json = Raw(b"[" + b",".join(texts) + b"]") if len(texts) == len(declarations) else None
        return _new(Tools, (names, chars, bool(declarations), json))


class _Cache(Generic[T]):
    """The values of the latest texts; `is_useful` until most of all that are read are new, or nearly all of the first."""

    def __init__(self, size: int) -> None:
        self.is_useful = True
        self.values: dict[bytes, T] = {}
        self.reads = 0
        self._size = size
        self._misses = 0

    def add(self, text: bytes, value: T) -> T:
        """Adds the value of a new text, and returns it."""
        self._misses += 1
        enough = _MIN_MISSES if self._misses * 10 > self.reads * 9 else self._size
        if self._misses > enough and self._misses * 2 > self.reads:
            self.is_useful = False
        if len(text) <= _MAX_BYTES:
            if len(self.values) == self._size:
                self.values.clear()
            self.values[text] = value
        return value


def usual_tools(declarations: Sequence[list[UsualTool] | UnsetType]) -> list[Tools] | None:
    """Returns the tools of rows that are declared in the usual way; None if some are invalid."""
    try:
        json = _encode_lines([tools or () for tools in declarations]).decode()
    except OverflowError:
        return None
    rows: list[Tools] = []
    end = -1
    for tools in declarations:
        start = end + 1
        end = json.index("\n", start)  # faster than to split
        if tools is UNSET:
            rows.append(NO_TOOLS)
            continue
        names = {tool.function.name for tool in tools}
        if len(names) < len(tools):
            return None
        rows.append(_new(Tools, (names, end - start, bool(tools), None)))
    return rows


def parse_tool(text: bytes) -> Tool | None:
    """Parses a declaration of one tool as rows are parsed, and as deep as in its row; returns None if it is invalid."""
    try:
        declaration = _decode_tool(text)
        return Tool(declaration.function.name, len(_encode(declaration).decode()))
    except (MsgspecError, ValueError, OverflowError):
        pass
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
    return Tool(name, len(to_json(tool).decode()))

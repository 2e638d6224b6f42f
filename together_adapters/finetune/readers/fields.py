"""Access to the fields of records, which are dicts or objects, and to the columns of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from together_adapters.finetune.accounting import TRACE, has_value
from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.finetune.rules import FORMATS

_MESSAGE_TYPES: Final = ("human", "ai", "system", "tool", "function", "chat")
_LISTS: Final = ("data", "results", "items", "records", "rows", "runs", "traces", "spans", "completions")
_PAGING: Final = frozenset(
    """meta pagination paging page pages next previous prev first last links cursor cursors next_cursor nextCursor next_page
    nextPageToken next_page_token has_more hasMore count total total_count totalCount totalItems totalPages total_pages limit offset
    size per_page page_size first_id last_id object status success""".split()
)
"""What APIs write beside the records of a page."""
FORMAT_COLUMNS: Final = frozenset().union(*FORMATS.values()) | {"tools", "functions"}


def field(record: Any, *names: str) -> Any:
    """Returns the first of the named fields that is not None."""
    for name in names:
        value = record.get(name) if isinstance(record, dict) else getattr(record, name, None)
        if value is not None:
            return value
    return None


def nested(record: Any, *path: str) -> Any:
    """Returns the value at the end of a path of keys, or None."""
    for name in path:
        record = field(record, name)
        if record is None:
            return None
    return record


def flat(record: Row, *columns: str) -> Row:
    """Returns a record with a column for each field of the objects in some columns."""
    fields = {f"{column}.{key}": value for column in columns for key, value in record[column].items()}
    return {**{key: value for key, value in record.items() if key not in columns}, **fields}


def list_of_page(value: Any) -> list[Any] | None:
    """Returns the records of a page of an API, a list beside what leads to other pages; None for other values."""
    if not isinstance(value, dict) or not 1 <= len(value) <= len(_PAGING):
        return None
    names = [name for name in value if name not in _PAGING]
    records = value[names[0]] if len(names) == 1 and names[0] in _LISTS else None
    if not isinstance(records, list) or not records or not all(isinstance(one, dict) for one in records):
        return None
    return None if "paragraphs" in records[0] else records  # articles


def is_empty_json(value: Any) -> bool:
    """Whether a cell with JSON in it has no value: exporters write `null` and `[]` there."""
    return isinstance(value, str) and value.strip() in ("null", "[]", "{}")


def is_stored_message(value: Any) -> bool:
    """Whether a value is one message, of OpenAI's format or as LangChain stores it."""
    if not isinstance(value, dict):
        return False
    if value.get("lc") == 1:
        return str((value.get("id") or [""])[-1]).removesuffix("Chunk").endswith("Message")
    is_stored = value.get("type") in _MESSAGE_TYPES and (isinstance(value.get("data"), dict) or "content" in value)
    return is_stored or ("role" in value and "replies" not in value and "parent_id" not in value)


def text_or_none(value: Any) -> str | None:
    """Returns an id as text, or None if it is empty."""
    return None if value is None or value == "" else str(value)


def text_of(record: Row, column: str) -> str:
    """Returns the text in a column; a record with another value is refused."""
    value = record.get(column)
    if type(value) is str:
        return value
    if value is None:
        raise without_value(record, column)
    raise Unconvertible("cell_not_text", f"the column {column} must hold a text, not {kind_of(value)}", column, value)


def without_value(record: Row, column: str) -> Unconvertible:
    """Returns the refusal of a record whose column is empty, or is none of its columns."""
    if column in record:
        return Unconvertible("cell_missing", f"the column {column} is empty", column)
    columns = ", ".join(map(str, record))[:200] or "none"
    return Unconvertible("column_missing", f"there is no column {column}; the columns are {columns}", column)


def with_extras(
    row: Row, left_out: Mapping[str, Any], record: Row, read: Collection[str], *, keep: bool, has_attributes: bool
) -> tuple[Row, Mapping[str, Any]]:  # fmt: skip
    """Adds the columns that a format does not read to the row, so that users can filter by them, or else to what is left out.

    `keep` is False for traces: what stands around their input and output is left out. `has_attributes` says that names with a dot
    are the attributes of a span, for which its format accounts.
    """
    extra, others = {}, {}
    for key, value in record.items():
        if key not in read:
            if keep and key not in FORMAT_COLUMNS and key not in row:
                extra[key] = value
            elif has_value(value) and (keep or not is_empty_json(value)) and not (has_attributes and "." in str(key)):
                others[str(key)[:80] if keep else f"{TRACE}{key}"[:80]] = value
    return {**row, **extra} if extra else row, {**left_out, **others} if others else left_out


def require(value: Any, kind: type | tuple[type, ...], code: str, text: str, path: str = "") -> Any:
    """Returns a value; one of another type is refused."""
    if isinstance(value, kind):
        return value
    raise Unconvertible(code, f"{text}, not {kind_of(value)}", path, value)


def require_record(record: Any) -> Row:
    """Returns a record, which must be an object."""
    return record if isinstance(record, dict) else require(record, dict, "line_not_object", "a record must be an object")

"""The printing of results: one renderer, which prints JSON for programs, and tables, fields or text for people."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from together_adapters.cli.terminal import dim, is_terminal, note, printable, write

if TYPE_CHECKING:
    from rich.console import Console

_NO_LIMIT: Final = 10_000  # width of a table outside a terminal: its lines are not wrapped, for `grep` and `cut`
_NAME_WORDS: Final = re.compile(r".+?(?:[-/_@ ]|$)")
_MAX_WORD: Final = 12  # longer words may be wrapped


def print_details(value: Any, *, omit: Sequence[str] = ()) -> None:
    """Prints the fields of one object in a terminal, and JSON into a pipe, as the `together` 1.x SDK does."""
    data = {name: field for name, field in to_jsonable(value).items() if name not in omit}
    print_fields(data) if is_terminal(sys.stdout) else print_json(data)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command returns when its value alone does not say how to print it: `view` prints it for people."""

    value: Any
    view: Callable[[Any], object] = print_details
    exit_code: int = 0


def render(result: Any, *, as_json: bool) -> int:
    """Prints what a command returned, as JSON or for people; None prints nothing. Returns the exit code."""
    full: Result = result if isinstance(result, Result) else Result(result)
    if full.value is not None:
        (print_json if as_json else full.view)(full.value)
    return full.exit_code


class Column(NamedTuple):
    """A column of a table."""

    title: str
    value: str | int | Callable[[Any], object]  # an attribute such as `pricing.input`, an index, or a function of the item
    format: Callable[[Any], object] | None = None  # not called with None
    right: bool = False
    no_wrap: bool = False  # for an ID to copy
    whole: bool = False  # not wrapped as long as other columns can be left out, and then between the words of a name
    drop: int = 0  # in a narrow terminal the highest is left out first; 0 is never left out

    def cell(self, item: Any) -> object:
        """Returns the content for one item."""
        if isinstance(self.value, int):
            value = item[self.value]
        else:
            value = self.value(item) if callable(self.value) else _attribute(item, self.value)
        return value if value is None or self.format is None else self.format(value)


class Table:
    """A view of a list of items: a row for each, fitted to the terminal; in a very narrow one, the fields of each.

    With `has_total` the last item is the sum of the others.
    """

    def __init__(self, *columns: Column, empty: str = "No results.", has_total: bool = False) -> None:
        self._columns = columns
        self._empty = empty
        self._has_total = has_total

    def __call__(self, items: Iterable[Any]) -> None:
        columns = self._columns
        rows = [[column.cell(item) for column in columns] for item in items]
        cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
        if not cells:
            note(self._empty)
            return
        console = _console()
        if console.is_terminal:  # elsewhere programs count columns
            filled = [not column.drop or any(row[index] for row in cells) for index, column in enumerate(columns)]
            columns, cells = tuple(compress(columns, filled)), [list(compress(row, filled)) for row in cells]
        indices = _fitting_columns(columns, cells, console.width) if console.is_terminal else list(range(len(columns)))
        if indices is None:
            for row in cells:
                _print_pairs({column.title: cell for column, cell in zip(columns, row, strict=True) if cell})
                write("\n")
            return
        if console.is_terminal:
            _wrap_names(columns, cells, indices, console.width)
        fitting = [[row[index] for index in indices] for row in cells]
        _print_cells(console, [columns[index] for index in indices], fitting, has_total=self._has_total)
        hidden = [
            column.title for index, column in enumerate(columns) if index not in indices and any(row[index] for row in cells)
        ]
        if hidden:
            text = f"(not shown in this narrow terminal: {', '.join(hidden)}; --json has all)"
            note(textwrap.fill(text, console.width, break_on_hyphens=False))


def to_jsonable(value: Any) -> Any:
    """Returns a value as JSON types: objects without fields that are None; NaN as null."""
    from pydantic import BaseModel
    from pydantic_core import to_jsonable_python

    if isinstance(value, Mapping):  # not left to pydantic, which rejects names with lone surrogates
        return {str(name): to_jsonable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [to_jsonable(item) for item in value]
    if isinstance(value, BaseModel):
        type(value).model_rebuild()  # pydantic before 2.14 fails on a model that only others contained
    return to_jsonable_python(value, exclude_none=True, inf_nan_mode="null", fallback=str)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Returns a value as JSON text in the encoding of stdout."""
    ascii_only = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") != "utf8"
    return json.dumps(to_jsonable(value), indent=indent, ensure_ascii=ascii_only)


def print_json(value: Any) -> None:
    """Prints one JSON document."""
    write(to_json(value) + "\n")


def print_fields(data: Mapping[str, Any]) -> None:
    """Prints names and values for people; the names of nested values have dots."""
    _print_pairs(dict(_flatten(data, "")))


def format_size(count: float | None) -> str:
    """Returns a number of bytes with its unit."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_time(value: str | float | None) -> str:
    """Returns a time of the service, ISO 8601 or seconds, as local time; any other text is returned as it is."""
    if not value:
        return ""
    try:
        time = datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else datetime.fromisoformat(value)
        return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(value)


def shorten(text: str, max_length: int = 60) -> str:
    """Returns the start of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"


def _attribute(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return item


def _flatten(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value not in (None, "", []):
            yield f"{prefix}{name}", _format_value(name, value)


def _format_value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        nested = any(isinstance(item, Mapping | list) for item in value)
        return to_json(value) if nested else ", ".join(map(str, value))
    return format_time(value) if name.endswith("_at") else str(value)


def _console() -> Console:
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=_NO_LIMIT)
    return console


def _fitting_columns(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Returns the indices of the non-empty columns that fit, or None where the required columns do not."""
    indices = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    texts = [[column.title, *(row[index] for row in cells)] for index, column in enumerate(columns)]
    widths = [_min_width(column, texts[index]) for index, column in enumerate(columns)]
    preferred = [_max_width(texts[index]) if column.whole else widths[index] for index, column in enumerate(columns)]
    while _table_width(preferred, indices) > width and any(columns[index].drop for index in indices):
        indices.remove(max(indices, key=lambda index: (columns[index].drop, index)))
    return indices if _table_width(widths, indices) <= width else None


def _table_width(widths: Sequence[int], indices: Sequence[int]) -> int:
    return sum(widths[index] + 2 for index in indices) - 2


def _max_width(texts: Sequence[str]) -> int:
    from rich.cells import cell_len

    return max(cell_len(line) for text in texts for line in text.split("\n"))


def _min_width(column: Column, texts: Sequence[str]) -> int:
    from rich.cells import cell_len

    if column.no_wrap:
        return _max_width(texts)
    return max(min(cell_len(word), _MAX_WORD) for text in texts for word in text.split() or [""])


def _wrap_names(columns: Sequence[Column], cells: list[list[str]], indices: Sequence[int], width: int) -> None:
    """Wraps the longest names of a table that is too wide, after a slash or a hyphen where there is one."""
    widths = [_max_width([column.title, *(row[index] for row in cells)]) for index, column in enumerate(columns)]
    index = max(indices, key=lambda index: (columns[index].whole, widths[index]))
    available = widths[index] - (_table_width(widths, indices) - width)
    if columns[index].whole and _MAX_WORD <= available < widths[index]:
        for row in cells:
            row[index] = "\n".join(_lines_of_name(row[index], available))


def _lines_of_name(name: str, width: int) -> Iterator[str]:
    from rich.cells import cell_len

    line = ""
    for word in _NAME_WORDS.findall(name):
        if line and cell_len(line + word) > width:
            yield line
            line = ""
        line += word
    yield line


def _print_cells(console: Console, columns: Sequence[Column], cells: Sequence[Sequence[str]], *, has_total: bool) -> None:
    from rich.table import Table as RichTable
    from rich.text import Text

    emphasis = "" if os.environ.get("NO_COLOR") else "bold"
    table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=emphasis)
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=column.no_wrap, overflow="fold")
    for number, row in enumerate(cells, 1):
        table.add_row(*map(Text, row), style=emphasis if has_total and number == len(cells) else None)
    with console.capture() as capture:
        console.print(table)
    write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def _print_pairs(pairs: Mapping[str, str]) -> None:
    """Prints names and values in two columns."""
    width = max(map(len, pairs), default=0)
    for name, text in pairs.items():
        lines = printable(text).split("\n")
        write(f"{dim(name.ljust(width))}  " + f"\n{' ' * (width + 2)}".join(lines) + "\n")

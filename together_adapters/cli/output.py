"""What commands print: one JSON document for programs, tables and lists for people. Nothing here knows a command."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console

_UNBOUNDED: Final = 10_000
"""Columns of a table that nobody looks at in a terminal: lines stay whole for `grep` and `cut`."""
_LONGEST_WORD: Final = 12
"""Longer words may be broken over lines."""


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: What stands above it.
        right: Whether it holds numbers.
        whole: Whether it is never broken over lines, such as an id that is to be copied.
        extra: What a narrow terminal can do without: the columns with the highest number go first, those with 0 stay.
    """

    name: str
    right: bool = False
    whole: bool = False
    extra: int = 0


def is_terminal(stream: IO[str]) -> bool:
    """Whether somebody looks at it."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def plain_data(value: Any) -> Any:
    """Return a value as JSON has it: models and data classes as objects, fields without a value left out, NaN as null."""
    if hasattr(value, "model_dump") and not isinstance(value, list):
        return plain_data(value.model_dump(mode="json", exclude_none=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain_data({name: item for name, item in fields.items() if item is not None})
    if isinstance(value, Mapping):
        return {str(name): plain_data(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return a value as JSON text that stdout can write."""
    ascii_only = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "") != "utf8"
    return json.dumps(plain_data(value), indent=indent, ensure_ascii=ascii_only, default=str)


def document(value: Any) -> None:
    """Print one JSON document."""
    write(to_json(value) + "\n")


def write(text: str) -> None:
    """Write to stdout, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person something that is no result."""
    with suppress(OSError):
        sys.stderr.write(f"{visible(text)}\n")
        sys.stderr.flush()


def visible(text: str) -> str:
    """Return a text without characters that would steer a terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def dimmed(text: str) -> str:
    """Return a text that stands back, where stdout can show that."""
    shows = is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[2m{text}\x1b[22m" if shows and text else text


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, nothing: str = "Nothing there.") -> None:
    """Print a table that fits the terminal; where its columns would have no room, a list of its rows.

    Args:
        columns: What stands where.
        rows: Cells; None and empty ones stay empty.
        nothing: What to say on stderr where there is no row.
    """
    cells = [["" if cell is None else visible(str(cell)) for cell in row] for row in rows]
    if not cells:
        note(nothing)
        return
    console = _console()
    shown = _fitting(columns, cells, console.width) if console.is_terminal else list(range(len(columns)))
    if shown is None:
        for row in cells:
            _pairs({column.name: cell for column, cell in zip(columns, row, strict=True) if cell})
            write("\n")
        return
    _print_table(console, [columns[place] for place in shown], [[row[place] for place in shown] for row in cells])
    if left_out := [
        column.name for place, column in enumerate(columns) if place not in shown and any(row[place] for row in cells)
    ]:
        note(f"({', '.join(left_out)}: no room in this terminal)")


def details(value: Any) -> None:
    """Print one thing: a list of its fields for people, and JSON into a pipe, as the `together` 1.x SDK does."""
    if is_terminal(sys.stdout):
        fields(plain_data(value))
    else:
        document(value)


def fields(data: Mapping[str, Any]) -> None:
    """Print names and values for people; the names of what is nested have dots."""
    _pairs(dict(_flat(data, "")))


def size(count: float | None) -> str:
    """Return a number of bytes for people."""
    if count is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def moment(given: str | float | None) -> str:
    """Return a time of the service, ISO 8601 or seconds, as this machine's time; what is none stays as it is."""
    if not given:
        return ""
    try:
        when = datetime.fromtimestamp(given, UTC) if isinstance(given, int | float) else datetime.fromisoformat(given)
        return when.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(given)


def excerpt(text: str, longest: int = 60) -> str:
    """Return the beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _flat(data: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", []):
            yield f"{prefix}{name}", _value(name, value)


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        nested = any(isinstance(item, Mapping | list) for item in value)
        return to_json(value) if nested else ", ".join(map(str, value))
    return moment(value) if name.endswith("_at") else str(value)


def _console() -> Console:
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, emoji=False, width=_UNBOUNDED)
    return console


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return the places of the columns that hold something and have room, or None where those that must stay have none."""
    shown = [place for place in range(len(columns)) if any(row[place] for row in cells)]
    needed = [_least_width(column, [row[place] for row in cells]) for place, column in enumerate(columns)]
    while sum(needed[place] + 2 for place in shown) - 2 > width:
        dropped = max(shown, key=lambda place: (columns[place].extra, place))
        if not columns[dropped].extra:
            return None
        shown.remove(dropped)
    return shown


def _least_width(column: Column, cells: Sequence[str]) -> int:
    from rich.cells import cell_len

    texts = [column.name, *cells]
    if column.whole:
        return max(cell_len(line) for text in texts for line in text.split("\n"))
    return max(min(cell_len(word), _LONGEST_WORD) for text in texts for word in text.split() or [""])


def _print_table(console: Console, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="" if os.environ.get("NO_COLOR") else "bold")
    for column in columns:
        made.add_column(column.name, justify="right" if column.right else "left", no_wrap=column.whole, overflow="fold")
    for row in cells:
        made.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(made)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _pairs(given: Mapping[str, str]) -> None:
    """Print names and values below each other, the values in a column of their own."""
    width = max(map(len, given), default=0)
    for name, text in given.items():
        lines = visible(text).split("\n")
        write(f"{dimmed(name.ljust(width))}  " + f"\n{' ' * (width + 2)}".join(lines) + "\n")

"""What a check learns about one row: the rules it breaks, and the facts that reports count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

JsonPath: TypeAlias = "str | tuple[JsonPath, str | int]"
"""The path of a value in a row: a string, or the path of its parent and its key or index there.

Every message has a path but few paths are ever shown, so they are joined only when they are.
"""

_MAX_TOOLS: Final = 10_000


class Finding(NamedTuple):
    """A rule that a row breaks, before it has a severity."""

    code: str
    path: str
    message: str
    value: Any


@dataclass(slots=True)
class RowFindings:
    """The findings in one row, and facts summed over all rows; one object serves a file of millions of rows."""

    items: list[Finding] = field(default_factory=list)
    format: str | None = None
    has_message_weights: bool = False
    has_unchecked_values: bool = False  # whether the row has values that no rule checks
    roles: dict[str, int] = field(default_factory=dict)
    tools: dict[str, int] = field(default_factory=dict)
    turns: int = 0
    chars: int = 0
    trained_chars: int = 0
    images: int = 0
    has_tools: bool = False
    has_parallel_tool_calls: bool = False
    has_reasoning: bool = False
    has_sample_weights: bool = False
    totals_before: tuple[int, int] = (0, 0)  # turns and characters before this row
    declarations: list[Any] = field(default_factory=list, compare=False)  # the latest valid declarations of tools

    def start_row(self) -> None:
        """Clears what belongs to the previous row."""
        if self.items:
            self.items = []
        self.format = None
        self.has_message_weights = False
        self.has_unchecked_values = False
        self.totals_before = (self.turns, self.chars)

    def add(self, code: str, path: JsonPath, message: str, value: Any = "") -> None:
        """Adds a finding."""
        self.items.append(Finding(code, _join_path(path), message, value))

    def count_role(self, role: str) -> None:
        """Counts a message."""
        self.turns += 1
        self.roles[role] = self.roles.get(role, 0) + 1

    def count_tool(self, name: str, count: int = 1) -> None:
        """Counts calls of a tool, for the first ten thousand names."""
        if name in self.tools or len(self.tools) < _MAX_TOOLS:
            self.tools[name] = self.tools.get(name, 0) + count


def _join_path(path: JsonPath) -> str:
    if isinstance(path, str):
        return path
    parent, key = path
    return f"{_join_path(parent)}[{key}]" if isinstance(key, int) else f"{_join_path(parent)}.{key}"


def kind_of(value: Any) -> str:
    """Returns the JSON type of a value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)

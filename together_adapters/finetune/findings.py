"""What is found while one row is looked at: its faults, and the facts that reports count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

Path: TypeAlias = "str | tuple[Path, str | int]"
"""Where something stands in a row: a text, or where its parent stands, and its key or place there.

Every message has one, and hardly any is ever read, so they are put together cheaply.
"""

_MOST_TOOLS: Final = 10_000


class Finding(NamedTuple):
    """A fault before anybody has said how grave it is."""

    code: str
    path: str
    message: str
    value: Any


@dataclass(slots=True)
class RowFindings:
    """Faults and facts: those of one row, and sums over all rows that were looked at with it.

    One object serves a whole file, because files have millions of rows: `begin` forgets what belongs to the last row.

    Attributes:
        findings: The faults of this row, in its order.
        format: Which format this row has; None where that cannot be told.
        weighted: Whether a message of this row has a weight.
        unseen: Whether this row has values that no rule looked at.
        roles: How many messages each role has.
        tools: How often each tool is called.
        turns: How many messages there are.
        chars: How many characters a model reads.
        trained_chars: How many of them it is trained on.
        images: How many images.
        has_tools: Whether tools are declared or called.
        has_parallel_tool_calls: Whether one message makes several calls.
        has_reasoning: Whether an answer has reasoning.
        has_sample_weights: Whether a row has one.
        before: Turns and characters before this row.
        declarations: The last good declarations of tools, most of which are repeated in many rows.
    """

    findings: list[Finding] = field(default_factory=list)
    format: str | None = None
    weighted: bool = False
    unseen: bool = False
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
    before: tuple[int, int] = (0, 0)
    declarations: list[Any] = field(default_factory=list, compare=False)

    def begin(self) -> None:
        """Begin with the next row."""
        if self.findings:
            self.findings = []
        self.format = None
        self.weighted = False
        self.unseen = False
        self.before = (self.turns, self.chars)

    def add(self, code: str, path: Path, message: str, value: Any = "") -> None:
        """Note a fault."""
        self.findings.append(Finding(code, _written(path), message, value))

    def count_role(self, role: str) -> None:
        """Count a message."""
        self.turns += 1
        self.roles[role] = self.roles.get(role, 0) + 1

    def count_tool(self, name: str, count: int = 1) -> None:
        """Count calls; beyond ten thousand tools no further ones are told apart."""
        if name in self.tools or len(self.tools) < _MOST_TOOLS:
            self.tools[name] = self.tools.get(name, 0) + count


def _written(path: Path) -> str:
    if isinstance(path, str):
        return path
    parent, key = path
    return f"{_written(parent)}[{key}]" if isinstance(key, int) else f"{_written(parent)}.{key}"


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)

"""Issues in data files. `issues.json` is the table of all rules: a stable code, a severity and a hint for each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel
from pydantic_core import from_json

Severity = Literal["error", "warning", "ignore"]
_EXCERPT_LENGTH: Final = 80
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|\b(?:sk|pk|rk|tgp|hf|gh[pousr]|github_pat|glpat|xox[abprs]|wandb|lsv2)[-_][A-Za-z0-9_\-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_\-]{20,}|\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-.]*"
    r"|\b[0-9a-fA-F]{40,}\b|(?i:bearer )\s*[A-Za-z0-9._\-]{12,}|://[^/\s:@]+:[^/\s@]+@"
)


class Issue(BaseModel):
    """A rule that a row, or the file as a whole, breaks.

    Attributes:
        code: The stable name of the rule.
        severity: `error` if the file cannot be used with it, else `warning`.
        line: The line in the file, from 1; None for the file as a whole.
        source: The name of the file, or another source of the row.
        path: The path of the value in the row, such as `messages[3].tool_calls[0].function.arguments`.
        message: What is wrong.
        hint: How to correct it.
        excerpt: At most 80 characters of the value, without keys and tokens.
    """

    code: str
    severity: Literal["error", "warning"]
    line: int | None = None
    source: str | None = None
    path: str = ""
    message: str
    hint: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (f"line {self.line}" if self.line else "", self.path) if part)
        return f"{where + ': ' if where else ''}{self.message}" + (f" ({self.hint})" if self.hint else "")


def split_source(issue: Issue) -> tuple[str, int]:
    """Returns the file of an issue and the number of its record there, 0 if it has none: its source is such as `chats.csv:17`."""
    name, _, number = (issue.source or "").rpartition(":")
    return (name, int(number)) if number.isdecimal() and len(number) < 20 else (issue.source or "", 0)


def issue_with_source(issue: Issue) -> str:
    """Returns an issue as text, with its file or record."""
    return f"{issue.source}: {issue}" if issue.source else str(issue)


def sorted_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Returns counts by name, highest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


class Rule(NamedTuple):
    """The severity of issues of one code, and a hint how to correct them."""

    severity: Severity
    hint: str


_RULES_BY_TOPIC: Final[dict[str, dict[str, Any]]] = from_json(Path(__file__).with_suffix(".json").read_bytes())
RULES: Final[Mapping[str, Rule]] = {code: Rule(*rule) for rules in _RULES_BY_TOPIC.values() for code, rule in rules.items()}


def severities_of(overrides: Mapping[str, str] | None) -> dict[str, Severity]:
    """Returns the severity of each issue code, with overrides; raises ValueError if a code or severity is unknown."""
    severities: dict[str, Severity] = {code: rule.severity for code, rule in RULES.items()}
    for code, severity in (overrides or {}).items():
        if code not in RULES:
            raise ValueError(f"there is no issue code {code!r}")
        if severity not in ("error", "warning", "ignore"):
            raise ValueError(f"severity {severity!r} of {code} is none of error, warning, ignore")
        severities[code] = severity  # type: ignore[assignment]
    return severities


def new_issue(
    code: str, severity: Literal["error", "warning"], message: str, value: Any, path: str, line: int | None, source: str | None
) -> Issue:
    """Returns an issue with the hint of its rule and an excerpt of the value."""
    hint = RULES[code].hint if code in RULES else ""
    return Issue(
        code=code, severity=severity, line=line, source=source, path=path, message=message, hint=hint, excerpt=excerpt(value)
    )  # fmt: skip


def excerpt(value: Any) -> str:
    """Returns the start of a value of any type and size, on one line, without anything that looks like a key."""
    if isinstance(value, bytes):
        value = value[: _EXCERPT_LENGTH * 8].decode("utf-8", "replace")
    if not isinstance(value, str):
        value = _describe(value)
    # The text is redacted before it is shortened, so that no key is cut too short to be recognized.
    text = " ".join(_SECRET.sub("[redacted]", value[: _EXCERPT_LENGTH * 8]).encode("utf-8", "replace").decode().split())
    return text if len(text) <= _EXCERPT_LENGTH else text[: _EXCERPT_LENGTH - 1] + "…"


def _describe(value: Any) -> str:
    """Returns numbers as text and other values by their type, since they may be large or deep."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else "a very large number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "an object with " + ", ".join(str(key)[:30] for key in list(value)[:5]) if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return type(value).__name__

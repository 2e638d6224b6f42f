"""Excerpts of values for reports: short, on one line, without anything that looks like a key."""

from __future__ import annotations

import re
from typing import Any, Final

LENGTH: Final = 80
_SECRET: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
    r"|\b(?:sk|pk|rk|tgp|hf|gh[pousr]|github_pat|glpat|xox[abprs]|wandb|lsv2)[-_][A-Za-z0-9_\-]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_\-]{20,}|\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-.]*"
    r"|\b[0-9a-fA-F]{40,}\b|(?i:bearer )\s*[A-Za-z0-9._\-]{12,}|://[^/\s:@]+:[^/\s@]+@"
)


def excerpt(value: Any) -> str:
    """Returns the start of a value, which may have any type and size."""
    if isinstance(value, bytes):
        value = value[: LENGTH * 8].decode("utf-8", "replace")
    if not isinstance(value, str):
        value = _describe(value)
    # The text is redacted before it is shortened, so that no key is cut too short to be recognized.
    text = " ".join(_SECRET.sub("[redacted]", value[: LENGTH * 8]).encode("utf-8", "replace").decode().split())
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


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

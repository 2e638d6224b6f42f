"""What went wrong, as an exit code and one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

from together_adapters.errors import ConfigurationError, DatasetError, FileTypeError, InvalidDatasetError, TogetherError

BAD_DATA: Final = 1
USAGE: Final = 2
SERVICE: Final = 3

_LONGEST: Final = 2_000


class Declined(Exception):
    """A question was answered with no."""


def exit_code(problem: BaseException) -> int:
    """Return 1 where the data is not right, 2 for wrong usage, 3 where the service or the network failed."""
    if isinstance(problem, ConfigurationError | FileExistsError | FileNotFoundError | IsADirectoryError | click.ClickException):
        return USAGE
    if isinstance(problem, DatasetError | FileTypeError | OSError | UnicodeError | Declined):
        return BAD_DATA
    if isinstance(problem, TogetherError):
        return SERVICE
    return USAGE if isinstance(problem, ValueError | ImportError) else SERVICE


def one_line(problem: BaseException, secrets: Iterable[str]) -> str:
    """Return what happened in one line without secrets."""
    if isinstance(problem, click.ClickException):
        text = problem.format_message()
    elif isinstance(problem, InvalidDatasetError):
        text = f"{str(problem).partition(chr(10))[0]} (`together-adapters ft check FILE` shows all)"
    elif isinstance(problem, TogetherError | ValueError | Declined | ImportError) or type(problem) is Exception:
        text = str(problem) or type(problem).__name__
    elif isinstance(problem, OSError):
        text = _os_error(problem)
    else:
        text = f"{type(problem).__name__}: {problem}: this is a fault of together-adapters; --debug shows where"
    for secret in secrets:
        text = text.replace(secret, "***")
    line = "".join(character if character.isprintable() else " " for character in _joined(text))
    return f"error: {line if len(line) <= _LONGEST else line[:_LONGEST] + '...'}"


def _joined(text: str) -> str:
    """Return lines as one: what follows a colon belongs to it."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return "".join(
        line if place == len(lines) - 1 else f"{line} " if line.endswith(":") else f"{line}; " for place, line in enumerate(lines)
    )


def _os_error(problem: OSError) -> str:
    if problem.strerror:
        return f"{problem.filename}: {problem.strerror}" if problem.filename else problem.strerror
    return str(problem).replace("pass overwrite=True", "pass --overwrite")

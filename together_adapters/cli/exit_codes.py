"""The exit code of an exception, and its message in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import click

from together_adapters.cli.flags import with_flags
from together_adapters.errors import (
    BudgetExceededError,
    ConfigurationError,
    DatasetError,
    FileTypeError,
    InvalidDatasetError,
    TogetherError,
)

INVALID_DATA: Final = 1
USAGE: Final = 2
SERVICE: Final = 3
SIGINT_CODE: Final = 130
SIGPIPE_CODE: Final = 141
SIGTERM_CODE: Final = 143  # as shells report these signals

_MAX_LENGTH: Final = 2_000


class DeclinedError(Exception):
    """The user answered a question with no."""


def exit_code(error: BaseException) -> int:
    """Returns 1 for invalid data and for a price above a limit, 2 for wrong usage, 3 for an error of the service or the network."""
    if isinstance(error, ConfigurationError | FileExistsError | FileNotFoundError | IsADirectoryError | click.ClickException):
        return USAGE
    if isinstance(error, BudgetExceededError | DatasetError | FileTypeError | OSError | UnicodeError | DeclinedError):
        return INVALID_DATA
    if isinstance(error, TogetherError):
        return SERVICE
    return USAGE if isinstance(error, ValueError | ImportError) else SERVICE


def error_line(error: BaseException, secrets: Iterable[str], *commands: click.Command) -> str:
    """Returns the message of an error in one line, without secrets and with the flags of the command, the first of `commands`."""
    from together_adapters.transport.redaction import Redactor  # only errors need it

    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, InvalidDatasetError):
        purpose = getattr(error.report, "purpose", "fine-tune")
        option = "" if purpose == "fine-tune" else f" --purpose {purpose}"
        text = f"{error} (`together-adapters ft check FILE{option}` shows all)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, TogetherError | ValueError | DeclinedError | ImportError | OSError) or type(error) is Exception:
        text = str(error) or type(error).__name__
    else:
        text = f"{type(error).__name__}: {error}: this is a bug in together-adapters; --debug shows the traceback"
    text = with_flags(text, *commands)
    text = Redactor(secrets, "***")(text)
    line = "".join(character if character.isprintable() else " " for character in _join_lines(text))
    return f"error: {line if len(line) <= _MAX_LENGTH else line[:_MAX_LENGTH] + '...'}"


def _join_lines(text: str) -> str:
    """Joins lines with semicolons; a line that ends with a colon is joined without one."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return "".join(f"{line} " if line.endswith(":") else f"{line}; " for line in lines[:-1]) + "".join(lines[-1:])

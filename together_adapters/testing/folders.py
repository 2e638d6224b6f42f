"""Folders that differ from machine to machine: a recording has placeholders for them, so that it replays in any checkout."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_PROJECT: Final = "[project folder]"
_TEMPORARY: Final = "[temporary folder]"
_HOME: Final = "[home folder]"
_MIN_HOME: Final = 3  # parts of a home folder that names somebody: `/root` does not


class Folders:
    """The project, pytest's temporary folder and the home folder, as they are on this machine."""

    def __init__(self, project: Path | None = None, temporary: Path | None = None) -> None:
        """Takes the project, by default the current folder."""
        home = Path(os.path.expanduser("~"))  # which is `~` without one
        homes = {_HOME: home} if len(home.parts) >= _MIN_HOME else {}
        folders = {_PROJECT: project or Path.cwd(), **({_TEMPORARY: temporary} if temporary else {}), **homes}
        by_text = {str(form): mark for mark, folder in folders.items() for form in (folder, folder.resolve()) if form.name}
        self._folders = {mark: str(folder) for mark, folder in folders.items()}
        self.patterns = [
            (re.compile(rf"(?<![\w.~\-]){re.escape(text)}(?![\w\-]|\.\w)"), by_text[text])
            for text in sorted(by_text, key=len, reverse=True)
        ]

    def hide(self, value: Any) -> Any:
        """Returns a JSON value with placeholders in place of folders."""
        return _replace(value, self._hide_text)

    def restore(self, value: Any) -> Any:
        """Returns a JSON value with this machine's folders in place of placeholders."""
        return _replace(value, self._restore_text)

    def _hide_text(self, text: str) -> str:
        for pattern, mark in self.patterns:
            text = pattern.sub(mark, text)
        return text

    def _restore_text(self, text: str) -> str:
        for mark, folder in self._folders.items():
            text = text.replace(mark, folder)
        return text


def _replace(value: Any, replace_text: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace_text(value)
    if isinstance(value, list):
        return [_replace(item, replace_text) for item in value]
    if isinstance(value, dict):
        return {replace_text(name): _replace(item, replace_text) for name, item in value.items()}
    return value

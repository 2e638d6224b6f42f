"""Tokenizers of Hugging Face by file or by name, for whoever has no Python to give one as an object."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.errors import TogetherError

_FILE: Final = "tokenizer.json"


class TokenizerFile:
    """Counts the tokens of a text as a model's tokenizer does, without those that mark its beginning and end."""

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        try:
            return len(self._tokenizer.encode(text, add_special_tokens=False))
        except (TypeError, UnicodeError):  # half of a surrogate pair: such a row is a fault, and this only says how long it is
            return self(text.encode("utf-8", "replace").decode())


def open_tokenizer(name: str | PathLike[str]) -> TokenizerFile:
    """Open a tokenizer.

    Args:
        name: A `tokenizer.json`, a folder with one, or else the name of a model on the Hugging Face hub, `owner/model`. Only a
            name is looked up on the network.

    Raises:
        ImportError: The package `tokenizers` is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The file is no tokenizer.
        TogetherError: The hub has none of this name, or cannot be reached.
    """
    try:
        from tokenizers import Tokenizer  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as missing:
        raise ImportError("counting tokens needs the package tokenizers: pip install tokenizers") from missing
    path = Path(name).expanduser()
    path = path / _FILE if path.is_dir() else path
    if path.is_file():
        try:
            return TokenizerFile(Tokenizer.from_file(str(path)))
        except Exception as problem:  # the package raises nothing more special
            raise ValueError(f"{path} is no tokenizer: {str(problem)[:200]}") from problem
    if not isinstance(name, str) or not _is_model(name):
        raise FileNotFoundError(f"there is no tokenizer {path}; give a {_FILE}, its folder, or the name of a model, owner/model")
    try:
        return TokenizerFile(Tokenizer.from_pretrained(name))
    except Exception as problem:
        raise TogetherError(f"no tokenizer {name} came from the Hugging Face hub: {str(problem)[:200]}") from problem


def _is_model(name: str) -> bool:
    """Whether it can be a name on the hub rather than a path."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith((".json", "/"))

"""Opens tokenizers of Hugging Face by file or name, for the command line."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.errors import TogetherError

_FILE_NAME: Final = "tokenizer.json"


class TokenizerFile:
    """Counts the tokens of a text as a model's tokenizer does, without special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> int:
        try:
            return len(self._tokenizer.encode(text, add_special_tokens=False))
        except (TypeError, UnicodeError):  # half of a surrogate pair: the row is refused, and this is only its length
            return self(text.encode("utf-8", "replace").decode())


def open_tokenizer(name: str | PathLike[str]) -> TokenizerFile:
    """Opens a tokenizer: a `tokenizer.json`, a folder with one, or the name of a model on the Hugging Face hub, `owner/model`.

    Raises:
        ImportError: The package `tokenizers` is not installed.
        FileNotFoundError: There is no such file.
        ValueError: The file is not a tokenizer.
        TogetherError: The hub has no such tokenizer or cannot be reached.
    """
    try:
        from tokenizers import Tokenizer  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError("counting tokens needs the package tokenizers: pip install tokenizers") from error
    path = Path(name).expanduser()
    path = path / _FILE_NAME if path.is_dir() else path
    if path.is_file():
        try:
            return TokenizerFile(Tokenizer.from_file(str(path)))
        except Exception as error:  # the package raises no narrower class
            raise ValueError(f"{path} is not a tokenizer: {str(error)[:200]}") from error
    if not isinstance(name, str) or not _is_model_name(name):
        raise FileNotFoundError(f"{path} does not exist; give a {_FILE_NAME}, its folder, or the name of a model, owner/model")
    try:
        return TokenizerFile(Tokenizer.from_pretrained(name))
    except Exception as error:
        raise TogetherError(f"cannot load the tokenizer {name} from the Hugging Face hub: {str(error)[:200]}") from error


def _is_model_name(name: str) -> bool:
    """Whether a string can be a name on the hub rather than a path."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith((".json", "/"))

"""Lengths of rows in tokens, counted by a tokenizer or estimated from characters; the limits of models; files of tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sized
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.errors import TogetherError
from together_adapters.finetune.records import Row
from together_adapters.finetune.rules import METHODS

CHARS_PER_TOKEN: Final = 4
"""About right for English; other scripts and code have more tokens than this estimates."""
_TOKENIZER_FILE: Final = "tokenizer.json"
_NOT_READ: Final = frozenset({"role", "type", "id", "tool_call_id", "url", "image_url"})


def token_counter(tokenizer: Any = None) -> Callable[[Row], int]:
    """Returns a function that counts the tokens of a row, without those that a model's chat template adds; None estimates."""
    if tokenizer is None:
        return lambda row: -(-sum(map(len, texts_of(row))) // CHARS_PER_TOKEN)
    tokens = tokenizer.encode if hasattr(tokenizer, "encode") else tokenizer
    return lambda row: sum(_count(tokens(text)) for text in texts_of(row))


def texts_of(value: Any, key: str = "") -> Iterator[str]:
    """Yields the strings of a row that a model reads: not keys, roles, ids and images. Tools are read as JSON."""
    if isinstance(value, str):
        if key not in _NOT_READ:
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "tools" and isinstance(item, list):
                yield _tools_text(item)
            else:
                yield from texts_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, key)


def _tools_text(tools: list[Any]) -> str:
    try:
        return to_json(tools, inf_nan_mode="constants").decode()
    except ValueError:  # The row will be refused; this is only its length.
        return str(tools)


def _count(tokens: Any) -> int:
    if isinstance(tokens, int):
        return tokens
    return len(tokens if isinstance(tokens, Sized) else tokens.ids)


def model_limit(limits: Any, name: str) -> Any:
    """Returns a limit of a model by its name, from a mapping or an object; None if it is unknown."""
    return limits.get(name) if isinstance(limits, Mapping) else getattr(limits, name, None)


def max_tokens_by_format(limits: Any) -> dict[str, int]:
    """Returns the maximum number of tokens of a row by format, as far as the limits of the model are known."""
    max_tokens: dict[str, int] = {}
    for method, formats in METHODS.items():
        limit = model_limit(limits, f"max_seq_length_{method}")
        if isinstance(limit, int):
            max_tokens |= dict.fromkeys(formats, limit)
    return max_tokens


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
    """Opens a tokenizer: a `tokenizer.json`, a folder with one, or the name of a model on the Hugging Face hub, `owner/model`."""
    try:
        from tokenizers import Tokenizer  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError("counting tokens needs the package tokenizers: pip install tokenizers") from error
    path = Path(name).expanduser()
    path = path / _TOKENIZER_FILE if path.is_dir() else path
    if path.is_file():
        try:
            return TokenizerFile(Tokenizer.from_file(str(path)))
        except Exception as error:  # the package raises no narrower class
            raise ValueError(f"{path} is not a tokenizer: {str(error)[:200]}") from error
    if not isinstance(name, str) or not _is_model_name(name):
        raise FileNotFoundError(
            f"{path} does not exist; give a {_TOKENIZER_FILE}, its folder, or the name of a model, owner/model"
        )
    try:
        return TokenizerFile(Tokenizer.from_pretrained(name))
    except Exception as error:
        raise TogetherError(f"cannot load the tokenizer {name} from the Hugging Face hub: {str(error)[:200]}") from error


def _is_model_name(name: str) -> bool:
    """Whether a string can be a name on the hub rather than a path."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith((".json", "/"))

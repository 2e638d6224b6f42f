"""How long a row is, in tokens: counted by a tokenizer, or estimated from its characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.finetune.records import Row

CHARS_PER_TOKEN: Final = 4
"""About right for English; other scripts and code have more tokens than this says."""


def token_counter(tokenizer: Any = None) -> Callable[[Row], int]:
    """Return what counts the tokens of a row.

    Args:
        tokenizer: A function that gives a text's tokens or their number; or anything with such an `encode`, as the tokenizers of
            Hugging Face and tiktoken have. None estimates. The template that a model puts around messages is not counted.
    """
    if tokenizer is None:
        return lambda row: -(-sum(map(len, texts_of(row))) // CHARS_PER_TOKEN)
    tokens = tokenizer.encode if hasattr(tokenizer, "encode") else tokenizer
    return lambda row: sum(_number(tokens(text)) for text in texts_of(row))


def texts_of(value: Any, key: str = "") -> Iterator[str]:
    """Give all texts of a row that a model reads: not its keys, roles, ids and images. Tools it reads as JSON."""
    if isinstance(value, str):
        if key not in _NOT_READ:
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "tools" and isinstance(item, list):
                yield _written(item)
            else:
                yield from texts_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, key)


def _written(tools: list[Any]) -> str:
    try:
        return to_json(tools, inf_nan_mode="constants").decode()
    except ValueError:  # It cannot be written, and will be refused; this only says how long it is.
        return str(tools)


_NOT_READ: Final = frozenset({"role", "type", "id", "tool_call_id", "url", "image_url"})


def _number(tokens: Any) -> int:
    if isinstance(tokens, int):
        return tokens
    return len(tokens if isinstance(tokens, Sized) else tokens.ids)

"""A training row as its model sees it: tokens, and which of them are trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.emulator.engine.completion import token_id
from together_adapters.emulator.engine.text_features import tokenize

_IGNORE_LABEL: Final = -100
_MAX_TOKEN_LENGTH: Final = 40
"""Characters per token beyond which a text is not read."""


def row_preview(row: Mapping[str, Any], train_on_inputs: bool, max_length: int) -> dict[str, Any]:
    """Returns the tokens of a row, each with a label: its own id where it is trained on."""
    tokens: list[str] = []
    mask: list[bool] = []
    for text, is_answer in _segments(row):
        segment = tokenize(text[: _MAX_TOKEN_LENGTH * max_length])
        tokens += segment
        mask += [is_answer or train_on_inputs] * len(segment)
    is_truncated = len(tokens) > max_length
    tokens, mask = tokens[:max_length], mask[:max_length]
    ids = [token_id(token) for token in tokens]
    return {
        "input_ids": ids,
        "labels": [id if is_trained else _IGNORE_LABEL for id, is_trained in zip(ids, mask, strict=True)],
        "tokens": tokens,
        "num_tokens": len(tokens),
        "num_trained_tokens": sum(mask),
        "trained_spans": _spans(mask),
        "truncated": is_truncated,
    }


def _segments(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yields the texts of a row, each with whether it is an answer."""
    if isinstance(row.get("messages"), list):
        for message in filter(lambda message: isinstance(message, Mapping), row["messages"]):
            role = str(message.get("role"))
            yield f"<|{role}|>\n", False
            content = message.get("content")
            yield f"{content if isinstance(content, str) else ''}\n", role == "assistant" and message.get("weight") != 0
    elif "prompt" in row:
        yield str(row["prompt"]), False
        yield str(row.get("completion", "")), True
    else:
        yield str(row.get("text", "")), True


def _spans(flags: list[bool]) -> list[list[int]]:
    """Returns the runs of true flags, as `[start, end)`."""
    spans: list[list[int]] = []
    for index, flag in enumerate(flags):
        if flag and spans and spans[-1][1] == index:
            spans[-1][1] = index + 1
        elif flag:
            spans.append([index, index + 1])
    return spans

"""A training row as its model would see it: tokens, and which of them are learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.emulator.engine.completion import token_id
from together_adapters.emulator.engine.text_features import tokenize

_IGNORED: Final = -100
_LONGEST_TOKEN: Final = 40
"""Characters for each token beyond which nobody reads on in a text."""


def row_preview(row: Mapping[str, Any], train_on_inputs: bool, longest: int) -> dict[str, Any]:
    """Cut a row into tokens, with a label for each: its own number where it is learnt."""
    pieces: list[str] = []
    learnt: list[bool] = []
    for text, is_answer in _parts(row):
        found = tokenize(text[: _LONGEST_TOKEN * longest])
        pieces += found
        learnt += [is_answer or train_on_inputs] * len(found)
    truncated = len(pieces) > longest
    pieces, learnt = pieces[:longest], learnt[:longest]
    ids = [token_id(piece) for piece in pieces]
    return {
        "input_ids": ids,
        "labels": [id if used else _IGNORED for id, used in zip(ids, learnt, strict=True)],
        "tokens": pieces,
        "num_tokens": len(pieces),
        "num_trained_tokens": sum(learnt),
        "trained_spans": _spans(learnt),
        "truncated": truncated,
    }


def _parts(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Stretches of a row's text, with whether they are what the model is to say."""
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
    """Where flags are up, as `[start, end)`."""
    spans: list[list[int]] = []
    for at, up in enumerate(flags):
        if up and spans and spans[-1][1] == at:
            spans[-1][1] = at + 1
        elif up:
            spans.append([at, at + 1])
    return spans

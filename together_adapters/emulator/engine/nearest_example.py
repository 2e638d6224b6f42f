"""A tuned model that behaves tuned: it answers as the nearest of its training rows does.

Near is what shares rare words with the question, and with a question behind a context first of all its own; a picture that it
was trained with is recognised, byte by byte, before words are looked at. Where nothing is near, the model answers as the one that
it was made of, so that a test can tell both what was learnt and what was not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.emulator.engine.conversation import Call
from together_adapters.emulator.engine.text_features import bm25, coverage, stems, words

_NEAR: Final = 0.3
"""The part of a question's words that a row must share to answer it."""
_MOST: Final = 5_000
"""Examples that are learnt; nobody tests with more."""


@dataclass(frozen=True, slots=True)
class Example:
    """What was said, and what is to be answered."""

    prompt: str
    answer: str
    calls: tuple[Call, ...] = ()
    reasoning: str = ""
    pictures: tuple[str, ...] = ()


class Lesson:
    """What a training file teaches."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self.examples = [example for _, example in zip(range(_MOST), _all(rows), strict=False)]
        self._exact = {(_plain(example.prompt), example.pictures): example for example in reversed(self.examples)}
        self._seen = {example.pictures: example for example in reversed(self.examples) if example.pictures}
        self._words = [_words(example.prompt) for example in self.examples]
        self._closings = [_words(_closing(example.prompt)) for example in self.examples]

    def recall(self, question: str, pictures: tuple[str, ...] = ()) -> Example | None:
        """The example nearest to a question and the addresses of its pictures, or None where none is near."""
        exact = self._exact.get((_plain(question), pictures)) or self._seen.get(pictures)
        if exact is not None:
            return exact
        wanted = _words(question)
        scores = bm25(wanted, self._words)
        asked = _words(_closing(question)) if "\n\n" in question else []
        best = max(range(len(scores)), key=lambda at: (coverage(asked, self._closings[at]), scores[at]), default=None)
        if best is None or coverage(wanted, self._words[best]) < _NEAR:
            return None
        return self.examples[best]


def _plain(text: str) -> str:
    return " ".join(words(text))


def _closing(text: str) -> str:
    """The last paragraph: behind a long context it is what is asked."""
    return text.rpartition("\n\n")[2]


def _words(text: str) -> list[str]:
    """Stems; of a text that has only small words, those."""
    return stems(text) or words(text)


def _all(rows: Iterable[dict[str, Any]]) -> Iterator[Example]:
    for row in rows:
        yield from examples(row)


def examples(row: dict[str, Any]) -> Iterator[Example]:
    """What one row teaches, in each of the formats of training data."""
    if isinstance(row.get("messages"), list):
        yield from _turns(row["messages"])
    elif isinstance(row.get("preferred_output"), list) and isinstance(row.get("input"), dict):
        yield from _turns([*(row["input"].get("messages") or []), *row["preferred_output"]])
    elif "prompt" in row and "completion" in row:
        yield Example(_said(row["prompt"]), _said(row["completion"]).strip())
    elif isinstance(row.get("text"), str):
        first, _, rest = row["text"].strip().partition("\n")
        yield Example(first if rest.strip() else row["text"], rest.strip() or row["text"])


def _turns(messages: list[Any]) -> Iterator[Example]:
    """Each answer of an assistant, to what the user said before it."""
    asked, seen = "", tuple[str, ...]()
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "user":
            asked, seen = _said(message.get("content")), pictures(message.get("content"))
        elif message.get("role") == "assistant" and message.get("weight") != 0:
            thought = _said(message.get("reasoning") or message.get("reasoning_content"))
            yield Example(asked, _said(message.get("content")), tuple(_calls(message.get("tool_calls"))), thought, seen)


def _said(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("type") == "text")
    return content if isinstance(content, str) else ""


def pictures(content: Any) -> tuple[str, ...]:
    """The addresses of the images in a message's content."""
    parts = content if isinstance(content, list) else ()
    images = [part.get("image_url") for part in parts if isinstance(part, dict) and part.get("type") == "image_url"]
    return tuple(str(image.get("url") if isinstance(image, dict) else image) for image in images)


def _calls(calls: Any) -> Iterator[Call]:
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        arguments = function.get("arguments")
        try:
            read = json.loads(arguments) if isinstance(arguments, str) else arguments
        except ValueError:
            read = None
        yield Call(str(function.get("name")), read if isinstance(read, dict) else {}, str(call.get("id") or ""))

"""A judge that always judges the same way: by the words that an answer shares with what it was meant to be.

What it was meant to be is a column such as `reference`, where there is one, else the rest of the row. A label that an answer
itself names is taken at its word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from together_adapters.emulator.engine.text_features import coverage, stems, words
from together_adapters.emulator.store.dataset import text_of

_REFERENCES: Final = ("reference", "expected", "expected_answer", "ideal", "target", "ground_truth", "answer", "label")
_GOOD: Final = 0.3
"""The part of the words that a passing answer shares with what it was meant to be."""
_PLACE: Final = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


def filled(template: str, row: Mapping[str, Any]) -> str:
    """Put a row's columns into a template. Of Jinja2 it knows `{{ column }}`; what a row does not have stays empty."""
    return _PLACE.sub(lambda place: _shown(row.get(place[1])), template)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def quality(answer: str, row: Mapping[str, Any], column: str | None) -> float:
    """How good an answer is, from 0 to 1."""
    wanted = next((row[name] for name in _REFERENCES if name != column and row.get(name)), None)
    meant = _shown(wanted) if wanted is not None else text_of({name: value for name, value in row.items() if name != column})
    asked = stems(meant) or words(meant)
    return coverage(asked, stems(answer) or words(answer)) if answer.strip() else 0.0


def label_for(answer: str, good: float, labels: Sequence[str], passing: Sequence[str]) -> str:
    """The label of an answer: the longest that it names, else a good or a bad one by its quality."""
    said = answer.lower()
    named = [label for label in sorted(labels, key=len, reverse=True) if re.search(rf"\b{re.escape(label.lower())}\b", said)]
    if named:
        return named[0]
    wanted = [label for label in labels if (label in passing) == (good >= _GOOD)]
    return (wanted or list(labels))[0]


def score_for(good: float, least: float, most: float) -> float:
    """The mark of an answer."""
    return round(least + (most - least) * good, 2)


def winner(first: float, second: float) -> str:
    """Which of two answers is better: `A`, `B`, or `Tie`."""
    return "Tie" if abs(first - second) < 1e-9 else "A" if first > second else "B"

"""How sure a model is against how often it is right: scales of log-probabilities, fitted to labelled examples. Pure.

Probabilities are sharpened or flattened by one scale for each kind of question (temperature scaling, Guo et al., arXiv:1706.04599), and
those of yes and no also have an offset (Platt scaling). Both are fitted by the likelihood of the labels; a weak pull towards no change keeps
them finite where the model is always right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

_SMALLEST: Final = 1e-9
_PULL: Final = 0.02
_SCALES: Final = (0.02, 20.0)
_OFFSETS: Final = (-15.0, 15.0)
_STEPS: Final = 40
_ROUNDS: Final = 12

Example = tuple[Mapping[Any, float], Any]
"""The probabilities that the model gave, and the label that is right."""


class Calibration(NamedTuple):
    """Scales of log-probabilities; 1 and 0 change nothing."""

    noul_scale: float = 1.0
    noul_offset: float = 0.0
    choice_scale: float = 1.0
    score_scale: float = 1.0

    def apply(self, kind: str, probabilities: Mapping[Any, float]) -> dict[Any, float]:
        """Return the probabilities of a question of a kind (`noul`, `choice` or `score`) as they are after calibration."""
        offset = self.noul_offset if kind == "noul" else 0.0
        return _scale(probabilities, getattr(self, f"{kind}_scale"), offset)


def fit(examples: Mapping[str, Sequence[Example]]) -> Calibration:
    """Return the calibration that makes the labels of examples, by the kind of their question, most likely."""
    fields: dict[str, float] = {}
    for kind, group in examples.items():
        scale, offset = _fit(group, with_offset=kind == "noul")
        fields |= {f"{kind}_scale": scale, **({"noul_offset": offset} if kind == "noul" else {})}
    return Calibration(**fields)


def _fit(examples: Sequence[Example], *, with_offset: bool) -> tuple[float, float]:
    """Return scale and offset. The loss is convex in both, so one after the other leads to the least."""
    scale, offset = 1.0, 0.0
    for _ in range(_ROUNDS if with_offset else 1):
        scale = _minimum(lambda value: _loss(examples, value, offset), *_SCALES)  # noqa: B023
        if with_offset:
            offset = _minimum(lambda value: _loss(examples, scale, value), *_OFFSETS)  # noqa: B023
    return scale, offset


def _loss(examples: Iterable[Example], scale: float, offset: float) -> float:
    pull = _PULL * ((scale - 1.0) ** 2 + offset**2)
    return pull - sum(math.log(max(_scale(values, scale, offset)[label], _SMALLEST)) for values, label in examples)


def _minimum(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a convex function is least."""
    for _ in range(_STEPS):
        third = (high - low) / 3
        if loss(low + third) <= loss(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def _scale(probabilities: Mapping[Any, float], scale: float, offset: float) -> dict[Any, float]:
    """Return probabilities whose logarithms are multiplied by a scale; the offset is added to that of `True`."""
    if scale == 1.0 and not offset:
        return dict(probabilities)
    logs = {
        label: scale * math.log(max(value, _SMALLEST)) + (offset if label is True else 0.0)
        for label, value in probabilities.items()
    }
    top = max(logs.values())
    powers = {label: math.exp(value - top) for label, value in logs.items()}
    total = sum(powers.values())
    return {label: value / total for label, value in powers.items()}

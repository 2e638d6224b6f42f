"""Dividing rows into those to train on and those to measure with: by what they are about, not by chance, and without leaks.

Which side a row belongs to is read from the checksum of its group, so it is the same in every run and on every machine, and does
not change when rows are added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from math import ceil, floor
from typing import Any, Final, NamedTuple

from together_adapters.errors import DatasetError
from together_adapters.finetune.errors import location_of
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.records import Example, Record, Refusal, Row

_WHOLE: Final = 2**64
By = str | Callable[[Row], Any] | None


class Leakage(NamedTuple):
    """How much of the validation data was seen in training.

    Attributes:
        exact: Rows of the validation data that are also in the training data.
        prompt: Rows whose prompt is, with whatever answer; those of `exact` among them.
    """

    exact: int
    prompt: int


def leakage(train: Iterable[Row], validation: Iterable[Row]) -> Leakage:
    """Count the rows of validation data that training data gives away.

    Args:
        train: Rows to train on.
        validation: Rows to measure with.
    """
    rows, prompts = Digests(), Digests()
    for row in train:
        rows.put(digest(canonical(row)))
        prompts.put(digest(prompt_of(row)))
    exact = prompt = 0
    for row in validation:
        same = digest(canonical(row)) in rows
        exact += same
        prompt += same or digest(prompt_of(row)) in prompts
    return Leakage(exact, prompt)


class Splitter:
    """A division of one source in two."""

    def __init__(self, read: Callable[[], Iterable[Record]], validation: float, by: By, seed: int) -> None:
        if not 0 < validation < 1:
            raise ValueError(f"validation is the share of rows to measure with, between 0 and 1; not {validation}")
        self._read = read
        self._share = validation
        self._bound = int(validation * _WHOLE)
        self._by = by
        self._salt = f"{seed}\0".encode()
        self._trained: Digests | None = None

    def train(self) -> Iterator[Record]:
        """Give the records to train on."""
        trained = Digests()
        sides = _Sides()
        for record in self._read():
            if isinstance(record, Refusal):
                yield record
                continue
            group, place = self._place(record)
            if sides.put(place, place < self._bound):
                continue
            if self._by is None:
                trained.put(digest(prompt_of(record.row) if record.group is not None else group))
            yield record
        self._trained = trained
        sides.judge(self._share)

    def validation(self) -> Iterator[Record]:
        """Give the records to measure with. What the source refuses, and what was dropped before, is told with the others."""
        prompts = self._prompts()
        sides = _Sides()
        for record in self._read():
            if isinstance(record, Refusal):
                continue
            _, place = self._place(record)
            if not sides.put(place, place < self._bound):
                continue
            if prompts is not None and digest(prompt_of(record.row)) in prompts:
                yield Refusal("prompt_in_training", "", record.number, record.source, skipped=True)
            else:
                sides.kept += 1
                yield record
        sides.judge(self._share, measured=True)

    def _prompts(self) -> Digests | None:
        """What training asks. Only groups that were given can share a prompt across the two sides."""
        if self._by is None and self._trained is None:
            for _ in self.train():
                pass
        return self._trained if self._by is None else None

    def _place(self, record: Example) -> tuple[str, int]:
        """Return the group of a row, and its checksum."""
        group = self._group(record)
        key = group.encode("utf-8", "surrogatepass")
        return group, int.from_bytes(blake2b(self._salt + key, digest_size=8).digest(), "big")

    def _group(self, record: Example) -> str:
        by = self._by
        if by is None:
            return record.group if record.group is not None else prompt_of(record.row)
        if callable(by):
            found = by(record.row)
        elif by == "prompt":
            return prompt_of(record.row)
        else:
            found = record.row.get(by, record.group if by == "group" else None)
        if found is None:
            raise DatasetError(f"{location_of(record)} has no {by if isinstance(by, str) else 'group'} to split by")
        return str(found)


class _Sides:
    """What was seen of both sides in one pass."""

    def __init__(self) -> None:
        self.kept = 0
        self._lowest, self._highest = _WHOLE, -1
        self._seen = [False, False]

    def put(self, place: int, measured: bool) -> bool:
        self._lowest, self._highest = min(self._lowest, place), max(self._highest, place)
        self._seen[measured] = True
        return measured

    def judge(self, share: float, *, measured: bool = False) -> None:
        """Raise where a side is empty: better no split than one that measures nothing."""
        if all(self._seen):
            if measured and not self.kept:
                raise DatasetError(
                    "every prompt of the validation data is also asked in training. Split by='prompt' to keep equal prompts"
                    " together, or by='group' to accept it"
                )
            return
        if self._highest < 0:
            raise DatasetError("there are no rows to split")
        side = "training" if self._seen[True] else "validation"
        if self._lowest == self._highest:
            raise DatasetError(f"the {side} data is empty: all rows belong to one group; split by something else")
        if side == "validation":
            needed = f"at least {ceil((self._lowest + 1) / _WHOLE * 10_000) / 10_000:.4f}"
        else:
            needed = f"at most {floor(self._highest / _WHOLE * 10_000) / 10_000:.4f}"
        raise DatasetError(
            f"the {side} data is empty with validation={share:g}: there are too few groups. Make it {needed}, or try another seed"
        )

"""Splits rows into training and validation data, without leakage: the side of a group follows from its hash, wherever it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import accumulate
from math import ceil, floor
from typing import Any, Final, NamedTuple

from together_adapters.errors import DatasetError
from together_adapters.finetune.errors import location_with_id
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.records import Example, Record, Refusal, Row

_HASHES: Final = 2**64
By = str | Callable[[Row], Any] | None


class Leakage(NamedTuple):
    """The rows of validation data that are also in the training data.

    Attributes:
        exact: The number of rows that are in the training data as a whole.
        prompt: The number of rows whose prompt is in the training data, including those of `exact`.
    """

    exact: int
    prompt: int


def leakage(train: Iterable[Row], validation: Iterable[Row]) -> Leakage:
    """Counts the rows of validation data that are also in the training data.

    Args:
        train: The training data.
        validation: The validation data.
    """
    rows, prompts = Digests(), Digests()
    for row in train:
        rows.put(digest(canonical(row)))
        prompts.put(digest(prompt_of(row)))
    exact = prompt = 0
    for row in validation:
        is_exact = digest(canonical(row)) in rows
        exact += is_exact
        prompt += is_exact or digest(prompt_of(row)) in prompts
    return Leakage(exact, prompt)


class Splitter:
    """Splits one source."""

    def __init__(self, read: Callable[[], Iterable[Record]], validation: float, by: By, seed: int, exact: bool) -> None:
        if isinstance(validation, str) or not 0 < validation < 1:
            raise ValueError(f"validation must be a share between 0 and 1, not {validation!r}")
        self._read = read
        self._share = validation
        self._fixed_threshold = None if exact else int(validation * _HASHES)
        self._by = by
        self._salt = f"{seed}\0".encode()
        self._train_prompts: Digests | None = None
        self._has_groups = by is not None

    def train(self) -> Iterator[Record]:
        """Yields the training data, and all refusals of the source."""
        prompts = Digests()
        sides = _Sides()
        threshold = self._threshold
        for record in self._read():
            if isinstance(record, Refusal):
                yield record
                continue
            group, hash_value = self._hash_of(record)
            if sides.add(hash_value, hash_value < threshold):
                continue
            if self._by is None:
                prompts.put(digest(prompt_of(record.row) if record.group is not None else group))
            yield record
        self._train_prompts = prompts
        sides.check(self._share, self._has_groups)

    def validation(self) -> Iterator[Record]:
        """Yields the validation data."""
        prompts = self._prompts()
        sides = _Sides()
        threshold = self._threshold
        for record in self._read():
            if isinstance(record, Refusal):
                continue
            _, hash_value = self._hash_of(record)
            if not sides.add(hash_value, hash_value < threshold):
                continue
            if prompts is not None and digest(prompt_of(record.row)) in prompts:
                yield record.refusal("prompt_in_training", "", skipped=True)
            else:
                sides.validation_rows += 1
                yield record
        sides.check(self._share, self._has_groups, for_validation=True)

    @property
    def _threshold(self) -> int:
        """The hash below which groups are validation data; for an exact share it follows from all rows of the source."""
        if self._fixed_threshold is None:
            records = (record for record in self._read() if isinstance(record, Example))
            self._fixed_threshold = _exact_threshold(Counter(self._hash_of(record)[1] for record in records), self._share)
        return self._fixed_threshold

    def _prompts(self) -> Digests | None:
        """Returns the prompts of the training data. Only groups that the source names can share a prompt across sides."""
        if self._by is None and self._train_prompts is None:
            for _ in self.train():
                pass
        return self._train_prompts if self._by is None else None

    def _hash_of(self, record: Example) -> tuple[str, int]:
        """Returns the group of a row, and its hash."""
        group = self._group_of(record)
        key = group.encode("utf-8", "surrogatepass")
        return group, int.from_bytes(blake2b(self._salt + key, digest_size=8).digest(), "big")

    def _group_of(self, record: Example) -> str:
        by = self._by
        if by is None:
            self._has_groups = self._has_groups or record.group is not None
            return record.group if record.group is not None else prompt_of(record.row)
        if by == "prompt":
            return prompt_of(record.row)
        if callable(by):
            group = by(record.row)
        else:
            group = record.row.get(by, record.group if by == "group" else None)
        if group is None:
            raise DatasetError(f"{location_with_id(record)} has no {by if isinstance(by, str) else 'group'} to split by")
        return str(group)


def _exact_threshold(rows: Mapping[int, int], share: float) -> int:
    """Returns the hash below which the number of rows is nearest to a share of all; neither side is empty if two groups exist."""
    hashes = sorted(rows)
    numbers = list(accumulate(rows[hash_value] for hash_value in hashes))
    if len(hashes) < 2:
        return _HASHES // 2
    target = share * numbers[-1]
    last = min(range(len(hashes) - 1), key=lambda index: abs(numbers[index] - target))
    return hashes[last + 1]


class _Sides:
    """The rows of both sides in one pass."""

    def __init__(self) -> None:
        self.validation_rows = 0
        self._min, self._max = _HASHES, -1
        self._has_rows = [False, False]

    def add(self, hash_value: int, is_validation: bool) -> bool:
        self._min, self._max = min(self._min, hash_value), max(self._max, hash_value)
        self._has_rows[is_validation] = True
        return is_validation

    def check(self, share: float, has_groups: bool, *, for_validation: bool = False) -> None:
        """Raises an error if a side is empty."""
        if all(self._has_rows):
            if for_validation and not self.validation_rows:
                raise DatasetError(
                    "every prompt of the validation data is also in the training data. Split by='prompt' to keep equal prompts"
                    " together, or by='group' to accept it"
                )
            return
        if self._max < 0:
            raise DatasetError("there are no rows to split")
        side = "training" if self._has_rows[True] else "validation"
        if self._min == self._max:
            raise DatasetError(f"the {side} data is empty: there is one row, or one group of rows, and both sides need one")
        if side == "validation":
            bound = f"at least {ceil((self._min + 1) / _HASHES * 10_000) / 10_000:.4f}"
        else:
            bound = f"at most {floor(self._max / _HASHES * 10_000) / 10_000:.4f}"
        what = "groups" if has_groups else "rows with different prompts"
        raise DatasetError(
            f"the {side} data is empty with validation={share:g}: there are too few {what}, and each is assigned by"
            f" itself. exact=True takes that share of them all; otherwise make it {bound}, or use another seed"
        )

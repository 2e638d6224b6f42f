"""Many small cases within one test: pytest takes longer to list and report a test than such a case does."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(names: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test for each value, as `parametrize` does, but as one test with one set of fixtures. All cases that fail are named.

    Args:
        names: The name of the argument, or several with commas, as for `parametrize`.
        values: Its values, or tuples of values.
    """
    keys = [name.strip() for name in names.split(",")]
    cases = [dict(zip(keys, value if len(keys) > 1 else [value], strict=True)) for value in values]

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failures = []
            for case in cases:
                try:
                    test(**fixtures, **case)
                except (Exception, pytest.fail.Exception) as error:
                    error.add_note(f"in the case {case}"[:1000])
                    failures.append(error)
            assert cases, f"no values of {names}"
            if failures:
                raise (
                    failures[0] if len(failures) == 1 else BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases", failures)
                )

        signature = inspect.signature(test)
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in keys]
        run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return run

    return decorate

"""Checks of request fields as data: each field of a body has a rule, and what breaks one is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field may be. `says` completes the sentence "x must be ..."."""

    holds: Callable[[Any], bool]
    says: str
    required: bool = False


def text(longest: int = 100_000, *, required: bool = False) -> Rule:
    """A string of 1 to `longest` characters."""
    return Rule(
        lambda value: isinstance(value, str) and 0 < len(value) <= longest, f"a string of 1 to {longest} characters", required
    )


def whole(least: int, most: int, *, required: bool = False) -> Rule:
    """A whole number."""
    return Rule(
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
        f"a whole number from {least} to {most}",
        required,
    )


def number(least: float, most: float) -> Rule:
    """A number."""
    return Rule(
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most,
        f"a number from {least:g} to {most:g}",
    )


def one_of(*words: Any, required: bool = False) -> Rule:
    """One of a few values."""
    return Rule(lambda value: any(value == word for word in words), f"one of {', '.join(map(str, words))}", required)


def flag() -> Rule:
    """True or false."""
    return Rule(lambda value: isinstance(value, bool), "a boolean")


def several(kind: type, *, required: bool = False) -> Rule:
    """An array of values of one kind."""
    return Rule(
        lambda value: isinstance(value, list) and len(value) <= 1_000 and all(isinstance(item, kind) for item in value),
        f"an array of {kind.__name__}",
        required,
    )


def table(*, required: bool = False) -> Rule:
    """An object."""
    return Rule(lambda value: isinstance(value, dict), "an object", required)


def check(context: RequestContext, body: Any, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return a body whose fields keep the rules, without those that are null.

    Raises:
        ApiError: A field breaks its rule, is missing, or is unknown to a strict server.
    """
    if not isinstance(body, dict):
        raise bad_request("Invalid JSON data: the body must be an object.")
    for name, rule in rules.items():
        value = body.get(name)
        if value is None and rule.required:
            raise bad_request(f"{name} is required.", param=name)
        if value is not None and not rule.holds(value):
            raise bad_request(f"{name} must be {rule.says}.", param=name)
    if context.behaviour.strict and (unknown := sorted(body.keys() - rules.keys() - {"model"})):
        raise ApiError(422, f"Input validation error: unknown parameter {unknown[0]}", param=unknown[0])
    return {name: value for name, value in body.items() if value is not None}

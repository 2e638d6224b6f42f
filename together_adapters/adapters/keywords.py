"""Keywords that somebody may have mistyped. Those of calls are sent, with one warning: other servers know other parameters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from together_adapters.suggestions import PARAMETERS, suggestion
from together_adapters.transport.config import warn_user

_NEAR: Final = 0.85  # `min_tokens` and `prompt_logprobs` of other servers are farther from ours
_NEAR_WORD: Final = 0.78  # one wrong letter of `model`; `verbosity` is farther from `verbose`
_past_warnings: set[str] = set()


def warn_of_typos(names: Iterable[str], parameters: frozenset[str]) -> None:
    """Warns once of each name that is nearly that of a parameter; others are of other servers."""
    for name in names:
        if name not in _past_warnings and (hint := suggest(name, parameters, by_synonym=False)):
            _past_warnings.add(name)
            warn_user(f"unknown parameter {name!r}{hint}; it is sent unchanged")


@lru_cache
def suggest(name: str, names: frozenset[str], *, by_synonym: bool = True) -> str:
    """Returns ` (do you mean 'max_tokens'?)`, or nothing; `suggestions.suggestion` for names that may be those of others."""
    return suggestion(name, sorted(names), PARAMETERS if by_synonym else {}, nearness=_NEAR_WORD if name.isalpha() else _NEAR)

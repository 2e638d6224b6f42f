"""Names of parameters in request bodies. Bodies are data: a name may be mistyped, or newer than this library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from together_adapters.errors import DatasetError
from together_adapters.suggestions import PARAMETERS, suggestion
from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

_KINDS: Final[Mapping[str, Any]] = {"/v1/chat/completions": ChatParams, "/v1/completions": CompletionParams}
_NEAR: Final = 0.85  # `min_tokens` and `prompt_logprobs` of other servers are farther from ours
_OPTION: Final = " (an option of single calls, not a field of a body)"
_EXTRA_BODY: Final = " (its fields belong into the body itself)"


class ParameterCheck:
    """Refuses mistyped names in the bodies of one endpoint, and counts others that the endpoint does not have."""

    def __init__(self, endpoint: str, *, may_be_together: bool = True) -> None:
        kind = _KINDS.get(endpoint)
        self._names = {*kind.__required_keys__, *kind.__optional_keys__, "stream"} if kind else None
        self._synonyms = PARAMETERS if may_be_together else {}  # other servers have some of them
        self._unknown: dict[tuple[Any, ...], list[str]] = {}  # by the names of a body
        self._counts: Counter[str] = Counter()

    def check(self, bodies: Sequence[Any], start: int, name: Callable[[int], str]) -> None:
        """Raises a DatasetError if a body, which `name` names by its index, has a name that is nearly that of a parameter."""
        if self._names is None or not any(map(self._unknown_names, {*map(tuple, bodies)})):
            return
        for index, body in enumerate(bodies, start):
            unknown = self._unknown_names(tuple(body))
            if hints := [f"{each!r}{hint}" for each in unknown if not self._counts[each] and (hint := self._hint(each))]:
                raise DatasetError(f"{name(index)}: unknown parameter {', '.join(hints)}. Nothing was sent")
            self._counts.update(unknown)

    @property
    def warning(self) -> str | None:
        """What to tell of names that the endpoint does not have, if there are any."""
        if not self._counts:
            return None
        counts = ", ".join(f"{name!r} (in {count:,})" for name, count in self._counts.most_common(5))
        more = f" and {len(self._counts) - 5} more" if len(self._counts) > 5 else ""
        return f"request bodies have parameters that this library does not know, which are sent unchanged: {counts}{more}"

    def _unknown_names(self, keys: tuple[Any, ...]) -> list[str]:
        if (unknown := self._unknown.get(keys)) is None:
            names = self._names or set()
            unknown = [
                key for key in keys if isinstance(key, str) and (key not in names or key in RequestOptions.__optional_keys__)
            ]
            self._unknown[keys] = unknown
        return unknown

    def _hint(self, unknown: str) -> str:
        if unknown in RequestOptions.__optional_keys__:
            return _EXTRA_BODY if unknown == "extra_body" else _OPTION
        names = sorted((self._names or set()) - RequestOptions.__optional_keys__)
        return suggestion(unknown, names, self._synonyms, nearness=_NEAR)

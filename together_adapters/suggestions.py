"""What somebody may have meant by a name that does not exist. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar, cast

from together_adapters.errors import hides_frames

C = TypeVar("C", bound=Callable[..., Any])

__tracebackhide__ = hides_frames

PARAMETERS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("max_completion_tokens", "max_new_tokens", "max_output_tokens", "max_length", "num_predict"), "max_tokens"),
    **dict.fromkeys(("stop_sequences", "stop_tokens", "stop_words"), "stop"),
    **dict.fromkeys(("functions", "tool"), "tools"),
    **dict.fromkeys(("text_format", "output_format", "response_model", "response_schema", "schema"), "response_format"),
    **dict.fromkeys(("repeat_penalty", "frequency_penalty_repetition"), "repetition_penalty"),
    **dict.fromkeys(("random_seed", "random_state"), "seed"),
    **dict.fromkeys(("num_return_sequences", "candidate_count", "best_of"), "n"),
    **dict.fromkeys(("model_name", "model_id", "engine", "deployment"), "model"),
    **dict.fromkeys(("extra_params", "model_kwargs", "additional_kwargs"), "extra_body"),
    **dict.fromkeys(("request_timeout", "timeout_seconds"), "timeout"),
}
"""Parameters as other services and SDKs call them, with the names that Together uses."""
_SETTINGS: Final[Mapping[str, str]] = {
    **PARAMETERS,
    **dict.fromkeys(
        ("api_base", "url", "api_url", "server_url", "endpoint", "host", "openai_api_base", "azure_endpoint"), "base_url"
    ),
    **dict.fromkeys(("key", "token", "api_token", "access_token", "together_api_key", "openai_api_key"), "api_key"),
    **dict.fromkeys(("headers", "extra_headers"), "default_headers"),
    **dict.fromkeys(("retries", "max_retry", "num_retries"), "max_retries"),
    **dict.fromkeys(("proxy", "proxies"), "http_client"),
    "project": "project_id",
}
"""The same of arguments of constructors: also those of clients."""


def suggestion(name: str, names: Iterable[str], synonyms: Mapping[str, str] = PARAMETERS, *, nearness: float = 0.7) -> str:
    """Returns ` (do you mean 'max_tokens'?)`, or nothing where no known name is meant or similar."""
    names = list(names)
    if (synonym := synonyms.get(name)) in names:
        return f" (do you mean {synonym!r}?)"
    from difflib import get_close_matches

    similar = [each for each in names if sorted(each) == sorted(name.lower())]  # letters that are swapped count twice in difflib
    similar = similar or get_close_matches(name.lower(), names, 1, nearness)
    return f" (do you mean {similar[0]!r}?)" if similar else ""


def suggests_keywords(target: C) -> C:
    """Makes the error for an unknown keyword of a constructor, or of a function, say what may be meant; Python does not before 3.13."""
    if isinstance(target, type):
        target.__init__ = suggests_keywords(target.__init__)  # type: ignore[misc]
        return cast("C", target)

    @wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return target(*args, **kwargs)
        except TypeError:
            from inspect import signature

            names = signature(target).parameters
            if not (unknown := sorted(kwargs.keys() - names.keys())):
                raise
            callee = type(args[0]).__name__ if target.__name__ == "__init__" else target.__name__
        hints = ", ".join(f"{name!r}{_owner(name, target) or suggestion(name, names, _SETTINGS)}" for name in unknown)
        raise TypeError(f"{callee}() got an unexpected keyword argument {hints}")

    return cast("C", call)


def _owner(name: str, target: Callable[..., Any]) -> str:
    """Returns ` (do you mean behaviour=Behaviour(strict=...)?)` where an argument is a dataclass that has the name as a field."""
    from dataclasses import fields, is_dataclass
    from inspect import signature, unwrap

    types = unwrap(target).__globals__
    for argument, parameter in signature(target).parameters.items():
        for word in str(parameter.annotation).split(" | "):
            kind = types.get(word)
            if is_dataclass(kind) and name in {field.name for field in fields(kind)}:
                return f" (do you mean {argument}={word}({name}=...)?)"
    return ""

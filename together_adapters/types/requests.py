"""Parameters that several requests share: the options of every request, and sampling."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ForwardRef, Protocol, Required, TypedDict, get_args, get_origin


class Timeout(Protocol):
    """Limits in seconds for each part of a request: the `Timeout` of httpx, or that of httpx2."""

    def as_dict(self) -> dict[str, float | None]: ...


class ExtraOptions(TypedDict, total=False):
    """Additions to a request; see `RequestOptions`."""

    extra_body: Annotated[Mapping[str, Any] | None, "JSON fields that this library does not know yet, or that replace its own."]
    extra_headers: Annotated[Mapping[str, str] | None, "Headers for this call."]
    extra_query: Annotated[Mapping[str, Any] | None, "Query parameters for this call."]


class RequestOptions(ExtraOptions, total=False):
    """Options of every call."""

    timeout: Annotated["float | Timeout | None", "Seconds, or a `Timeout` of httpx or httpx2, for each attempt of this call."]


class SamplingParams(RequestOptions, total=False):
    """Parameters of sampling. Those that are not passed are not sent, so the defaults of the service apply."""

    max_tokens: Annotated[int | None, "Maximum number of tokens to generate."]
    stop: Annotated[str | Sequence[str] | None, "Texts at which generation stops."]
    temperature: Annotated[float | None, "Randomness of sampling, from 0."]
    top_p: Annotated[float | None, "Cumulative probability of the tokens to sample from, 0 to 1."]
    top_k: Annotated[int | None, "Number of tokens to sample from."]
    min_p: Annotated[float | None, "Minimum probability of a token relative to the most likely one, 0 to 1."]
    repetition_penalty: Annotated[float | None, "Values above 1 reduce repetition."]
    presence_penalty: Annotated[float | None, "-2 to 2; values above 0 favour new topics."]
    frequency_penalty: Annotated[float | None, "-2 to 2; values above 0 reduce frequent tokens."]
    logit_bias: Annotated[Mapping[str, float] | None, "Token ids (as strings) with a bias of -100 to 100."]
    seed: Annotated[int | None, "Seed for reproducible sampling."]
    n: Annotated[int | None, "Number of completions, 1 to 128; a stream has only one."]
    stream_options: Annotated[Mapping[str, Any] | None, '`{"include_usage": True}` adds usage to a stream.']
    logprobs: Annotated[int | bool | None, "Classic models take a number from 0 to 20, newer ones True with `top_logprobs`."]
    top_logprobs: Annotated[int | None, "Number of alternatives for each token."]
    echo: Annotated[bool | None, "Whether to return the prompt, too."]
    safety_model: Annotated[
        str | None, "A moderation model that checks the response; the service offers none today, so it is one of an endpoint."
    ]
    response_format: Annotated[
        Mapping[str, Any] | type | None,
        '`{"type": "json_schema", ...}`, `{"type": "json_object"}`, `{"type": "regex", "pattern": ...}`; in a chat, also a class.',
    ]
    tools: Annotated[
        Sequence[Mapping[str, Any] | Callable[..., Any]] | None,
        "Functions that the model may call; in a chat, also functions and classes of Python, declared by type hints and docstring.",
    ]
    tool_choice: Annotated[str | Mapping[str, Any] | None, "`auto`, `required`, `none`, or one function."]


def attribute_docs(params: type | None) -> dict[str, str]:
    """Returns the descriptions of the keys of a TypedDict, if there is one."""
    return {name: doc for name, hint in getattr(params, "__annotations__", {}).items() if (doc := split_annotation(hint)[1])}


def split_annotation(hint: Any) -> tuple[Any, str]:
    """Returns the type of a TypedDict's key, and its description."""
    hint = get_args(hint)[0] if get_origin(hint) is Required else hint
    kind, doc = get_args(hint) if get_origin(hint) is Annotated else (hint, "")
    return (kind.__forward_arg__ if isinstance(kind, ForwardRef) else kind), doc

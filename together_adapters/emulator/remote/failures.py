"""What an engine's failures become: one error of the API, which names the engine and says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.remote.engines import Engine

_MAX_TEXT: Final = 500
_TAGS: Final = re.compile(r"<[^<>]*>")
_NO_ENDPOINT: Final = frozenset({404, 405, 501})
_MODEL: Final = re.compile(r"\bmodel\b", re.IGNORECASE)


def unreachable(engine: Engine, error: Exception) -> ApiError:
    """Returns the error for an engine that no connection leads to."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    message = (
        f"The engine at {engine.url} cannot be reached ({reason}): start it, or correct the URL that the emulator was given."
    )
    return ApiError(503, message, "service_unavailable", code="engine_unreachable")


def cut(engine: Engine, error: Exception | None = None) -> ApiError:
    """Returns the error for an answer that ends before it is complete."""
    reason = f" ({str(error) or type(error).__name__})" if error is not None else ""
    message = (
        f"The engine at {engine.url} ended its answer before it was complete{reason[:_MAX_TEXT]}: its own output may say why."
    )
    return ApiError(502, message, "server_error", code="engine_cut")


def too_slow(engine: Engine) -> ApiError:
    """Returns the error for an engine that is silent for too long."""
    message = (
        f"The engine at {engine.url} sent nothing for {engine.timeout:g} seconds; Engine(URL, timeout=...) lets it take longer."
    )
    return ApiError(504, message, "timeout", code="engine_timeout")


def not_an_engine(engine: Engine, media_type: str) -> ApiError:
    """Returns the error for an answer that no OpenAI-compatible server gives."""
    message = (
        f"The engine at {engine.url} answered with {media_type or 'no media type'} that has not the form of OpenAI's API: is the URL "
        "that of an OpenAI-compatible server? It usually ends in /v1."
    )
    return ApiError(502, message, "server_error", code="engine_not_compatible")


def own_engine(engine: Engine) -> ApiError:
    """Returns the error of an emulator that is asked by itself."""
    message = f"The engine {engine.url} is an emulator with an engine, perhaps this one: name a server with a model."
    return ApiError(400, message, code="engine_not_compatible")


def no_model(engine: Engine, model: str, names: Iterable[str]) -> ApiError:
    """Returns the error for a model that an engine with several models has no name for."""
    ordered_names = sorted(names)
    has = ", ".join(ordered_names[:10]) + (", ..." if len(ordered_names) > 10 else "") or "no model"
    example = ordered_names[0] if ordered_names else "NAME"
    message = (
        f"The engine at {engine.url} does not serve {model}; it has {has}. Ask for one of them, or start the emulator with "
        f"--engine-model {model}={example}."
    )
    return ApiError(404, message, param="model", code="model_not_available")


def refusal(engine: Engine, kind: str, status: int, body: Any) -> ApiError:
    """Returns the error for an error response of an engine: its own status and words, unless they are about the emulator."""
    text, param = _explanation(body)
    words = f"{status}: {text}" if text else str(status)
    if status in (401, 403):
        way = "check --engine-key" if engine.key else "it wants a key of its own: --engine-key or TOGETHER_EMULATOR_ENGINE_KEY"
        return ApiError(400, f"The engine at {engine.url} refuses the emulator ({words}): {way}.", code="engine_key")
    if status in _NO_ENDPOINT and not (status == 404 and _MODEL.search(text)):
        message = (
            f"The engine at {engine.url} does not answer {kind} ({words}): start it so that it does, or name another for it with "
            f"--engine {kind}=URL."
        )
        return ApiError(400, message, code="engine_without_endpoint")
    message = f"The engine at {engine.url} answered {words}"
    if status == 429:
        return ApiError(429, message, "rate_limit", code="rate_limit_exceeded")
    if status == 404:
        return ApiError(404, message, param="model", code="model_not_available")
    if 400 <= status < 500:
        return ApiError(status, message, param=param, code=_code(body))
    return ApiError(status if 500 <= status < 600 else 502, message, "server_error", code="engine_failed")


def _explanation(body: Any) -> tuple[str, str | None]:
    """Returns the message and the parameter of an error in one of the forms that servers have."""
    param = None
    while isinstance(body, Mapping):
        param = param or body.get("param")
        inner = next((body[name] for name in ("error", "message", "detail", "msg") if body.get(name)), "")
        body = inner
    if isinstance(body, list):
        body = "; ".join(filter(None, (_field_problem(entry) for entry in body[:5])))
    text = " ".join(_TAGS.sub(" ", str(body)).split())
    return (text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."), param if isinstance(param, str) else None


def _field_problem(entry: Any) -> str:
    """Returns a problem as pydantic reports it, with the name of its field."""
    if not isinstance(entry, Mapping):
        return str(entry)
    fields = ".".join(str(part) for part in entry.get("loc") or () if part != "body")
    return f"{fields}: {entry.get('msg', '')}" if fields else str(entry.get("msg", ""))


def _code(body: Any) -> str | None:
    inner = body.get("error") if isinstance(body, Mapping) else None
    for value in (inner, body):
        if isinstance(value, Mapping):
            for name in ("code", "type"):
                if isinstance(value.get(name), str):
                    return str(value[name])
    return None


def refused_parameter(status: int, body: Any, names: Iterable[str]) -> str | None:
    """Returns the parameter, of those that may be left out, that an engine says it does not take."""
    if status not in (400, 422):
        return None
    text, param = _explanation(body)
    return next((name for name in names if name == param or re.search(rf"\b{name}\b", text)), None)

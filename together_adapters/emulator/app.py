"""The emulator as an ASGI application: the routes of every module, behind `EmulatorMiddleware`."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.http.middleware import EmulatorMiddleware
from together_adapters.emulator.http.responses import json_response
from together_adapters.emulator.http.routing import State

ROUTE_MODULES: Final = (
    "chat", "completions", "embeddings", "rerank",  # first, because routes are matched in this order
    "account", "audio", "batches", "code_interpreter", "deployments", "endpoints", "evaluation", "files", "fine_tuning", "images", "models",
    "realtime", "uploads", "v2", "videos",
)  # fmt: skip
_LOADED_MODULES: Final = [import_module(f"together_adapters.emulator.routes.{name}") for name in ROUTE_MODULES]


class _Application(Starlette):
    """Starlette without `ServerErrorMiddleware`, which would answer exceptions before `EmulatorMiddleware` sees them."""

    def build_middleware_stack(self) -> ASGIApp:
        return ExceptionMiddleware(self.router, handlers=self.exception_handlers)


def create_app(state: State) -> ASGIApp:
    """Creates the application."""
    app = _Application(
        routes=[route for module in _LOADED_MODULES for route in module.ROUTES],
        exception_handlers=dict.fromkeys((404, 405, ApiError), _error_response),
    )
    return EmulatorMiddleware(app, state)


async def _error_response(request: Request, error: Exception) -> Response:
    method, path = request.method, request.scope["path"]
    if isinstance(error, HTTPException) and error.status_code == 404:
        error = ApiError(404, f"There is nothing at {method} {path}.", code="not_found")
    elif not isinstance(error, ApiError):
        error = ApiError(405, f"{path} does not answer {method}.", code="method_not_allowed")
    return json_response(error.body(), error.status)

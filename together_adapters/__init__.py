"""Together AI for Python: one client for the whole API, and adapters for LangChain and LlamaIndex on top of it.

Names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from together_adapters._version import __version__

if TYPE_CHECKING:
    from together_adapters.client import AsyncTogether, Together
    from together_adapters.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        ContextLengthError,
        DatasetError,
        DownloadError,
        FileTypeError,
        IncompleteStreamError,
        InternalServerError,
        InvalidDatasetError,
        InvalidRequestError,
        JobFailedError,
        JSONError,
        ModelNotAvailableError,
        NotFoundError,
        PaymentRequiredError,
        PermissionDeniedError,
        RateLimitError,
        ResponseError,
        ServiceUnavailableError,
        Timeout,
        TogetherError,
        TogetherException,
        UnprocessableEntityError,
    )
    from together_adapters.transport.async_driver import AsyncStream
    from together_adapters.transport.sync_driver import Stream

_HOMES = {
    "Together": "client",
    "AsyncTogether": "client",
    "Stream": "transport.sync_driver",
    "AsyncStream": "transport.async_driver",
}

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncStream",
    "AsyncTogether",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "ContextLengthError",
    "DatasetError",
    "DownloadError",
    "FileTypeError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidDatasetError",
    "InvalidRequestError",
    "JSONError",
    "JobFailedError",
    "ModelNotAvailableError",
    "NotFoundError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "ResponseError",
    "ServiceUnavailableError",
    "Stream",
    "Timeout",
    "Together",
    "TogetherError",
    "TogetherException",
    "UnprocessableEntityError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

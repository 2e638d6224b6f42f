"""Together AI for Python: one client for the whole API, and adapters for LangChain and LlamaIndex on top of it.

Names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach
from together_adapters._version import __version__

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
    "BudgetExceededError",
    "ConfigurationError",
    "ConflictError",
    "ContextLengthError",
    "Control",
    "DatasetError",
    "DownloadError",
    "FileTypeError",
    "IncompleteStreamError",
    "InternalServerError",
    "InvalidDatasetError",
    "InvalidRequestError",
    "JSONError",
    "JobFailedError",
    "LongTextWarning",
    "ModelNotAvailableError",
    "ModelRemovedWarning",
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

if TYPE_CHECKING:
    from together_adapters import bulk as bulk
    from together_adapters import control as control
    from together_adapters import emulator as emulator
    from together_adapters import errors as errors
    from together_adapters import finetune as finetune
    from together_adapters import telemetry as telemetry
    from together_adapters import testing as testing
    from together_adapters import types as types
    from together_adapters.client import AsyncTogether, Together
    from together_adapters.control.control import Control
    from together_adapters.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BudgetExceededError,
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
        LongTextWarning,
        ModelNotAvailableError,
        ModelRemovedWarning,
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
    from together_adapters.transport.streams import AsyncStream, Stream
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            **dict.fromkeys(__all__, ".errors"),
            "Together": ".client",
            "AsyncTogether": ".client",
            "Control": ".control.control",
            "Stream": ".transport.streams",
            "AsyncStream": ".transport.streams",
        },
        subpackages=("bulk", "control", "emulator", "errors", "finetune", "telemetry", "testing", "types"),
    )

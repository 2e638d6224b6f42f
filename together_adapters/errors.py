"""Every error that this library raises, on one screen, split by what the caller can do about it.

    TogetherError
    |-- ConfigurationError            wrong or missing settings; nothing was sent
    |-- APIConnectionError            no complete answer came
    |   |-- APITimeoutError
    |   `-- IncompleteStreamError     a stream ended before its finish reason
    |-- APIError                      the service answered with an error, also inside a stream
    |   |-- APIStatusError            ... with an HTTP status
    |   |   |-- BadRequestError 400   ContextLengthError (400, 403, 413, 422)
    |   |   |-- AuthenticationError 401, PaymentRequiredError 402, PermissionDeniedError 403
    |   |   |-- NotFoundError 404, ConflictError 409, UnprocessableEntityError 422, RateLimitError 429
    |   |   `-- InternalServerError 5xx   ServiceUnavailableError 503
    |   `-- APIResponseValidationError    the answer is not what the API promises
    |-- DatasetError                  training data (its tree is in `together_adapters.finetune`)
    |-- FileTypeError               a file is not what its purpose needs: InvalidDatasetError, MissingFileError
    |-- FileChangedError            a file changed while it was sent
    |-- DownloadError
    `-- JobFailedError              a fine-tune, batch, evaluation, video or check ended badly

`ModelNotAvailableError` mixes into the class of its status. The names of the `together` 1.x SDK are aliases at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class HTTPResponse(Protocol):
    """What an error keeps of the answer: enough to look at, and picklable."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...


class TogetherError(Exception):
    """Base of every error of this library.

    Attributes:
        message: What happened, where, and what to do.
        status_code: HTTP status, when an answer came.
        request_id: The service's name for the request; give it to support.
        code: The service's error code, such as `model_not_available`.
        param: The request field that the service blames.
        body: The parsed error body, or its text.
        headers: Answer headers, lower-case names, without cookies.
        attempts: Requests that were sent for this call.
        completed: What a call of many requests had finished (for embeddings, an `EmbeddingResponse`).
        pending: Positions of the inputs that were not finished.
    """

    status_code: int | None = None
    request_id: str | None = None
    code: str | None = None
    param: str | None = None
    body: Any = None
    headers: Mapping[str, str] = {}
    attempts: int = 0
    response: HTTPResponse | None = None
    completed: Any = None
    pending: Sequence[int] = ()

    def __init__(self, message: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.__dict__.update(details)

    @property
    def http_status(self) -> int | None:
        """The status under the name that the `together` 1.x SDK gave it."""
        return self.status_code


class ConfigurationError(TogetherError):
    """Settings are missing or contradict each other. Nothing was sent."""


class APIConnectionError(TogetherError):
    """No complete answer came: the network failed, or the other side hung up."""


class APITimeoutError(APIConnectionError):
    """The answer did not come in time."""


class IncompleteStreamError(APIConnectionError):
    """A stream ended before every choice had a finish reason and before `[DONE]`."""


class APIError(TogetherError):
    """The service said that something went wrong, also in the middle of a stream."""


class APIStatusError(APIError):
    """The service answered with an error status."""


class InvalidRequestError(APIStatusError):
    """The request itself is at fault: sending it again will not help."""


class BadRequestError(InvalidRequestError):
    """400: a parameter is wrong."""


class ContextLengthError(BadRequestError):
    """Prompt and answer do not fit the model's context, whatever status said so."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, wrong or revoked."""


class PaymentRequiredError(APIStatusError):
    """402: the account's spending limit is reached. Never retried."""


class PermissionDeniedError(InvalidRequestError):
    """403: the key may not do this."""


class NotFoundError(InvalidRequestError):
    """404: no such model, file, job or path."""


class ConflictError(APIStatusError):
    """409: the resource is in another state, or exists already. Never retried."""


class UnprocessableEntityError(InvalidRequestError):
    """422: the request is well-formed but invalid."""


class RateLimitError(APIStatusError):
    """429: too many requests or tokens; raised after the retries are used up."""


class InternalServerError(APIStatusError):
    """5xx: the service failed; raised after the retries are used up."""


class ServiceUnavailableError(InternalServerError):
    """503: the model is overloaded."""


class ModelNotAvailableError(APIStatusError):
    """The model does not exist, or runs only on a dedicated endpoint (`code` says which)."""


class ModelNotFoundError(ModelNotAvailableError, NotFoundError):
    """404 with the code of an unavailable model."""


class ModelNotServerlessError(ModelNotAvailableError, BadRequestError):
    """400 with the code of an unavailable model."""


class APIResponseValidationError(APIError):
    """The answer came, but it is not what the API promises."""


class DatasetError(TogetherError, ValueError):
    """Training data is not right. Its tree is in `together_adapters.finetune`."""


class FileTypeError(TogetherError):
    """A file is not of the type that its purpose needs."""


class InvalidDatasetError(FileTypeError, DatasetError):
    """A data file has faults; nothing was uploaded.

    Attributes:
        report: The `DataReport` of the check: every fault with its line.
    """

    report: Any = None


class RemoteValidationError(DatasetError):
    """The service found an error in an uploaded file.

    Attributes:
        remote: The `validation_report` of the service.
        local_report: The `DataReport` of the check on this machine, where there was one.
    """

    remote: Any = None
    local_report: Any = None


class MissingFileError(FileTypeError, FileNotFoundError):
    """There is no such file on this machine."""


class FileChangedError(TogetherError, OSError):
    """A file changed while it was sent; what arrived was taken back."""


class DownloadError(TogetherError):
    """A download did not arrive whole."""


class JobFailedError(TogetherError):
    """A job ended without success; the message says why, where the service does.

    Attributes:
        completed: The job as it ended.
        events: The last entries of its diary, oldest first: `FinetuneEvent` of a fine-tune, `EvaluationStatusUpdate` of an
            evaluation; of other jobs none.
    """

    events: Sequence[Any] = ()


BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    415: InvalidRequestError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}

# The names that users of the `together` 1.x SDK catch.
TogetherException = TogetherError
Timeout = APITimeoutError
JSONError = APIResponseValidationError
ResponseError = APIResponseValidationError
InstanceError = APIStatusError

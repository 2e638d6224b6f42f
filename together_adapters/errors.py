"""The errors of this library, divided by what the caller can do about them.

    TogetherError
    |-- ConfigurationError            wrong or missing settings; nothing was sent
    |-- BudgetExceededError           the call might cost more than the control's budget leaves; nothing was sent
    |-- APIConnectionError            no complete response arrived
    |   |-- APITimeoutError
    |   `-- IncompleteStreamError     a stream ended before its finish reason
    |-- APIError                      the service answered with an error, also inside a stream
    |   |-- APIStatusError            ... with an HTTP status
    |   |   |-- BadRequestError 400   ContextLengthError (any status)
    |   |   |-- AuthenticationError 401, PaymentRequiredError 402, PermissionDeniedError 403
    |   |   |-- NotFoundError 404, ConflictError 409, UnprocessableEntityError 422, RateLimitError 429
    |   |   `-- InternalServerError 5xx   ServiceUnavailableError 503
    |   `-- APIResponseValidationError    the response is not what the API promises
    |-- DatasetError                  training data (its tree is in `together_adapters.finetune`)
    |-- FileTypeError                 a file does not fit its purpose: InvalidDatasetError, MissingFileError
    |-- FileChangedError              a file changed while it was sent
    |-- DownloadError                 a download is incomplete: DownloadPathError, where something is in its way
    `-- JobFailedError                a fine-tune, batch, evaluation, video or check failed

Errors keep what the service said, without the secrets of the client and of the call, and never more than 65,536 characters of it.
`ModelNotAvailableError` is mixed into the class of its status. The names of the `together` 1.x SDK are aliases at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any, Final, Protocol


class HTTPResponse(Protocol):
    """A response of any HTTP library, as far as this library reads it. Errors keep one that can be pickled."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...


class TogetherError(Exception):
    """The base of all errors of this library.

    Attributes:
        message: What happened, where, and what to do.
        status_code: The HTTP status, if there was a response.
        request_id: The id that the service gave the request; support asks for it.
        code: The service's error code, such as `model_not_available`.
        param: The request field that is wrong.
        body: The parsed error body, or its text; of a long one the first 65,536 characters.
        headers: The response headers, with names in lower case and without cookies.
        attempts: The number of requests that were sent for this call.
        completed: What a call of several requests completed (for embeddings, an `EmbeddingResponse`).
        pending: The indexes of the inputs that were not completed.
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
        """The status, as the `together` 1.x SDK names it."""
        return self.status_code


class ConfigurationError(TogetherError):
    """Settings are missing or contradict each other. Nothing was sent."""


class BudgetExceededError(TogetherError):
    """A call might cost more than the budget of the control leaves. Nothing was sent, and a repetition is of no use.

    Attributes:
        budget: The budget, in dollars.
        spent: What calls have cost so far.
        reserved: What calls that are under way may cost.
        estimate: What this call may cost.
        model: The model of the call, if it names one.
    """

    budget: float = 0.0
    spent: float = 0.0
    reserved: float = 0.0
    estimate: float = 0.0
    model: str | None = None


class APIConnectionError(TogetherError):
    """No complete response arrived: the network failed, or the server closed the connection."""


class APITimeoutError(APIConnectionError):
    """The response did not arrive in time."""


class IncompleteStreamError(APIConnectionError):
    """A stream ended before every choice had a finish reason and before `[DONE]`."""


class APIError(TogetherError):
    """The service reported an error, possibly in the middle of a stream."""


class APIStatusError(APIError):
    """The response has an error status."""


class InvalidRequestError(APIStatusError):
    """The request is invalid: sending it again does not help."""


class BadRequestError(InvalidRequestError):
    """400: a parameter is invalid."""


class ContextLengthError(BadRequestError):
    """Prompt and completion do not fit the context of the model, whichever status, or event of a stream, reports it."""


class AuthenticationError(APIStatusError):
    """401, or the code `invalid_api_key`: the API key is missing, wrong or revoked."""


class PaymentRequiredError(APIStatusError):
    """402, never retried, or the code `insufficient_quota`: the account's spending limit is reached."""


class PermissionDeniedError(InvalidRequestError):
    """403: the key does not have the permission."""


class NotFoundError(InvalidRequestError):
    """404: the model, file, job or path does not exist."""


class ConflictError(APIStatusError):
    """409: the resource is in another state, or already exists. Never retried."""


class UnprocessableEntityError(InvalidRequestError):
    """422: the request is well-formed but invalid."""


class RateLimitError(APIStatusError):
    """429: too many requests or tokens; raised after the last retry."""


class InternalServerError(APIStatusError):
    """5xx: the service failed; raised after the last retry."""


class ServiceUnavailableError(InternalServerError):
    """503: the model is overloaded."""


class ModelNotAvailableError(APIStatusError):
    """The model does not exist, or runs only on a dedicated endpoint (`code` says which)."""


class ModelNotFoundError(ModelNotAvailableError, NotFoundError):
    """404 with the code of an unavailable model, or 400 with the code `model_not_found`."""


class ModelNotServerlessError(ModelNotAvailableError, BadRequestError):
    """400 with the code of an unavailable model."""


class DataSharingBlockedError(ModelNotAvailableError, PermissionDeniedError):
    """403 with the code `third_party_data_sharing_blocked`: the organization has not allowed what the model needs."""


class APIResponseValidationError(APIError):
    """The response is not what the API promises."""


class DatasetError(TogetherError, ValueError):
    """Training data is invalid. The subclasses are in `together_adapters.finetune`."""


class FileTypeError(TogetherError):
    """A file does not have the type that its purpose needs."""


class InvalidDatasetError(FileTypeError, DatasetError):
    """A data file is invalid; nothing was uploaded.

    Attributes:
        report: The `DataReport` of the check: every issue with its line.
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
    """The file does not exist on this machine."""


class FileChangedError(TogetherError, OSError):
    """A file changed while it was sent; the upload was cancelled."""


class DownloadError(TogetherError):
    """A download is incomplete."""


class DownloadPathError(DownloadError, FileExistsError):
    """A link, or a file of someone else, is where a download keeps its files."""


class JobFailedError(TogetherError):
    """A job failed; the message gives the reason, if the service does.

    Attributes:
        completed: The final state of the job.
        events: Its last events, oldest first: `FinetuneEvent` of a fine-tune, `EvaluationStatusUpdate` of an evaluation; none of
            other jobs.
    """

    events: Sequence[Any] = ()


class HistoryWarning(UserWarning):
    """Assistant or tool messages hold content that the service takes from users only; the model gets a note of it, or nothing."""


class LongTextWarning(UserWarning):
    """A text to embed is far longer than the model reads: a server may refuse it, or embed its beginning alone and not say so."""


class ModelRemovedWarning(UserWarning):
    """The table of models says that a model is gone from the service; the request is sent all the same."""


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

hides_frames: Final = methodcaller("errisinstance", (TogetherError, AssertionError))
"""As `__tracebackhide__` of a module: pytest shows the line of its user instead, unless it has `--full-trace`. A miss of a recording is an
`AssertionError`."""

# The names that users of the `together` 1.x SDK catch.
TogetherException = TogetherError
Timeout = APITimeoutError
JSONError = APIResponseValidationError
ResponseError = APIResponseValidationError
InstanceError = APIStatusError

"""Routes as plain functions: a handler takes a `RequestContext` and returns a JSON value or a `Response`, or raises `ApiError`."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from together_adapters.emulator.errors import ApiError, bad_request, unprocessable
from together_adapters.emulator.http.answers import Answer
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.charges import Charge
from together_adapters.emulator.http.faults import FaultQueue
from together_adapters.emulator.http.hosts import AllowedHosts
from together_adapters.emulator.http.pending import Pending
from together_adapters.emulator.http.rate_limits import RateWindow
from together_adapters.emulator.http.recorded import ServiceRecord
from together_adapters.emulator.http.replies import ReplyQueue
from together_adapters.emulator.http.request_log import RequestLog
from together_adapters.emulator.http.responses import EventStream, json_response
from together_adapters.emulator.remote.models import RemoteModels
from together_adapters.emulator.store.background import BackgroundThreads
from together_adapters.emulator.store.bill import Bill
from together_adapters.emulator.store.disk import Folder
from together_adapters.emulator.store.file_store import FileStore
from together_adapters.emulator.store.records import DEFAULT_JOB_SECONDS, BatchEnd
from together_adapters.emulator.store.stores import Stores
from together_adapters.types.capabilities import Capabilities

PUBLIC: Final = "/storage/"
"""Prefix of the URLs of generated files. They need no API key, like signed URLs of real object storage."""
UPLOADS: Final = "/uploads/"  # prefix of the URLs that take uploads. They need no API key; their bodies are streamed to disk.
UPLOAD_CONTENT: Final = "together_adapters.emulator.upload_content"  # scope key of the stored body of a request to `UPLOADS`
CONTEXT: Final = "together_adapters.emulator.context"  # scope key of the fields of the `RequestContext`, without the request
Text = Annotated[str, Field(min_length=1, max_length=100_000)]
Name = Annotated[str, Field(min_length=1, max_length=500)]
Prompt = Annotated[str, Field(min_length=1, max_length=32_000)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**64)]
_MAX_KEPT: Final = 256 * 1024
_MAX_THREADS: Final = 256
_SUBJECT = re.compile(r"^[A-Z]\w* should ")


@dataclass(slots=True)
class State:
    """The state of one running emulator; its options are those of `serve`. `stores` holds what requests have created."""

    behaviour: Behaviour
    faults: FaultQueue
    log: RequestLog
    api_key: str | None = field(default=None, repr=False)
    allow_code_execution: bool = False
    job_seconds: float = DEFAULT_JOB_SECONDS
    hosts: AllowedHosts = field(default_factory=AllowedHosts)
    folder: Folder = field(default_factory=Folder)
    models: Mapping[str, Capabilities] | None = None
    rate: RateWindow = field(default_factory=RateWindow)
    replies: ReplyQueue = field(default_factory=ReplyQueue)
    bill: Bill = field(default_factory=Bill)
    remote: RemoteModels = field(default_factory=RemoteModels)
    record: ServiceRecord = field(default_factory=ServiceRecord)
    batch_ends: deque[BatchEnd] = field(default_factory=deque)  # of the next batches
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_MAX_THREADS, "together-emulator-handler"))
    stores: Stores = field(init=False)
    count: int = 0  # of the requests so far

    def __post_init__(self) -> None:
        threads = BackgroundThreads()
        self.stores = Stores(FileStore(self.folder, threads, self.record_error), threads)

    def reset_stores(self) -> None:
        self.stores.close()
        self.folder.clear()
        self.__post_init__()

    def close(self) -> None:
        """Ends processes and threads, and removes files."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.stores.close()
        self.folder.close()

    def charge(self, request_id: str) -> Charge:
        """Returns the charge of a new request."""
        return Charge(self.bill, self.stores.costs, request_id, self.rate)

    def record_error(self, error: Exception) -> None:
        """Records a bug in a thread, unless it is a consequence of `close`."""
        if not self.stores.threads.closed:
            self.log.record_error(error)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request, as handlers see it: `content` is its body as it arrived, `body` the parsed JSON, if any; `id` is for the response.

    `charge` counts what it uses. `grants` collects what the default mode grants beyond the service of today.
    """

    body: Any
    content: bytes
    behaviour: Behaviour
    state: State
    id: str
    charge: Charge
    grants: list[str]
    request: Request

    @property
    def stores(self) -> Stores:
        return self.state.stores

    @property
    def path_id(self) -> str:
        return str(self.request.path_params["id"])

    def answer(self, kind: str, request: dict[str, Any] | None = None) -> Answer | None:
        """Returns the answer that a test has set for a request of this kind, if any; by default its body is the request."""
        try:
            answer = self.state.replies.take(kind, self.body if request is None else request)
        except Exception as error:
            self.state.log.record_error(error)
            raise bad_request(f"The reply of the test failed: {type(error).__name__}: {error}") from None
        if answer is None and self.behaviour.unscripted == "refuse":
            raise bad_request(f"No reply was set for this request to {kind}; emulator.reply sets one.", code="no_reply")
        return answer

    def grant(self, error: ApiError, what: str, name: str = "", subject: str | None = None) -> None:
        """Raises what the service of today answers, in strict mode; otherwise notes for a header what is granted beyond it.

        The error of a record by this name counts before `error`; what the service was seen to accept is accepted.
        """
        if self.behaviour.strict:
            refusal = self.state.record.error(name, error, subject)
            if refusal is None:
                return
            raise refusal
        self.grants.append(what)

    def url(self, path: str) -> str:
        """Returns the absolute URL of a path of this emulator."""
        return f"{str(self.request.base_url).rstrip('/')}{path}"

    def publish(self, name: str, content: bytes, media_type: str) -> str:
        """Stores a file that needs no API key, and returns its URL."""
        return self.url(self.stores.generated_files.save(PUBLIC, name, content, media_type))


Handler = Callable[[RequestContext], Any]


def json_route(
    path: str, handler: Handler, method: str = "POST", *, needs_object: bool | None = None, in_thread: bool = False
) -> Route:
    """Creates a route from a handler. `needs_object` (by default with POST) refuses bodies that are not JSON objects."""
    is_checked = method == "POST" if needs_object is None else needs_object

    async def endpoint(request: Request) -> Response:
        context = RequestContext(request=request, **request.scope[CONTEXT])
        if not context.state.record.has_path(path):
            raise ApiError(404, f"There is nothing at {method} {path}.", code="not_found")
        if is_checked and not isinstance(context.body, dict):
            raise bad_request("Invalid JSON data: the body must be an object.")
        if in_thread or context.state.replies.calls_functions:
            response = await asyncio.get_running_loop().run_in_executor(context.state.threads, call, handler, context)
        else:
            response = call(handler, context)
        if isinstance(response, Pending):
            response = await response.wait()
        if context.behaviour.delay and not isinstance(response, EventStream):
            await asyncio.sleep(context.behaviour.delay)
        return response if isinstance(response, Response) else json_response(response)

    return Route(path, endpoint, methods=[method], name=path)


def call(handler: Handler, context: RequestContext) -> Any:
    """Calls a handler. An unexpected exception is recorded, and answered as a request that could not be understood."""
    try:
        return handler(context)
    except ApiError:
        raise
    except RecursionError:
        raise bad_request("Invalid JSON data: too deeply nested.") from None
    except Exception as error:
        context.state.log.record_error(error)
        raise bad_request("The request could not be understood.") from None


def refuse_long_body(context: RequestContext) -> None:
    """Refuses a body that is too long to be kept with what it creates; raises `ApiError`."""
    if len(context.content) > _MAX_KEPT:
        raise ApiError(413, f"The body is larger than {_MAX_KEPT} bytes.", code="request_too_large")


class RequestModel(BaseModel):
    """Base of the models of request bodies. A field that is null counts as absent; errors become the service's responses."""

    model_config = ConfigDict(strict=True, protected_namespaces=())
    other_fields: ClassVar[frozenset[str]] = frozenset({"model"})  # names that a strict emulator accepts besides the fields
    lenient_only: ClassVar[frozenset[str]] = frozenset()  # fields that a strict emulator does not accept
    refuses_unknown: ClassVar[bool] = True  # whether a strict emulator refuses other names

    @classmethod
    def read(cls, context: RequestContext, body: Any = None) -> Self:
        """Validates a body, by default that of the request; raises `ApiError`."""
        body = context.body if body is None else body
        if not isinstance(body, dict):
            raise bad_request("Invalid JSON data: the body must be an object.")
        try:
            model = cls.model_validate({name: value for name, value in body.items() if value is not None})
        except ValidationError as error:
            raise cls.api_error(*_describe(cls, error)) from None
        if cls.refuses_unknown:
            fields = {field.alias or name for name, field in cls.model_fields.items()}
            if unknown := sorted(body.keys() - (fields - cls.lenient_only) - cls.other_fields):
                refusal = unprocessable(f"unknown parameter {unknown[0]}", param=unknown[0])
                context.grant(refusal, "unknown parameters", "unknown-parameter", unknown[0])
        return model

    @staticmethod
    def api_error(message: str, param: str) -> ApiError:
        """Returns the error response for a field."""
        return bad_request(f"{message}.", param=param)


def _describe(model: type[BaseModel], error: ValidationError) -> tuple[str, str]:
    """Returns the message of the first error, and the field that it is about."""
    first = error.errors(include_url=False, include_input=False)[0]
    param = str(first["loc"][0])
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{param} is required", param
    description = model.model_fields[param].description if param in model.model_fields else None
    if description:  # where pydantic's own message would not help
        return f"{param} must be {description}", param
    path = ".".join(map(str, first["loc"]))
    text = "is required" if first["type"] == "missing" else _SUBJECT.sub("must ", first["msg"])
    return f"{path} {text}", param

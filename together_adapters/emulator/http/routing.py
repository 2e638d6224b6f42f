"""Routes as plain functions: a handler takes a `RequestContext` and returns a JSON value or a `Response`, or raises `ApiError`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.behaviour import Behaviour
from together_adapters.emulator.http.faults import JSON_TYPE, FaultQueue
from together_adapters.emulator.http.request_log import RequestLog
from together_adapters.emulator.http.sse import EventStream, compact
from together_adapters.emulator.store.clock import DEFAULT_JOB_SECONDS
from together_adapters.emulator.store.disk import Folder
from together_adapters.emulator.store.stores import Stores

PUBLIC: Final = "/storage/"
"""Prefix of the URLs of generated files. They need no API key, like signed URLs of real object storage."""
UPLOADS: Final = "/uploads/"
"""Prefix of the URLs that take uploads. They need no API key; their bodies are streamed to disk."""
UPLOAD_CONTENT: Final = "together_adapters.emulator.upload_content"
"""Scope key of the stored body of a request to `UPLOADS`."""
CONTEXT: Final = "together_adapters.emulator.context"
"""Scope key of the fields of the `RequestContext`, without the request."""


@dataclass(slots=True)
class State:
    """The state of one running emulator.

    Attributes:
        behaviour: How it answers.
        faults: The faults that will happen next.
        log: The requests received.
        api_key: The only key it accepts; None accepts any that does not look wrong.
        allow_code_execution: Whether the code interpreter runs code on this machine.
        job_seconds: Seconds that a fine-tuning job takes.
        folder: Where the content of files is stored.
        stores: What requests have created.
        count: The number of requests so far.
    """

    behaviour: Behaviour
    faults: FaultQueue
    log: RequestLog
    api_key: str | None = None
    allow_code_execution: bool = False
    job_seconds: float = DEFAULT_JOB_SECONDS
    folder: Folder = field(default_factory=Folder)
    stores: Stores = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.stores = Stores.create(self.folder, self.log.record_error)

    def reset_stores(self) -> None:
        """Discards what requests have created."""
        self.stores.close()
        self.stores = Stores.create(self.folder, self.log.record_error)

    def close(self) -> None:
        """Ends processes and removes files."""
        self.stores.close()
        self.folder.close()


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request, as handlers see it.

    Attributes:
        body: The parsed JSON body; None where the request has none.
        content: The body as it arrived.
        behaviour: How to answer this request.
        state: The state of the emulator.
        id: The id of the response.
        request: The request as Starlette has it: path and query parameters, headers.
    """

    body: Any
    content: bytes
    behaviour: Behaviour
    state: State
    id: str
    request: Request

    @property
    def stores(self) -> Stores:
        """What requests have created."""
        return self.state.stores

    @property
    def path_id(self) -> str:
        """The path parameter `id`."""
        return str(self.request.path_params["id"])

    def url(self, path: str) -> str:
        """Returns the absolute URL of a path of this emulator."""
        return f"{str(self.request.base_url).rstrip('/')}{path}"


Handler = Callable[[RequestContext], Any]


def json_route(
    path: str, handler: Handler, method: str = "POST", *, needs_object: bool | None = None, in_thread: bool = False
) -> Route:
    """Creates a route from a handler.

    Args:
        path: Its path, `/v1/...`.
        handler: Takes a `RequestContext`; returns a JSON value or a `Response`; raises `ApiError`.
        method: The HTTP method.
        needs_object: Refuse requests whose body is not a JSON object. By default those with the method POST.
        in_thread: Call the handler in a thread, because it may take long.
    """
    is_checked = method == "POST" if needs_object is None else needs_object

    async def endpoint(request: Request) -> Response:
        context = RequestContext(request=request, **request.scope[CONTEXT])
        if is_checked and not isinstance(context.body, dict):
            raise bad_request("Invalid JSON data: the body must be an object.")
        response = await asyncio.to_thread(call, handler, context) if in_thread else call(handler, context)
        if context.behaviour.delay and not isinstance(response, EventStream):
            await asyncio.sleep(context.behaviour.delay)
        return response if isinstance(response, Response) else Response(compact(response), media_type=JSON_TYPE)

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

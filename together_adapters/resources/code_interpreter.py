"""Code interpreter: run Python on the service's machines, in sessions that keep variables and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar, Unpack

from pydantic import BaseModel

from together_adapters.errors import APIError
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Response, request, response_parser
from together_adapters.types.code_interpreter import CodeFile, ExecuteResponse, SessionListResponse
from together_adapters.types.requests import RequestOptions

M = TypeVar("M", bound=BaseModel)
_ENCODINGS = ("string", "base64")


def run(
    code: str,
    language: Literal["python"] | str = "python",
    session_id: str | None = None,
    files: Sequence[CodeFile] | None = None,
    **options: Unpack[RequestOptions],
) -> Call[ExecuteResponse]:
    """Run a piece of code.

    An exception in the code is no error of the call: it is an output of type `error`.

    Args:
        code: What to run.
        language: `python`, the only one so far.
        session_id: The session of an earlier answer, to go on with its variables and files; None begins a new one.
        files: Files to put beside the code before it runs.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        `data.outputs` in the order in which they came, and `data.session_id`.

    Raises:
        ValueError: A file lacks its name, content or encoding; nothing was sent.
        APIError: The service could not run it; most often the session has expired.
    """
    params = {
        "code": code,
        "language": language,
        "session_id": session_id,
        "files": None if files is None else [_checked(file, place) for place, file in enumerate(files)],
    }
    return request("POST", "/v1/tci/execute", _checking(ExecuteResponse), params, options=options)


def list_sessions(**options: Unpack[RequestOptions]) -> Call[SessionListResponse]:
    """List the sessions that are still alive.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        `data.sessions`.

    Raises:
        APIError: The service refused.
    """
    return request("GET", "/v1/tci/sessions", _checking(SessionListResponse), options=options)


def _checked(file: CodeFile, place: int) -> CodeFile:
    if not isinstance(file, Mapping):
        raise ValueError(f"files[{place}] must be a dict with name, encoding and content, not {type(file).__name__}")
    for name in ("name", "encoding", "content"):
        if not isinstance(file.get(name), str):
            raise ValueError(f"files[{place}] needs {name!r} as text")
    if file["encoding"] not in _ENCODINGS:
        raise ValueError(f"files[{place}]: encoding must be 'string' or 'base64', not {file['encoding']!r}")
    return file


def _checking(model: type[M]) -> Callable[[Response], M]:
    """Return a reader of answers that say what went wrong in a list of errors, under a status of 200."""
    read = response_parser(model)

    def parse(response: Response) -> M:
        result = read(response)
        if errors := getattr(result, "errors", None):
            raise _error(errors, response)
        return result

    return parse


def _error(errors: object, response: Response) -> APIError:
    listed = errors if isinstance(errors, list) else [errors]
    said = "; ".join(one if isinstance(one, str) else str(one) for one in listed).rstrip(".")
    request_id = f" (request id {response.request_id})" if response.request_id else ""
    return APIError(
        f"the code interpreter answered with an error: {said}. If the session has expired, leave session_id out.{request_id}",
        body=response.json(),
        headers=response.headers,
        request_id=response.request_id,
        attempts=response.attempts,
        response=response,
    )


class Sessions(Resource[D, R]):
    """`client.code_interpreter.sessions`."""

    with_raw_response: Sessions[R, R]
    list = method(list_sessions)


class CodeInterpreter(Resource[D, R]):
    """`client.code_interpreter`."""

    with_raw_response: CodeInterpreter[R, R]
    run = method(run)
    execute = run

    @property
    def sessions(self) -> Sessions[D, R]:
        """Sessions that are still alive."""
        return Sessions(self._driver)

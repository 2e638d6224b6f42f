"""Code interpreter: runs Python on the service, in sessions that keep variables and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar, Unpack

from pydantic import BaseModel

from together_adapters.errors import APIError
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Response, request
from together_adapters.transport.model_parser import ResponseParser
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
    """Runs code.

    An exception in the code is not an error of the call, but an output of type `error`.

    Args:
        code: The code to run.
        language: Only `python` so far.
        session_id: The session of an earlier response, whose variables and files are used; None creates a new one.
        files: Files to write to the working directory first.

    Returns:
        `data.outputs` in the order of their creation, and `data.session_id`.

    Raises:
        ValueError: A file has no name, content or encoding; nothing was sent.
        APIError: The service could not run the code; usually the session has expired.
    """
    params = {
        "code": code,
        "language": language,
        "session_id": session_id,
        "files": None if files is None else [_check_file(file, index) for index, file in enumerate(files)],
    }
    return request("POST", "/v1/tci/execute", _read(ExecuteResponse), params, options=options)


def list_sessions(**options: Unpack[RequestOptions]) -> Call[SessionListResponse]:
    """Lists the active sessions in `data.sessions`."""
    return request("GET", "/v1/tci/sessions", _read(SessionListResponse), options=options)


def _check_file(file: CodeFile, index: int) -> CodeFile:
    if not isinstance(file, Mapping):
        raise ValueError(f"files[{index}] must be a dict with name, encoding and content, not {type(file).__name__}")
    for name in ("name", "encoding", "content"):
        if not isinstance(file.get(name), str):
            raise ValueError(f"files[{index}] needs {name!r} as text")
    if file["encoding"] not in _ENCODINGS:
        raise ValueError(f"files[{index}]: encoding must be 'string' or 'base64', not {file['encoding']!r}")
    return file


def _read(model: type[M]) -> Callable[[Response], M]:
    """Returns a parser that raises for responses with status 200 and a list of errors."""
    read = ResponseParser(model)

    def parse(response: Response) -> M:
        result = read(response)
        if errors := getattr(result, "errors", None):
            raise _error(errors, response)
        return result

    return parse


def _error(errors: object, response: Response) -> APIError:
    text = "; ".join(map(str, errors if isinstance(errors, list) else [errors])).rstrip(".")
    request_id = f" (request id {response.request_id})" if response.request_id else ""
    return APIError(
        f"the code interpreter returned an error: {text}. If the session has expired, leave session_id= out.{request_id}",
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
        """Active sessions."""
        return Sessions(self._driver)

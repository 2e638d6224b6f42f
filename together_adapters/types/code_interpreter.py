"""Code interpreter: the output, results and errors of code."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from together_adapters.types.response import ResponseModel


class CodeFile(TypedDict):
    """A file in the working directory of the code. Its encoding is `string` for text, `base64` for other content."""

    name: str
    encoding: Literal["string", "base64"]
    content: str


class CodeOutput(ResponseModel):
    """One output.

    `type` is stdout, stderr, error, execute_result, display_data or a newer value. `data` is text for the first three, and for the
    others a dict from MIME types to content (images as base64).
    """

    type: str | None = None
    data: str | dict[str, Any] | None = None


class ExecuteData(ResponseModel):
    """The results of code. Pass `session_id` to the next call to use the same variables and files."""

    session_id: str | None = None
    status: str | None = None
    outputs: list[CodeOutput] = []


class ExecuteResponse(ResponseModel):
    """The response to a request that runs code."""

    data: ExecuteData | None = None
    errors: Any = None


class CodeSession(ResponseModel):
    """An active session. Times are ISO 8601."""

    id: str | None = None
    execute_count: int | None = None
    started_at: str | None = None
    last_execute_at: str | None = None
    expires_at: str | None = None


class SessionList(ResponseModel):
    """The sessions of an account."""

    sessions: list[CodeSession] = []


class SessionListResponse(ResponseModel):
    """The response to a request for sessions."""

    data: SessionList | None = None
    errors: Any = None

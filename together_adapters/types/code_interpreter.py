"""Code interpreter: what a piece of code printed, returned, showed and raised."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from together_adapters.types.response import ResponseModel


class CodeFile(TypedDict):
    """A file that the code finds in its folder.

    Attributes:
        name: Its name there.
        encoding: `string` for text, `base64` for anything else.
        content: What is in it, so encoded.
    """

    name: str
    encoding: Literal["string", "base64"]
    content: str


class CodeOutput(ResponseModel):
    """One piece of output, in the order in which it came.

    `type` is stdout, stderr, error, execute_result, display_data or a newer word. `data` is text for the first three, for the others
    a dict from MIME types to content (images as base64).
    """

    type: str | None = None
    data: str | dict[str, Any] | None = None


class ExecuteData(ResponseModel):
    """What running code came to. `session_id` goes into the next call, which then finds the same variables and files."""

    session_id: str | None = None
    status: str | None = None
    outputs: list[CodeOutput] = []


class ExecuteResponse(ResponseModel):
    """The answer to a piece of code."""

    data: ExecuteData | None = None
    errors: Any = None


class CodeSession(ResponseModel):
    """A session that is still alive. Times are ISO 8601."""

    id: str | None = None
    execute_count: int | None = None
    started_at: str | None = None
    last_execute_at: str | None = None
    expires_at: str | None = None


class SessionList(ResponseModel):
    """The sessions of this account."""

    sessions: list[CodeSession] = []


class SessionListResponse(ResponseModel):
    """The answer to a request for sessions."""

    data: SessionList | None = None
    errors: Any = None

"""Requests of the doctor: an error is an answer too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from together_adapters.client import Together
from together_adapters.errors import APIError, APIStatusError, AuthenticationError

Facts = dict[str, Any]
"""What an answer shows, without what differs from one to the next: ids, times, texts."""

_MAX_EVENTS: Final = 200
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, headers and body, or the events of a stream."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    events: tuple[Any, ...] = ()
    message: str = ""  # of an error

    @property
    def is_error(self) -> bool:
        return self.status >= 400

    def error(self) -> Facts:
        """Returns what an error says."""
        inner = self.body.get("error") if isinstance(self.body, Mapping) else None
        fields = inner if isinstance(inner, Mapping) else {}
        message = str(fields.get("message") or self.message)
        names = ("type", "param", "code")
        return {
            "status": self.status,
            **{name: fields.get(name) for name in names},
            "message": _EMAIL.sub("...@...", message)[:500],
        }

    @property
    def choice(self) -> Mapping[str, Any]:
        """The first choice of a completion."""
        choices = self.body.get("choices") if isinstance(self.body, Mapping) else None
        return choices[0] if choices else {}


class Service:
    """The service, or an emulator: whatever a client leads to. A key that is refused is an error, every other refusal an answer."""

    def __init__(self, client: Together) -> None:
        self.client = client
        self.headers: dict[str, str] = {}  # of the last request to a model

    def get(self, path: str) -> Reply:
        """Sends a GET request."""
        return self._send("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Sends a POST request, again where the service was overloaded."""
        reply = self._send("POST", path, body)
        if "model" in body and not reply.is_error:
            self.headers = dict(reply.headers)
        return reply

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        try:
            raw = self.client.with_raw_response.request(method, path, body=body, idempotent=True)
        except AuthenticationError:
            raise
        except APIStatusError as error:
            return _error_reply(error)
        return Reply(raw.status_code, raw.headers, raw.parse())

    def stream(self, path: str, body: Mapping[str, Any], count: int = _MAX_EVENTS) -> Reply:
        """Sends a POST request for a stream, and reads so many events of it."""
        try:
            stream = self.client.request("POST", path, body=body, stream=True, idempotent=True)
            with stream:
                return Reply(200, {}, None, tuple(islice(stream, count)))
        except AuthenticationError:
            raise
        except APIStatusError as error:
            return _error_reply(error)
        except APIError as error:  # an event that is an error
            return Reply(200, message=error.message)


def _error_reply(error: APIStatusError) -> Reply:
    return Reply(error.status_code or 0, error.headers, error.body, message=error.message)

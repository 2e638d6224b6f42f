"""Replies that a test sets for chat requests, in place of what the emulator would answer by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Content = str | Mapping[str, Any]
Condition = str | Callable[[dict[str, Any]], object] | None
Logprobs = Mapping[str, float] | Sequence[Mapping[str, float]] | None


@dataclass(slots=True)
class ScriptedReply:
    """What to answer, how often, and to which requests."""

    content: Content | Callable[[dict[str, Any]], Content]
    times: int | None
    when: Condition
    logprobs: Logprobs
    count: int = 0  # of the requests that it has answered

    def fits(self, request: dict[str, Any]) -> bool:
        """Whether it answers a request: by a model's name, a word of the messages, or a function of the request."""
        if self.times is not None and self.count >= self.times:
            return False
        if callable(self.when):
            return bool(self.when(request))
        return self.when is None or self.when == request.get("model") or self.when in _text(request)

    def message(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns the message, with its `logprobs` as a list of one mapping per token."""
        content = self.content(request) if callable(self.content) else self.content
        message: dict[str, Any] = {"content": content} if isinstance(content, str) else dict(content)
        logprobs = message.get("logprobs", self.logprobs)
        return {**message, "logprobs": [logprobs] if isinstance(logprobs, Mapping) else list(logprobs or ())}


class ReplyQueue:
    """The replies, in the order in which they were set. The first that fits a request answers it."""

    def __init__(self) -> None:
        self._replies: list[ScriptedReply] = []
        self._lock = threading.Lock()

    def add(self, reply: ScriptedReply) -> None:
        """Adds a reply behind the others."""
        with self._lock:
            self._replies.append(reply)

    def take(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the message that answers a request, and counts its reply; None if none fits."""
        with self._lock:
            reply = next((reply for reply in self._replies if reply.fits(request)), None)
            if reply is not None:
                reply.count += 1
        return None if reply is None else reply.message(request)

    @property
    def unused(self) -> list[ScriptedReply]:
        """The replies that have answered fewer requests than they were set for; one without a limit, none."""
        with self._lock:
            return [reply for reply in self._replies if reply.count < (reply.times or 1)]

    def clear(self) -> None:
        """Removes all replies."""
        with self._lock:
            self._replies.clear()


def _text(request: dict[str, Any]) -> str:
    return json.dumps([message.get("content") for message in request.get("messages") or ()], ensure_ascii=False)

"""Replies that a test sets for requests to models, in place of what the emulator would answer by itself."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from together_adapters.emulator.http.answers import TEXT_KINDS, Answer, read

Content = str | Mapping[str, Any]
Function = Callable[[dict[str, Any]], Content]
Condition = str | Callable[[dict[str, Any]], object] | None


class ScriptedReply:
    """What to answer, how often, and to which requests. Its `repr` says so in the words of `Emulator.reply`."""

    def __init__(
        self, content: Content | Function | None, times: float | None, when: Condition, fields: Mapping[str, Any]
    ) -> None:
        self.content = content
        self.when = when
        self.fields = {name: value for name, value in fields.items() if value is not None}
        if callable(content) and self.fields:
            raise ValueError(f"the function that makes a reply returns its {next(iter(self.fields))} too, in a dict")
        self._answer = None if callable(content) else read(_merge(content, self.fields))
        self.kinds = TEXT_KINDS if self._answer is None else self._answer.kinds
        is_made = self._answer is None or callable(self._answer.media)
        self.times: float = times if times is not None else math.inf if is_made else 1
        self.count = 0
        """The number of requests that it has answered."""
        _check(self.times, when)
        self.calls_functions = is_made or callable(when)
        """Whether it calls functions of a test, which may take their time."""

    @property
    def is_default(self) -> bool:
        """Whether it answers any number of requests on no condition: then it answers what no other reply does."""
        return math.isinf(self.times) and self.when is None

    def fits(self, kind: str, request: dict[str, Any]) -> bool:
        """Whether it answers a request: by its kind, and by a model's name, a word of the prompt, or a function of the request."""
        if self.count >= self.times or kind not in self.kinds:
            return False
        if callable(self.when):
            return bool(self.when(request))
        return self.when is None or self.when == request.get("model") or any(self.when in text for text in _texts(request))

    def answer_to(self, kind: str, request: dict[str, Any]) -> Answer:
        """Returns the answer to a request. What a function of a test raises is raised here."""
        answer = read(self.content(request)) if callable(self.content) else self._answer
        assert answer is not None
        if kind not in answer.kinds:
            raise ValueError(f"the function returned what answers {answer.kinds[0]}, for a request to {kind}")
        return answer.to(request)

    def __repr__(self) -> str:
        parts = [] if self.content is None else [getattr(self.content, "__qualname__", None) or repr(self.content)]
        parts += [f"{name}={value!r}" for name, value in self.fields.items()]
        parts += [f"when={getattr(self.when, '__qualname__', None) or repr(self.when)}"] if self.when is not None else []
        text = f"reply({', '.join(part if len(part) <= 120 else part[:117] + '...' for part in parts)})"
        return text if self.times in (1, math.inf) else f"{text}, {self.count} of {self.times} times"


class ReplyQueue:
    """The replies, in the order in which they were set."""

    def __init__(self) -> None:
        self._replies: list[ScriptedReply] = []
        self._lock = threading.Lock()
        self.failures: list[str] = []
        """Tracebacks of the functions of tests that raised, or returned no reply."""

    def add(self, reply: ScriptedReply) -> None:
        """Adds a reply behind the others."""
        with self._lock:
            self._replies.append(reply)

    def take(self, kind: str, request: dict[str, Any]) -> Answer | None:
        """Returns the answer to a request, and counts its reply: the first that fits, or the newest default; None if there is none."""
        try:
            with self._lock:
                defaults = [reply for reply in reversed(self._replies) if reply.is_default]
                others = [reply for reply in self._replies if not reply.is_default]
                reply = next((reply for reply in (*others, *defaults) if reply.fits(kind, request)), None)
                if reply is None:
                    return None
                reply.count += 1
            return reply.answer_to(kind, request)
        except Exception:
            self.failures.append(traceback.format_exc())
            raise

    @property
    def calls_functions(self) -> bool:
        """Whether functions of a test may be called."""
        return any(reply.calls_functions for reply in self._replies)

    @property
    def unused(self) -> list[ScriptedReply]:
        """The replies that have answered fewer requests than they were set for; one without a limit, none."""
        with self._lock:
            return [reply for reply in self._replies if reply.count < (1 if math.isinf(reply.times) else reply.times)]

    def clear(self) -> None:
        """Removes all replies."""
        with self._lock:
            self._replies.clear()
            self.failures.clear()


def _check(times: float, when: Condition) -> None:
    if isinstance(times, bool) or not isinstance(times, int | float) or times < 1 or (times != math.inf and times != int(times)):
        raise ValueError(f"times={times!r} of a reply is a whole number from 1, or math.inf for every request")
    if when is not None and not isinstance(when, str) and not callable(when):
        raise TypeError(f"when={when!r} of a reply is a model, a word of the prompt, or a function of the request")


def _merge(content: Any, fields: Mapping[str, Any]) -> Any:
    if content is None:
        return fields
    if not isinstance(content, Mapping):
        return {**fields, "content": content} if fields else content
    if twice := sorted(content.keys() & fields.keys()):
        raise ValueError(f"the {twice[0]} of a reply is given twice")
    return {**content, **fields}


def _texts(request: Mapping[str, Any]) -> Iterator[str]:
    """Yields the texts of a prompt, and the names of files."""
    for message in request.get("messages") or ():
        yield from _strings(message.get("content") if isinstance(message, Mapping) else message)
    for name in ("prompt", "input", "query", "documents", "file"):
        yield from _strings(request.get(name))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(inner)
    elif (name := getattr(value, "name", None)) is not None:  # of a file in a form
        yield str(name)

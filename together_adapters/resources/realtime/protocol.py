"""What is said over the websocket of `/v1/realtime`: the request that opens it, frames from audio, events from frames. No I/O.

Names of parameters, frames and events are those of the service's documentation and of the `together` 3.x SDK; not checked against the
live service.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from pydantic_core import from_json, to_json

from together_adapters.errors import APIConnectionError, IncompleteStreamError
from together_adapters.transport import failures
from together_adapters.transport.call import Call, Response, request, split_options
from together_adapters.transport.config import Config
from together_adapters.transport.exchange import Attempt
from together_adapters.transport.model_parser import ModelParser
from together_adapters.transport.retry import Failure
from together_adapters.types.audio import (
    FinalTranscript,
    RealtimeEvent,
    RealtimeParams,
    SessionStart,
    TranscriptDelta,
)

_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
_PARSERS: Final[dict[str, ModelParser[Any]]] = {
    "session.created": ModelParser(SessionStart),
    f"{_TRANSCRIPTION}.delta": ModelParser(TranscriptDelta),
    f"{_TRANSCRIPTION}.completed": ModelParser(FinalTranscript),
}
_OTHER: Final[ModelParser[Any]] = ModelParser(RealtimeEvent)
_SAMPLE: Final = 2  # bytes
_MAX_AUDIO: Final = 32_000  # bytes in one frame: a second at 16 kHz
_COMPLETE: Final = 1000  # the code of a close that means: all is said


class Ending(NamedTuple):
    """How a websocket was closed."""

    code: int
    reason: str
    by_server: bool = True  # else this side closed it, for what the server sent or failed to send


class Protocol:
    """One conversation: makes frames, reads events, and knows what an end means."""

    def __init__(self, params: RealtimeParams, config: Config) -> None:
        """Takes the parameters of the method.

        Raises:
            TypeError: A parameter is missing or unknown.
            ValueError: `turn_detection` is no mapping.
        """
        fields, options = split_options({**params}, RealtimeParams)
        self._prompt = fields.pop("prompt", None)
        self.config = config
        self.call = _opening_call(fields, options)
        self.response = Response(0, {})
        self.is_committed = False  # all audio that was sent

    def begin(self, response: Response) -> Iterator[str]:
        """Takes the response that opened the websocket; yields what is sent first."""
        self.response = response
        if self._prompt is not None:
            yield _frame("transcription_session.updated", session={"prompt": self._prompt})

    def append(self, pcm: Any) -> Iterator[str]:
        """Returns the frames of samples.

        Raises:
            TypeError: These are no bytes.
            ValueError: The last sample is cut off.
        """
        if not isinstance(pcm, bytes | bytearray | memoryview):
            raise TypeError(f"send() takes the bytes of samples, not {type(pcm).__name__}")
        audio = bytes(pcm)
        if len(audio) % _SAMPLE:
            raise ValueError(f"send() takes whole samples of {_SAMPLE} bytes, and {len(audio)} bytes are not a multiple of that")
        self.is_committed = False
        chunks = (audio[start : start + _MAX_AUDIO] for start in range(0, len(audio), _MAX_AUDIO))
        return (_frame("input_audio_buffer.append", audio=b64encode(chunk).decode()) for chunk in chunks)

    def commit(self) -> str:
        """Returns the frame after which the service transcribes what it has."""
        self.is_committed = True
        return _frame("input_audio_buffer.commit")

    def clear(self) -> str:
        """Returns the frame that discards audio which is not transcribed yet."""
        return _frame("input_audio_buffer.clear")

    def read(self, message: str | bytes) -> RealtimeEvent:
        """Returns the event of a frame.

        Raises:
            APIError: The service reports an error, or this is no event.
        """
        data = message.encode("utf-8", "replace") if isinstance(message, str) else message
        secrets = self.config.secrets
        try:
            document = from_json(data)
            if not isinstance(document, Mapping) or not isinstance(document.get("type"), str):
                raise ValueError("an event is an object with a type")
            kind = document["type"]
            if document.get("error") or kind in ("error", f"{_TRANSCRIPTION}.failed"):
                raise failures.stream_error(document, self.response, self.call, secrets)
            event: RealtimeEvent = _PARSERS.get(kind, _OTHER).parse(data)
            return event
        except ValueError as problem:
            raise failures.invalid_response(problem, replace(self.response, content=data), self.call, secrets) from None

    def end(self, ending: Ending, *, is_closed: bool) -> APIConnectionError | None:
        """Returns the error of a websocket that ended, or None if the user closed it or all is said."""
        if is_closed or (ending.by_server and ending.code == _COMPLETE):
            return None
        return self._connection_error(ending, IncompleteStreamError)

    def send_error(self, ending: Ending, *, is_closed: bool) -> APIConnectionError:
        """Returns the error of something that a closed websocket prevents."""
        return self._connection_error(None if is_closed else ending, APIConnectionError)

    def _connection_error(self, ending: Ending | None, kind: type[APIConnectionError]) -> APIConnectionError:
        if ending is None:
            text = "the websocket is closed"
        elif ending.by_server:
            text = f"the server closed the websocket with code {ending.code}"
        else:
            text = f"the client gave the websocket up with code {ending.code}"
        failure = Failure(f"{text} ({ending.reason})" if ending and ending.reason else text)
        return failures.connection_error(failure, self.call, 1, kind, self.config.secrets)


class Texts:
    """The final texts of a conversation, until nothing comes for some time after `commit`: the service does not say that it is done."""

    def __init__(self, protocol: Protocol, quiet: float) -> None:
        """Takes the seconds of quiet that end it; a ValueError for what is no such number."""
        if not isinstance(quiet, int | float) or not quiet > 0:
            raise ValueError(f"quiet must be a number of seconds above 0, not {quiet!r}"[:200])
        self.is_over = False
        self._protocol = protocol
        self._quiet = quiet
        self._was_committed = False

    def begin_to_wait(self) -> float:
        """Returns how many seconds to wait for the next event."""
        self._was_committed = self._protocol.is_committed
        return self._quiet

    def nothing_came(self) -> None:
        """Takes note that no event came in that time."""
        self.is_over = self._was_committed and self._protocol.is_committed

    def read(self, event: RealtimeEvent | None) -> str | None:
        """Returns the text of an event, if it has one; None is the end of all events."""
        self.is_over = event is None
        return event.transcript if isinstance(event, FinalTranscript) else None


def _opening_call(fields: dict[str, Any], options: dict[str, Any]) -> Call[Any]:
    """Returns the request that opens the websocket; all but the prompt is its query."""
    detection = fields.pop("turn_detection", None)
    if detection is not None and not isinstance(detection, Mapping):
        raise ValueError(f"turn_detection must be a mapping with a type, such as {{'type': 'none'}}, not {detection!r}"[:200])
    if options.pop("extra_body", None):
        raise ValueError("extra_body has no place in a websocket: use extra_query")
    settings = {("turn_detection" if name == "type" else name): value for name, value in (detection or {}).items()}
    values = {name: value for name, value in (fields | settings).items() if value is not None}
    query = {"input_audio_format": "pcm_s16le_16000", **values}
    call = request("GET", "/v1/realtime", lambda response: None, query=query, options=options)
    return replace(call, headers={"openai-beta": "realtime=v1", **call.headers}, accepts=frozenset({101}))


def websocket_url(attempt: Attempt) -> str:
    """Returns the URL of an attempt with the scheme of a websocket: encrypted where the base URL is."""
    query = urlencode({name: _text(value) for name, value in attempt.query.items()})
    return f"ws{attempt.url.removeprefix('http')}{'?' if query else ''}{query}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _frame(type: str, **fields: Any) -> str:
    return to_json({"type": type, **fields}).decode()

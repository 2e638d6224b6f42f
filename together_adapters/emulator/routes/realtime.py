"""Transcription over a websocket, by the rule for recordings: the text in the metadata of the emulator's own files, or a sentence.

Without the package `websockets` the server answers the request that opens one as a path that does not exist.
"""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.responses import json_response
from together_adapters.emulator.http.routing import CONTEXT, RequestContext
from together_adapters.emulator.media import audio
from together_adapters.emulator.routes.served_models import find_media_model

_RATES: Final = {f"pcm_s16le_{rate}": rate for rate in (8_000, 16_000, 24_000)} | dict.fromkeys(
    ("pcm16", "pcm_s16", "pcm_s16le"), 24_000
)
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"
_MAX_AUDIO: Final = 64 * 1024 * 1024
_INVALID: Final = 1008  # code of a close after an event that is not valid


class _Session:
    """What one websocket has said: audio that is not transcribed yet, and how much was."""

    def __init__(self, rate: int, transcript: Callable[[], str | None]) -> None:
        self._rate = rate
        self._transcript = transcript  # that a test has set
        self._audio = bytearray()
        self._seconds = 0.0
        self._count = 0

    def answer(self, message: Any) -> Iterator[dict[str, Any]]:
        """Yields the events after a message of the client; raises `ApiError` for one that is not valid."""
        event = _parse(message)
        match event["type"]:
            case "input_audio_buffer.append":
                self._append(event.get("audio"))
            case "input_audio_buffer.commit":
                yield from self._transcribe()
            case "input_audio_buffer.clear":
                self._audio.clear()
            case "transcription_session.updated":
                if not isinstance(event.get("session"), dict):
                    raise bad_request("session must be an object.", param="session")
            case other:
                raise bad_request(f"The event type {other[:100]!r} is unknown.", param="type")

    def _append(self, text: Any) -> None:
        try:
            data = b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise bad_request("audio must be base64.", param="audio") from None
        if len(data) % 2:
            raise bad_request("audio must be whole samples of 16 bits.", param="audio")
        if len(self._audio) + len(data) > _MAX_AUDIO:
            raise ApiError(413, "The audio buffer is full: commit it.", param="audio", code="request_too_large")
        self._audio += data

    def _transcribe(self) -> Iterator[dict[str, Any]]:
        """Yields deltas, each of which replaces the one before, and the final text; nothing for an empty buffer."""
        if not self._audio:
            return
        content = bytes(self._audio)
        self._audio.clear()
        self._count += 1
        text = self._transcript() or audio.embedded_text(content) or f"This is a recording of {len(content)} bytes."
        duration = round(len(content) / (2 * self._rate), 3)
        common = {"item_id": f"item_{self._count}", "start": round(self._seconds, 3), "duration": duration}
        self._seconds += duration
        words = text.split()
        for end in range(1, len(words) + 1):
            yield {"type": f"{_TRANSCRIPTION}.delta", "delta": " ".join(words[:end]), **common}
        yield {"type": f"{_TRANSCRIPTION}.completed", "transcript": text, **common}


def _parse(message: Any) -> dict[str, Any]:
    """Returns an event of the client; raises `ApiError` for what is none."""
    text = message.get("text")
    if text is None:
        raise bad_request("Audio is sent as base64 in an event, not as binary data.")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise bad_request("Invalid JSON data: an event must be JSON.") from None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise bad_request("An event must be an object with a type.", param="type")
    return event


async def _serve(websocket: WebSocket) -> None:
    context = RequestContext(request=websocket, **websocket.scope[CONTEXT])  # type: ignore[arg-type]  # reads its query alone
    try:
        model, session = _begin(context)
    except ApiError as error:
        await websocket.send_denial_response(json_response(error.body(), error.status))
        return
    await websocket.accept()
    details = {"id": context.id, "object": "realtime.session", "modalities": ["audio"], "model": model}
    await websocket.send_json({"type": "session.created", "session": details})
    while (message := await websocket.receive())["type"] == "websocket.receive":
        try:
            for event in session.answer(message):
                await websocket.send_json(event)
                await asyncio.sleep(context.behaviour.delay)
        except ApiError as error:
            await websocket.send_json({"type": f"{_TRANSCRIPTION}.failed", **error.body()})
            await websocket.close(_INVALID, "an event was not valid")
            return


def _begin(context: RequestContext) -> tuple[str, _Session]:
    """Checks the query; raises `ApiError`."""
    query = context.request.query_params
    if not query.get("model"):
        raise bad_request("model is required.", param="model")
    model = find_media_model(replace(context, body={"model": query["model"]}), "transcription")
    format = query.get("input_audio_format", "")
    if format not in _RATES:
        raise bad_request(f"input_audio_format must be one of {', '.join(_RATES)}.", param="input_audio_format")

    def transcript() -> str | None:
        answer = context.answer("transcriptions", dict(query))
        return answer.media if answer else None

    return model, _Session(_RATES[format], transcript)


ROUTES: Any = [WebSocketRoute("/v1/realtime", _serve, name="/v1/realtime")]

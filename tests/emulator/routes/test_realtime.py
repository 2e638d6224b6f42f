"""The websocket of the emulator, to a client that is not ours."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import KEY
from together_adapters.emulator import Emulator

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

QUERY = "?model=openai/whisper-large-v3&input_audio_format=pcm_s16le_16000"


def open_websocket(emulator: Emulator, query: str = QUERY, **headers: str) -> Any:
    return connect(
        f"ws://127.0.0.1:{emulator.port}/v1/realtime{query}", additional_headers={"Authorization": f"Bearer {KEY}", **headers}
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("no JSON", None),
        ("[]", "type"),
        ("[" * 100_000, None),
        ('{"type": 7}', "type"),
        ('{"type": "response.create"}', "type"),
        ('{"type": "input_audio_buffer.append"}', "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "###"}', "audio"),
        ('{"type": "input_audio_buffer.append", "audio": "YWJj"}', "audio"),
        ('{"type": "transcription_session.updated"}', "session"),
        (b"\x00\x01", None),
    ],
)
def test_an_event_that_is_not_valid_ends_the_session(emulator: Emulator, message: str | bytes, param: str | None) -> None:
    with open_websocket(emulator) as websocket:
        assert json.loads(websocket.recv())["type"] == "session.created"
        websocket.send(message)
        event = json.loads(websocket.recv())
        assert event["type"] == "conversation.item.input_audio_transcription.failed"
        assert (event["error"]["type"], event["error"]["param"]) == ("invalid_request_error", param)
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1008
    assert emulator.errors == []


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        (QUERY, {"Authorization": "Basic x"}, 401),
        (QUERY, {"Origin": "https://attacker.example"}, 403),
        (QUERY, {"X-Emulator-Behaviour": "nonsense=1"}, 400),
        ("", {}, 400),
        ("?model=openai/whisper-large-v3", {}, 400),
        ("?model=openai/gpt-oss-120b&input_audio_format=pcm16", {}, 400),
    ],
)
def test_what_is_refused_before_it_opens(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], query: str, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        with open_websocket(emulator, query, **headers):
            pass
    assert caught.value.response.status_code == status
    assert "error" in json.loads(caught.value.response.body or b"")
    assert emulator.errors == []
    assert capsys.readouterr().err == ""


def test_it_is_recorded_like_any_request(emulator: Emulator) -> None:
    with open_websocket(emulator):
        assert [(request.method, request.path) for request in emulator.requests] == [("GET", "/v1/realtime")]
        assert KEY not in repr(emulator.requests)

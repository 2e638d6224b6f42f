"""Realtime transcription: what is said over the websocket, and every way in which it does not open or ends."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

import pytest

from tests.conftest import HANG, KEY, NEVER, Flavour, eventually
from together_adapters import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncTogether,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    IncompleteStreamError,
    InternalServerError,
    NotFoundError,
    ServiceUnavailableError,
    Together,
)
from together_adapters.emulator import Emulator, Fault
from together_adapters.transport import retry
from together_adapters.types.audio import FinalTranscript, RealtimeEvent, SessionStart, TranscriptDelta

pytest.importorskip("websockets")
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve as serve_websockets

WHISPER = "openai/whisper-large-v3"
FAILED = "conversation.item.input_audio_transcription.failed"
COMPLETED = "conversation.item.input_audio_transcription.completed"
SHORT = 0.2  # seconds without an event after which a transcription is listener for complete
SENTENCE = "This is a recording of 3200 bytes."


@contextmanager
def open_realtime(flavour: Flavour, client: Any = None, **params: Any) -> Iterator[Any]:
    """Opens a connection of either flavour."""
    connection = (client or flavour.client()).audio.transcriptions.realtime(**{"model": WHISPER, **params})
    flavour.run(connection.__aenter__() if flavour.is_async else connection.__enter__())
    try:
        yield connection
    finally:
        flavour.run(connection.close())


def say(flavour: Flavour, connection: Any, pcm: bytes = bytes(3200)) -> None:
    flavour.run(connection.send(pcm))
    flavour.run(connection.commit())


@contextmanager
def server(handler: Callable[[Any], None], process_request: Any = None) -> Iterator[str]:
    """Runs a server whose websockets a function serves; yields its base URL."""

    def serve_one(websocket: Any) -> None:
        try:
            handler(websocket)
        except ConnectionClosed:
            pass

    with serve_websockets(serve_one, "127.0.0.1", 0, process_request=process_request) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.socket.getsockname()[1]}"
        finally:
            running.shutdown()
            thread.join(HANG)


def send(websocket: Any, *events: dict[str, Any]) -> None:
    for event in events:
        websocket.send(json.dumps(event))


# --- what is said ---------------------------------------------------------------------------------------------------------------


def test_events_come_typed_and_deltas_replace_each_other(flavour: Flavour) -> None:
    with open_realtime(flavour) as connection:
        say(flavour, connection)
        events: list[Any] = []
        for event in flavour.iterate(connection):
            events.append(event)
            if isinstance(event, FinalTranscript):
                break
    assert isinstance(events[0], SessionStart)
    assert events[0].session["model"] == WHISPER
    deltas = [event.delta for event in events[1:-1]]
    assert all(isinstance(event, TranscriptDelta) for event in events[1:-1])
    assert deltas == [" ".join(SENTENCE.split()[:end]) for end in range(1, len(SENTENCE.split()) + 1)]
    assert (events[-1].transcript, events[-1].item_id, events[-1].duration) == (SENTENCE, "item_1", 0.1)


def test_texts_are_those_of_all_utterances(flavour: Flavour) -> None:
    with open_realtime(flavour, input_audio_format=None, language=None, prompt=None, turn_detection=None) as connection:
        say(flavour, connection)
        say(flavour, connection, bytes(100_000))
        assert list(flavour.iterate(connection.texts(SHORT))) == [SENTENCE, "This is a recording of 100000 bytes."]
        flavour.run(connection.commit())  # of nothing
        assert list(flavour.iterate(connection.texts(SHORT))) == []


def test_texts_that_wait_are_read_however_late(flavour: Flavour) -> None:
    with open_realtime(flavour) as connection:
        say(flavour, connection)
        flavour.run(asyncio.sleep(2 * SHORT) if flavour.is_async else time.sleep(2 * SHORT))
        assert list(flavour.iterate(connection.texts(SHORT))) == [SENTENCE]


def test_what_is_cleared_is_not_transcribed(flavour: Flavour) -> None:
    with open_realtime(flavour) as connection:
        flavour.run(connection.send(bytes(64)))
        flavour.run(connection.clear())
        say(flavour, connection)
        assert list(flavour.iterate(connection.texts(SHORT))) == [SENTENCE]


def test_the_emulator_transcribes_its_own_speech(flavour: Flavour) -> None:
    speech = flavour.run(
        flavour.client().audio.speech.create(
            model="hexgrad/Kokoro-82M", input="Good morning.", voice="af_heart", response_format="wav"
        )
    )
    with open_realtime(flavour) as connection:
        say(flavour, connection, bytes(speech))
        assert list(flavour.iterate(connection.texts(SHORT))) == ["Good morning."]


def test_the_request_and_the_frames(flavour: Flavour) -> None:
    frames: list[dict[str, Any]] = []
    requests: list[Any] = []

    def listen(websocket: Any) -> None:
        requests.append(websocket.request)
        for message in websocket:
            frames.append(json.loads(message))
            if frames[-1]["type"].endswith("commit"):
                send(websocket, {"type": COMPLETED, "transcript": "yes"})

    pcm = bytes(range(256)) * 300
    with server(listen) as url:
        client = flavour.client(base_url=url, default_headers={"X-Team": "a"}, default_query={"tenant": "b"})
        detection = {"type": "server_vad", "threshold": 0.5}
        with open_realtime(
            flavour, client, language="de", prompt="Ann", turn_detection=detection, extra_query={"c": True}
        ) as connection:
            say(flavour, connection, pcm)
            assert list(flavour.iterate(connection.texts(SHORT))) == ["yes"]
    path, _, query = requests[0].path.partition("?")
    assert path == "/v1/realtime"
    assert dict(part.split("=") for part in query.split("&")) == {
        "tenant": "b", "input_audio_format": "pcm_s16le_16000", "model": WHISPER.replace("/", "%2F"), "language": "de",
        "turn_detection": "server_vad", "threshold": "0.5", "c": "true",
    }  # fmt: skip
    headers = requests[0].headers
    assert (headers["authorization"], headers["openai-beta"], headers["x-team"]) == (f"Bearer {KEY}", "realtime=v1", "a")
    assert frames[0] == {"type": "transcription_session.updated", "session": {"prompt": "Ann"}}
    assert frames[-1] == {"type": "input_audio_buffer.commit"}
    assert {frame["type"] for frame in frames[1:-1]} == {"input_audio_buffer.append"}
    audio = [b64decode(frame["audio"]) for frame in frames[1:-1]]
    assert b"".join(audio) == pcm
    assert max(map(len, audio)) <= 32_000


def test_sending_goes_on_while_nobody_reads(flavour: Flavour) -> None:
    """Events wait for whoever reads later; they do not stop the sender."""

    def chatter(websocket: Any) -> None:
        for message in websocket:
            if message.count("append"):
                send(websocket, *[{"type": "input_audio_buffer.processed", "processed_ms": 1}] * 20)
            else:
                websocket.close()

    with server(chatter) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        for _ in range(30):
            flavour.run(connection.send(bytes(3200)))
        flavour.run(connection.commit())
        events = list(flavour.iterate(connection))
    assert len(events) == 600
    assert type(events[0]) is RealtimeEvent
    assert events[0].processed_ms == 1


def test_another_thread_sends_while_texts_are_read(emulator: Emulator) -> None:
    client = Together(api_key=KEY, base_url=emulator.base_url)
    with client, client.audio.transcriptions.realtime(model=WHISPER) as connection:

        def speak() -> None:
            time.sleep(2 * SHORT)  # longer than texts() waits after a commit
            connection.send(bytes(3200))
            connection.commit()

        thread = threading.Thread(target=speak)
        thread.start()
        assert list(connection.texts(SHORT)) == [SENTENCE]
        thread.join(HANG)


# --- what does not open ---------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_an_error_that_does_not_show_it(flavour: Flavour) -> None:
    key = f"bad-{KEY}"
    with pytest.raises(AuthenticationError) as caught, open_realtime(flavour, flavour.client(api_key=key)):
        pass
    assert caught.value.code == "invalid_api_key"
    assert key not in repr(vars(caught.value)) + str(caught.value)


@pytest.mark.parametrize(
    ("params", "field"), [({"input_audio_format": "mp3"}, "input_audio_format"), ({"model": "openai/gpt-oss-120b"}, "model")]
)
def test_what_the_service_refuses(flavour: Flavour, params: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequestError) as caught, open_realtime(flavour, **params):
        pass
    assert caught.value.param == field


def test_another_path_is_not_found(flavour: Flavour, emulator: Emulator) -> None:
    with pytest.raises(APIStatusError), open_realtime(flavour, flavour.client(base_url=f"{emulator.base_url}/elsewhere")):
        pass


def test_a_busy_service_is_asked_again(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "INITIAL_DELAY", 0.01)
    answers = [503, 429]

    def refuse(websocket: Any, request: Any) -> Any:
        return Response(answers.pop(), "Busy", Headers(), b"{}") if answers else None

    with server(lambda websocket: websocket.close(), refuse) as url:
        with open_realtime(flavour, flavour.client(base_url=url)) as connection:
            assert list(flavour.iterate(connection)) == []
        answers[:] = [503] * 3
        with pytest.raises(APIStatusError) as caught, open_realtime(flavour, flavour.client(base_url=url, max_retries=1)):
            pass
    assert caught.value.attempts == 2
    assert answers == [503]


def test_redirects_are_not_followed(flavour: Flavour) -> None:
    paths: list[Any] = []

    def redirect(websocket: Any, request: Any) -> Any:
        paths.append(request.path)
        return Response(307, "Temporary Redirect", Headers(Location="/v1/elsewhere"), b"")

    with server(lambda websocket: None, redirect) as url:
        with pytest.raises(APIStatusError, match="was not followed"), open_realtime(flavour, flavour.client(base_url=url)):
            pass
    assert len(paths) == 1


@pytest.mark.parametrize("options", [{"max_elapsed": 0.3, "max_retries": 50}, {"timeout": 0.3, "max_retries": 0}])
def test_a_server_that_does_not_answer(flavour: Flavour, options: dict[str, Any]) -> None:
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = flavour.client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", **options)
        with pytest.raises(APITimeoutError), open_realtime(flavour, client):
            pass
    assert time.monotonic() - start < HANG / 2


def test_no_server(flavour: Flavour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        pytest.raises(APIConnectionError, match="Nothing listens"),
        open_realtime(flavour, flavour.client(base_url=f"http://127.0.0.1:{port}", max_retries=0)),
    ):
        pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proxy_of_the_environment_gets_no_key(flavour: Flavour, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    received: list[bytes] = []

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(65_536))
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=[listener])
        thread.start()
        for name in ("ws_proxy", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://ann:proxy-password@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.warns(UserWarning, match="unencrypted") if scheme == "http" else nullcontext():
            client = flavour.client(base_url=f"{scheme}://gateway-{flavour.name}.invalid", max_retries=0)
        with pytest.raises(APIConnectionError) as caught, open_realtime(flavour, client):
            pass
        thread.join(HANG)
    assert received[0].startswith(f"CONNECT gateway-{flavour.name}.invalid:".encode())
    assert KEY.encode() not in received[0]
    assert "proxy-password" not in str(caught.value)


def test_a_proxy_that_is_none_is_an_error_without_its_password(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    client = flavour.client(base_url="https://gateway.invalid")
    monkeypatch.setenv("https_proxy", "gopher://ann:proxy-password@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="proxy") as caught, open_realtime(flavour, client):
        pass
    assert "proxy-password" not in str(caught.value)


@pytest.mark.skipif(find_spec("python_socks") is not None, reason="python-socks is installed")
def test_a_proxy_that_needs_a_package(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    client = flavour.client(base_url="https://gateway.invalid")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="python-socks"), open_realtime(flavour, client):
        pass


def test_the_log_has_no_key(flavour: Flavour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with open_realtime(flavour) as connection:
        say(flavour, connection)
        assert list(flavour.iterate(connection.texts(SHORT))) == [SENTENCE]
    assert "GET /v1/realtime: attempt 1: 101" in caplog.text
    assert KEY not in caplog.text


# --- how it ends ----------------------------------------------------------------------------------------------------------------


def drop(websocket: Any) -> None:
    send(websocket, {"type": "session.created"})
    websocket.socket.shutdown(socket.SHUT_RDWR)


def fail(websocket: Any) -> None:
    send(websocket, {"type": "session.created"})
    websocket.close(1011, f"no worker for {KEY}")


@pytest.mark.parametrize("end", [drop, fail])
def test_a_connection_that_is_lost_is_no_end(flavour: Flavour, end: Any) -> None:
    with server(end) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        events = flavour.iterate(connection)
        assert isinstance(next(events), SessionStart)
        with pytest.raises(IncompleteStreamError) as caught:
            next(events)
        assert KEY not in str(caught.value)
        with pytest.raises(APIConnectionError):
            flavour.run(connection.send(bytes(2)))
        with pytest.raises(IncompleteStreamError):
            next(flavour.iterate(connection.texts(SHORT)))


FAULTS = [
    (Fault("401"), AuthenticationError, 1),
    (Fault("503", retry_after_ms=1, times=2), ServiceUnavailableError, 2),
    (Fault("502-html", times=2), InternalServerError, 2),
    (Fault("drop", times=2), APIConnectionError, 2),
    (Fault("drop", times=2, reset=True), APIConnectionError, 2),
    (Fault("redirect", location="http://127.0.0.1:9/"), APIStatusError, 1),
    (Fault("cut"), IncompleteStreamError, 1),
    (Fault("cut", reset=True), IncompleteStreamError, 1),
    (Fault("bad-json"), APIResponseValidationError, 1),
    (Fault("stream-error", message="no worker"), APIError, 1),
]


@pytest.mark.parametrize(("fault", "error", "requests"), FAULTS, ids=lambda value: getattr(value, "kind", None))
def test_faults_of_the_emulator(
    flavour: Flavour, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, fault: Fault, error: type[Exception], requests: int
) -> None:
    monkeypatch.setattr(retry, "INITIAL_DELAY", 0.0)
    emulator.inject(fault)
    with pytest.raises(error), open_realtime(flavour, flavour.client(max_retries=1)) as connection:
        say(flavour, connection)
        list(flavour.iterate(connection.texts(SHORT)))
    assert (len(emulator.requests), emulator.pending_faults) == (requests, [])


def test_faults_of_other_kinds_wait_for_their_request(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("trickle"))
    with open_realtime(flavour, extra_headers={"x-emulator-fault": "slow; seconds=0.01"}) as connection:
        say(flavour, connection)
        assert list(flavour.iterate(connection.texts(SHORT))) == [SENTENCE]
    assert [fault.kind for fault in emulator.pending_faults] == ["trickle"]


def test_an_event_that_is_too_large_is_not_the_server_s_end(flavour: Flavour) -> None:
    def answer(websocket: Any) -> None:
        send(websocket, {"type": COMPLETED, "transcript": "a" * (1 << 20)})
        websocket.recv()

    with server(answer) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        with pytest.raises(IncompleteStreamError, match="the client gave the websocket up with code 1009"):
            list(flavour.iterate(connection.texts()))


@pytest.mark.parametrize("quiet", [0, -1, None, "2", float("nan")])
def test_what_is_no_time_of_quiet(flavour: Flavour, quiet: Any) -> None:
    with open_realtime(flavour) as connection, pytest.raises(ValueError, match="quiet must be a number of seconds above 0"):
        list(flavour.iterate(connection.texts(quiet)))


def test_a_server_that_closes_because_all_is_said(flavour: Flavour) -> None:
    def answer(websocket: Any) -> None:
        send(websocket, {"type": COMPLETED, "transcript": "yes"})
        websocket.close()

    with server(answer) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        assert list(flavour.iterate(connection.texts())) == ["yes"]


def test_a_failed_utterance_is_an_error_and_the_next_one_comes(flavour: Flavour) -> None:
    error = {"message": f"not understood, {KEY}", "type": "server_error", "code": "decode_failed", "param": None}

    def answer(websocket: Any) -> None:
        send(websocket, {"type": FAILED, "event_type": "completed", "error": error}, {"type": COMPLETED, "transcript": "yes"})
        websocket.close()

    with server(answer) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        with pytest.raises(APIError, match="not understood") as caught:
            next(flavour.iterate(connection.texts()))
        assert caught.value.code == "decode_failed"
        assert KEY not in repr(vars(caught.value)) + str(caught.value)
        assert list(flavour.iterate(connection.texts())) == ["yes"]


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        "{}",
        '{"type": 7}',
        b"\xff",
        json.dumps({"type": COMPLETED}),
        json.dumps({"type": COMPLETED, "transcript": None}),
    ],
)
def test_what_is_no_event(flavour: Flavour, message: str | bytes) -> None:
    with (
        server(lambda websocket: websocket.send(message)) as url,
        open_realtime(flavour, flavour.client(base_url=url)) as connection,
    ):
        with pytest.raises(APIResponseValidationError):
            next(flavour.iterate(connection))


def test_fields_that_are_null_or_new_are_read(flavour: Flavour) -> None:
    def answer(websocket: Any) -> None:
        send(websocket, {"type": COMPLETED, "transcript": "yes", "error": None, "start": None, "tokens": [{"text": "yes"}]})
        websocket.close()

    with server(answer) as url, open_realtime(flavour, flavour.client(base_url=url)) as connection:
        (event,) = flavour.iterate(connection)
    assert event.tokens == [{"text": "yes"}]


def test_closed_in_the_middle(flavour: Flavour, emulator: Emulator) -> None:
    with open_realtime(flavour) as connection:
        say(flavour, connection)
        next(flavour.iterate(connection))
        flavour.run(connection.close())
        flavour.run(connection.close())
        assert all(isinstance(event, TranscriptDelta | FinalTranscript) for event in flavour.iterate(connection))
        with pytest.raises(APIConnectionError, match="the websocket is closed"):
            flavour.run(connection.send(bytes(2)))
    assert emulator.errors == []


def test_closed_by_another_thread(emulator: Emulator) -> None:
    client = Together(api_key=KEY, base_url=emulator.base_url)
    with client, client.audio.transcriptions.realtime(model=WHISPER) as connection:
        next(connection)
        timer = threading.Timer(0.05, connection.close)
        timer.start()
        assert list(connection) == []
        timer.join(HANG)


async def test_cancelled_while_waiting_and_while_opening(emulator: Emulator) -> None:
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        async with client.audio.transcriptions.realtime(model=WHISPER) as connection:
            await anext(connection)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(connection), 0.05)
            await connection.send(bytes(3200))
            await connection.commit()
            assert [text async for text in connection.texts(SHORT)] == [SENTENCE]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with AsyncTogether(api_key=KEY, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.audio.transcriptions.realtime(model=WHISPER).__aenter__(), 0.05)


def test_one_thread_reads_at_a_time(emulator: Emulator) -> None:
    errors: list[Exception] = []

    def read(connection: Any) -> None:
        try:
            for _ in connection:
                pass
        except ConfigurationError as error:
            errors.append(error)

    with Together(api_key=KEY, base_url=emulator.base_url) as client:
        with client.audio.transcriptions.realtime(model=WHISPER) as connection:
            threads = [threading.Thread(target=read, args=[connection]) for _ in range(2)]
            for thread in threads:
                thread.start()
            assert eventually(lambda: errors)
        for thread in threads:
            thread.join(HANG)
    assert "one at a time" in str(errors)


async def test_one_task_reads_at_a_time(emulator: Emulator) -> None:
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        async with client.audio.transcriptions.realtime(model=WHISPER) as connection:
            await anext(connection)
            readers = [asyncio.create_task(connection.__anext__()) for _ in range(2)]
            done, pending = await asyncio.wait(readers, timeout=HANG, return_when=asyncio.FIRST_COMPLETED)
        assert [type(task.exception()) for task in done] == [ConfigurationError]
        await asyncio.gather(*pending, return_exceptions=True)


# --- how it is used -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pcm", "error"), [(bytes(3), ValueError), ("audio", TypeError), ([0, 1], TypeError)], ids=["odd", "text", "list"]
)
def test_what_is_no_audio_is_not_sent(flavour: Flavour, pcm: Any, error: type[Exception]) -> None:
    with open_realtime(flavour) as connection, pytest.raises(error, match=r"send\(\)"):
        flavour.run(connection.send(pcm))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({}, TypeError, "'model'"),
        ({"model": WHISPER, "voice": "a"}, TypeError, "'voice'"),
        ({"model": WHISPER, "turn_detection": "none"}, ValueError, "turn_detection"),
        ({"model": WHISPER, "extra_body": {"a": 1}}, ValueError, "extra_query"),
    ],
)
def test_parameters_that_are_wrong(flavour: Flavour, params: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        flavour.client().audio.transcriptions.realtime(**params)


def test_it_is_opened_once_and_before_it_is_used(flavour: Flavour) -> None:
    connection = flavour.client().audio.transcriptions.realtime(model=WHISPER)
    with pytest.raises(ConfigurationError, match="not open"):
        flavour.run(connection.send(bytes(2)))
    with open_realtime(flavour) as connection:
        assert repr(connection).endswith("open>")
        with pytest.raises(ConfigurationError, match="opened once"):
            flavour.run(connection.__aenter__() if flavour.is_async else connection.__enter__())
    assert repr(connection).endswith("closed>")
    refused = flavour.client(api_key="bad-key-of-ann").audio.transcriptions.realtime(model=WHISPER)
    for error in (AuthenticationError, ConfigurationError):
        with pytest.raises(error):
            flavour.run(refused.__aenter__() if flavour.is_async else refused.__enter__())


def test_there_is_no_raw_response(flavour: Flavour) -> None:
    with pytest.raises(TypeError, match="with_raw_response"):
        flavour.client().audio.transcriptions.with_raw_response.realtime(model=WHISPER)


def test_without_the_package(flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "together_adapters.resources.realtime.connection", raising=False)
    monkeypatch.delattr("together_adapters.resources.realtime.connection", raising=False)
    for name in ("websockets", "websockets.asyncio", "websockets.exceptions", "websockets.sync"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=r"together-adapters\[realtime\]"):
        flavour.client().audio.transcriptions.realtime(model=WHISPER)


def test_a_plain_request_finds_nothing(flavour: Flavour) -> None:
    """So a server without websockets answers, too."""
    with pytest.raises(NotFoundError):
        flavour.run(flavour.client(timeout=NEVER).request("GET", "/v1/realtime"))

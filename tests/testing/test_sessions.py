"""What was recorded once is replayed without a server, and equal: every kind of call, on both clients and both HTTP libraries."""

from __future__ import annotations

import asyncio
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import KEY
from tests.testing.conftest import MODEL, NOWHERE, Session, chat
from together_adapters import (
    APIConnectionError,
    APITimeoutError,
    AsyncTogether,
    ConfigurationError,
    IncompleteStreamError,
    RateLimitError,
    Together,
    TogetherError,
)
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.testing import RecordingMissError, record, replay

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def plain(message: str) -> str:
    """A message without what differs in a replay: the address, and that it is one."""
    return re.sub(r" at 127.0.0.1:[0-9]+| \(replayed from [^)]*\)", "", message)


def exchanges_of(path: Path) -> list[dict[str, Any]]:
    return yaml.safe_load(path.read_text("utf-8"))["exchanges"]  # type: ignore[no-any-return]


@pytest.mark.every_transport
def test_every_kind_of_call(session: Session, tmp_path: Path) -> None:
    flavour = session.flavour
    training = tmp_path / "train.jsonl"
    training.write_text('{"prompt": "a", "completion": "b"}\n' * 3)

    def scenario(client: Any) -> list[Any]:
        results: list[Any] = []

        def keep(call: Any) -> Any:
            results.append(flavour.run(call))
            return results[-1]

        def keep_stream(call: Any) -> None:
            results.append(list(flavour.iterate(flavour.run(call))))

        keep(client.chat.completions.create(**chat(), logprobs=1))
        keep(client.chat.completions.create(**chat("What is the weather in Zürich? 🌦"), tools=[WEATHER]))
        keep_stream(client.chat.completions.create(**chat("What is the weather in Rome?"), tools=[WEATHER], stream=True))
        keep_stream(client.completions.create(model=MODEL, prompt="One, two,", stream=True, max_tokens=5))
        keep(client.embeddings.create(model="acme/embed", input=["a", "b"]))
        keep(client.rerank.create(model="acme/rerank", query="a", documents=["b", "a"]))
        keep(client.images.generate(model="acme/image", prompt="a cat", response_format="base64"))
        voice = {"model": "hexgrad/Kokoro-82M", "input": "Hi.", "voice": "af_heart"}
        speech = bytes(flavour.run(client.audio.speech.create(**voice)))
        results.append(speech)
        keep_stream(client.audio.speech.create(**voice, stream=True))
        keep(client.audio.transcriptions.create(file=("a.wav", speech)))
        file = keep(client.files.upload(training, purpose="fine-tune", check=False))
        keep(client.files.content(file.id))
        target = tmp_path / "content.jsonl"
        flavour.run(client.files.retrieve_content(file.id, output=target))
        results.append(target.read_bytes())
        target.unlink()
        keep(client.files.list())
        with pytest.raises(TogetherError) as problem:
            flavour.run(client.files.retrieve("file-none"))
        results.append((type(problem.value), plain(str(problem.value)), problem.value.headers))
        return results

    session.both(scenario)


def test_both_flavours_replay_one_recording(session: Session, emulator: Emulator, path: Path) -> None:
    def scenario(client: Any) -> list[Any]:
        chunks = session.flavour.iterate(session.flavour.run(client.chat.completions.create(**chat(stream=True))))
        return [*chunks, session.flavour.run(client.chat.completions.create(**chat()))]

    with record(path), Together(base_url=emulator.base_url, api_key="any") as client:
        expected = [*client.chat.completions.create(**chat(stream=True)), client.chat.completions.create(**chat())]
    assert session.replay(scenario) == expected


def test_clients_need_no_key(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flavour = session.flavour

    def scenario(client: Any) -> Any:
        return flavour.run(client.chat.completions.create(**chat()))

    result = session.record(scenario)
    assert session.replay(scenario, api_key=None, base_url=None) == result
    with pytest.raises(ConfigurationError, match="no API key"):
        flavour.client(api_key=None, base_url=None)


@pytest.mark.every_transport
def test_clients_that_are_older_than_the_block(flavour: Any, path: Path) -> None:
    client = flavour.client()
    before = flavour.run(client.chat.completions.create(**chat("Before.")))
    with record(path):
        during = flavour.run(client.chat.completions.create(**chat()))
    with replay(path):
        assert flavour.run(client.chat.completions.create(**chat())) == during
    assert flavour.run(client.chat.completions.create(**chat("Before."))).choices == before.choices
    assert len(exchanges_of(path)) == 1


def test_streams_keep_their_pace(session: Session, emulator: Emulator) -> None:
    def times(client: Any) -> list[float]:
        start, seconds = time.monotonic(), []
        for _ in session.flavour.iterate(session.flavour.run(client.chat.completions.create(**chat(stream=True)))):
            seconds.append(time.monotonic() - start)
        return seconds

    with emulator.behave(delay=0.03):
        recorded = session.record(times)
    response = exchanges_of(session.path)[0]["response"]
    dues = accumulate(event.get("after", 0.0) for event in response["events"])
    replayed = session.replay(times, pace=1.0)
    assert len(replayed) == len(recorded) > 3
    assert all(seconds >= response["after"] + due for seconds, due in zip(replayed, dues, strict=False))
    assert replayed[-1] > 0.08
    assert session.replay(times, pace=0.0)[-1] < recorded[-1] / 2


def test_limits_of_time_hold_for_replayed_streams(session: Session) -> None:
    def read(client: Any) -> list[Any]:
        return list(
            session.flavour.iterate(session.flavour.run(client.chat.completions.create(**chat(stream=True), timeout=0.1)))
        )

    session.record(read)
    text = session.path.read_text("utf-8")
    edited = text.replace("    events:\n", "    events:\n    - {after: 60, event: late, data: {}}\n", 1)
    assert edited != text
    session.path.write_text(edited, "utf-8")
    with pytest.raises(APIConnectionError, match="timed out"):
        session.replay(read, pace=1.0)
    with pytest.raises(APIConnectionError, match="timed out"):
        session.replay(read, pace=1.0)


@pytest.mark.every_transport
def test_failures_are_exchanges(session: Session, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statuses with their headers, and connections that are dropped, cut or late: as many attempts, and the same errors."""
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.0)
    flavour = session.flavour

    def scenario(client: Any) -> list[Any]:
        def failure(kind: type[Exception], question: str, *faults: Fault, **params: Any) -> list[Any]:
            emulator.inject(*faults)
            chunks: list[Any] = []
            with pytest.raises(kind) as problem:
                limited = client.with_options(max_elapsed=params.pop("max_elapsed", None))
                stream = flavour.run(limited.chat.completions.create(**chat(question), **params))
                chunks.extend(flavour.iterate(stream))
            error = problem.value
            headers = getattr(error, "headers", None)
            return [
                type(error),
                plain(str(error)),
                getattr(error, "attempts", None),
                headers,
                chunks,
            ]

        emulator.inject("503")
        return [
            flavour.run(client.chat.completions.create(**chat())),
            failure(RateLimitError, "Too much.", Fault("429", times=2, retry_after=0)),
            failure(APIConnectionError, "Drop it.", Fault("drop", times=3)),
            failure(IncompleteStreamError, "Cut it.", Fault("cut", reset=True), stream=True),
            failure(APITimeoutError, "Be late.", Fault("slow", times=2, seconds=5), timeout=0.05),
            failure(APITimeoutError, "Be late again.", Fault("slow", seconds=5), max_elapsed=0.1),
            len(emulator.requests),
        ]

    *recorded, count = session.record(scenario, max_retries=1)
    *replayed, now = session.replay(scenario, max_retries=1)
    assert replayed == recorded
    assert now == count


FAULTS = """
    echo-key cut bad-json 502-html not-sse redirect empty-body trickle no-done crlf keepalive stream-error stream-error-event
    late-error
""".split()


def test_every_fault_is_replayed(session: Session, emulator: Emulator) -> None:
    """Whatever a server sends, whole or streamed: the same values, or the same error, which says where it was recorded."""
    flavour, messages = session.flavour, []

    def ask(client: Any, fault: str, stream: bool) -> Any:
        emulator.inject(Fault(fault, reset=True, seconds=0, size=200))
        chunks: list[Any] = []
        try:
            answer = flavour.run(client.chat.completions.create(**chat(f"Say {fault} to Ann."), stream=stream))
            chunks.extend(flavour.iterate(answer) if stream else [answer])
        except TogetherError as problem:
            chunks.append((type(problem), plain(str(problem))))
            messages.append(str(problem))
        emulator.clear()
        return chunks

    results = session.both(
        lambda client: [ask(client, fault, stream) for fault in FAULTS for stream in (False, True)], max_retries=0, api_key=KEY
    )
    count = sum(isinstance(chunks[-1], tuple) for chunks in results)
    assert count > 12
    origin = re.compile(rf"\(replayed from {re.escape(str(session.path))}, exchange [1-9][0-9]*\)")
    assert [bool(origin.search(message)) for message in messages] == [False] * count + [True] * count
    assert KEY not in session.path.read_text("utf-8")


def test_a_server_that_cannot_be_reached(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.0)

    def scenario(client: Any) -> tuple[str, int]:
        with pytest.raises(APIConnectionError) as problem:
            session.flavour.run(client.chat.completions.create(**chat()))
        messages.append(str(problem.value))
        return plain(messages[-1]), problem.value.attempts

    messages: list[str] = []
    message, attempts = session.both(scenario, base_url=NOWHERE, max_retries=1)
    assert attempts == 2
    assert "ConnectError" in message
    assert messages[1] == f"{messages[0]} (replayed from {session.path}, exchange 2)"
    assert [list(exchange) for exchange in exchanges_of(session.path)] == [["request", "failure"]] * 2


def test_a_stream_that_was_left_early_has_no_end(session: Session, emulator: Emulator) -> None:
    flavour = session.flavour

    def read(client: Any, count: int) -> list[Any]:
        stream = flavour.run(client.chat.completions.create(**chat(stream=True)))
        chunks = [chunk for chunk, _ in zip(flavour.iterate(stream), range(count), strict=False)]
        flavour.run(stream.close())
        return chunks

    with emulator.behave(delay=0.02):
        first = session.record(lambda client: read(client, 2))
    assert session.replay(lambda client: read(client, 2)) == first
    with pytest.raises(RecordingMissError, match=r"no more of exchange 1 .*: the client left it there"):
        session.replay(lambda client: read(client, 100))


def test_a_block_that_fails_keeps_the_earlier_file(flavour: Any, path: Path) -> None:
    """And writes none where there was none."""
    for earlier in (None, "precious"):
        if earlier:
            path.parent.mkdir()
            path.write_text(earlier)
        with pytest.raises(APIConnectionError) as problem, record(path, overwrite=True):
            flavour.run(flavour.client(base_url=NOWHERE, max_retries=0).chat.completions.create(**chat()))
        assert problem.value.__notes__ == [
            f"nothing is written to {path}, and an earlier file stays, because what was recorded failed"
        ]
        with pytest.raises(KeyboardInterrupt), record(path, overwrite=True):
            raise KeyboardInterrupt
        assert (path.read_text() if path.exists() else None) == earlier


async def test_a_task_that_is_cancelled(emulator: Emulator, path: Path) -> None:
    emulator.inject(Fault("slow", seconds=5))
    async with AsyncTogether(base_url=emulator.base_url, api_key="any") as client:
        for block in (record(path), replay(path)):
            with block, pytest.raises(TimeoutError):
                await asyncio.wait_for(client.chat.completions.create(**chat()), 0.1)
    assert exchanges_of(path)[0]["failure"]["error"] == "GaveUp"


def test_many_threads_and_tasks_at_once(session: Session) -> None:
    """Each request gets the answer to its own question, in whatever order they come."""
    questions = [f"Say hello to {name}." for name in ("Ann", "Bob", "Cid", "Dan", "Eve", "Fay")] * 2

    def scenario(client: Any) -> list[str]:
        if session.flavour.is_async:

            async def all_of_them() -> list[Any]:
                return await asyncio.gather(*(client.chat.completions.create(**chat(question)) for question in questions))

            answers = session.flavour.run(all_of_them())
        else:
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda question: client.chat.completions.create(**chat(question)), questions))
        return [answer.choices[0].message.content for answer in answers]

    answers = session.both(scenario)
    assert [answer.split()[-1] for answer in answers] == [question.split()[-1] for question in questions]
    assert len(exchanges_of(session.path)) == len(questions)


@pytest.mark.every_transport
def test_a_supplied_client(session: Session) -> None:
    """Its transport is used while it is recorded, and not while it is replayed; its hooks run both times."""
    flavour, paths = session.flavour, []

    def note(request: Any) -> None:
        paths.append(request.url.path)

    async def note_async(request: Any) -> None:
        paths.append(request.url.path)

    hooks = {"request": [note_async if flavour.is_async else note]}

    def answer(request: Any) -> httpx.Response:
        assert request.headers["authorization"] == "Basic YW5uOnNlY3JldC13b3Jk"
        return httpx.Response(200, json={"object": "list", "data": [{"id": "file-1", "filename": "secret-word.jsonl"}]})

    http_client = flavour.mock_client(answer)
    http_client.auth = ("ann", "secret-word")
    http_client.event_hooks = hooks
    with record(session.path):
        recorded = flavour.run(flavour.client(http_client=http_client).files.list())
    nowhere = flavour.http_client(event_hooks=hooks)
    with replay(session.path):
        replayed = flavour.run(flavour.client(http_client=nowhere, base_url=NOWHERE).files.list())
        flavour.run(nowhere.aclose() if flavour.is_async else nowhere.close())
        with pytest.raises(ConfigurationError, match="client has been closed"):
            flavour.run(flavour.client(http_client=nowhere, base_url=NOWHERE).files.list())
    assert recorded.data[0].filename == "secret-word.jsonl"
    assert replayed.data[0].filename == "[redacted].jsonl"
    assert paths == ["/v1/files"] * 2


def test_realtime_is_refused(flavour: Any, path: Path) -> None:
    async def open_async(connection: Any) -> None:
        async with connection:
            pass

    def open_connection() -> None:
        connection = flavour.client().audio.transcriptions.realtime(model="openai/whisper-large-v3")
        if flavour.is_async:
            flavour.run(open_async(connection))
        else:
            with connection:
                pass

    with record(path), pytest.raises(ConfigurationError, match="realtime transcription cannot be recorded"):
        open_connection()
    with replay(path), pytest.raises(ConfigurationError, match="realtime transcription cannot be replayed"):
        open_connection()


def test_the_innermost_block_counts(flavour: Any, path: Path, tmp_path: Path) -> None:
    client = flavour.client()
    with record(path):
        flavour.run(client.chat.completions.create(**chat("Outside.")))
        with record(tmp_path / "inner.yaml"):
            flavour.run(client.chat.completions.create(**chat("Inside.")))
        flavour.run(client.chat.completions.create(**chat("Outside again.")))
    assert [exchange["request"]["json"]["messages"][0]["content"] for exchange in exchanges_of(path)] == [
        "Outside.",
        "Outside again.",
    ]
    with replay(path), replay(tmp_path / "inner.yaml"):
        flavour.run(client.chat.completions.create(**chat("Inside.")))
        with pytest.raises(RecordingMissError):
            flavour.run(client.chat.completions.create(**chat("Outside.")))


def test_a_forked_process_cannot_record(path: Path, emulator: Emulator) -> None:
    client = Together(base_url=emulator.base_url, api_key="any")
    with record(path):
        child = os.fork()
        if not child:
            try:
                client.chat.completions.create(**chat())
            except ConfigurationError as problem:
                os._exit(7 if "was forked" in str(problem) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        client.chat.completions.create(**chat())
    client.close()
    assert len(exchanges_of(path)) == 1

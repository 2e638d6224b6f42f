"""Start and stop, keys, and recorded requests."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import HANG, NEVER, eventually
from tests.emulator.conftest import KEY, MODEL, Chat
from together_adapters.emulator import Behaviour, Emulator, Fault, serve
from together_adapters.emulator.__main__ import main
from together_adapters.emulator.http.listener import listen

EMBEDDING = "BAAI/bge-base-en-v1.5"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Count from 1 to 200"}]}


def test_it_starts_and_stops() -> None:
    threads = set(threading.enumerate())
    with serve() as emulator:
        assert httpx.get(f"{emulator.base_url}/models", headers=KEY, verify=False).status_code == 200
    assert eventually(lambda: set(threading.enumerate()) <= threads)  # those of handlers end by themselves
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{emulator.base_url}/models", headers=KEY, verify=False)


def test_open_streams_do_not_hold_it_up() -> None:
    with httpx.Client(headers=KEY, verify=False) as http, contextlib.ExitStack() as stack:
        with serve(behaviour=Behaviour(delay=NEVER)) as emulator:
            responses = http.stream("POST", f"{emulator.base_url}/chat/completions", json={**BODY, "stream": True})
            parts = stack.enter_context(responses).iter_bytes()
            next(parts)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            list(parts)


async def test_connections_send_without_delay() -> None:
    """With Nagle's algorithm, each request on a kept-alive connection waits 40 ms for a delayed acknowledgement."""
    options = asyncio.Queue[int]()

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        options.put_nowait(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accept, sock=listen("127.0.0.1", 0)) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await options.get()
        writer.close()
        await writer.wait_closed()


def test_connections_are_kept_alive(http: httpx.Client, emulator: Emulator) -> None:
    for _ in range(20):
        http.get("/models")
    assert len({request.connection for request in emulator.requests}) == 1


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer invalid", "Bearer bad-key", "Basic abc", "k"])
def test_bad_keys(emulator: Emulator, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = httpx.post(f"{emulator.base_url}/chat/completions", json=BODY, headers=headers, verify=False)
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "invalid_api_key")
    assert error["message"].endswith("This is the emulator, where any word will do: api_key='any'.")


def test_only_one_key_is_accepted() -> None:
    with serve(api_key="right") as emulator:
        responses = [
            httpx.get(f"{emulator.base_url}/models", headers={"authorization": f"Bearer {key}"}, verify=False)
            for key in ("right", "other")
        ]
    assert [answer.status_code for answer in responses] == [200, 401]


def test_requests_are_recorded(http: httpx.Client, emulator: Emulator) -> None:
    http.post("/chat/completions?x=1", json=BODY, headers={"X-Custom": "Yes"})
    http.post("/embeddings", content=b"not json")
    first, second = emulator.requests
    assert (first.method, first.path, first.query) == ("POST", "/v1/chat/completions", "x=1")
    assert first.headers["x-custom"] == "Yes"
    assert first.json == BODY
    assert b'"model"' in first.body
    assert second.json is None
    emulator.clear()
    assert emulator.requests == []


def test_answers_carry_the_headers_of_the_service(http: httpx.Client) -> None:
    headers = http.post("/chat/completions", json=BODY).headers
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["retry-after"] == headers["x-ratelimit-reset"]  # on success too: a client must not obey it
    assert headers["x-request-id"].startswith("o")
    assert headers["cf-ray"]


@pytest.mark.parametrize("path", ["//v1//models", "/v1/v1/models", "/v1/models/"])
def test_paths_are_normalized(emulator: Emulator, path: str) -> None:
    root = emulator.base_url.removesuffix("/v1")
    assert httpx.get(root + path, headers=KEY, verify=False).status_code == 200


def test_unknown_paths_and_methods(http: httpx.Client) -> None:
    missing, wrong = http.get("/nothing/here"), http.put("/models")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert {"message", "type", "param", "code"} == set(missing.json()["error"]) == set(wrong.json()["error"])


def test_disconnects_are_counted(emulator: Emulator, http: httpx.Client, chat: Chat) -> None:
    emulator.behave(delay=0.02)
    with http.stream("POST", "/chat/completions", json={**BODY, "stream": True}) as answer:
        parts = answer.iter_bytes()
        next(parts)
        assert emulator.in_flight == 1
    assert eventually(lambda: emulator.disconnects == 1)
    assert eventually(lambda: emulator.in_flight == 0)
    emulator.behave(delay=0)
    chat.chunks("hello")
    with pytest.raises(httpx.RemoteProtocolError):
        emulator.inject("cut")
        chat.chunks("hello there")
    assert emulator.disconnects == 1  # a complete response or a fault does not count as a disconnect


def test_client_timeouts_are_counted(emulator: Emulator, http: httpx.Client) -> None:
    emulator.inject(Fault("slow", seconds=NEVER))
    with pytest.raises(httpx.ReadTimeout):
        http.post("/chat/completions", json=BODY, timeout=httpx.Timeout(HANG, read=0.1))
    assert eventually(lambda: emulator.disconnects == 1)


def test_the_highest_number_in_flight(emulator: Emulator, http: httpx.Client) -> None:
    emulator.behave(delay=0.1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: http.post("/chat/completions", json=BODY), range(4)))
    assert emulator.most_in_flight == 4
    assert eventually(lambda: emulator.in_flight == 0)


def test_behaviour_changes_for_a_block_or_a_request(emulator: Emulator, chat: Chat) -> None:
    with emulator.behave(finish="eos"):
        assert chat.whole("hi")["choices"][0]["finish_reason"] == "eos"
    assert chat.whole("hi")["choices"][0]["finish_reason"] == "stop"
    for_one = {"x-emulator-behaviour": "finish=eos; cached_tokens=flat"}
    assert "cached_tokens" in chat.whole("hi", headers=for_one)["usage"]
    assert "cached_tokens" in chat.whole("hi")["usage"]["prompt_tokens_details"]
    for wrong in ("finish=never", "nonsense=1", "delay=soon"):
        assert chat.post("hi", headers={"x-emulator-behaviour": wrong}).status_code == 400
    with pytest.raises(ValueError, match="finish"):
        emulator.behave(finish="never")


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "together_adapters.emulator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_flag_that_does_not_exist_names_the_one_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--prot", "8000"])
    assert "unrecognized arguments: --prot 8000 (do you mean '--port'?)" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_on_a_signal(number: signal.Signals) -> None:
    process = command("--strict", "--api-key", "only")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    exports = [process.stdout.readline().strip() for _ in range(2)]
    assert exports == [f"export TOGETHER_BASE_URL={url}", "export TOGETHER_API_KEY=only"]
    answer = httpx.post(
        f"{url}/chat/completions", json={**BODY, "odd": 1}, headers={"authorization": "Bearer only"}, verify=False
    )
    assert answer.status_code == 422
    process.send_signal(number)
    rest, offer = process.communicate(timeout=HANG)
    assert (process.returncode, rest) == (0, "")
    assert re.fullmatch("It answers as the service of today.*no embedding or rerank model.*\n", offer)


@pytest.mark.parametrize(
    ("arguments", "offer", "serves_embeddings"),
    [
        ([], "Unknown models get a 404 .*Beyond the service of today it grants embedding, .*x-emulator-grants.*", True),
        (["--any-model"], "It answers by any name of a model. Beyond the service of today it grants .*", True),
        (["--strict"], "It answers as the service of today.*", False),
        (["--strict", "--model", MODEL, "--model", f"{EMBEDDING}=embedding"], f"It serves only {MODEL}, {EMBEDDING}, .*", True),
        (["--model", MODEL], f"It serves only {MODEL}, .*", False),
    ],
)
def test_the_command_says_what_it_answers(arguments: list[str], offer: str, serves_embeddings: bool) -> None:
    process = command(*arguments)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert httpx.post(f"{url}/chat/completions", json={**BODY, "model": "acme/x"}, headers=KEY, verify=False).is_success is (
        "--any-model" in arguments
    )
    for path, body, is_served in (
        ("/chat/completions", BODY, True), ("/embeddings", {"model": EMBEDDING, "input": "a"}, serves_embeddings),
    ):  # fmt: skip
        assert httpx.post(url + path, json=body, headers=KEY, verify=False).is_success is is_served
    process.terminate()
    assert re.fullmatch(f"{offer}\n", process.communicate(timeout=HANG)[1])


def test_the_command_refuses_an_unknown_type() -> None:
    process = command("--model", "acme/x=vectors")
    out, complaints = process.communicate(timeout=HANG)
    assert (process.returncode, out) == (2, "")
    assert "acme/x has the type 'vectors'" in complaints


def test_the_command_reports_a_used_port() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        process = command("--port", str(listener.getsockname()[1]))
        out, complaints = process.communicate(timeout=HANG)
    assert (process.returncode, out, complaints.count("\n")) == (1, "", 1)
    assert "Traceback" not in complaints


def test_reset_empties_the_account(emulator: Emulator, http: httpx.Client) -> None:
    form = {"purpose": "fine-tune", "file_name": "t.jsonl", "file_type": "jsonl"}
    assert http.post("/files/upload", data=form, files={"file": ("t.jsonl", b'{"text": "a row"}')}).is_success
    assert http.get("/files").json()["data"]
    emulator.reset()
    assert not http.get("/files").json()["data"]
    assert [request.path for request in emulator.requests] == ["/v1/files"]

"""Secrets in what a server says, in any way it may escape them; and bodies that are made to be slow to read."""

from __future__ import annotations

import base64
import html
import json
import logging
import pickle
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import httpx
import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import together_adapters as ta
from tests.conftest import Flavour
from together_adapters.transport import failures
from together_adapters.transport.call import Call, Response
from together_adapters.transport.redaction import MAX_LENGTH, Redactor, secret_headers, secrets_of_url
from together_adapters.transport.retry import Failure

pytestmark = [pytest.mark.long, pytest.mark.every_transport]

KEY = "sk-Ab/9+d2c3b5a69788796a5b4c3d2e1f0=="
TOKEN = "wandb-token-31415926"
CALL: Call[Any] = Call("POST", "/v1/chat/completions", Response.json, headers={"x-api-key": TOKEN})


def hex_escape(text: str) -> str:
    return "".join(f"\\u{ord(character):04X}" for character in text)


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "slashes": lambda text: text.replace("/", "\\/"),
    "unicode": hex_escape,
    "unicode twice": lambda text: hex_escape(text).replace("\\", "\\\\"),
    "mixed": lambda text: hex_escape(text[:9]).lower() + text[9:-9] + percent(text[-9:]).upper(),
    "percent": percent,
    "percent twice": lambda text: percent(percent(text)),
    "python": lambda text: "".join(f"\\x{ord(character):02x}" for character in text),
    "html": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "decimal": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "user2": lambda text: base64.b64encode(f"me:{text}:".encode()).decode(),
    "url64": lambda text: base64.urlsafe_b64encode(f"{text}\n".encode()).decode(),
}


def shows(text: str, secret: str) -> bool:
    """Whether a text contains a secret in any of these escapes."""
    texts = [text]
    for _ in range(6):
        text = html.unescape(unquote(text))
        for digits in ("u00", "x"):
            parts = text.split(f"\\{digits}")
            text = parts[0] + "".join(chr(int(part[:2], 16)) + part[2:] if is_hex(part[:2]) else part for part in parts[1:])
        text = text.replace("\\/", "/").replace("\\\\", "\\")
        texts.append(text)
    cores = [base64.b64encode(b"\0" * n + secret.encode())[4:-4].decode() for n in range(3)]
    forms = [secret, *cores, *(core.replace("+", "-").replace("/", "_") for core in cores)]
    return any(form.lower() in each.lower() for form in forms for each in texts)


def is_hex(text: str) -> bool:
    return len(text) == 2 and all(character in "0123456789abcdefABCDEF" for character in text)


def everything(error: BaseException | None) -> str:
    """All that can be reached from an exception."""
    texts = [] if error is None else ["".join(traceback.format_exception(error))]
    while error is not None:
        response = getattr(error, "response", None)
        texts += [str(error), repr(error), repr(error.args), repr(vars(error)), repr(getattr(error, "__notes__", ""))]
        texts += [str(value) for value in vars(error).values()]
        if isinstance(error, httpx.HTTPError | httpx2.HTTPError):
            texts.append(repr(error.request.headers.raw))
        if response is not None:
            texts += [response.text, repr(response.content), repr(response.headers), str(response.request_id)]
        if isinstance(error, ta.TogetherError):
            texts.append(pickle.dumps(error, protocol=0).decode("latin-1"))
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def plant(draw: Any, value: Any, secret: str) -> Any:
    """Returns a JSON value that has the secret at a place of its own choice, as a key or in a text."""
    where = draw(st.sampled_from(["value", "name", "list", "deep"]))
    text = draw(st.text(max_size=5)) + secret + draw(st.sampled_from(["", "'", " x", "\\", "%", "&"]))
    if where == "name":
        return {**value, text: 1}
    if where == "list":
        return {**value, "details": [value, [text]]}
    if where == "deep":
        return {"error": {"message": {"message": [text]}, "inner": {"a": [{"b": text}]}}}
    name = draw(st.sampled_from(["message", "code", "type", "param", "id", "detail", "title", "error", "errors"]))
    return {**value, name: text}


@st.composite
def bodies(draw: Any) -> bytes:
    """Bodies of errors that repeat a secret."""
    secret = ESCAPES[draw(st.sampled_from([*ESCAPES]))](draw(st.sampled_from([KEY, TOKEN])))
    body = plant(draw, draw(st.sampled_from([{}, {"error": {"message": "m"}}, {"message": "m"}])), secret)
    text = json.dumps(body, ensure_ascii=draw(st.booleans()))
    form = draw(st.sampled_from(["json", "twice", "raw", "html", "broken", "utf-16"]))
    if form == "twice":
        text = json.dumps({"detail": text})
    if form == "raw":
        text = f"upstream said: {secret}!"
    if form == "html":
        text = f"<html><title>{secret}</title><p>{secret}</p>"
    if form == "broken":
        text = text[:-1]
    return text.encode("utf-16" if form == "utf-16" else "utf-8", "replace")


@settings(max_examples=40)
@given(bodies(), st.sampled_from([*ESCAPES]), st.sampled_from([400, 302, 500]))
def test_no_error_shows_a_secret_however_it_is_escaped(content: bytes, escape: str, status: int) -> None:
    echo = ESCAPES[escape](KEY)
    headers = {"x-request-id": f"r-{echo}", f"x-{KEY}".lower(): "1", "location": f"https://{echo}.invalid/{echo}", "x-t": TOKEN}
    response = Response(status, headers, content)
    event = failures.event_error(content, is_error_event=True)
    for error in (
        failures.status_error(response, CALL, [KEY]),
        failures.stream_error(event, response, CALL, [KEY]),
        failures.invalid_response(ValueError(f"it says {echo}"), response, CALL, [KEY]),
        failures.not_a_stream(response, CALL, [KEY]),
        failures.connection_error(Failure(f"illegal header {echo!r} {TOKEN}"), CALL, 1, secrets=[KEY]),
    ):
        text = everything(error)
        assert not shows(text, KEY)
        assert not shows(text, TOKEN)
        assert "[redacted]" in text


def test_a_secret_at_the_end_of_what_is_kept_is_not_shown_in_part() -> None:
    for shift in range(0, len(KEY) + 2, 4):
        body = "x" * (MAX_LENGTH - shift) + KEY + "x" * 100
        error = failures.status_error(Response(400, {}, body.encode()), CALL, [KEY])
        assert KEY[:4] not in everything(error)


@pytest.mark.parametrize("key", ["x", "any", "1", "EMPTY", "ollama"])
def test_a_short_key_is_not_searched_for(key: str) -> None:
    body = {"error": {"message": "Too many, any: x1 EMPTY ollama", "code": "context_length_exceeded"}}
    error = failures.status_error(Response(400, {"x-request-id": "x1"}, json.dumps(body).encode()), CALL, [key])
    assert type(error) is ta.ContextLengthError
    assert (error.body, error.code, error.request_id) == (body, "context_length_exceeded", "x1")


@pytest.mark.parametrize("key", ["context_length_exceeded", "maximum context length"])
def test_errors_are_classified_before_they_are_redacted(key: str) -> None:
    body = {"error": {"message": "beyond the maximum context length", "code": "context_length_exceeded"}}
    error = failures.status_error(Response(400, {}, json.dumps(body).encode()), CALL, [key])
    assert type(error) is ta.ContextLengthError
    assert key not in everything(error)


def test_texts_without_a_secret_stay_as_they_are() -> None:
    redact = Redactor([KEY])
    for value in ('a \\u0073 b %73 &amp; \\"', {"a": [1, None, {"b": "c"}], "d": ()}, [0.5] * 3, "x" * 100_000):
        assert redact(value) is value


def test_what_counts_as_a_secret() -> None:
    basic = base64.b64encode(b"user:password1").decode()
    secrets = {*secret_headers({"Authorization": f"Basic {basic}", "X-Api-Key": "k-1", "Content-Type": "application/json"})}
    assert {f"Basic {basic}", basic, "user:password1", "password1", "k-1"} <= secrets
    assert "application/json" not in secrets
    assert {"u", "p@ss", "sign"} <= {*secrets_of_url("https://u:p%40ss@x.invalid:1/a?X-Amz-Signature=sign&part=7")}
    assert [*secrets_of_url("http://[bad")] == []


Answer = tuple[int, dict[str, str], str]


class Server(ThreadingHTTPServer):
    """A server on this machine that gives the answers of a list, the last one for ever."""

    answers: list[Answer] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers, "content-length": str(len(body.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


SSE = {"content-type": "text/event-stream"}
ECHO = f"header was: Bearer {hex_escape(KEY)}, {TOKEN}"
IN_NAMES = {f"x-{TOKEN}": TOKEN, "x-request-id": f"r-{KEY}"}
CHAT_ANSWERS: dict[str, Answer] = {
    "status": (401, IN_NAMES, json.dumps({"id": KEY, "error": {"message": ECHO, "code": KEY, KEY: [TOKEN]}})),
    "html": (502, {"content-type": "text/html"}, f"<html><title>{KEY}</title><p>{TOKEN}</p>"),
    "unreadable": (200, IN_NAMES, json.dumps({"choices": {KEY: TOKEN}, TOKEN: 1})),
    "no JSON": (200, {}, f"sorry, {KEY}"),
    "redirect": (302, {"location": f"https://{TOKEN}.invalid/{KEY}"}, ""),
    "bad redirect": (302, {"location": f"https://user:{TOKEN}@h.invalid/"}, ""),
    "in the stream": (
        200,
        SSE | IN_NAMES,
        f"data: {json.dumps({'error': {'message': ECHO, 'code': KEY, 'x': {KEY: TOKEN}}})}\n\n",
    ),
    "error event": (200, SSE, f"event: error\ndata: {ECHO} {TOKEN}\n\n"),
    "cut": (200, SSE | IN_NAMES, f": {KEY}\n\n"),
    "reported in an answer": (200, IN_NAMES, json.dumps({"error": {"message": ECHO, "code": KEY, TOKEN: KEY}})),
    "bad event": (200, SSE, f"data: {json.dumps({'choices': {KEY: TOKEN}})}\n\n"),
    "illegal header": (200, {f"{KEY} x": TOKEN}, "{}"),
}


def check(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    text = everything(error) + caplog.text + " ".join(repr(vars(record)) for record in caplog.records)
    assert not shows(text, KEY)
    assert not shows(text, TOKEN)


@pytest.mark.parametrize("kind", CHAT_ANSWERS)
def test_a_server_that_repeats_the_secrets(
    flavour: Flavour, server: Server, question: dict[str, Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    server.answers = [CHAT_ANSWERS[kind]]
    client = flavour.client(api_key=KEY, base_url=server.url, max_retries=0)
    with caplog.at_level(logging.DEBUG, logger="together_adapters"):
        for options in ({}, {"stream": True}):
            with pytest.raises(ta.TogetherError) as exc_info:
                create = client.chat.completions.create
                list(flavour.iterate(flavour.run(create(**options, **question, extra_headers={"x-api-key": TOKEN}))))
            check(exc_info.value, caplog)


class OwnAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc]
    """The credentials of a gateway, as users write them."""

    def __init__(self) -> None:
        self.token = TOKEN

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        request.headers["x-signature"] = self.token
        yield request


HTTP_CLIENTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "header": lambda http: {"headers": {"x-gateway": TOKEN}},
    "bearer": lambda http: {"headers": {"authorization": f"Bearer {TOKEN}"}},
    "query": lambda http: {"params": {"api_key": TOKEN}},
    "cookie": lambda http: {"cookies": {"session": TOKEN}},
    "basic": lambda http: {"auth": ("user", TOKEN)},
    "digest": lambda http: {"auth": http.DigestAuth("user", TOKEN)},
    "own auth": lambda http: {"auth": OwnAuth()},
    "proxy": lambda http: {"mounts": {"http://elsewhere.invalid": {"proxy": f"http://user:{TOKEN}@127.0.0.1:9"}}},
    "proxy headers": lambda http: {
        "mounts": {"all://x.invalid": {"proxy": http.Proxy("http://127.0.0.1:9", headers={"x-proxy": TOKEN})}}
    },
}


@pytest.mark.parametrize("kind", HTTP_CLIENTS)
def test_what_a_supplied_client_sends_is_a_secret_too(
    flavour: Flavour, server: Server, question: dict[str, Any], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    http_library = flavour.http_library
    transport = http_library.AsyncHTTPTransport if flavour.is_async else http_library.HTTPTransport
    options = HTTP_CLIENTS[kind](http_library)
    if "mounts" in options:
        options["mounts"] = {pattern: transport(**proxy) for pattern, proxy in options["mounts"].items()}
    http = flavour.http_client(**options)
    client = flavour.client(api_key=KEY, base_url=server.url, max_retries=0, http_client=http).with_options(timeout=60)
    with caplog.at_level(logging.DEBUG, logger="together_adapters"):
        for answer in CHAT_ANSWERS.values():
            server.answers = [answer]
            with pytest.raises(ta.TogetherError) as exc_info:
                flavour.run(client.chat.completions.create(**question))
            check(exc_info.value, caplog)


def test_what_a_flow_tells_of_a_job_and_of_what_it_completed(
    flavour: Flavour, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = flavour.client(api_key=KEY, base_url=server.url, max_retries=0, default_headers={"x-gateway": TOKEN})
    failed = {"id": "v-1", "status": "failed", "error": {"message": ECHO, "code": KEY}, TOKEN: TOKEN}
    server.answers = [(200, {}, json.dumps(failed))]
    with pytest.raises(ta.JobFailedError, match="redacted") as failure:
        flavour.run(client.videos.wait("v-1"))
    check(failure.value, caplog)
    assert failure.value.completed.id == "v-1"
    batch = {"model": KEY, "data": [{"index": 0, "embedding": [0.5, 1.0]}], "usage": {"note": [TOKEN]}}
    server.answers = [(200, {}, json.dumps(batch)), (400, {}, json.dumps({"error": ECHO}))]
    with pytest.raises(ta.BadRequestError) as exc_info:
        flavour.run(client.embeddings.create(model="m", input=["a", "b"], batch_size=1, max_concurrency=1))
    check(exc_info.value, caplog)
    assert exc_info.value.completed.data[0].embedding == [0.5, 1.0]


def nested(opening: str, count: int = 100_000) -> bytes:
    return (opening * count).encode()


PATHOLOGICAL: dict[str, Callable[[], bytes]] = {
    "tags": lambda: b"<" * 10_000_000,
    "scripts": lambda: b"<script" * 1_000_000,
    "script tags": lambda: b"<script>" * 1_000_000,
    "comments": lambda: b"<!--" * 1_000_000,
    "nested objects": lambda: nested('{"error":'),
    "nested messages": lambda: nested('{"message":{"error":[', 30) + b"1" + nested("]}}", 30),
    "nested lists": lambda: nested("[", 1_000_000),
    "nested in JSON that must be mended": lambda: b'{"a":"\\ud800","error":' + nested("[", 900) + nested("]", 900) + b"}",
    "whitespace": lambda: b" \n" * 5_000_000,
    "digits": lambda: b"1" * 10_000_000,
    "a number of many digits": lambda: b'{"error":{"code":' + b"9" * 10_000 + b',"message":"m"}}',
    "entities": lambda: b"<p>&#" + b"9" * 10_000 + b";" + b"&#1" * 1_000_000,
    "NULs": lambda: b"\0" * 10_000_000,
    "surrogates": lambda: b'{"message":"' + b"\\ud800" * 1_000_000 + b'"}',
    "one surrogate": lambda: b'{"error":{"message":"m \\ud800","code":"context_length_exceeded"}}',
    "invalid UTF-8": lambda: bytes(range(256)) * 40_000,
    "UTF-16": lambda: json.dumps({"error": "m" * 1_000_000}).encode("utf-16"),
    "backslashes": lambda: b"\\" * 10_000_000,
    "escapes of escapes": lambda: b"%25" * 3_000_000,
    "ampersands": lambda: b"&" * 10_000_000,
    "codes": lambda: json.dumps({"error": {"message": "m", "code": "a_B" * 1_000_000, "type": "Aa" * 100_000}}).encode(),
    "words": lambda: b"exceeds context " * 600_000,
    "many items": lambda: b'{"errors":[' + b'{"message":1},' * 700_000,
    "many names": lambda: b"{" + b",".join(b'"%d":{}' % number for number in range(500_000)) + b"}",
    "a long message": lambda: json.dumps({"error": {"message": "m" * 10_000_000}}).encode(),
}


@pytest.mark.parametrize("name", PATHOLOGICAL)
def test_no_body_is_slow_to_read_or_raises_anything_else(name: str) -> None:
    response = Response(400, {}, PATHOLOGICAL[name]())
    makers: list[Callable[[], ta.TogetherError]] = [
        lambda: failures.status_error(response, CALL, [KEY]),
        lambda: failures.invalid_response(ValueError("no"), response, CALL, [KEY]),
        lambda: failures.stream_error(failures.event_error(response.content, is_error_event=True), response, CALL, [KEY]),
    ]
    for make in makers:
        start = time.process_time()
        error = make()
        assert time.process_time() - start < 1  # 0.1 s on an idle machine
        assert len(str(error)) < 2_500
        assert error.response is not None and len(error.response.content) <= 4 * MAX_LENGTH
        assert len(pickle.dumps(error.body)) < 10 * MAX_LENGTH
        repr(vars(error))


@pytest.mark.parametrize("name", ["a long message", "many names", "surrogates", "invalid UTF-8"])
def test_a_long_body_takes_little_memory(name: str) -> None:
    response = Response(400, {}, PATHOLOGICAL[name]())
    tracemalloc.start()
    failures.status_error(response, CALL, [KEY])
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


names = st.sampled_from(
    ["error", "errors", "message", "detail", "code", "type", "param", "id", "loc", "msg", "title", "status", "__type", "Message"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(json_values, st.sampled_from([400, 404, 429, 500]))
@example({"error": {"message": {"message": []}, "code": {}, "type": [], "param": 0}}, 400)
@example({"title": 1, "errors": {"a": [[], None]}, "loc": [None, {}], "detail": 0}, 400)
def test_wrong_types_anywhere_are_still_an_error_of_the_service(body: Any, status: int) -> None:
    error = failures.status_error(Response(status, {}, json.dumps(body).encode()), CALL, [KEY])
    assert isinstance(error, ta.APIStatusError)
    for text in (error.code, error.param, error.request_id):
        assert text is None or isinstance(text, str)


@settings(max_examples=40)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xfe", b"\xef\xbb\xbf", b"<", b"{", b"\0\0"]))
def test_any_bytes_are_an_error_of_the_service(content: bytes, head: bytes) -> None:
    assert isinstance(failures.status_error(Response(400, {}, head + content), CALL, [KEY]), ta.BadRequestError)

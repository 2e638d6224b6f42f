"""The API key: where it is sent, and where it is never shown."""

from __future__ import annotations

import copy
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import together_adapters as ta
from tests.cases import each
from tests.conftest import KEY, Flavour
from together_adapters.emulator import Emulator, Fault, serve
from together_adapters.transport import config as settings

SECRET = "Basic c2VjcmV0LWhlYWRlci12YWx1ZQ=="

pytestmark = pytest.mark.every_transport


@pytest.fixture
def other_host() -> Iterator[Emulator]:
    """Another host for a client: an emulator on another port."""
    with serve() as other:
        yield other


def everything(error: BaseException | None) -> str:
    """Everything that an error report could show of an exception."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error)), repr(getattr(error, "request", ""))]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


@pytest.mark.parametrize("url", [None, "https://gateway.example"])
def test_a_missing_key_names_the_variable(flavour: Flavour, url: str | None) -> None:
    for empty in (None, ""):
        with pytest.raises(ta.ConfigurationError, match="TOGETHER_API_KEY"):
            flavour.client(api_key=empty, base_url=url)


def test_arguments_override_environment_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "sk-env")
    assert ta.Together().base_url == "https://api.together.xyz/v1"
    monkeypatch.setenv("TOGETHER_API_BASE", "https://second.example/v1")
    assert ta.Together().base_url == "https://second.example/v1"
    monkeypatch.setenv("TOGETHER_BASE_URL", "https://first.example")
    assert ta.Together().base_url == "https://first.example/v1"
    explicit = ta.Together(api_key="sk-arg", base_url="https://arg.example")
    assert explicit.base_url == "https://arg.example/v1"
    assert (explicit.config.api_key, ta.Together().config.api_key) == ("sk-arg", "sk-env")
    assert ta.Together(base_url="").base_url == "https://first.example/v1"


@pytest.mark.parametrize("key", ["sk-a\nX-Evil: 1", "sk a", "sk-\u00e9", "\t"])
def test_a_key_that_cannot_be_a_header_is_rejected_and_not_shown(key: str) -> None:
    with pytest.raises(ta.ConfigurationError) as exc_info:
        ta.Together(api_key=key)
    assert key not in str(exc_info.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "api.together.xyz",
        "http://",
        "https://user:pw@x.example",
        "https://x.example/v1?key=1",
        "http://x:99999",
        "http://u:pw#x@h",
    ],
)
def test_an_invalid_base_url_is_rejected(url: str) -> None:
    with pytest.raises(ta.ConfigurationError, match="base_url") as exc_info:
        ta.Together(api_key=KEY, base_url=url)
    assert "pw" not in everything(exc_info.value)


@pytest.mark.parametrize("suffix", ["/chat/completions", "/v1/chat/completions/", "/v1/embeddings", "/completions", "/v1/models"])
def test_a_base_url_of_one_endpoint_is_rejected_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setenv("TOGETHER_BASE_URL", f"https://gw.example/v1/account{suffix}")
    with pytest.raises(ta.ConfigurationError, match=r"TOGETHER_BASE_URL.*leave that out"):
        ta.Together(api_key=KEY)
    assert ta.Together(api_key=KEY, base_url="https://gw.example/v1/account").base_url == "https://gw.example/v1/account/v1"


INVALID: list[dict[str, Any]] = [
    *({"max_retries": value} for value in (-1, 1.5, "2", None)),
    *({name: value} for name in ("timeout", "max_elapsed") for value in (-1, 0, float("nan"), float("inf"), "30", True, 1e12)),
    *({"timeout": value} for value in ((1, 2), httpx.Timeout(-1), httpx.Timeout(5, read=float("nan")))),
    *({"default_headers": {"x-a": value}} for value in ("a\nb", "a\r\nX-Evil: 1", "a\0", "caf\u00e9", "\u20ac", 1, None, b"a")),
    *({"supplied_headers": {name: "a"}} for name in ("", "a b", "a:", "a\n", "\u00e9", 1)),
    *({"default_headers": value} for value in (["a"], "ab")),
    *({"default_query": value} for value in (["a"], "ab", {1: 2})),
    *({"api_key": value} for value in (1, b"sk-a", "sk-\u00e9", "sk-a\nb")),
    *({"base_url": value} for value in ("https://a..b/v1", "https://a b/v1", f"https://{'a' * 70}.example", 1, "//host/v1")),
    *({"base_url": f"https://host{rest}"} for rest in ("/v1#part", "/v1?a=b", ":port", ":99999", ":0")),
]  # fmt: skip


@each("options", INVALID)
@pytest.mark.parametrize("kind", [ta.Together, ta.AsyncTogether])
def test_invalid_settings_are_rejected(kind: Any, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ta.ConfigurationError, match=rf"{name}|headers") as exc_info:
        kind(**{"api_key": KEY, **options})
    assert "Evil" not in str(exc_info.value)
    with pytest.raises(ta.ConfigurationError, match=rf"{name}|headers"):
        kind(api_key=KEY).with_options(**options)


@pytest.mark.parametrize(
    "options", [{"timeout": -1}, {"timeout": "5"}, {"extra_headers": {"x-a": "a\nb"}}, {"extra_headers": {"x": 1}}]
)
def test_invalid_options_of_a_call_are_rejected(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], options: dict[str, Any]
) -> None:
    with pytest.raises(ta.ConfigurationError, match=next(iter(options))):
        flavour.run(flavour.client().chat.completions.create(**question, **options))
    assert emulator.requests == []


class ForeignClient:
    """A client of another SDK, such as openai's, whose repr shows a key."""

    def __repr__(self) -> str:
        return f"ForeignClient(api_key={SECRET})"

    def send(self, request: Any) -> None: ...


NO_CLIENTS: dict[str, Callable[[], Any]] = {
    "httpx": lambda: httpx, "class": lambda: httpx.Client, "other class": lambda: httpx2.AsyncClient, "text": lambda: SECRET,
    "number": lambda: 0, "flag": lambda: False, "list": list, "foreign": ForeignClient, "transport": httpx.HTTPTransport,
    "own": lambda: ta.Together(api_key=KEY),
}  # fmt: skip


@pytest.mark.parametrize("kind", [ta.Together, ta.AsyncTogether])
@pytest.mark.parametrize("value", NO_CLIENTS)
def test_what_is_no_http_client_is_rejected_at_construction(kind: Any, value: str) -> None:
    name = "AsyncClient" if kind is ta.AsyncTogether else "Client"
    expected = rf"^http_client must be an httpx\.{name} or an httpx2\.{name}, but is (of type|the class) [\w.]+"
    with pytest.raises(ta.ConfigurationError, match=expected) as exc_info:
        kind(api_key=KEY, http_client=NO_CLIENTS[value]())
    assert SECRET not in str(exc_info.value)


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("kind", [ta.Together, ta.AsyncTogether])
async def test_an_http_client_of_the_other_flavour_is_rejected(kind: Any, library: Any) -> None:
    other, name = (library.AsyncClient, "Client") if kind is ta.Together else (library.Client, "AsyncClient")
    with pytest.raises(ta.ConfigurationError, match=rf"httpx2\.{name}, but is of type {library.__name__}\.{other.__name__}$"):
        kind(api_key=KEY, http_client=other())


@pytest.mark.both_http_libraries
def test_the_library_is_that_of_the_client_or_the_named_one(emulator: Emulator, http_library: Any) -> None:
    options: dict[str, Any] = {"api_key": KEY, "base_url": emulator.base_url}
    for library, other in ((httpx, httpx2), (httpx2, httpx)):
        name: Any = library.__name__
        with library.Client() as http:
            supplied = ta.Together(http_client=http, **options)
            assert supplied.config.http_library == name
            with pytest.raises(ta.ConfigurationError, match=rf"an {other.__name__}\.Client with http_library="):
                ta.Together(http_client=http, **{**options, "http_library": other.__name__})
        named = ta.Together(http_library=name, **options)
        copied = pickle.loads(pickle.dumps(named))
        clients = [named.with_options(max_retries=1), named, named.to_async().to_sync(), copied, supplied.to_async().to_sync()]
        for client in clients:
            assert client.models.list()
            assert isinstance(client._driver.connections.client, library.Client)
            client.close()
        named = ta.Together(transport=name, **options)
        assert (named.config.transport, named.config.http_library) == (name, name)
    assert ta.Together(**options).config.http_library == http_library.__name__
    unknown: Any
    for unknown in ("httpx3", "", 2, "requests"):
        with pytest.raises(ta.ConfigurationError, match="http_library must be 'httpx' or 'httpx2', not"):
            ta.Together(http_library=unknown, **options)


PROXIES = ["socks4://127.0.0.1:1", "socks://127.0.0.1:1", "ftp://user:pw-secret@127.0.0.1", "http://[", "127.0.0.1:80:80", "http://",
           "http://user:pw-secret@a..b:80", "http://127.0.0.1:99999", "://"]  # fmt: skip


@each("proxy", PROXIES)
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_unusable_proxy_is_rejected_where_it_would_be_used(
    flavour: Flavour, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(ta.ConfigurationError, match=rf"{variable} .*127\.0\.0\.1 to NO_PROXY") as exc_info:
        flavour.client()
    assert "pw-secret" not in str(exc_info.value)
    monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.0/8, [::1")
    assert flavour.run(flavour.client().models.list())


@pytest.mark.skipif(find_spec("socksio") is not None, reason="SOCKS proxies work here")
def test_a_socks_proxy_names_the_package_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    with pytest.raises(ta.ConfigurationError, match=r"HTTPS_PROXY cannot be used: a SOCKS proxy.*'httpx2?\[socks\]'"):
        ta.Together(api_key=KEY)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_unusable_certificates_are_rejected(
    flavour: Flavour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    for other in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(other, raising=False)
    (tmp_path / "file").write_text("no certificate")
    (tmp_path / "folder").mkdir()
    for path in ("none/x", "folder", *(["file"] if variable != "SSLKEYLOGFILE" else [])):
        monkeypatch.setenv(variable, str(tmp_path / path))
        with pytest.raises(ta.ConfigurationError, match=rf"{variable}=.*cannot be used"):
            flavour.client()


def test_nothing_shows_the_key_or_the_headers(flavour: Flavour) -> None:
    client = flavour.client(default_headers={"x-gateway": SECRET})
    text = " ".join([repr(client), str(client), repr(client.config), repr(client.chat.completions), repr(client.embeddings)])
    assert KEY not in text
    assert SECRET not in text


@pytest.mark.parametrize("kind", ["401", "500", "drop", "echo-key", "bad-json", "slow"])
def test_no_error_shows_the_key(flavour: Flavour, emulator: Emulator, question: dict[str, Any], kind: str) -> None:
    emulator.inject(Fault(kind, times=None, seconds=1))
    client = flavour.client(max_retries=0, timeout=0.2, default_headers={"x-gateway": SECRET})
    for options in ({}, {"stream": True}):
        with pytest.raises(ta.TogetherError) as exc_info:
            list(flavour.iterate(flavour.run(client.chat.completions.create(**options, **question))))
        assert KEY not in everything(exc_info.value)
        assert SECRET not in everything(exc_info.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_prompt_is_not_sent_to_another_host(
    flavour: Flavour, emulator: Emulator, other_host: Emulator, question: dict[str, Any], status: int
) -> None:
    emulator.inject(Fault("redirect", status=status, location=other_host.base_url + "/chat/completions"))
    with pytest.raises(ta.APIStatusError, match="not followed"):
        flavour.run(flavour.client().chat.completions.create(**question))
    assert other_host.requests == []


def test_a_redirect_to_another_host_gets_no_credentials(flavour: Flavour, emulator: Emulator, other_host: Emulator) -> None:
    emulator.inject(Fault("redirect", status=302, location=other_host.base_url + "/models?signed=1"))
    client = flavour.client(default_headers={"x-gateway": SECRET}, default_query={"tenant": "t"}, supplied_headers={"x-s": "1"})
    with pytest.raises(ta.AuthenticationError):
        flavour.run(client.models.list())
    (request,) = other_host.requests
    assert request.query == "signed=1"
    assert not {"authorization", "x-gateway", "x-s", "cookie"} & set(request.headers)


def test_a_redirect_on_the_same_host_is_followed_with_the_key(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any]
) -> None:
    emulator.inject(Fault("redirect", status=307, location="/v1/chat/completions"))
    assert flavour.run(flavour.client().chat.completions.create(**question)).choices
    assert [request.headers["authorization"] for request in emulator.requests] == [f"Bearer {KEY}"] * 2


def test_the_number_of_redirects_is_limited(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("redirect", times=None, status=302, location="/v1/models"))
    with pytest.raises(ta.APIStatusError, match="not followed"):
        flavour.run(flavour.client().models.list())
    assert len(emulator.requests) == 6


def test_link_local_addresses_are_not_followed(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("redirect", status=302, location="http://169.254.169.254/latest/meta-data"))
    with pytest.raises(ta.APIStatusError, match="169.254.169.254 was not followed"):
        flavour.run(flavour.client().models.list())


def test_a_pickle_does_not_contain_a_key_from_the_environment(
    flavour: Flavour, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, question: dict[str, Any]
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    client = flavour.client(api_key=None, max_retries=5)
    data = pickle.dumps(client)
    assert KEY.encode() not in data
    monkeypatch.setenv("TOGETHER_API_KEY", "sk-rotated")
    copy_of_client = pickle.loads(data)
    assert (copy_of_client.config.api_key, copy_of_client.config.policy.max_retries, copy_of_client.base_url) == (
        "sk-rotated",
        5,
        client.base_url,
    )
    monkeypatch.delenv("TOGETHER_API_KEY")
    with pytest.raises(ta.ConfigurationError, match="TOGETHER_API_KEY"):
        pickle.loads(data)


def test_a_pickle_contains_a_key_from_an_argument(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client()
    copy_of_client = pickle.loads(pickle.dumps(client))
    flavour.run(copy_of_client.chat.completions.create(**question))
    flavour.run(copy_of_client.close())
    assert copy.deepcopy(client) is client


def test_a_client_with_an_http_client_cannot_be_pickled() -> None:
    with httpx.Client() as http, pytest.raises(TypeError, match="http_client"):
        pickle.dumps(ta.Together(api_key=KEY, http_client=http))


def test_plain_http_to_another_machine_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.warn_unencrypted.cache_clear()
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ta.ConfigurationError, match="is not sent to gateway"):
            ta.Together(base_url="http://gateway.example")
    with pytest.warns(UserWarning, match=r"unencrypted to gateway\.example"):
        ta.Together(api_key=KEY, base_url="http://gateway.example")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ta.Together(api_key=KEY, base_url="http://gateway.example")
        for loopback in ("http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"):
            ta.Together(api_key=KEY, base_url=loopback)


def test_logs_show_neither_key_nor_prompt_nor_query(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emulator.inject(Fault("503", retry_after_ms=1))
    client = flavour.client(default_query={"signature": "query-secret"}, default_headers={"x-gateway": SECRET})
    with caplog.at_level(logging.DEBUG, logger="together_adapters"):
        flavour.run(client.chat.completions.create(**question))
    assert "POST /v1/chat/completions: attempt 1: 503" in caplog.text
    assert "attempt 2: 200" in caplog.text
    for secret in (KEY, SECRET, "query-secret", "Ann"):
        assert secret not in caplog.text


def test_other_vendors_variables_are_not_read(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    flavour.run(flavour.client().chat.completions.create(**question))
    (request,) = emulator.requests
    assert "openai" not in repr(request.headers).lower()


def test_cookies_are_neither_kept_nor_sent(flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    emulator.inject(Fault("503", headers={"set-cookie": "__session=abc; Path=/"}, retry_after_ms=1))
    flavour.run(flavour.client().models.list())
    assert len(emulator.requests) == 2
    assert all("cookie" not in request.headers for request in emulator.requests)

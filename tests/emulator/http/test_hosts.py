"""Requests to foreign hosts, and from pages of foreign hosts, are refused: otherwise any page could reach it by DNS rebinding."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.emulator.conftest import KEY
from together_adapters.emulator import Emulator, serve

OURS = ["localhost", "LOCALHOST:1", "localhost.", "api.localhost", "127.0.0.1", "127.0.0.1:80", "127.8.8.8", "[::1]", "[::1]:80"]
FOREIGN = [
    "", "evil.invalid", "evil.invalid:80", "127.0.0.1.evil.invalid", "localhost.evil.invalid", "evillocalhost", "0.0.0.0", "192.168.1.5", "[fe80::1]",
    "localhost@evil.invalid", "evil.invalid/localhost", "localhost evil.invalid", "[::1", "127.0.0.1:80:80", "xn--localhst-", "null",
]  # fmt: skip


def get(emulator: Emulator, path: str = "/models", **headers: str) -> httpx.Response:
    return httpx.get(emulator.base_url + path, headers={**KEY, **headers}, verify=False)


@pytest.mark.parametrize("host", OURS)
def test_loopback_names_and_addresses(emulator: Emulator, host: str) -> None:
    assert get(emulator, host=host).status_code == 200
    assert get(emulator, host=host, origin=f"http://{host}").status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_hosts(emulator: Emulator, host: str) -> None:
    answer = get(emulator, host=host)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")
    assert "--allowed-host" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]
    assert emulator.requests == []


@pytest.mark.parametrize(
    "origin", ["https://evil.invalid", "http://127.0.0.1.evil.invalid:80", "null", "chrome-extension://abc", "http://a@b", "x"]
)
def test_foreign_pages(emulator: Emulator, origin: str) -> None:
    answer = get(emulator, origin=origin)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "host_not_allowed")
    assert "Origin" in answer.json()["error"]["message"]


def test_neither_storage_nor_uploads_are_an_exception(emulator: Emulator) -> None:
    root = emulator.base_url.removesuffix("/v1")
    for method, path in (("GET", "/storage/x/y"), ("PUT", "/uploads/x/y")):
        assert httpx.request(method, root + path, headers={"host": "evil.invalid"}, content=b"x", verify=False).status_code == 403


def test_hosts_that_the_user_allows() -> None:
    with serve(allowed_hosts=["Emulator:8000", "*.example.invalid"]) as emulator:
        for host, status in {
            "emulator": 200,
            "emulator:9": 200,
            "a.b.example.invalid": 200,
            "example.invalid": 403,
            "other": 403,
        }.items():
            assert get(emulator, host=host).status_code == status
            assert get(emulator, origin=f"http://{host}").status_code == status
    with serve(allowed_hosts=["*"]) as emulator:
        assert get(emulator, host="any.invalid").status_code == 200


def test_the_host_that_it_is_bound_to() -> None:
    with serve(host="0.0.0.0") as emulator:
        for host, status in {"0.0.0.0": 200, "127.0.0.1": 200, "evil.invalid": 403}.items():
            url = f"http://127.0.0.1:{emulator.port}/v1/models"
            assert httpx.get(url, headers={**KEY, "host": host}, verify=False).status_code == status


@pytest.mark.parametrize("hosts", [["http://emulator"], [""], ["a b"]])
def test_an_allowed_host_is_a_host(hosts: Any) -> None:
    with pytest.raises(ValueError, match="an allowed host is a name"):
        serve(allowed_hosts=hosts).__enter__()

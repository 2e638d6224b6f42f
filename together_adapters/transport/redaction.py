"""Takes secrets out of what a server said, however they are escaped there, and finds the secrets of a call. Pure."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.request import getproxies

from pydantic import BaseModel

from together_adapters.transport.surrogates import whole_characters

T = TypeVar("T")

MAX_LENGTH: Final = 1 << 16  # of a text that an error keeps
_MAX_DEPTH: Final = 50  # of a value that an error keeps
_MIN_SECRET: Final = 8  # local servers get "x" or "any" as a key, which is part of ordinary words
_LAYERS: Final = 5  # escapes of escapes: JSON in JSON, a URL in a URL
_WIDTH: Final = 12  # characters that one character may take when it is escaped

_ESCAPE: Final = re.compile(
    r"""\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\["'/\\]|(?:%[0-9a-f]{2})+|&\#?[0-9a-z]{1,8};""", re.IGNORECASE | re.ASCII
)
_SECRET_NAME: Final = re.compile(r"key|token|secret|sig|auth|credential|password", re.IGNORECASE)
_PUBLIC_HEADERS: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding", "content-length",
        "content-type", "host", "http-referer", "if-range", "origin", "range", "referer", "user-agent", "x-title",
    }
)  # fmt: skip


class Redactor:
    """Replaces secrets in texts and in JSON values at any depth, in time proportional to their length."""

    def __init__(self, secrets: Iterable[str], mark: str = "[redacted]") -> None:
        """Takes the secrets; those of fewer than 8 characters are not searched for."""
        forms = sorted({form for secret in secrets if len(secret) >= _MIN_SECRET for form in _forms(secret)}, key=len)
        self._mark = mark
        self._pattern = re.compile("|".join(map(re.escape, reversed(forms))), re.IGNORECASE) if forms else None
        self._margin = min(_WIDTH * len(forms[-1]), MAX_LENGTH // 2) if forms else 0

    def __call__(self, value: T, depth: int = 0) -> T:
        """Returns a text, a JSON value or a model without the secrets; the value itself if it has none."""
        result: Any = value
        if self._pattern is None:
            return value
        if isinstance(value, str):
            result = self._text(value)
        elif isinstance(value, Mapping | list | tuple) and depth > _MAX_DEPTH:
            result = "..."
        elif isinstance(value, Mapping):
            pairs = [(self(name, depth), self(item, depth + 1)) for name, item in value.items()]
            if any(name is not old or item is not value[old] for (name, item), old in zip(pairs, value, strict=True)):
                result = dict(pairs)
        elif isinstance(value, list | tuple) and not (value and isinstance(value[0], float)):  # a vector may be long
            items = [self(item, depth + 1) for item in value]
            if any(item is not old for item, old in zip(items, value, strict=True)):
                result = items
        elif isinstance(value, BaseModel):
            result = self._model(value, depth)
        return result  # type: ignore[no-any-return]

    def cut(self, text: str) -> str:
        """Returns the part of a text that an error keeps, without the secrets and without a beginning of one at its end."""
        result = self(text[:MAX_LENGTH])
        return result if len(text) <= MAX_LENGTH else result[: max(len(result) - self._margin, 0)]

    def _model(self, model: BaseModel, depth: int) -> BaseModel:
        """Returns a model without the secrets, also in the names of fields that only the service knows."""
        fields, extra = self(model.__dict__, depth), self(model.__pydantic_extra__, depth)
        if fields is model.__dict__ and extra is model.__pydantic_extra__:
            return model
        result = model.model_copy(update=fields)
        object.__setattr__(result, "__pydantic_extra__", extra)
        object.__setattr__(result, "__pydantic_fields_set__", {self(name) for name in model.model_fields_set})
        return result

    def _text(self, text: str) -> str:
        result = self._search(text) if len(text) >= _MIN_SECRET else text
        return text if result == text else result

    def _search(self, text: str) -> str:
        """Returns a text without the secrets; escapes are kept where they hide none."""
        assert self._pattern is not None
        text = inner = self._pattern.sub(self._mark, text)
        for _ in range(_LAYERS):
            outer, inner = inner, _ESCAPE.sub(_unescape, inner)
            if inner == outer:
                break
            if self._pattern.search(inner):
                text = inner = whole_characters(self._pattern.sub(self._mark, inner))
        return text


@lru_cache(maxsize=32)
def redactor(secrets: tuple[str, ...]) -> Redactor:
    """Returns the redactor of some secrets; making one takes a millisecond."""
    return Redactor(secrets)


def secret_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yields what headers contain and nothing may show: values, tokens without their scheme, user and password."""
    for name, value in headers.items():
        if name.lower() not in _PUBLIC_HEADERS:
            scheme, _, token = str(value).partition(" ")
            yield from (str(value), token.strip())
            if scheme.lower() == "basic":
                yield from _user_and_password(token)


def secret_parameters(query: Mapping[str, Any]) -> Iterator[str]:
    """Yields the values of a query whose names are those of secrets."""
    return (str(value) for name, value in query.items() if _SECRET_NAME.search(name))


def secrets_of_url(url: str) -> Iterator[str]:
    """Yields the secrets of a URL: user, password, and those of its query, such as the signature of a storage provider."""
    try:
        parts = urlsplit(url)
        for text in filter(None, (parts.netloc.rpartition("@")[0], parts.username, parts.password)):
            yield from (text, unquote(text))
        yield from secret_parameters(dict(parse_qsl(parts.query)))
    except ValueError:
        return


def proxy_secrets() -> Iterator[str]:
    """Yields the users and passwords of the proxies in the environment."""
    for url in getproxies().values():
        yield from secrets_of_url(url)


def client_secrets(client: Any) -> Iterator[str]:
    """Yields the secrets of an HTTP client as it is now: its headers, query, cookies and credentials, and those of its proxies.

    There is no public way to credentials; a test fails if these names change. What an object computes for a request is not known.
    """
    yield from secret_headers(getattr(client, "headers", {}))
    yield from secret_parameters(getattr(client, "params", {}))
    yield from (cookie.value or "" for cookie in getattr(getattr(client, "cookies", None), "jar", ()))
    credentials = [*getattr(getattr(client, "auth", None), "__dict__", {}).values()]
    for transport in (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values()):
        pool = getattr(transport, "_pool", None)
        credentials += [value for _, value in getattr(pool, "_proxy_headers", ())] + [*(getattr(pool, "_proxy_auth", None) or ())]
    for value in credentials:
        if isinstance(value, str | bytes):
            yield from secret_headers({"authorization": value if isinstance(value, str) else value.decode("latin-1")})


def _forms(secret: str) -> Iterator[str]:
    """Yields a secret as it is, and the middle of its base64 at each of the three offsets, in both alphabets."""
    yield secret
    data = secret.encode("utf-8", "replace")
    for offset in range(3):
        encoded = b64encode(b"\0" * offset + data).decode().rstrip("=")
        middle = encoded[(0, 2, 3)[offset] : len(encoded) - ((len(data) + offset) % 3 > 0)]
        if len(middle) >= _MIN_SECRET:
            yield from {middle, middle.replace("+", "-").replace("/", "_")}


def _user_and_password(token: str) -> Iterator[str]:
    try:
        text = b64decode(token).decode()
    except ValueError:
        return
    yield from (text, text.partition(":")[2])


def _unescape(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "%":
        return unquote(text)
    if text[0] == "&":
        from html import unescape  # its tables are large, and few errors need them

        return unescape(text)
    return chr(int(text[2:], 16)) if len(text) > 2 else text[1]

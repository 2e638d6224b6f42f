"""Takes keys, e-mail addresses and folders of this machine out of exchanges, also where a stream brings them in pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from together_adapters.finetune.validation.secret_scan import KINDS
from together_adapters.testing.folders import Folders
from together_adapters.transport.redaction import redactor, secret_headers, secret_parameters

MARK: Final = "[redacted]"
"""What stands for a secret, and matches anything when requests are compared."""

_MIN_SECRET: Final = 8
_SCHEMES: Final = ("bearer ", "basic ")
_WORDS: Final = frozenset({"emulator"})  # a usual key for the emulator, which is no secret
_SECRET_HEADER: Final = re.compile(
    r"authorization|cookie|(^|[-_])(api-?key|key|secret|token|password|credentials?|signature)$", re.IGNORECASE
)
_SECRET_VARIABLE: Final = re.compile(r"(^|_)(KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_SECRET_FIELD: Final = re.compile(
    r"(^|[_-])(api_?key|secret|secret_?key|access_?key(_?id)?|password|credentials?|authorization|"
    r"(api|access|auth|refresh|session|bearer|hub|hf)_?token)$",
    re.IGNORECASE,
)
_SECRET_PARAMETER: Final = re.compile(r"key|token|secret|sig|auth|credential|password", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    r"([?&;](?:[\w.\-]|%[0-9a-f]{2})*?(?:key|token|secret|sig|auth|credential|password)[\w.\-]*=)[^&;\s\"'<>#]+", re.IGNORECASE
)
_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    re.compile(r"(?<=\bBearer )[A-Za-z0-9._~+/\-]{12,}=*", re.IGNORECASE),
    re.compile(r"(?<=://)[^/\s:@\"'<>]+:[^/\s@\"'<>]+(?=@)"),
    *(re.compile(kind.pattern.pattern.decode()) for kind in KINDS if kind.name not in ("private_key", "card_number")),
)


class Redaction:
    """Redacts the secrets of an account, and what has the form of a key or an e-mail address."""

    def __init__(self, secrets: Iterable[str], patterns: Iterable[str] = (), folders: Folders | None = None) -> None:
        """Takes known secrets, of which those of fewer than 8 characters are no secrets, and patterns of the user."""
        values = tuple(sorted({secret for secret in secrets if len(secret) >= _MIN_SECRET} - _WORDS, key=len, reverse=True))
        self._redactor = redactor(values)
        self._patterns = [(pattern, MARK) for pattern in (*map(re.compile, patterns), *_PATTERNS)]
        self._patterns += folders.patterns if folders else ()
        self._everywhere = [(re.compile("|".join(map(re.escape, values)) or r"(?!)"), MARK), *self._patterns]

    def text(self, text: str) -> str:
        """Returns a text without secrets."""
        text = self._redactor(text)
        for pattern, mark in self._patterns:
            text = pattern.sub(mark, text)
        return _PARAMETER.sub(rf"\1{MARK}", text)

    def value(self, value: Any) -> Any:
        """Returns a JSON value without secrets; a field that is named like one is one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            self.text(name): MARK if isinstance(item, str) and _SECRET_FIELD.search(name) else self.value(item)
            for name, item in value.items()
        }

    def request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the description of a request without secrets."""
        result: dict[str, Any] = self.value(dict(request))
        if "query" in result:
            result["query"] = {name: MARK if _SECRET_PARAMETER.search(name) else item for name, item in result["query"].items()}
        if "form" in result:
            result["form"] = [
                {**part, "text": MARK} if "text" in part and _SECRET_FIELD.search(part["name"]) else part
                for part in result["form"]
            ]
        return result

    def response(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a response without secrets."""
        result: dict[str, Any] = {name: self.value(item) for name, item in response.items() if name not in ("headers", "events")}
        headers = {
            name: MARK if _SECRET_HEADER.search(name) else self.text(item) for name, item in response.get("headers", {}).items()
        }
        events = {"events": self.events(response["events"])} if "events" in response else {}
        return {name: {**result, "headers": headers, **events}[name] for name in response}

    def events(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the events of a stream without secrets, whether in one event or in the pieces of several."""
        events = [self.value(event) for event in events]
        fields: dict[tuple[Any, ...], list[tuple[Any, Any]]] = {}
        for event in events:
            for path, container, key in _texts(event.get("data"), event, "data"):
                fields.setdefault(path, []).append((container, key))
        for leaves in fields.values():
            if len(leaves) > 1:
                self._redact_pieces(leaves)
        return events

    def _redact_pieces(self, leaves: list[tuple[Any, Any]]) -> None:
        """Redacts what several texts have together; the mark is in the first."""
        texts = [container[key] for container, key in leaves]
        text_of_all = "".join(texts)
        mask = bytearray(len(text_of_all))
        starts: dict[int, str] = {}
        for pattern, mark in self._everywhere:
            for match in pattern.finditer(text_of_all):
                starts.setdefault(match.start(), mark)
                mask[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
        if not starts:
            return
        position = 0
        for (container, key), text in zip(leaves, texts, strict=True):
            characters = (starts.get(index, "") + character * (not mask[index]) for index, character in enumerate(text, position))
            container[key] = "".join(characters)
            position += len(text)


def known_secrets(headers: Mapping[str, str], query: Mapping[str, Any]) -> Iterator[str]:
    """Yields the secrets of a request: those of its headers and of its query."""
    values = secret_headers({name: value for name, value in headers.items() if _SECRET_HEADER.search(name)})
    yield from (value for value in values if not value.lower().startswith(_SCHEMES))  # their tokens come by themselves
    yield from secret_parameters(query)


def secrets_of_environment() -> Iterator[str]:
    """Yields the values of environment variables that are named like secrets: prompts may hold another vendor's key."""
    return (value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name))


def _texts(value: Any, container: Any, key: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any, Any]]:
    """Yields the texts in a value, each with its path and its place. Items with an `index` are told apart by it."""
    if isinstance(value, str):
        yield path, container, key
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, value, name, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            index = item.get("index", number) if isinstance(item, dict) else number
            yield from _texts(item, value, number, (*path, index))

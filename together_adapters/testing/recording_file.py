"""The YAML file of a recording: readable, and read with the rules of JSON, so that `no` is a word and `1e-7` a number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from together_adapters._version import __version__
from together_adapters.atomic_files import new_files
from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.testing.exact_json import STYLES, Number
from together_adapters.testing.exchange import Exchange

__tracebackhide__ = hides_frames

_FORMAT: Final = 1
_WIDTH: Final = 120
_ENDLESS: Final = 1 << 30  # of an event, which is a line
_BEYOND: Final = "\\U000"
_LINE_BREAK: Final = re.compile("[\x85\u2028\u2029]")  # which YAML would read as a blank, unless they are escaped
_MIN_INLINE: Final = 8  # numbers in a list from which it is written in lines, not one number a line

_CONTENT: Final = frozenset({"json", "text", "base64", "style"})
_REQUEST: Final = frozenset({"method", "path", "url", "query", "json", "form", "text", "sha256", "size"})
_RESPONSE: Final = frozenset({"status", "headers", "after", "events", "chunks", "failure", "incomplete"}) | _CONTENT
_FAILURE: Final = frozenset({"error", "message", "after", "unsent"})
_EVENT: Final = frozenset({"after", "event", "data", "raw", "base64"})
_CHUNK: Final = frozenset({"after", "text", "base64"})

_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d*)\Z")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)\Z")
_TAG: Final = "tag:yaml.org,2002:"


class _Inline(dict[str, Any]):
    """A mapping that is written in a line."""


class _Dumper(yaml.SafeDumper):
    """Writes no references to values that occur twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _FastDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """The same in C, ten times as fast, which writes an emoji as its number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads what JSON has; everything else is text."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _LINE_BREAK.search(text) else "|" if "\n" in text.strip("\n") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


def _write_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    is_inline = len(values) >= _MIN_INLINE and all(isinstance(value, int | float) for value in values)
    return dumper.represent_sequence(f"{_TAG}seq", values, flow_style=is_inline or None)


for _kind in (_Dumper, _FastDumper):
    _kind.add_representer(str, _write_text)
    _kind.add_representer(list, _write_list)
    _kind.add_representer(Number, lambda dumper, number: dumper.represent_scalar(f"{_TAG}float", number.text))
    _kind.add_representer(_Inline, lambda dumper, values: dumper.represent_mapping(f"{_TAG}map", values, flow_style=True))
    _kind.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-0123456789"))
_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver(f"{_TAG}int", _INTEGER, list("-0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-0123456789"))
_Loader.add_constructor(f"{_TAG}int", lambda loader, node: int(loader.construct_scalar(node)))
_Loader.add_constructor(f"{_TAG}float", lambda loader, node: Number(loader.construct_scalar(node)))


def save(path: Path, exchanges: Sequence[Exchange], servers: Sequence[str], *, overwrite: bool) -> None:
    """Writes a recording, as a whole or not at all.

    Raises:
        FileExistsError: There is such a file, which is not to be overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_files({path: overwrite}) as (draft,):
        draft.write_text(to_yaml(exchanges, servers), encoding="utf-8", newline="\n")


def to_yaml(exchanges: Sequence[Exchange], servers: Sequence[str]) -> str:
    """Returns the text of a recording."""
    date = datetime.now(UTC).date()
    head = (
        f"# Exchanges with {', '.join(servers) or 'no server'}, recorded by together-adapters {__version__} on {date}.\n"
        "# [redacted] stands for a secret or an e-mail address, and matches anything. Edit this file as you like.\n"
        f"format: {_FORMAT}\n"
    )
    if not exchanges:
        return f"{head}exchanges: []\n"
    parts = [_exchange_text(exchange) for exchange in exchanges]
    return "\n".join([f"{head}exchanges:", *parts])


def _exchange_text(exchange: Exchange) -> str:
    parts = {"request": exchange.request, "response": exchange.response, "failure": exchange.failure}
    entry = {name: part for name, part in parts.items() if part is not None}
    if exchange.response and "events" in exchange.response:
        entry["response"] = {**exchange.response, "events": [_Inline(event) for event in exchange.response["events"]]}
    is_stream = bool(exchange.response and "events" in exchange.response)
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": _ENDLESS if is_stream else _WIDTH}
    text: str = yaml.dump([entry], Dumper=_FastDumper, **options)
    return yaml.dump([entry], Dumper=_Dumper, **options) if _BEYOND in text else text


def load(path: Path) -> list[Exchange]:
    """Reads a recording.

    Raises:
        ConfigurationError: It is no recording, or a person has left it so that it cannot be read; the message names the line.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        content = loader.construct_document(node) if node else None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        words = str(problem).replace('in "<unicode string>", ', "")
        raise ConfigurationError(f"{path} cannot be read as YAML: {words}") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT or not isinstance(content.get("exchanges"), list):
        raise ConfigurationError(
            f"{path} is no recording of together_adapters.testing: 'format: {_FORMAT}' and 'exchanges' are missing"
        )
    entries = next(value.value for name, value in node.value if name.value == "exchanges")
    return [
        _exchange(entry, f"{path}, line {where.start_mark.line + 1}", number, where.start_mark.line + 1)
        for number, (entry, where) in enumerate(zip(content["exchanges"], entries, strict=True), 1)
    ]


def _exchange(entry: Any, where: str, number: int, line: int) -> Exchange:
    _check(entry, {"request", "response", "failure"}, {"request"}, f"{where}: an exchange")
    request, response, failure = entry["request"], entry.get("response"), entry.get("failure")
    _check(request, _REQUEST, {"method"}, f"{where}: the request")
    if ("path" in request) is ("url" in request):
        raise ConfigurationError(f"{where}: the request needs 'path' or 'url'")
    if (response is None) is (failure is None):
        raise ConfigurationError(f"{where}: an exchange needs 'response' or 'failure'")
    if response is not None:
        _check(response, _RESPONSE, {"status"}, f"{where}: the response")
        for name, allowed in (("events", _EVENT), ("chunks", _CHUNK)):
            for index, part in enumerate(response.get(name) or ()):
                _check(part, allowed, set(), f"{where}: {name}[{index}]")
        if response.get("style", "compact") not in STYLES:
            raise ConfigurationError(f"{where}: 'style' must be one of {', '.join(STYLES)}")
    for part in filter(None, (failure, (response or {}).get("failure"))):
        _check(part, _FAILURE, {"error"}, f"{where}: the failure")
    return Exchange(request, response, failure, number, line)


def _check(value: Any, allowed: set[str] | frozenset[str], required: set[str], where: str) -> None:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where} must have {', '.join(sorted(required or allowed))}")
    if unknown := [str(name) for name in value if name not in allowed]:
        raise ConfigurationError(f"{where} has an unknown key {unknown[0]!r}; known are {', '.join(sorted(allowed))}")
    if missing := required - value.keys():
        raise ConfigurationError(f"{where} needs {', '.join(map(repr, sorted(missing)))}")

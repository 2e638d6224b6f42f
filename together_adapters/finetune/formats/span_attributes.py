"""Attributes of spans: those of OTLP's JSON, of an SDK's, and of objects; flat dotted keys put back into the tree that they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.finetune.formats.conversation import parsed
from together_adapters.finetune.readers.fields import field, nested, text_or_none
from together_adapters.finetune.records import Row, Unconvertible

_FAILED: Final = ("ERROR", "STATUSCODE.ERROR", "STATUS_CODE_ERROR", "2")


def spans(document: Any) -> Iterator[Any]:
    """Give the spans of an OTLP export, or what is a span already."""
    resources = document.get("resourceSpans") or document.get("resource_spans") if isinstance(document, dict) else None
    if resources is None:
        yield document
        return
    for resource in resources:
        for scope in resource.get("scopeSpans") or resource.get("scope_spans") or ():
            yield from scope.get("spans") or ()


def attributes_of(span: Any, prefixes: tuple[str, ...]) -> Row:
    """Return the attributes of a span, those of its events among them, by their flat names.

    Args:
        span: A span as JSON or object, a row of a table of spans, or attributes alone.
        prefixes: Which ones matter.
    """
    given = field(span, "attributes")
    if given is None:
        given = span if isinstance(span, Mapping) else {}
    if isinstance(given, str):
        given = parsed(given, "attributes", "trace_json_truncated")
    found = _flat(given, prefixes)
    for event in field(span, "events") or ():
        for key, value in _flat(field(event, "attributes") or {}, prefixes).items():
            found.setdefault(key, value)
    return found


def all_of(record: Any) -> Row:
    """Return the attributes of a span or an event as they are named; its other fields where it has none."""
    given = field(record, "attributes")
    if isinstance(given, str):
        given = parsed(given, "attributes", "trace_json_truncated")
    return _flat(given if given is not None else record if isinstance(record, Mapping) else {}, ("",))


def _flat(given: Any, prefixes: tuple[str, ...]) -> Row:
    if isinstance(given, list):
        given = {pair["key"]: _value(pair.get("value")) for pair in given if isinstance(pair, dict) and "key" in pair}
    found: Row = {}
    for key, value in given.items():
        name = key.removeprefix("attributes.") if isinstance(key, str) else ""
        if value is not None and name.startswith(prefixes):
            found[name] = value
        elif isinstance(value, dict) and any(prefix.startswith(f"{name}.") for prefix in prefixes):
            found.update(_flat({f"{name}.{inner}": item for inner, item in value.items()}, prefixes))
    return found


def _value(value: Any) -> Any:
    """What a value of OTLP holds."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, held),) = value.items()
    if kind == "arrayValue":
        return [_value(item) for item in held.get("values") or ()]
    if kind == "kvlistValue":
        return {pair["key"]: _value(pair.get("value")) for pair in held.get("values") or ()}
    if kind == "intValue":
        return int(held)
    return held if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue") else value


def tree(flat: Mapping[str, Any]) -> Any:
    """Return flat dotted keys as the tree that they are of; keys that count make lists.

    Args:
        flat: Values by keys such as `llm.input_messages.0.message.role`; values may have such keys themselves.
    """
    grown: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        place = grown
        for name in path:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                raise Unconvertible("trace_invalid", f"{key!r} and what is above it have both a value", key)
            place = inner
        held = _inner(value)
        if isinstance(place.get(last), dict) and isinstance(held, dict):
            place[last] |= held
        else:
            place[last] = held
    return _counted(grown)


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return tree(value)
    return [tree(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value


def _counted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _counted(item) for key, item in value.items()}
    if inner and all(key.isdecimal() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def decoded(value: Any, path: str) -> Any:
    """Return what an attribute holds, which may be JSON text.

    Raises:
        Unconvertible: The text is cut off, as exporters do beyond a length.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return parsed(value, path, "trace_json_truncated")
    return value


def trace_of(span: Any) -> str | None:
    """Return the id of a span's trace."""
    found = field(span, "traceId", "trace_id", "context.trace_id", "trace.id") or nested(span, "context", "trace_id")
    return format(found, "032x") if isinstance(found, int) else text_or_none(found)


def failed(span: Any) -> bool:
    """Whether a span says that it failed."""
    status = field(span, "status")
    code = field(status, "status_code", "statusCode", "code") if status is not None and not isinstance(status, str) else status
    code = code if code is not None else field(span, "status_code")
    return str(getattr(code, "name", code)).upper() in _FAILED

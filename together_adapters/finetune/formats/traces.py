"""Traces: the attributes of spans, nested or flat, and which calls become rows: one row for each answer that finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from together_adapters.finetune.accounting import TRACE, has_value, unread
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import field, nested, text_or_none
from together_adapters.finetune.records import Converted, Row, Unconvertible

_EVENT_KEYS: Final = frozenset("attributes name event_name event.name timestamp timeUnixNano body".split())
OTLP_KEYS: Final = frozenset({"resourceSpans", "resource_spans"})
_SCOPE_SPANS: Final = frozenset({"scopeSpans", "scope_spans"})
_FAILED: Final = ("ERROR", "STATUSCODE.ERROR", "STATUS_CODE_ERROR", "2")


def spans(document: Any) -> Iterator[Any]:
    """Yields the spans of an OTLP export, or the document itself if it is a span."""
    resources = document.get("resourceSpans") or document.get("resource_spans") if isinstance(document, dict) else None
    if resources is None:
        yield document
        return
    for resource in resources:
        for scope in resource.get("scopeSpans") or resource.get("scope_spans") or ():
            around = {"resource": _without(resource, _SCOPE_SPANS), "scope": _without(scope, frozenset({"spans"}))}
            for span in scope.get("spans") or ():
                yield {**around, **span} if isinstance(span, dict) else span


def _without(fields: Row, keys: frozenset[str]) -> Row:
    return {key: value for key, value in fields.items() if key not in keys}


def attributes_of(span: Any, prefixes: tuple[str, ...]) -> Row:
    """Returns the attributes of a span (JSON, object or table row) whose names have a prefix, those of its events among them."""
    attributes = _flat(_attributes(span), prefixes)
    for event in field(span, "events") or ():
        for key, item in _flat(field(event, "attributes") or {}, prefixes).items():
            attributes.setdefault(key, item)
    return attributes


def unread_attributes(span: Any, read: tuple[str, ...]) -> Row:
    """Returns what no attribute whose name begins so holds: other attributes, those of events, and what is known of the exporter."""
    values = all_of(span) if field(span, "attributes") is not None else {}
    if isinstance(span, Mapping):
        values |= _flat({key: value for key, value in span.items() if "." in str(key)}, ("",))
    values = {key: value for key, value in values.items() if not key.startswith(read)}
    for event in field(span, "events") or ():
        fields = all_of(event) if field(event, "attributes") is not None else {}
        values |= {f"events[].{key}": value for key, value in fields.items() if not key.startswith(read)}
        values |= unread(event, _EVENT_KEYS, "events[]")
    for name in ("resource", "scope"):
        fields = field(span, name)
        values |= unread(fields, frozenset({"attributes"}), name)
        values |= {f"{name}.{key}": value for key, value in all_of(fields).items() if field(fields, "attributes") is not None}
    return {f"{TRACE}{key}"[:80]: value for key, value in values.items() if has_value(value)}


def all_of(record: Any) -> Row:
    """Returns all attributes of a span or an event, or its fields if it has no attributes."""
    return _flat(_attributes(record), ("",))


def _attributes(record: Any) -> Any:
    value = field(record, "attributes")
    if isinstance(value, str):
        return parsed(value, "attributes", "trace_json_truncated")
    return value if value is not None else record if isinstance(record, Mapping) else {}


def _flat(attributes: Any, prefixes: tuple[str, ...]) -> Row:
    if isinstance(attributes, list):
        attributes = {pair["key"]: _value(pair.get("value")) for pair in attributes if isinstance(pair, dict) and "key" in pair}
    flat: Row = {}
    for key, value in attributes.items():
        name = key.removeprefix("attributes.") if isinstance(key, str) else ""
        if value is not None and name.startswith(prefixes):
            flat[name] = value
        elif isinstance(value, dict) and any(prefix.startswith(f"{name}.") for prefix in prefixes):
            flat.update(_flat({f"{name}.{inner}": item for inner, item in value.items()}, prefixes))
    return flat


def _value(value: Any) -> Any:
    """Returns the value of an OTLP value object."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, content),) = value.items()
    match kind.removesuffix("_value").removesuffix("Value"):
        case "array":
            return [_value(item) for item in content.get("values") or ()]
        case "kvlist":
            return {pair["key"]: _value(pair.get("value")) for pair in content.get("values") or ()}
        case "int":
            return int(content)
        case "string" | "bool" | "double" | "bytes":
            return content
    return value


def tree(flat: Mapping[str, Any]) -> Any:
    """Converts flat keys such as `llm.input_messages.0.message.role` to nested objects and lists."""
    root: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        node = root
        for name in path:
            inner = node.setdefault(name, {})
            if not isinstance(inner, dict):
                raise Unconvertible("trace_invalid", f"{key!r} and what is above it have both a value", key)
            node = inner
        leaf = _inner(value)
        if isinstance(node.get(last), dict) and isinstance(leaf, dict):
            node[last] |= leaf
        else:
            node[last] = leaf
    return _with_lists(root)


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return tree(value)
    return [tree(item) if isinstance(item, dict) else item for item in value] if isinstance(value, list) else value


def _with_lists(value: dict[str, Any]) -> Any:
    inner = {key: _with_lists(item) if isinstance(item, dict) else item for key, item in value.items()}
    if inner and all(map(str.isdecimal, inner)):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def decoded(value: Any, path: str) -> Any:
    """Returns the value of an attribute, which may be JSON text, as `null`; text that an exporter cut off is refused."""
    if value == "null":
        return None
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        return parsed(value, path, "trace_json_truncated")
    return value


def trace_of(span: Any) -> str | None:
    """Returns the id of a span's trace."""
    id = field(span, "traceId", "trace_id", "context.trace_id", "trace.id") or nested(span, "context", "trace_id")
    return format(id, "032x") if isinstance(id, int) else text_or_none(id)


def failed(span: Any) -> bool:
    """Whether the status of a span is an error."""
    status = field(span, "status")
    code = field(status, "status_code", "statusCode", "code") if status is not None and not isinstance(status, str) else status
    code = code if code is not None else field(span, "status_code")
    return str(getattr(code, "name", code)).upper() in _FAILED


Result: TypeAlias = Converted | Unconvertible
UNFINISHED_REASONS: Final = frozenset({"length", "max_tokens", "model_length", "content_filter", "safety", "error"})


def selected(record: Any, options: Options) -> None:
    """Drops a record for which the user's `select` returns False."""
    if options.select is not None and not options.select(record):
        raise Unconvertible("not_selected", "select said no", skipped=True)


def finished(reason: Any) -> None:
    """Drops an answer that was cut off, filtered, or failed, by its finish reason."""
    if isinstance(reason, str) and reason.lower() in UNFINISHED_REASONS:
        raise Unconvertible("answer_unfinished", f"the answer ended for {reason}", skipped=True)


def answer_rows(
    question: Callable[[], Iterable[Any]],
    answers: Sequence[tuple[Any, Any]],
    read: Callable[[ConversationBuilder, Any], None],
    options: Options,
    tools: Callable[[], Any],
    group: str | None,
    left_out: Row | None = None,
) -> Iterator[Result]:
    """Yields the row, or the reason for its refusal, of each answer (a message with its finish reason) to a question."""
    for answer, reason in answers:
        try:
            finished(reason)
            builder = ConversationBuilder(options)
            builder.tools = tools()
            for message in question():
                read(builder, message)
            read(builder, answer)
            if len(answers) > 1:
                builder.change("one_of_several_answers")
            converted = builder.converted(None, group)
            yield converted._replace(left_out={**left_out, **converted.left_out}) if left_out else converted
        except Unconvertible as refusal:
            yield refusal

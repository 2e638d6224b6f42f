"""JSON values of a text: one in each line, spread over lines, one after another, or in an array. Memory and time are bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.finetune.accounting import Meaning, is_judgement, meaning_of
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.readers.containers import BLOCK
from together_adapters.finetune.readers.fields import is_stored_message
from together_adapters.finetune.records import NO_FIELDS, LineSource, Refusal
from together_adapters.finetune.rules import MAX_LINE_BYTES
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine, parse_line

_HEAD: Final = 1 << 18
_DOCUMENT: Final = 1 << 22
_MAX_LINE: Final = 1 << 30
_MAX_VALUE: Final = 80 << 20  # values that are no lines are copied once more
_MAX_READ: Final = 16 << 20
_MAX_DEPTH: Final = 1000
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)
_FIRST_KEY: Final = re.compile(rb'\s*\[\s*(\{\s*"[^"\\]{1,100}")')
_MAX_TRIES: Final = 20
_LONG_ITEM: Final = 1 << 20
_MAX_SEARCHES: Final = 64
_SPACE: Final = b" \t\r\n"
_MESSAGES: Final = re.compile(rb'\s*\[\s*\{[^{}\[\]]{0,200}"role"\s*:')


class SourceRecord(NamedTuple):
    """A record with its number and the name of its source. The number 0 marks a document, which may hold many records."""

    number: int
    source: str
    value: Any
    size: int = 0  # in bytes, 0 if it is not known
    left_out: Mapping[str, Any] = NO_FIELDS  # of its document


Item = SourceRecord | Refusal


class ByteRange(NamedTuple):
    """Where bytes stand in a file."""

    path: Path
    start: int
    size: int = 0


class Lines(NamedTuple):
    """Lines of a file that are not parsed yet, joined by line feeds: each holds a record, or is blank."""

    number: int  # of the first
    source: str
    data: bytes
    byte_range: ByteRange | None = None  # if they stand in the file as they are

    def without_data(self) -> Lines:
        """Returns the lines for another process, which reads them itself if it can."""
        return self if self.byte_range is None else self._replace(data=b"")

    def with_data(self) -> Lines:
        """Returns the lines, read from the file if need be."""
        if self.byte_range is None or self.data:
            return self
        path, start, size = self.byte_range
        with path.open("rb", 0) as file:
            file.seek(start)
            return self._replace(data=file.read(size))


def items_of(parts: Iterable[Item | Lines]) -> Iterator[Item]:
    """Yields records, those of lines where they stand."""
    for part in parts:
        if type(part) is Lines:
            yield from line_items(part)
        else:
            yield part  # type: ignore[misc]


def json_items(
    file: BufferedReader, name: str, *, is_document: bool = False, is_packed: bool = False, byte_range: ByteRange | None = None
) -> Iterator[Item | Lines]:  # fmt: skip
    """Reads the records of a text, whatever holds them; a document may be one object that holds many.

    Lines that hold a record each are left to `line_items`; `byte_range` is where the text begins in a file, if it stands there as it is.
    """
    size = _DOCUMENT if is_document else _HEAD
    head = file.read(size)
    is_whole = len(head) < size
    if is_document and is_whole and (items := _document(head, name)) is not None:
        return iter(items)
    layout = _layout(head, is_whole=is_whole)
    if layout == "values":
        return _values(head, file, name)
    if layout == "lines" or not is_document:
        return _lines(head, file, name, byte_range)
    if not is_whole:
        return _large_document(head, file, name, is_packed=is_packed)
    items = list(items_of(_lines(head, file, name)))
    return iter(items if any(isinstance(item, SourceRecord) for item in items) else [_record(head, 1, name)])


def _document(data: bytes, name: str) -> list[Item] | None:
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError:
        return None
    if isinstance(document, str) and document[:1] in ("{", "["):
        document = from_json(document, allow_inf_nan=False)  # JSON inside JSON, as LlamaIndex persists its stores
    if isinstance(document, list) and not (document and is_stored_message(document[0])):
        return [SourceRecord(number, name, record) for number, record in enumerate(document, 1)]
    return [SourceRecord(0, name, document)]


def _large_document(head: bytes, file: BufferedReader, name: str, *, is_packed: bool) -> Iterator[Item | Lines]:
    """Reads a document that cannot be divided; what a packed one grows to is bounded."""
    data = head + (file.read(_MAX_VALUE) if is_packed else file.read())
    if is_packed and len(data) > _MAX_VALUE:
        raise DatasetError(f"{name} holds one JSON object of more than {_MAX_VALUE >> 20} MiB: unpack the file first")
    yield from _document(data, name) or _lines(data, file, name)


def _layout(head: bytes, *, is_whole: bool) -> Literal["lines", "values", "one"]:
    """Tells by the first value whether each line has one, or values stand in an array or without line breaks, or there is one."""
    text = head.lstrip()
    if text[:1] not in (b"{", b"["):
        return "one" if text[:1] == b'"' else "lines"
    is_array = text[:1] == b"[" and not _is_conversation(text)
    line, line_end, rest = text.partition(b"\n")
    if line_end or is_whole:
        try:
            value = from_json(line)
            return "values" if is_array and isinstance(value, list) and not rest.strip() else "lines"
        except ValueError:
            pass
    return "values" if is_array or _first_value(text) else "one"


def _is_conversation(text: bytes) -> bool:
    """Whether a text starts with a list of messages, which is one record."""
    first = next(split_values(_reader(text), ""), b"") if text.lstrip()[:1] == b"[" else b""
    try:
        return is_stored_message(from_json(first))
    except ValueError:
        return _MESSAGES.match(text) is not None


def _reader(text: bytes) -> Callable[[int], bytes]:
    chunks = iter([text])
    return lambda _: next(chunks, b"")


def _first_value(text: bytes) -> bool:
    """Whether a text starts with a whole object or list, however it is spread."""
    try:
        value = next(split_values(_reader(text), "", arrays=False), None)
        return value is not None and isinstance(from_json(value), dict | list)
    except ValueError:
        return False


def _values(head: bytes, file: BufferedReader, name: str) -> Iterator[Item | Lines]:
    """Reads values that stand in arrays or without line breaks; those of an array of usual records as lines."""
    rest, number, arrays = head, 1, not _is_conversation(head)
    split = _array_splitter()
    if arrays and split is not None and (start := _FIRST_KEY.match(head)):
        rest, mark = head[start.start(1) :], start[1]
        while more := file.read(BLOCK):
            cut, items = _split_at(mark, rest, split)
            if items is None or (not items and len(rest) > _LONG_ITEM):
                rest += more
                break
            if items:
                yield Lines(number, name, b"\n".join(items))
                number += len(items)
            rest = rest[cut:] + more
    is_inside = rest is not head
    chunks = iter([rest])
    texts = split_values(
        lambda size: next(chunks, b"") or file.read(size), name, arrays=arrays, is_inside=is_inside, number=number
    )
    for index, text in enumerate(texts, number):
        yield _record(text, index, name)


def _split_at(
    mark: bytes, text: bytes, split: Callable[[bytes], list[bytes] | None]
) -> tuple[int, list[bytes] | None]:  # fmt: skip
    """Splits items of an array before one of the last marks, with which objects begin: those within items do not divide them."""
    cut = len(text)
    for _ in range(_MAX_TRIES):
        cut = max(text.rfind(mark, 0, cut), 0)
        items = split(text[:cut])
        if items is not None:
            return cut, items
    return 0, None


def _array_splitter() -> Callable[[bytes], list[bytes] | None] | None:
    """Returns a function that splits items of an array, each followed by a comma; it returns None for what it cannot split."""
    try:
        import msgspec
    except ImportError:
        return None
    decode = msgspec.json.Decoder(list[msgspec.Raw]).decode

    def split(text: bytes) -> list[bytes] | None:
        items = text.rstrip(_SPACE)
        if not items:
            return []
        if b"\n" in items or items[-1:] != b",":
            return None
        try:
            return [bytes(item) for item in decode(b"[" + items[:-1] + b"]")]
        except (ValueError, RecursionError, msgspec.DecodeError):
            return None

    return split


def split_values(
    read: Callable[[int], bytes], name: str, *, arrays: bool = True, is_inside: bool = False, number: int = 1
) -> Iterator[bytes]:  # fmt: skip
    """Yields the values of a text one by one, those of arrays too; what stands between them alone, which is no JSON.

    `is_inside` says that the text begins within an array, `number` which of its values is the first.
    """
    data, start, position, depth, base = b"", 0, 0, int(is_inside), int(is_inside)
    while more := read(min(max(BLOCK, len(data) - start), _MAX_READ)):
        data, position, start = data[start:] + more, position - start, 0
        for match in _TOKEN.finditer(data, position):
            token, position = match[0], match.end()
            if token == b'"':
                position = match.start()
                break
            if token in b"[{":
                if depth == base:
                    if between := data[start : match.start()].strip(b", \t\r\n"):
                        yield between
                    start = match.start()
                    if arrays and not depth and token == b"[":
                        base, start = 1, match.end()
                depth += 1
                if depth > _MAX_DEPTH:
                    raise DatasetError(f"{name}: record {number} is nested too deeply")
            elif token in b"]}":
                depth -= 1
                if depth < base:
                    if between := data[start : match.start()].strip(b", \t\r\n"):
                        yield between
                    base, start, depth = 0, match.end(), 0
                elif depth == base:
                    yield data[start : match.end()]
                    number, start = number + 1, match.end()
        if len(data) - start > _MAX_VALUE:
            raise DatasetError(f"{name}: record {number} has more than {_MAX_VALUE >> 20} MiB")
    if rest := data[start:].strip(b", \t\r\n"):
        yield rest
    elif base:
        raise DatasetError(f"{name} is cut off: its array does not end")


def line_batches(head: bytes, file: BufferedReader, name: str) -> Iterator[bytes]:
    """Yields whole lines, joined by line feeds; a line that is too long alone, as a `TruncatedLine`."""
    rest: list[bytes] = []
    size = 0
    for block in chain([head] if head else (), iter(lambda: file.read1(BLOCK), b"")):
        last = block.rfind(b"\n")
        if last < 0:
            rest.append(block)
            size += len(block)
            if size > MAX_LINE_BYTES:
                rest = [rest[0][:80]]
            if size > _MAX_LINE:
                raise DatasetError(f"{name}: a line has more than {_MAX_LINE >> 30} GiB")
            continue
        start = 0
        if size > MAX_LINE_BYTES:
            yield TruncatedLine(rest[0])
            rest, start = [], block.find(b"\n") + 1
        if start <= last:
            yield b"".join((*rest, memoryview(block)[start:last]))
        rest = [block[last + 1 :]] if last + 1 < len(block) else []
        size = len(block) - last - 1
    if size:
        yield TruncatedLine(rest[0]) if size > MAX_LINE_BYTES else b"".join(rest)


def _lines(head: bytes, file: BufferedReader, name: str, byte_range: ByteRange | None = None) -> Iterator[Lines]:
    """Reads lines that hold one value each."""
    number, name = 1, LineSource(name)
    for data in line_batches(head, file, name):
        byte_range = None if byte_range is None or isinstance(data, TruncatedLine) else byte_range._replace(size=len(data))
        yield Lines(number, name, data, byte_range)
        number += _line_feeds(data) + 1
        byte_range = byte_range and byte_range._replace(start=byte_range.start + len(data) + 1)


def _line_feeds(data: bytes) -> int:
    """Counts line feeds: searching takes a step for each line, counting reads every byte."""
    index = -1
    for count in range(_MAX_SEARCHES):
        index = data.find(b"\n", index + 1)
        if index < 0:
            return count
    return _MAX_SEARCHES + data.count(b"\n", index + 1)


def line_items(lines: Lines) -> Iterator[Item]:
    """Parses lines; blank ones are skipped."""
    start, name, data, _ = lines
    if type(data) is TruncatedLine:
        yield Refusal("line_too_long", f"the line has more than {MAX_LINE_BYTES >> 20} MiB", start, name)
        return
    decode, decode_error = _decoder()
    new = tuple.__new__  # twice as fast as the class
    for number, line in enumerate(data.split(b"\n"), start):
        try:
            yield new(SourceRecord, (number, name, decode(line), len(line), NO_FIELDS))
        except (ValueError, RecursionError, decode_error):
            if line and not line.isspace():
                yield _record(line, number, name)


def _decoder() -> tuple[Callable[[bytes], Any], type[Exception]]:
    """Returns the fastest installed JSON parser and its error, which is no ValueError before msgspec 0.20."""
    try:
        import msgspec
    except ImportError:
        return lambda line: from_json(line, allow_inf_nan=False), ValueError
    return msgspec.json.Decoder().decode, msgspec.DecodeError


def _record(text: bytes, number: int, name: str) -> Item:
    """Parses a value; reports what is wrong with one that is no JSON."""
    findings = RowFindings()
    is_valid, value = parse_line(findings, text)
    if is_valid:
        return SourceRecord(number, name, value, len(text))
    finding = findings.items[0]
    path = ""
    if "NaN" in finding.message:
        value = from_json(text)
        left_out = {}
        if isinstance(value, dict):
            cells = {key: cell for key, cell in value.items() if cell != cell}  # noqa: PLR0124 -- NaN alone differs from itself
            left_out = {key: cells[key] for key in cells if is_judgement(key) or not isinstance(meaning_of(key), Meaning)}
            value = {key: None if cell != cell else cell for key, cell in value.items()}  # noqa: PLR0124 -- as in tables
        path = _path_of_constant(value)
        if not path and isinstance(value, dict):
            return SourceRecord(number, name, value, len(text), left_out)
    return Refusal(finding.code, finding.message, number, name, path, text[:200].decode("utf-8", "replace"))


def _path_of_constant(value: Any, path: str = "") -> str:
    """Returns the path of the first number that JSON does not have."""
    if isinstance(value, float):
        return path if value - value else ""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        inner = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else str(key)
        if inner_path := _path_of_constant(item, inner):
            return inner_path
    return ""

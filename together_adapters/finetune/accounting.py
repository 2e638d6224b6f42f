"""Accounts for every column and key of a record: what no format reads is left out in training, by name, or refused.

A name is a path without indices, such as `score` or `conversations[].thought`. The words of its last part say whether it is
harmless, carries meaning that training would lose, or is unknown; a value can also show by its layout that it carries meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isnan
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import from_json

from together_adapters.finetune.findings import Finding
from together_adapters.finetune.records import Converted, Row
from together_adapters.finetune.rules import FORMATS, MESSAGE_KEYS, OPTIONAL

MEANING_CODE: Final = "meaning_left_out"
UNKNOWN_CODE: Final = "column_left_out"


class Meaning(NamedTuple):
    """What names of a kind carry, and what a user can do about it."""

    text: str
    way_on: str = ""


PAIRING: Final = "pair='best_vs_worst'"
_PAIRING: Final = f"{PAIRING} makes preferences of good and bad answers to the same question"
_FORM: Final = "form='conversation' makes conversations, which can hold it"
_MEANINGS: Final[Mapping[Meaning, str]] = {
    Meaning("labels an answer good or bad (KTO), for which there is no method here", _PAIRING): "label kto",
    Meaning("judges an answer, and all answers would be trained as good", "remove the bad ones before"): (
        "score rating rank ranking grade vote upvote downvote thumb feedback correct incorrect correctness desirable undesirable verdict"
        " judgement judgment winner accepted good bad assessment"
    ),
    Meaning("is an answer of a preference", "schema='preference' needs a better and a worse answer"): (
        "chosen rejected reject preferred dispreferred"
    ),
    Meaning("is a system prompt", _FORM): "system sysprompt systemprompt",
    Meaning("is an image", _FORM): "image img picture photo pixel",
    Meaning("is audio, which cannot be trained on"): "audio speech sound voice wav waveform",
    Meaning("is video, which cannot be trained on"): "video clip",
    Meaning("declares or calls tools", _FORM): "tool function",
    Meaning("is reasoning", "it is trained as the reasoning of an assistant message"): (
        "reasoning thinking thought think rationale cot scratchpad"
    ),
    Meaning("is context of the question", "it can be put into the column of the question before"): (
        "context history choice option document passage evidence background knowledge persona"
    ),
    Meaning("says how much to train on", "message weights are 0 or 1, in `weight` of a message"): "weight loss mask",
    Meaning("is an answer", "columns={'prompt': 'text', 'completion': NAME} makes it the answer to the text"): (
        "answer refusal response output completion reply solution target"
    ),
    Meaning("is a question", "columns={'prompt': NAME, 'completion': 'text'} makes the text its answer"): (
        "prompt question query queries instruction definition input message conversation dialogue dialog turn"
    ),
}
_BY_WORD: Final = {word: meaning for meaning, words in _MEANINGS.items() for word in words.split()}
_LABEL, _JUDGEMENT, _PREFERENCE, *_ = _MEANINGS
_CLASS: Final = Meaning(
    "is the class of a text, which would be trained without it",
    "columns={'prompt': 'text', 'completion': NAME} makes it the answer to the text",
)
_TEXT: Final = Meaning("is more than a rendering of the rest", "columns={'input': NAME} makes it the input beside an instruction")
_INPUT_KEYS: Final = frozenset({"messages", "tools"})
_JUDGEMENTS: Final = (_LABEL, _JUDGEMENT)
_LAYOUT: Final = Meaning(
    "holds messages or media", "schema='messages' with columns={'messages': NAME} makes messages the conversation"
)

_MEASURES: Final = frozenset(
    """id uuid guid index idx number num count length len size width height hash md5 sha1 sha256 checksum fingerprint model token
    type kind lang language locale date time timestamp format version source origin author category reason effort budget usage
    latency duration cost price status level""".split()
)
"""A name that ends so describes what the rest of it names: `response_id`, `image_width`, `chosen_model`."""
_HARMLESS: Final = _MEASURES | frozenset(
    """key url uri link website license licence copyright domain subject topic task subset split fold dataset corpus file filename
    path line page row metadata meta info tag annotator worker reviewer session thread run trace span parent created updated
    modified published at seed temperature provider engine generator revision commit hash difficulty complexity perplexity ppl
    similarity toxicity quality confidence probability prob logprob logprobs embedding vector dedup duplicate cluster annotation
    control stop object event finish environment release project bookmarked public version deleted
    stream prefix penalty config setting sequence top bias tier store beta anthropic done""".split()
)
_AMOUNTS: Final = frozenset("n num number count total max min avg mean has len".split())
_PROVENANCE: Final = frozenset(
    "quality similarity toxicity language lang edu perplexity difficulty dedup safety moderation".split()
)
_OF_RUNS: Final = frozenset({"name", "order"})
_BOOKKEEPING: Final = frozenset(
    "allow enable enabled disable disabled replica manifest dotted client host process sdk runtime queue".split()
)
"""Words of fields beside the inputs and outputs of a run, where a tracer notes how it works; within them they are a user's."""
TRACE: Final = "trace."
"""What the names of columns around the input and the output of a traced call begin with."""
RUN: Final = f"{TRACE}run."
"""What the names of fields of a tracer's own class begin with, in which it does its bookkeeping."""
REPLACED: Final = "replaced."
"""What the names of columns begin with whose place another column takes, because the user says so."""
_SETTING_KEYS: Final = frozenset({"type", "budget_tokens", "effort", "summary", "format", "verbosity"})  # of reasoning and text
SELECTED: Final = "selected."
"""What the names of judgements begin with by which the user has selected."""
_ABOUT: Final = frozenset("metadata meta info annotation".split())
"""Objects of these names tell of their record, and may judge it."""
_NO_JUDGEMENT: Final = frozenset("document safety moderation".split())
"""Of traces: how well a document fits a question, and what a filter says of a text."""
_AROUND_CALLS: Final = re.compile(r"^trace\.(?:resource|scope|server|network|http|otel)\.")
_TELEMETRY: Final = re.compile(
    r"^trace\.(?:events\[\]\.)?(?:gen_ai|llm|openinference|resource|scope|extra|run|server|network|http|otel)\."
)
_SETTINGS: Final = frozenset({"tool_choice", "function_call", "parallel_tool_calls"})  # of requests
_PARENTS: Final = re.compile(r"^(?:.*\]\.|inputs?\.|outputs?\.|trace\.|request\.|response\.)")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS: Final = re.compile(r"[^\W\d_]+")


class Unchosen(NamedTuple):
    """The value of a question or an answer beside those that the user has named: it is left out, and a warning says so."""

    value: Any


class Accounts(NamedTuple):
    """What training leaves out of one row: all names, those that are unknown, and the findings of those that carry meaning."""

    names: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


NO_ACCOUNTS: Final = Accounts()
_EMPTY_KINDS: Final = (str, list, tuple, dict)


def has_value(value: Any) -> bool:
    """Whether a value carries anything: null, and empty texts, lists and objects do not."""
    return value is not None and (not isinstance(value, _EMPTY_KINDS) or len(value) > 0)


def unread(fields: Any, read: frozenset[str], parent: str = "") -> Row:
    """Returns the fields with a value that are not read, by their names below `parent`, such as `conversations[]`."""
    if not isinstance(fields, dict) or fields.keys() <= read:
        return {}
    at = f"{parent}." if parent else ""
    return {f"{at}{str(key)[:80]}": value for key, value in fields.items() if key not in read and has_value(value)}


def leaving(converted: Converted, record: Row, columns: frozenset[str]) -> Converted:
    """Returns a row that leaves out some columns of its record, which the format reads only for other rows."""
    if columns.isdisjoint(record):
        return converted
    left_out = unread({key: value for key, value in record.items() if key in columns}, frozenset())
    return converted._replace(left_out={**converted.left_out, **left_out})


@lru_cache(10_000)
def meaning_of(name: str, in_preference: bool = False, /) -> Meaning | Literal[True] | None:
    """Returns the meaning of a name; True if it is harmless, None if it is unknown."""
    last = _PARENTS.sub("", name)
    words = [_singular(word) for word in _WORDS.findall(_CAMEL.sub("_", last).lower())]
    if not words:
        return None
    meanings = [_BY_WORD[word] for word in words if word in _BY_WORD]
    if "cot" in last.lower().split("_"):
        meanings.append(_BY_WORD["cot"])  # `CoT` is one word
    if last in _SETTINGS or name.startswith((REPLACED, SELECTED)):
        return True
    if name.startswith(TRACE):
        if _judges_call(name, words, meanings):
            return _JUDGEMENT
        if _TELEMETRY.match(name):
            return True
        harmless = _HARMLESS | _AMOUNTS | _PROVENANCE | (_OF_RUNS if "." in last else _OF_RUNS | _BOOKKEEPING)
        is_harmless = bool(meanings) or not harmless.isdisjoint(words)
        return is_harmless or None  # it describes the input and the output of a call
    if in_preference and not {_JUDGEMENT, _PREFERENCE}.isdisjoint(meanings) and _LABEL not in meanings:
        return True  # how the two answers were judged
    if in_preference and "rationale" in words:
        return True  # and why
    if _LABEL in meanings:
        return _LABEL
    is_amount = words[0] in _AMOUNTS and _JUDGEMENT not in meanings
    if words[-1] in _MEASURES or is_amount or not _PROVENANCE.isdisjoint(words):
        return True
    if _JUDGEMENT in meanings:
        return _JUDGEMENT
    is_harmless = not _HARMLESS.isdisjoint((words[0], words[-1]))
    return meanings[0] if meanings else is_harmless or None


def is_judgement(name: str) -> bool:
    """Whether a column of this name judges an answer."""
    return meaning_of(name) in _JUDGEMENTS


def _judges_call(name: str, words: Sequence[str], meanings: Sequence[Meaning]) -> bool:
    """Whether a name around a traced call judges its answer; the labels of a trace are tags, one label is a verdict."""
    is_judged = _JUDGEMENT in meanings or (_LABEL in meanings and name.lower().endswith("label"))
    return is_judged and words[-1] not in _MEASURES and _NO_JUDGEMENT.isdisjoint(words) and not _AROUND_CALLS.match(name)


@lru_cache(10_000)
def _holds_facts(name: str) -> bool:
    """Whether a column of this name tells of its record."""
    words = _WORDS.findall(_CAMEL.sub("_", name).lower())
    return bool(words) and _singular(words[-1]) in _ABOUT and not name.startswith(SELECTED)


def judgements_within(name: str, value: Any, in_preference: bool = False) -> Row:
    """Returns the judgements that an object of facts such as `metadata` holds, or a list of annotations, by their paths."""
    if not _holds_facts(name) or in_preference:
        return {}
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = from_json(value)
        except ValueError:
            return {}
    return dict(_judgements(name, value, "annotation" in name.lower()))


def _judgements(path: str, value: Any, is_annotation: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _judgements(f"{path}[]", item, is_annotation)
    for key, item in value.items() if isinstance(value, dict) else ():
        meaning = meaning_of(str(key))
        if has_value(item) and (meaning is _JUDGEMENT or (meaning is _LABEL and is_annotation)):
            yield f"{path}.{key}"[:80], item
        elif is_annotation:
            yield from _judgements(f"{path}.{key}", item, is_annotation)


def selected_by(left_out: Mapping[str, Any]) -> Row:
    """Returns what is left out of a call that the user has selected: its judgements have been heard."""
    return {
        f"{SELECTED}{name.removeprefix(TRACE)}" if is_judgement(name) or judgements_within(name, value) else name: value
        for name, value in left_out.items()
    }


def _singular(word: str) -> str:
    if len(word) < 3 or not word.endswith("s") or word.endswith("ss") or word in _BY_WORD or word in _HARMLESS | _AMOUNTS:
        return word
    return f"{word[:-3]}y" if word.endswith("ies") else word[:-1]


@lru_cache(10_000)
def extra_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the columns that are not trained on; none where they do not make one format."""
    formats = [name for name, required in FORMATS.items() if required.issubset(columns)]
    if len(formats) != 1:
        return ()
    columns_of_format = FORMATS[formats[0]] | OPTIONAL[formats[0]]
    return tuple(column for column in columns if column not in columns_of_format)


def accounts_of(row: Row, left_out: Mapping[str, Any], allowed: Collection[str], *, drops_fields: bool = False) -> Accounts:
    """Returns what training leaves out of a row: `left_out` by its format, and what the row has beyond its own format.

    `allowed` are names that may be left out; `drops_fields` says that unknown fields of messages are removed.
    """
    columns = extra_columns(tuple(row))
    is_preference = "preferred_output" in row
    if not columns and not left_out and not is_preference and not drops_fields:
        return NO_ACCOUNTS
    fields = [(key, value) for key in columns if has_value(value := row[key]) and not _is_converted(row, key)]
    fields += left_out.items()
    if is_preference:
        fields += unread(row.get("input"), _INPUT_KEYS, "input").items()
    fields_dropped = _unknown_fields(row) if drops_fields else ()
    findings, unknown = [], [*fields_dropped]
    for name, value in fields:
        meaning = meaning_of(name, is_preference)
        if name in allowed:
            continue
        judgements = judgements_within(name, value, is_preference)
        findings += [_finding(path, one, _JUDGEMENT, row) for path, one in judgements.items() if path not in allowed]
        is_setting = isinstance(value, dict) and value and value.keys() <= _SETTING_KEYS and meaning not in _JUDGEMENTS
        if meaning is True or judgements or is_setting:
            continue
        if isinstance(value, Unchosen) or (isinstance(value, float) and isnan(value)):
            unknown.append(name)
            continue
        if name == "text":
            meaning = None if _is_rendering(value, row) else _TEXT
        elif name == "prompt" and _is_rendering(value, row):
            meaning = None
        meaning = meaning or (_LAYOUT if _has_layout(value) else None)
        if meaning is None or (isinstance(value, int | float) and meaning not in _JUDGEMENTS):
            unknown.append(name)
        elif meaning in _JUDGEMENTS or not _is_repeated(value, row):
            findings.append(_finding(name, value, _CLASS if meaning is _LABEL and "text" in row else meaning, row))
    return Accounts((*[name for name, _ in fields], *fields_dropped), tuple(unknown), tuple(findings))


@lru_cache(10_000)
def harmless_accounts(names: tuple[str, ...], /) -> Accounts | None:
    """Returns what training leaves out of a conversation of texts whose format has left out `names`, if all are harmless."""
    return Accounts(names) if all(meaning_of(name) is True for name in names) else None


def is_judged(name: str, values: Iterable[Any]) -> bool:
    """Whether some values of a column whose name is harmless are objects of facts that judge an answer."""
    if not _holds_facts(name):
        return False
    nested = "annotation" in name.lower()
    return any(
        judgements_within(name, value) for value in values if nested or type(value) is not dict or _has_judgement(tuple(value))
    )


@lru_cache(1000)
def _has_judgement(names: tuple[Any, ...]) -> bool:
    return any(meaning_of(str(name)) is _JUDGEMENT for name in names)


def _finding(name: str, value: Any, meaning: Meaning, row: Row) -> Finding:
    way_on = meaning.way_on
    if "columns=" in way_on and meaning is not _TEXT:
        is_column = _PARENTS.sub("", name) == name
        fits = is_messages(value) if meaning is _LAYOUT else "text" in row and isinstance(value, str)
        way_on = way_on if is_column and fits else ""
    text = f"{name!r} {meaning.text}; {way_on}" if way_on else f"{name!r} {meaning.text}"
    return Finding(MEANING_CODE, name, text.replace("NAME", repr(name)), value)


def _is_converted(row: Row, column: str) -> bool:
    """Whether a fix converts a column: `functions` become tools."""
    return column == "functions" and "messages" in row and not row.get("tools")


def _unknown_fields(row: Row) -> Row:
    """Returns the fields of messages that the service does not know."""
    prompt = row.get("input")
    lists = [row.get("messages"), prompt.get("messages") if isinstance(prompt, dict) else None]
    lists += [row.get("preferred_output"), row.get("non_preferred_output")]
    fields: Row = {}
    for message in _items(lists):
        if isinstance(message, dict):
            fields |= unread(message, MESSAGE_KEYS, "messages[]")
    return fields


def _items(lists: Iterable[Any]) -> Iterator[Any]:
    return (item for one in lists if isinstance(one, list) for item in one)


def is_messages(value: Any) -> bool:
    """Whether a value is a list of messages with roles."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and {"role", "content"} <= value[0].keys()


def _has_layout(value: Any) -> bool:
    """Whether a value is laid out as messages, or as media."""
    if isinstance(value, str):
        return value.startswith(("data:image/", "data:audio/", "data:video/")) or (value.startswith("[{") and '"role"' in value)
    if isinstance(value, dict):
        return {"array", "sampling_rate"} <= value.keys() or ("bytes" in value and "path" in value) or "role" in value
    if isinstance(value, list | tuple) and value:
        first = value[0]
        return isinstance(first, dict) and ({"role", "content"} <= first.keys() or {"from", "value"} <= first.keys())
    return isinstance(value, bytes)


def _is_rendering(value: Any, row: Row) -> bool:
    """Whether a text contains all texts of a row."""
    texts = [row.get(key) for key in ("prompt", "completion")]
    texts += [message.get("content") for message in _items([row.get("messages"), row.get("preferred_output")])]
    return isinstance(value, str) and all(line in value for text in texts if isinstance(text, str) for line in text.split("\n\n"))


def _is_repeated(value: Any, row: Row) -> bool:
    """Whether a text, or messages, stand in the row as well."""
    messages = row.get("messages")
    if isinstance(value, list) and isinstance(row.get("preferred_output"), list) and isinstance(row.get("input"), dict):
        messages = [*(row["input"].get("messages") or ()), *row["preferred_output"]]
    if isinstance(value, list) and value and isinstance(messages, list):
        return messages[: len(value)] == value or messages[-len(value) :] == value
    if not isinstance(value, str) or len(value) < 2:
        return False
    texts = [row.get(key) for key in ("prompt", "completion", "text")]
    prompt = row.get("input")
    lists = [messages, prompt.get("messages") if isinstance(prompt, dict) else None, row.get("preferred_output")]
    texts += [message.get("content") for message in _items(lists) if isinstance(message, dict)]
    return value in texts

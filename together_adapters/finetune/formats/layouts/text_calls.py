"""Tool calls, their results and declarations of tools that a chat template, or a data set, writes into the text of messages.

Calls stand in tags (Hermes and Qwen `<tool_call>`, Llama `<|python_tag|>` and `<function=name>`, Mistral `[TOOL_CALLS]`, glaive
`<functioncall>`, and others), in brackets as Python writes them (ToolACE), as JSON alone, or as an action with its input (ToolBench).
Tags are proof; the last three are calls only where the conversation knows their tools.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from json import JSONDecoder
from typing import Any, Final, NamedTuple

from together_adapters.finetune.formats.layouts.provider_messages import json_of
from together_adapters.finetune.records import Row, Unconvertible

CODE: Final = "calls_in_text"
_MARKS: Final = (
    "<tool_call", "<functioncall>", "<function", "<|python_tag|>", "<|tool_call", "<tool_response>", "<tools>", "<\uff5ctool",
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[AVAILABLE_TOOLS]",
)  # fmt: skip
_CALL_MARKS: Final = (
    "<tool_call",
    "<|tool_call",
    "<functioncall>",
    "<function=",
    "<function_calls>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
)
_RESPONSE: Final = re.compile(r"\s*FUNCTION RESPONSE:\s*")
_END_MARKS: Final = re.compile(r"(?:</s>|<\|endoftext\|>|<\|eot_id\|>|<\|eom_id\|>|<\|im_end\|>)\s*\Z")
_TAGS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)",
        r"<\|tool_call(?:_begin|_start)?\|>(.*?)(?:<\|/?tool_call(?:_end)?\|>|<\|tool_call_end\|>|\Z)",
        r"<functioncall>(.*?)(?:</functioncall>|(?=<functioncall>)|\Z)",
        r"\[TOOL_CALLS\](.*?)(?=\[TOOL_CALLS\]|\Z)",
        r"<\|python_tag\|>(.*?)\Z",
        r"<\uff5ctool▁calls▁begin\uff5c>(.*?)(?:<\uff5ctool▁calls▁end\uff5c>|\Z)",
        r"<function_calls>(.*?)(?:</function_calls>|\Z)",
        r"(<function=.*?(?:</function>|\Z))",
    )
)
_FUNCTION: Final = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER: Final = re.compile(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_INVOKE: Final = re.compile(r'<invoke name="([^"]+)">(.*?)</invoke>', re.DOTALL)
_INVOKE_PARAMETER: Final = re.compile(r'<parameter name="([^"]+)"[^>]*>(.*?)</parameter>', re.DOTALL)
_DEEPSEEK: Final = re.compile(
    r"<\uff5ctool▁call▁begin\uff5c>(?:function<\uff5ctool▁sep\uff5c>)?([^<\s]+)(?:<\uff5ctool▁sep\uff5c>|\s)\s*(?:```json)?(.*?)(?:```)?\s*<\uff5ctool▁call▁end\uff5c>",
    re.DOTALL,
)
_NAMED_JSON: Final = re.compile(r"\s*([\w.\-]+)\s*(?:\[CALL_ID\][\w\-]*)?(?:\[ARGS\])?\s*(\{.*\})\s*\Z", re.DOTALL)
_QUOTED_ARGUMENTS: Final = re.compile(r"""(["']arguments["']\s*:\s*)'(.*)'(\s*\}\s*)\Z""", re.DOTALL)
_ACTION: Final = re.compile(r"(.*?)(?:\A|\n)\s*Action:[ \t]*(\S[^\n]*?)\s*\n\s*Action Input:\s*(\{.*\})\s*\Z", re.DOTALL)
_CALL_NAME: Final = re.compile(r"\s*([^\W\d][^\[\](){}=,'\"<>]*?)\s*\(")
_RESULTS: Final = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (r"<tool_response>(.*?)(?:</tool_response>|\Z)", r"\[TOOL_RESULTS\](.*?)(?:\[/TOOL_RESULTS\]|\Z)")
)
_TOOLS: Final = re.compile(r"<tools>(.*?)</tools>|\[AVAILABLE_TOOLS\](.*?)\[/AVAILABLE_TOOLS\]", re.DOTALL)
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input")
_CALL_KEYS: Final = frozenset({"name", "id", "type", "function", *_ARGUMENTS})
_RESULT_KEYS: Final = frozenset({"name", "content", "tool_call_id", "call_id"})
_TOOL_KEYS: Final = frozenset({"parameters", "description", "required", "arguments"})
_WORDS: Final = {"true": True, "false": False, "null": None, "none": None}
_OPEN, _CLOSED = "([{", ")]}"
_MAX_LITERAL: Final = 100_000
_MAX_STARTS: Final = 200
_json = JSONDecoder(strict=False)


class Result(NamedTuple):
    """The result of a call, with the name of its tool if it says so."""

    content: str
    name: str | None = None


def may_be_marked(text: str) -> bool:
    """Whether a text that has `<`, `[` or `{` may hold calls, their results or tools, or marks of a chat template; in few steps."""
    if "<" in text and ("<|" in text or "<tool" in text or "<func" in text or "<\uff5c" in text or "<start_of" in text):
        return True
    if "[" in text and (text[0] == "[" or "[TOOL_" in text or "[/INST]" in text or "[AVAILABLE_" in text):
        return True
    return text[0] == "{" and '"name"' in text


def may_hold_calls(text: str) -> bool:
    """Whether a text may hold calls, results or declarations of tools."""
    first = text[:1]
    if first == "[" and (text.rstrip().endswith(")]") or ("name" in text[:60] and text.startswith("[{"))):
        return True
    return (first == "{" and '"name"' in text) or has_marks(text)


def has_marks(text: str) -> bool:
    """Whether a text has a mark of calls, results or declarations of tools."""
    return ("<" in text or "[" in text) and any(mark in text for mark in _MARKS)


def has_tagged_calls(text: Any) -> bool:
    """Whether calls stand between marks in a text."""
    if not isinstance(text, str) or ("<" not in text and "[" not in text) or not may_be_marked(text):
        return False
    return any(_is_data(match[1]) for pattern in _TAGS for match in pattern.finditer(text))


def calls_in(text: str, is_tool: Callable[[str], bool]) -> tuple[str, list[Row]] | None:
    """Returns the rest of an answer and its calls, None where it has none; calls that cannot be read are refused.

    `is_tool` says whether the conversation knows a tool of a name.
    """
    if (text and may_be_marked(text)) or "<arg_key>" in text:
        for pattern in _TAGS:
            matches = [match for match in pattern.finditer(text) if _is_data(match[1])]
            if matches:
                calls = [call for match in matches for call in _in_tag(match)]
                return _without(text, matches), calls
        if text.lstrip().startswith(_CALL_MARKS) or "<arg_key>" in text:
            raise _unreadable(text.lstrip()[:20], text)
        if has_marks(text):
            return None  # the text speaks of calls
    body = text.strip()
    if body[:1] == "[" and body.endswith(")]"):
        calls = _in_brackets(body) or []
        if not calls and (name := _CALL_NAME.match(body[1:])) and is_tool(name[1]):
            raise _unreadable(f"[{name[1]}(...)]", text)
        return ("", calls) if calls and all(is_tool(call["function"]["name"]) for call in calls) else None
    if body[:1] in ("[", "{"):
        calls = _in_json(body) or []
        return ("", calls) if calls and all(is_tool(call["function"]["name"]) for call in calls) else None
    if "Action Input:" in text and (match := _ACTION.fullmatch(text)) and is_tool(match[2]):
        arguments = _values(match[3])
        return (match[1].strip(), [_call(match[2], arguments[0])]) if arguments else None
    return None


def _without(text: str, matches: list[re.Match[str]]) -> str:
    for match in reversed(matches):
        text = text[: match.start()] + text[match.end() :]
    return _END_MARKS.sub("", text).strip()


def _is_data(text: str) -> bool:
    """Whether what stands after a mark is meant as data, not as a text about the mark."""
    return text.lstrip().startswith(("{", "[", "<", "```")) or bool(_NAMED_JSON.match(text) or _CALL_NAME.match(text))


def _in_tag(match: re.Match[str]) -> list[Row]:
    text = _END_MARKS.sub("", match[1].strip()).strip().removeprefix("```json").strip("`").strip()
    calls = (
        [_call(name, _parameters(body, _PARAMETER)) for name, body in _FUNCTION.findall(text)]
        or [_call(name, _parameters(body, _INVOKE_PARAMETER)) for name, body in _INVOKE.findall(text)]
        or [_call(name, *_values(body) or [None]) for name, body in _DEEPSEEK.findall(text)]
        or _in_json(text)
        or _in_brackets(text if text.startswith("[") else f"[{text}]")
    )
    if not calls and (named := _NAMED_JSON.match(text)) and (arguments := _values(named[2])):
        calls = [_call(named[1], arguments[0])]
    if not calls or any(not isinstance(call["function"]["arguments"], dict | str) for call in calls):
        mark = match[0][: match.start(1) - match.start()].strip() or match[0][:20]
        raise _unreadable(mark, match[0])
    return calls


def _unreadable(mark: str, text: str) -> Unconvertible:
    message = f"calls stand as text here ({mark}), and this one cannot be read: correct it, or write it into tool_calls"
    return Unconvertible(CODE, message, "", text)


def _parameters(body: str, pattern: re.Pattern[str]) -> Any:
    pairs = pattern.findall(body)
    if pairs or not body.strip():
        return {key.strip(): _parameter(value) for key, value in pairs}
    values = _values(body)
    return values[0] if values and len(values) == 1 else None


def _parameter(text: str) -> Any:
    """Returns the value of a parameter in tags: an object, a list, a number or a truth value, else the text."""
    values = _values(text) if text.strip()[:1] in ("{", "[") else None
    if values and len(values) == 1:
        return values[0]
    word = text.strip()
    if word in ("true", "false"):
        return word == "true"
    return (
        float(word) if re.fullmatch(r"-?\d+\.\d+", word) else int(word) if re.fullmatch(r"-?(?:0|[1-9]\d{0,15})", word) else text
    )


def _in_json(text: str) -> list[Row] | None:
    """Returns the calls that JSON holds, or what Python writes for it; None if it holds anything else."""
    values = _values(text)
    flat = [one for value in values or () for one in (value if isinstance(value, list) else [value])]
    calls = [_call_of(value) for value in flat]
    return calls if calls and None not in calls else None  # type: ignore[return-value]


def _call_of(value: Any) -> Row | None:
    if not isinstance(value, dict) or not value.keys() <= _CALL_KEYS:
        return None
    function = value.get("function")
    fields = function if isinstance(function, dict) else value
    name = fields.get("name", function)
    key = next((key for key in _ARGUMENTS if key in fields), None)
    if not isinstance(name, str) or not name or (key is None and fields.get("type") != "function" and len(fields) > 1):
        return None
    arguments = fields[key] if key else {}
    return _call(name, {} if arguments is None else arguments, value.get("id"))


def _call(name: str, arguments: Any = None, id: Any = None) -> Row:
    return {"id": id, "type": "function", "function": {"name": name.strip(), "arguments": arguments}}


def _values(text: str) -> list[Any] | None:
    """Returns the JSON values in a text, one after the other; None if there is anything else."""
    text = text.strip()
    position, values = 0, []
    try:
        while position < len(text):
            value, position = _json.raw_decode(text, position)
            values.append(value)
            while position < len(text) and text[position] in " \t\r\n,;":
                position += 1
    except (ValueError, RecursionError):
        return _python_values(text)
    return values


def _python_values(text: str) -> list[Any] | None:
    if match := _QUOTED_ARGUMENTS.search(text):  # glaive's: JSON within single quotes
        inner = _values(match[2].replace("\\'", "'"))
        outer = _values(f"{text[: match.start()]}{match[1]}{{}}{match[3]}") if inner else None
        if inner and outer and isinstance(outer[0], dict):
            return [{**outer[0], "arguments": inner[0]}]
    if len(text) > _MAX_LITERAL:
        return None
    try:
        return [literal_eval(text)]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _in_brackets(text: str) -> list[Row] | None:
    """Returns calls as Python writes them in a list, with arguments by name; None for anything else."""
    calls = []
    for item in _split_at_commas(text.strip()[1:-1]) or ():
        match = _CALL_NAME.match(item)
        if match is None or not item.rstrip().endswith(")"):
            return None
        arguments: Row = {}
        parts = _split_at_commas(item.rstrip()[match.end() : -1])
        if parts is None:
            return None
        for part in parts:
            key, equals, text_of_value = part.partition("=")
            value = _literal(text_of_value.strip())
            if not equals or not key.strip() or value is _json:
                return None
            arguments[key.strip().strip("'\"")] = value
        calls.append(_call(match[1].removesuffix(".call"), arguments))
    return calls


def _literal(text: str) -> Any:
    """Returns a value as JSON or Python writes it; the decoder itself for anything else."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    values = _values(text) if text else None
    return values[0] if values and len(values) == 1 else _json


def _split_at_commas(text: str) -> list[str] | None:
    """Splits a text at commas that stand in no brackets and no quotes; None if these do not match."""
    items, start, depth, quote, position = [], 0, 0, "", 0
    while position < len(text):
        character = text[position]
        if quote:
            position += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSED:
            depth -= 1
            if depth < 0:
                return None
        elif character == "," and not depth:
            items.append(text[start:position])
            start = position + 1
        position += 1
    if depth or quote:
        return None
    items.append(text[start:])
    return [item for item in items if item.strip()]


def results_in(text: str, open_calls: int) -> tuple[list[Result], str] | None:
    """Returns the results in a text and the rest; None where it has none. A JSON list has one for each of several open calls."""
    for pattern in _RESULTS:
        if matches := [*pattern.finditer(text)]:
            return [result for match in matches for result in _results(match[1].strip())], _without(text, matches)
    if match := _RESPONSE.match(text):
        return [Result(_END_MARKS.sub("", text[match.end() :]).strip())], ""
    values = _values(text) if text.startswith("[{") and open_calls > 1 else None
    if values and len(values) == 1 and isinstance(values[0], list) and len(values[0]) == open_calls:
        return [_result(one, _text(one)) for one in values[0]], ""
    return None


def _results(text: str) -> list[Result]:
    values = _values(text) if text[:1] == "{" else None
    if values and len(values) == 1 and isinstance(values[0], dict):
        return [_result(values[0], text)]
    return [Result(text)]


def _result(value: Any, text: str) -> Result:
    """Returns a result, unwrapped where an object says only whose it is."""
    if not isinstance(value, dict):
        return Result(text)
    name = value.get("name") if isinstance(value.get("name"), str) else None
    return Result(_text(value["content"]), name) if "content" in value and value.keys() <= _RESULT_KEYS else Result(text, name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_of(value)


def declared_in(text: str) -> list[Any]:
    """Returns the tools that a prompt declares between tags."""
    if "<tools>" not in text and "[AVAILABLE_TOOLS]" not in text:
        return []
    return [tool for match in _TOOLS.finditer(text) for tool in tools_in(match[1] or match[2] or "")]


def tools_in(text: str) -> list[Any]:
    """Returns the tools that a prompt declares as JSON, wherever they stand."""
    return [tool for value in _json_in(text) for tool in (value if isinstance(value, list) else [value]) if _is_tool(tool)]


def _json_in(text: str) -> Iterator[Any]:
    position = 0
    for _ in range(_MAX_STARTS):
        start = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if start < 0:
            return
        try:
            value, position = _json.raw_decode(text, start)
            yield value
        except (ValueError, RecursionError):
            position = start + 1


def _is_tool(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    function = value.get("function")
    fields = function if isinstance(function, dict) else value
    return isinstance(fields.get("name"), str) and not _TOOL_KEYS.isdisjoint(fields)

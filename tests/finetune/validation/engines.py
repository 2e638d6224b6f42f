"""Random lines with all kinds of errors, and both engines to check them."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from together_adapters.finetune.records import Row
from together_adapters.finetune.writing.in_memory import check_bytes

FAST_VALIDATOR = "together_adapters.finetune.validation.fast_validator"
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}},
}


def message(role: str, content: Any = "x", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(id: str = "c1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


QUESTION = {"messages": [message("user", "q")]}
GOOD: dict[str, list[dict[str, Any]]] = {
    "conversation": [
        {"messages": [message("system", "s"), message("user"), message("assistant"), message("user", "é"), message("assistant", "ü")]},
        {"messages": [message("user", ""), message("assistant")]},
        {"messages": [message("user"), message("assistant", weight=1, reasoning="hm"), message("user"), message("assistant", weight=0)], "weight": 0.5},
        {"messages": [message("user", [{"type": "text", "text": "x"}]), message("assistant", [{"type": "text", "text": "y"}])]},
        {"tools": [TOOL], "messages": [message("user", name="bob"), {"role": "assistant", "tool_calls": [call(), call("c2")]},
            message("tool", "5", tool_call_id="c1"), message("tool", "6", tool_call_id="c2"), message("assistant", "done")]},
        {"messages": [message("user"), message("assistant", None, tool_calls=[call()])], "tools": [TOOL]},
    ],
    "preference": [{"input": QUESTION, "preferred_output": [message("assistant", "a")], "non_preferred_output": [message("assistant", "b")]}],
    "general": [{"text": "hello"}, {"text": "hello", "weight": 2}],
    "instruction": [{"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": "c", "weight": 1}],
}  # fmt: skip
SEEDS = {form: [json.dumps(row, ensure_ascii=False).encode() for row in rows] for form, rows in GOOD.items()}
ATOMS = [
    b"null", b"true", b"1", b"1.0", b"0", b"-1", b"2", b"-0", b"01", b"1E2", b"0.5", b"1e999", b"1e-400", b"1" * 400, b"NaN", b'""', b'" "', b'"x"',
    b"[]", b"{}", b'"\\ud800"', b'"\\u0000"', b'"\\u00a0"', b'"\\u2003"', b'"\xe2\x80\xa8"', b'"\xff"', b'"\\q"', b'"t\\u006fols"', b'"user"',
    b'"assistant"', b'"tool"', b'"system"', b'[{"type":"text","text":"t"}]', b'"c1"', b'"{}"', b"[" * 195 + b"]" * 195,
]  # fmt: skip
KEYS = [b'"weight"', b'"content"', b'"role"', b'"name"', b'"tools"', b'"reasoning"', b'"t\\u006fols"', b'"tool_call_id"']
TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null|[\[\]{},:]')


def mutate(chance: random.Random, line: bytes, others: list[bytes]) -> bytes:
    """Returns a line with a few tokens replaced, duplicated, removed or damaged."""
    tokens = TOKENS.findall(line)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        if not tokens:
            break
        index, kind = chance.randrange(len(tokens)), chance.randrange(9)
        keys = [number for number in range(len(tokens) - 1) if tokens[number + 1] == b":"]
        if kind == 0:
            tokens[index] = chance.choice(ATOMS)
        elif kind == 1:
            tokens.insert(index, chance.choice(tokens))
        elif kind == 2:
            del tokens[index]
        elif kind == 3:
            tokens[index] = chance.choice(TOKENS.findall(chance.choice(others)) or [b"x"])
        elif kind == 4:
            values = [number for number, token in enumerate(tokens) if token not in b"[]{},:"]
            if values:
                tokens[chance.choice(values)] = chance.choice(ATOMS)
        elif kind == 5 and keys:
            key = chance.choice(keys)
            tokens[key:key] = [tokens[key], b":", chance.choice(ATOMS), b","]
        elif kind == 6 and keys:
            tokens[chance.choice(keys)] = chance.choice(KEYS)
        elif kind == 7:
            raw = bytearray(b" ".join(tokens))
            raw[chance.randrange(len(raw))] = chance.randrange(256)
            return bytes(raw).replace(b"\n", b" ")
        elif kind == 8:
            tokens[index] = chance.choice((b"\r", b" ", b"\t")) + tokens[index]
    return chance.choice((b"", b" ")).join(tokens)


def lines(chance: random.Random, form: str, number: int) -> list[bytes]:
    """Returns lines of a format: the first is valid, and about half of the others."""
    seeds = SEEDS[form]
    rest = [
        chance.choice(seeds) if chance.random() < 0.5 else mutate(chance, chance.choice(seeds), seeds) for _ in range(number - 1)
    ]
    return [seeds[0], *rest]


def reports(monkeypatch: pytest.MonkeyPatch, data: bytes, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the reports of both engines, without their names."""
    fast = check_bytes(data, **options)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, FAST_VALIDATOR, None)
        slow = check_bytes(data, **options)
    assert (fast.engine, slow.engine) == ("msgspec", "python")
    return fast.model_dump(exclude={"engine"}), slow.model_dump(exclude={"engine"})


SCALARS: list[Any] = [None, True, 0, 1, -1, 1.0, 0.5, 1e22, 2**70, "", "é", "\u2028", "\u007f"]
SCHEMA_KEYS = ("type", "description", "properties", "required", "items", "enum", "default", "minimum", "anyOf", "x-own")


def schema(chance: random.Random, depth: int = 0) -> Any:
    """Returns a schema of a parameter as data sets have them, in places with values that are none."""
    if depth > 5 or chance.random() < 0.1:
        return chance.choice(SCALARS)
    values: dict[str, Callable[[], Any]] = {
        "type": lambda: chance.choice(("string", "number", ["string", "null"])),
        "properties": lambda: {name: schema(chance, depth + 1) for name in chance.sample("abcdé", chance.randint(0, 3))},
        "required": lambda: ["a"], "items": lambda: schema(chance, depth + 1), "anyOf": lambda: [schema(chance, depth + 1)],
        "enum": lambda: chance.sample(SCALARS, 2),
    }  # fmt: skip
    keys = chance.sample(SCHEMA_KEYS, chance.randint(0, 4))
    return {key: values[key]() if key in values else chance.choice(SCALARS) for key in keys}


def declarations(chance: random.Random, is_usual: bool) -> list[Any]:
    tools: list[Any] = []
    for number in range(chance.randint(0, 3)):
        function: Row = {"name": f"tool_{number}", "description": chance.choice(("", "A tool.", "été"))}
        if chance.random() < 0.9:
            usual = {"type": "object", "properties": {"a": {"type": "string", "description": str(chance.random())}}}
            function["parameters"] = usual if is_usual else schema(chance)
        tools.append({"type": "function", "function": function})
    if not is_usual and tools and chance.random() < 0.3:
        odd: Any = chance.choice(
            (None, 1, [], {}, {"type": "function"}, {"type": "function", "function": {"name": ""}}, tools[0])
        )
        tools.insert(chance.randrange(len(tools)), odd)
    return tools


def rows_with_tools(chance: random.Random, are_usual: bool, number: int = 900) -> list[bytes]:
    """Returns lines of conversations, most of which declare tools of their own."""
    library = [declarations(chance, is_usual=False) for _ in range(20)]
    rows: list[bytes] = []
    for _ in range(number):
        tools = declarations(chance, are_usual or chance.random() < 0.9)
        tools = chance.choice(library) if chance.random() < 0.1 else tools
        name = chance.choice(("tool_0", "tool_1"))
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": '{"a": "x"}'}}
        messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
        if not tools or chance.random() < 0.2:
            messages[1] = {"role": "assistant", "content": "a"}
        row: Row = {"messages": messages, "tools": tools}
        rows.append(json.dumps(row, ensure_ascii=chance.random() < 0.5).encode())
    return rows

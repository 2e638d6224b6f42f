"""Generates data sets that are the same on every machine: short chats, long chats, tools, preferences, images; and what becomes training files.

Tools are those of five agents in `tools`, three of a library of twenty in each row of `agents`, and new in each row of `varied`.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROWS: Final = {
    "short": 1_000_000, "long": 30_000, "tools": 100_000, "agents": 100_000, "varied": 100_000, "pref": 300_000, "mm": 2_000,
    "sharegpt": 1_000_000, "pairs": 300_000, "csv": 300_000,
}  # fmt: skip
"""Rows of the full sets; together about 2.5 GB."""
CHECKED: Final = ("short", "long", "tools", "agents", "varied", "pref", "mm")
"""The sets that are training files."""

_WORDS: Final = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "this",
    "are",
    "or",
    "his",
    "from",
    "at",
    "which",
    "but",
    "have",
    "an",
    "had",
    "they",
    "you",
    "were",
    "their",
    "one",
    "all",
    "we",
    "can",
    "her",
    "has",
    "there",
    "been",
    "if",
    "more",
    "when",
    "will",
    "would",
    "who",
    "so",
    "no",
    "naïve",
    "café",
    "東京",
    "“quoted”",
    "https://example.com/a?b=c",
]


def write(name: str, path: Path, share: float = 1.0) -> int:
    """Writes a set.

    Args:
        name: One of `ROWS`.
        path: The file.
        share: The share of the full set.

    Returns:
        The number of its rows.
    """
    chance = random.Random(name)
    rows = max(10, int(ROWS[name] * share))
    make = _MAKERS[name]
    with path.open("wb", 1 << 20) as file:
        if name == "csv":
            file.write(b"prompt,completion\n")
        for _ in range(rows):
            if name == "csv":
                file.write('"{prompt}","{completion}"\n'.format_map(make(chance)).encode())
                continue
            is_ascii = chance.random() < 0.25
            file.write(json.dumps(make(chance), ensure_ascii=is_ascii).encode() + b"\n")
    return rows


def _words(chance: random.Random, min_words: int, max_words: int) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(min_words, max_words)))


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _short(chance: random.Random) -> dict[str, Any]:
    messages = [_message("system", "You are a helpful assistant.")] if chance.random() < 0.7 else []
    for _ in range(chance.choice((1, 1, 1, 2))):
        messages += [_message("user", _words(chance, 5, 20)), _message("assistant", _words(chance, 5, 25))]
    return {"messages": messages}


def _long(chance: random.Random) -> dict[str, Any]:
    messages = [_message("system", _words(chance, 20, 60))]
    for _ in range(chance.randint(3, 6)):
        messages += [
            _message("user", _words(chance, 30, 150)),
            _message("assistant", _words(chance, 150, 450) + "\n\n" + _words(chance, 5, 50)),
        ]
    return {"messages": messages}


def _tool_declarations(number: int, count: int) -> list[dict[str, Any]]:
    chance = random.Random(number)
    return [_tool_declaration(chance, index) for index in range(count)]


def _tool_declaration(chance: random.Random, index: int) -> dict[str, Any]:
    properties = {name: {"type": chance.choice(("string", "number")), "description": _words(chance, 4, 10)} for name in "abc"}
    return {"type": "function", "function": {
        "name": f"tool_{index}", "description": _words(chance, 10, 25),
        "parameters": {"type": "object", "required": ["a"], "properties": properties},
    }}  # fmt: skip


_AGENTS: Final = [_tool_declarations(number, 4) for number in range(5)]
_LIBRARY: Final = _tool_declarations(5, 20)


def _tools(chance: random.Random) -> dict[str, Any]:
    return _calls(chance, chance.choice(_AGENTS))


def _agents(chance: random.Random) -> dict[str, Any]:
    return _calls(chance, chance.sample(_LIBRARY, 3))


def _varied(chance: random.Random) -> dict[str, Any]:
    return _calls(chance, [_tool_declaration(chance, index) for index in range(chance.randint(1, 3))])


def _calls(chance: random.Random, tools: list[dict[str, Any]]) -> dict[str, Any]:
    messages = [_message("system", _words(chance, 10, 30)), _message("user", _words(chance, 10, 40))]
    for index in range(chance.randint(1, 3)):
        arguments = {"a": _words(chance, 1, 4), "b": chance.randint(0, 999)}
        call = {
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": chance.choice(tools)["function"]["name"], "arguments": json.dumps(arguments)},
        }
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {
                "role": "tool",
                "tool_call_id": f"call_{index}",
                "content": json.dumps({"rows": [_words(chance, 2, 6) for _ in range(5)]}),
            },
        ]
    return {"messages": [*messages, _message("assistant", _words(chance, 15, 60))], "tools": tools}


def _pref(chance: random.Random) -> dict[str, Any]:
    return {
        "input": {"messages": [_message("user", _words(chance, 10, 50))]},
        "preferred_output": [_message("assistant", _words(chance, 15, 60))],
        "non_preferred_output": [_message("assistant", "Well, " + _words(chance, 15, 60))],
    }


def _sharegpt(chance: random.Random) -> dict[str, Any]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [{"from": names[one["role"]], "value": one["content"]} for one in _short(chance)["messages"]]
    return {"id": str(chance.randrange(10**6)), "conversations": turns}


def _pairs(chance: random.Random) -> dict[str, Any]:
    return {"prompt": _words(chance, 10, 50), "chosen": _words(chance, 15, 60), "rejected": "Well, " + _words(chance, 15, 60)}


def _csv(chance: random.Random) -> dict[str, Any]:
    return {"prompt": _words(chance, 10, 50), "completion": _words(chance, 15, 60)}


def _mm(chance: random.Random) -> dict[str, Any]:
    image = b"\x89PNG\r\n\x1a\n" + chance.randbytes(chance.randrange(80_000, 100_000))
    url = "data:image/png;base64," + base64.b64encode(image).decode()
    content = [{"type": "text", "text": _words(chance, 5, 20)}, {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [_message("user", content), _message("assistant", [{"type": "text", "text": _words(chance, 10, 40)}])]}


_MAKERS: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "short": _short, "long": _long, "tools": _tools, "agents": _agents, "varied": _varied, "pref": _pref, "mm": _mm,
    "sharegpt": _sharegpt, "pairs": _pairs, "csv": _csv,
}  # fmt: skip


def _set_paths(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in ROWS:
        yield name, folder / f"{name}.jsonl"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.finetune_sets", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=0.05, help="part of the full sets (%(default)s)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, path in _set_paths(options.folder):
        print(f"{name}: {write(name, path, options.share):,} rows, {path.stat().st_size / 1e6:.0f} MB")

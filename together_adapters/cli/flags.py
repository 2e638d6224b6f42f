"""Messages of the library in the words of the command line: `--pair best_vs_worst` for the argument `pair='best_vs_worst'`.

The library's messages name arguments only, as Python code; this is the one place where they become the flags of a command.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import click

_METHODS: Final = {"data.limit(tokens=...)": "limit_tokens=", "data.dedupe()": "dedupe='example'"}
"""Methods of `TrainingData` that are options of a command."""
_PRICE_HINT: Final = (
    "name its price, Together(control=Control(prices={name: {'input': ..., 'output': ...}})) in dollars per million tokens"
)
"""How a price that nobody knows is given."""
_PROGRAM: Final = {
    "pass api_key=...": "pass --api-key KEY",
    "passed as base_url=...": "passed as --base-url",
    "base_url must be an http": "--base-url must be an http",
    "as api_key=... (any": "as --api-key KEY (any",
    "client.fine_tuning.list_supported_models()": "`together-adapters fine-tuning list-supported-models`",
    _PRICE_HINT: "name its price by --price NAME INPUT OUTPUT, in dollars per million tokens",
    ", or set no limit": ", or leave out --max-price",
    " (for a chat: {'messages': [{'role': 'user', 'content': prompt}]})": " (for a chat of each prompt: --column prompt)",
}
"""What is said of the library as a whole, in the words of the program as a whole."""
_ALIASES: Final = {"validation_file": "validation", "training_file": "train", "training_method": "method"}
"""Arguments of the library, by options that commands call by another name."""
_TEXT: Final = r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
_CONVERSION: Final = re.compile(rf"write_jsonl\(load\({_TEXT}\), {_TEXT}\)")
_CALL: Final = re.compile(r"\bclient\.([a-z_]+)\.([a-z_]+)\('([\w.-]+)'\)")
"""A call with an id, which is a command of the same name."""
_DATA_GROUPS: Final = ("ft", "files")
_ARGUMENT: Final = re.compile(r"(?<![\w.?&'\"-])([a-z]\w*)=(?!=)")
_NAME: Final = re.compile(r"(?<![\w.?&'\"`/=-])[a-z]+(?:_[a-z0-9]+)+(?![\w.]*[\w(\['\"`/=])")
"""A name of Python, which no word of a sentence is."""
_TOKEN: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[\[({]|[\])}]|[\w.-]*\w|\.\.\.|[:,=\s]+")


def commands_of(context: click.Context | None) -> Iterator[click.Command]:
    """Yields a command, and after one that reads training data the one that converts it, which has the options of `load`."""
    if context is None:
        return
    yield context.command
    root = context.find_root().command
    if context.parent is None or context.parent.command.name not in _DATA_GROUPS or not isinstance(root, click.Group):
        return
    ft = root.get_command(context, "ft")
    prepare = ft.get_command(context, "prepare") if isinstance(ft, click.Group) else None
    if prepare is not None and prepare is not context.command:
        yield prepare


def with_flags(text: str, *commands: click.Command) -> str:
    """Returns a message of the library with the flags of a command for Python arguments: `--lora-r 8` for `lora_r=8`.

    What only a later command has is named with that command: `ft prepare --pair best_vs_worst`.
    """
    for words, others in _PROGRAM.items():
        text = text.replace(words, others)
    text = _CALL.sub(lambda call: f"`together-adapters {call[1]} {call[2]} {call[3]}`".replace("_", "-", 2), text)
    if commands:
        text = _CONVERSION.sub(_prepare, text)
    for index, command in enumerate(commands):
        options = {option.name: option for option in command.params if isinstance(option, click.Option) and option.name}
        options |= {name: options[other] for name, other in _ALIASES.items() if other in options and name not in options}
        text = _replace(text, options, f"ft {command.name} " if index else "")
        text = _NAME.sub(partial(_flag_of_name, options), text)
    return text


def _flag_of_name(options: Mapping[str, click.Option], match: re.Match[str]) -> str:
    return max(options[match[0]].opts, key=len) if match[0] in options else match[0]


def _prepare(match: re.Match[str]) -> str:
    source, new = (_quoted(ast.literal_eval(name)) for name in match.groups())
    return f"`together-adapters ft prepare {source} -o {new}`"


def _replace(text: str, options: Mapping[str, click.Option], prefix: str) -> str:
    for method, argument in _METHODS.items():
        if argument.partition("=")[0] in options:
            text = text.replace(method, argument)
    parts, start = [], 0
    for match in _ARGUMENT.finditer(text):
        if match.start() < start:
            continue
        end = _end_of_expression(text, match.end())
        flags = _flags(match[1], text[match.end() : end], options)
        if flags is not None:
            parts += [text[start : match.start()], prefix, flags]
            start = end
    return "".join(parts) + text[start:]


def _end_of_expression(text: str, start: int) -> int:
    """Returns where the Python expression ends that begins at a position; the position itself if there is none."""
    depth, end = 0, start
    while match := _TOKEN.match(text, end):
        word = match[0]
        is_call = depth == 0 and word == "(" and end > start
        if depth == 0 and (word[0] in "])}:,= \n\t" or (end > start and not is_call)):
            return end
        depth += (word in ("[", "(", "{")) - (word in ("]", ")", "}"))
        end = match.end()
        if depth == 0 and not text.startswith("(", end):
            return end
    return end if depth == 0 else start


def _flags(name: str, expression: str, options: Mapping[str, click.Option]) -> str | None:
    """Returns the flags for an argument; None if the command has no such option."""
    if name not in options:
        return None
    try:
        value = _value(ast.parse(expression, mode="eval").body) if expression else ""
    except (SyntaxError, ValueError):
        value = expression
    return " ".join(_texts(name, value, options))


def _texts(name: str, value: Any, options: Mapping[str, click.Option]) -> Iterator[str]:
    option = options[name]
    flag = max(option.opts, key=len)
    if isinstance(value, ast.Call):
        for keyword in value.keywords:
            inner = _value(keyword.value)
            if keyword.arg in options:
                yield from _texts(str(keyword.arg), inner, options)
            else:
                yield f"{flag} {keyword.arg}{'' if inner is True else '=off' if inner is False else f'={inner}'}"
    elif isinstance(value, dict):
        yield from (f"{flag} {_quoted(f'{key}={item}')}" for key, item in value.items())
    elif isinstance(value, list):
        yield from (f"{flag} {_quoted(item)}" for item in value)
    elif value is True or value is False:
        is_off = value is False and option.secondary_opts
        yield option.secondary_opts[0] if is_off else flag
    else:
        yield f"{flag} {_quoted(value)}" if value != "" else flag


def _value(node: ast.expr) -> Any:
    """Returns the value of an expression; of names their text, of calls the node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Set):  # `{...}`, any mapping
        return ...
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    return node if isinstance(node, ast.Call) else ast.literal_eval(node)


def _quoted(value: Any) -> str:
    return "..." if value is ... else shlex.quote(str(value))

"""Texts that a chat template was applied to already: read back into conversations where the user names the template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from together_adapters.finetune.formats.conversation import Talk
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.columns import extras, require_record, text_of
from together_adapters.finetune.records import Converted, Unconvertible

_MARKS: Final = ("<|im_start|>", "<|start_header_id|>", "[/INST]", "<start_of_turn>", "<|eot_id|>", "<|im_end|>")
_CHATML: Final = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\s*", re.DOTALL)
_LLAMA3: Final = re.compile(
    r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)(?:<\|eot_id\|>|<\|end_of_text\|>)\s*", re.DOTALL
)
_INST: Final = re.compile(r"(?:<s>)?\s*\[INST\](.*?)\[/INST\](.*?)(?:</s>|(?=\[INST\])|\Z)\s*", re.DOTALL)
_SYSTEM: Final = re.compile(r"\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)
_ROLES: Final = {"system": "system", "user": "user", "assistant": "assistant", "ipython": "tool", "tool": "tool"}


def marked(text: str) -> bool:
    """Whether a text has the marks of a chat template, which training would apply a second time."""
    return ("<" in text or "[" in text) and any(mark in text for mark in _MARKS)


def text(record: Any, options: Options) -> Iterator[Converted]:
    """Convert a record with `text`, or a text alone; it stays a text, marks of a template and all."""
    if isinstance(record, str):
        record = {"text": record}
    found = text_of(require_record(record), "text")
    changed: list[str] = []
    more = extras(record, ("text",), changed) if len(record) > 1 else {}
    if marked(found):
        changed.append("template_in_content")
    yield Converted({"text": found, **more}, None, tuple(changed))


def conversation(record: Any, options: Options) -> Iterator[Converted]:
    """Convert a text that was rendered with the template that the options name."""
    if isinstance(record, str):
        record = {"text": record}
    found = text_of(require_record(record), "text").strip()
    dialect = options.text_dialect or "chatml"
    talk = Talk(options)
    if dialect in ("llama2", "mistral"):
        _read_inst(talk, found)
    else:
        _read_tagged(talk, found, _CHATML if dialect == "chatml" else _LLAMA3, dialect)
    talk.change("template_removed")
    yield talk.converted(extra=extras(record, ("text",), talk.changed))


def _read_tagged(talk: Talk, found: str, pattern: re.Pattern[str], dialect: str) -> None:
    if dialect == "llama3":
        found = found.removeprefix("<|begin_of_text|>")
    if not found.endswith(("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>")):
        raise Unconvertible("template_broken", f"the text does not end as {dialect} does", "text", found[-80:])
    found = found.removesuffix("<|endoftext|>").rstrip()
    place = 0
    for match in pattern.finditer(found):
        _nothing_between(found[place : match.start()], dialect)
        place = match.end()
        role, content = match[1], match[2]
        if role not in _ROLES or _ROLES[role] == "tool":
            raise Unconvertible("role_unknown", f"the role {role!r} cannot be read back from a rendered text", talk.path, role)
        if marked(content):
            raise Unconvertible("template_broken", f"a mark of {dialect} stands inside a message", talk.path, content)
        _put(talk, role, content)
    _nothing_between(found[place:], dialect)


def _read_inst(talk: Talk, found: str) -> None:
    place = 0
    for match in _INST.finditer(found):
        _nothing_between(found[place : match.start()], "[INST]")
        place = match.end()
        question, answer = match[1], match[2].strip()
        if not place or not answer:
            raise Unconvertible("template_broken", "a question has no answer", talk.path, question)
        if system := _SYSTEM.match(question):
            talk.add("system", system[1])
            question = question[system.end() :]
        talk.add("user", question.strip())
        talk.answer(answer)
    _nothing_between(found[place:], "[INST]")


def _put(talk: Talk, role: str, content: str) -> None:
    if role == "assistant":
        talk.answer(content)
    else:
        talk.add(role, content)


def _nothing_between(rest: str, dialect: str) -> None:
    if rest.strip():
        raise Unconvertible("template_broken", f"there is text outside the marks of {dialect}", "text", rest.strip()[:80])

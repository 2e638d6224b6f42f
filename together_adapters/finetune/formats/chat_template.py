"""Texts that a chat template was applied to, converted back to conversations if the user names the template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from together_adapters.finetune.formats.conversation import ConversationBuilder, openai_calls
from together_adapters.finetune.formats.layouts.text_calls import Result, calls_in, results_in
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require_record, text_of
from together_adapters.finetune.records import Converted, Unconvertible

COLUMNS: Final = frozenset({"text"})
_MARKS: Final = ("<|im_start|>", "<|start_header_id|>", "[/INST]", "<start_of_turn>", "<|eot_id|>", "<|im_end|>")
_CHATML: Final = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\s*", re.DOTALL)
_LLAMA3: Final = re.compile(r"(?s)<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|(?:eot_id|end_of_text)\|>\s*")
_INST: Final = re.compile(r"(?:<s>)?\s*\[INST\](.*?)\[/INST\](.*?)(?:</s>|(?=\[INST\])|\Z)\s*", re.DOTALL)
_ROLE_NAMES: Final = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "ai": "assistant"}
_ROLE: Final = re.compile(rf"(?im)^({'|'.join(_ROLE_NAMES)})[ \t]*:[ \t]*")
_SYSTEM: Final = re.compile(r"\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)


def has_template_marks(text: str) -> bool:
    """Whether a text has the marks of a chat template, which training would apply a second time."""
    if "<" not in text and "[" not in text:
        return False
    may_have = "<|" in text or "[/INST]" in text or "<start_of_turn>" in text
    return may_have and any(mark in text for mark in _MARKS)


def transcript_of(text: str) -> list[dict[str, str]] | None:
    """Returns the messages of a text that begins every turn with its role, as `user: Hello`; None for other texts.

    A transcript whose turns cannot be told apart is refused.
    """
    if not _ROLE.match(text):
        return None
    _, *parts = _ROLE.split(text)
    names = [_ROLE_NAMES[name.lower()] for name in parts[::2]]
    if len(set(names)) < 2:
        return None
    if any(a == b for a, b in pairwise(names)) or "system" in names[1:] or names[-1] != "user":
        message = "the input is a rendered transcript, and where its turns begin is not certain"
        raise Unconvertible("transcript_unclear", message, "input", text)
    return [{"role": role, "content": part.strip()} for role, part in zip(names, parts[1::2], strict=True)]


def text(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a record with `text`, or a text alone, to a row with the unchanged text."""
    record = require_record({"text": record} if isinstance(record, str) else record)
    content = text_of(record, "text")
    changes: list[str] = []
    if has_template_marks(content):
        changes.append("template_in_content")
    yield Converted({"text": content}, None, tuple(changes))


def conversation(record: Any, options: Options) -> Iterator[Converted]:
    """Converts a text that was rendered with the template that the options name."""
    record = require_record({"text": record} if isinstance(record, str) else record)
    text = text_of(record, "text").strip()
    template = options.text_dialect or "chatml"
    builder = ConversationBuilder(options)
    if template in ("llama2", "mistral"):
        _read_inst(builder, text)
    else:
        _read_tagged(builder, text, _CHATML if template == "chatml" else _LLAMA3, template)
    builder.change("template_removed")
    yield builder.converted()


def _read_tagged(builder: ConversationBuilder, text: str, pattern: re.Pattern[str], template: str) -> None:
    if template == "llama3":
        text = text.removeprefix("<|begin_of_text|>")
    if not text.endswith(("<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>")):
        raise Unconvertible("template_broken", f"the text does not end as {template} does", "text", text[-80:])
    text = text.removesuffix("<|endoftext|>").rstrip()
    end = 0
    for match in pattern.finditer(text):
        _require_blank(text[end : match.start()], template)
        end = match.end()
        role, content = match[1], match[2]
        role = "tool" if role == "ipython" else role
        if role not in ("system", "user", "assistant", "tool"):
            raise Unconvertible("role_unknown", f"the role {role!r} cannot be read back from a rendered text", builder.path, role)
        if has_template_marks(content):
            raise Unconvertible("template_broken", f"a mark of {template} stands inside a message", builder.path, content)
        if role == "assistant":
            _read_answer(builder, content)
        elif role == "tool" or (role == "user" and builder.open_calls and content.lstrip().startswith("<tool_response>")):
            for result in (results_in(content, builder.open_calls) or ([Result(content)], ""))[0]:
                builder.result(result.content)
        else:
            builder.add(role, content)
    _require_blank(text[end:], template)


def _read_answer(builder: ConversationBuilder, content: str) -> None:
    text, calls = calls_in(content, builder.is_tool) or (content, [])
    if calls:
        builder.change("calls_read_from_text")
        builder.has_text_calls = True
    builder.answer(text, openai_calls(calls, builder.options, builder.path))


def _read_inst(builder: ConversationBuilder, text: str) -> None:
    end = 0
    for match in _INST.finditer(text):
        _require_blank(text[end : match.start()], "[INST]")
        end = match.end()
        question, answer = match[1], match[2].strip()
        if not end or not answer:
            raise Unconvertible("template_broken", "a question has no answer", builder.path, question)
        if system := _SYSTEM.match(question):
            builder.add("system", system[1])
            question = question[system.end() :]
        builder.add("user", question.strip())
        builder.answer(answer)
    _require_blank(text[end:], "[INST]")


def _require_blank(rest: str, template: str) -> None:
    if rest.strip():
        raise Unconvertible("template_broken", f"there is text outside the marks of {template}", "text", rest.strip()[:80])

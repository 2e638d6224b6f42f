"""Finds the question in a prompt, and the passages that are to answer it: in tags, fences, behind labels, or numbered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from together_adapters.emulator.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of the context. `label` is its number or name in the prompt, if it has one."""

    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt in parts: where it has passages, the answer must come from them."""

    question: str
    passages: tuple[Passage, ...]


_TAGS: Final = ("context", "documents", "sources", "passages", "information", "text", "article")
_FENCE: Final = re.compile(r"^[ \t]*(-{5,}|={5,}|#{5,}|\*{5,}|~{5,})[ \t]*$", re.MULTILINE)
_BEFORE_FENCE: Final = re.compile(
    r"(?:below|following|context|information|sources|documents?|excerpts?|provided)[^\n]{0,80}[:.]?\s*$", re.IGNORECASE
)
_CONTEXT_LABEL: Final = re.compile(
    r"^[ \t]*(?:#+ *|\*\*)?(?:(?:here (?:is|are) )?(?:the )?(?:retrieved|new|relevant|following|given)? *)"
    r"(?:context(?: information)?|content of the \w+|documents?(?: for the context)?|sources?|passages?|excerpts?|background|text|article|information)"
    r"(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_AFTER_CONTEXT: Final = re.compile(
    r"^[ \t]*(?:#+ *|\*\*)?(?:user )?(?:question|query|answer|helpful answer|final answer|instructions?|original answer|existing answer"
    r"|new answer|refined answer|response|summary|keywords?|queries|title|follow[- ]?up \w+)(?:\*\*)?[ \t]*:",
    re.MULTILINE | re.IGNORECASE,
)
_QUESTION_LABEL: Final = re.compile(
    r"^[ \t]*(?:#+ *|\*\*)?(?:user |original |input |the |search )*(?:question|query|user input|input|request|prompt|q)(?: is(?: as follows)?)?(?:\*\*)?[ \t]*:"
    r"(?:\*\*)?[ \t]*(.*?)(?=\n[ \t]*(?:\*\*)?(?:[A-Z][\w ]{0,40}):|\n[ \t]*\n|\Z)",
    re.MULTILINE | re.IGNORECASE | re.DOTALL,
)
_PASSAGE_MARKS: Final = (
    re.compile(r"^[ \t]*\[(\d+)\]:?[ \t]*", re.MULTILINE),
    re.compile(r"^[ \t]*\[?(?:source|document|doc|passage|context|excerpt|chunk|node)[ \t]*#?\[?(\d+)\]?[ \t]*(?:\([^)\n]*\))?[ \t]*[:.\-\]]+[ \t]*",
               re.MULTILINE | re.IGNORECASE),
    re.compile(r"^[ \t]*(?:source|document|doc|passage|chunk)[ _](?:id|index|number):[ \t]*(\d+)[ \t]*$", re.MULTILINE | re.IGNORECASE),
)  # fmt: skip
_CITES: Final = re.compile(
    r"\b(?:cit(?:e|es|ing|ations?)|(?:name|list|give|mention|include|state|with|add)(?: (?:all|the|your|its|their))* (?:sources?|references))\b",
    re.IGNORECASE,
)
# Marks of passages that are cited only where the prompt asks for it.
_ELEMENT: Final = re.compile(
    r"<(document|doc|source|passage|chunk|article|snippet|result)\b([^>\n]{0,500})>((?:(?!<\1\b).)*?)</\1>",
    re.DOTALL | re.IGNORECASE,
)
_ELEMENT_LABELS: Final = (
    re.compile(r"\b(?:id|index|number)=[\"']?([^\"'\s>]+)", re.IGNORECASE),
    re.compile(r"\b(?:source|name|title|url|path)=[\"']([^\"']+)", re.IGNORECASE),
    re.compile(r"<(?:id|source|title)>\s*([^<\n]+?)\s*</", re.IGNORECASE),
)
_INNER_TAG: Final = re.compile(r"</?(?:id|source|title|content|document_content|page_content|text)>", re.IGNORECASE)
_CONTENT: Final = re.compile(r"^[ \t]*(?:article )?(?:page_)?(?:content|snippet)[ \t]*:[ \t]*", re.MULTILINE | re.IGNORECASE)
_NAMES: Final = (
    re.compile(r"^[ \t]*\[(?:source: ?)?([^\]\[\n]{0,100}[^\W\d][^\]\[\n]{0,100})\](?!\():?[ \t]*", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^[ \t]*(?:source|document|file(?:[ _]?name|_path)?|url)[ \t]*:[ \t]*(\S[^\n]*)\n", re.MULTILINE | re.IGNORECASE),
)
_METADATA_SOURCE: Final = re.compile(r"[\"'](?:source|file_name|file_path)[\"']: [\"']([^\"']+)")
_LIST_NUMBER: Final = re.compile(r"^[ \t]*(\d+)[.)][ \t]+", re.MULTILINE)
_PARAGRAPH_BREAK: Final = re.compile(r"\n[ \t]*\n")


@lru_cache(maxsize=8)
def parse_prompt(conversation: Conversation, cites: bool = False) -> ParsedPrompt:
    """Parses the last user message. The context is in it, or else in the instructions; results of tools are context too.

    More forms of passages have labels if the answer `cites` them, or the prompt asks for it.
    """
    text = conversation.prompt
    cites = cites or bool(_CITES.search(conversation.full_prompt))
    results = [passage for message in conversation.tool_results for passage in split_passages(message.text, cites)]
    context, rest = _split_context(text, cites)
    question = find_question(rest) or find_question(text)
    context = context or _split_context(conversation.system, cites)[0]
    return ParsedPrompt(question, (*split_passages(context, cites), *results))


def _split_context(text: str, cites: bool) -> tuple[str, str]:
    """Splits a text into its context, which is empty where none is marked, and the rest."""
    for before, start, end, after in _contexts(text, cites):
        if context := text[start:end].strip("\n"):
            return context, f"{text[:before]}\n{text[after:]}"
    return "", text


def _contexts(text: str, cites: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yields where a context may be, without and with its marks: in tags, in fences, after a label, or numbered passages."""
    for tag in _TAGS:
        start, end = text.find(f"<{tag}>"), text.rfind(f"</{tag}>")
        if 0 <= start < end:
            yield start, start + len(tag) + 2, end, end + len(tag) + 3
    fences = list(_FENCE.finditer(text))
    for i, fence in enumerate(fences):
        if _BEFORE_FENCE.search(text, max(0, fence.start() - 200), fence.start()):
            for other in (other for other in fences[:i:-1] if other[1] == fence[1]):
                yield fence.start(), fence.end(), other.start(), other.end()
    elements = list(_ELEMENT.finditer(text)) if cites else []
    if elements:
        yield elements[0].start(), elements[0].start(), elements[-1].end(), elements[-1].end()
    names = [match for mark in _NAMES for match in mark.finditer(text)] if cites else []
    label = _CONTEXT_LABEL.search(text)
    if label and not any(match.start() == label.start() for match in names):
        end = _context_end(text, label.end())
        yield label.start(), label.end(), end, end
    for marks in filter(None, (*(_ascending(mark, text) for mark in _PASSAGE_MARKS), names)):
        end = _context_end(text, marks[-1].end())
        yield marks[0].start(), marks[0].start(), end, end


def _context_end(text: str, start: int) -> int:
    """The index where a context ends: at the next label, or before a last paragraph that is a question."""
    if label := _AFTER_CONTEXT.search(text, start):
        return label.start()
    body = text.rstrip()
    breaks = [match.end() for match in _PARAGRAPH_BREAK.finditer(body, start)]
    return breaks[-1] if breaks and body.endswith("?") else len(text)


def _ascending(mark: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The matches whose numbers count upwards by one from the first: a `[3]` within the text does not begin a passage."""
    marks: list[re.Match[str]] = []
    for match in mark.finditer(text):
        number = int(match[1])
        if number == int(marks[-1][1]) + 1 if marks else number <= 1:
            marks.append(match)
    return marks


def split_passages(context: str, cites: bool = False) -> list[Passage]:
    """Splits a context into passages: by number where it is numbered, else by paragraph. If it `cites`, also by names, tags and lists."""
    if cites and (elements := list(_elements(context))):
        return elements
    for marks in _marks(context, cites):
        ends = [match.start() for match in marks[1:]] + [len(context)]
        texts = [_CONTENT.sub("\n", context[match.end() : end], count=1) for match, end in zip(marks, ends, strict=True)]
        return [Passage(text.strip("\n"), _label(match[1])) for match, text in zip(marks, texts, strict=True)]
    return [Passage(part) for part in _PARAGRAPH_BREAK.split(context) if part.strip()]


def _elements(context: str) -> Iterator[Passage]:
    """Yields the passages in tags that have an id, an index or a name."""
    for match in _ELEMENT.finditer(context):
        _, attributes, inner = match.groups()
        label = next(filter(None, (pattern.search(attributes) or pattern.search(inner) for pattern in _ELEMENT_LABELS)), None)
        if label:
            yield Passage(_INNER_TAG.sub("\n\n", inner).strip("\n"), label[1])


def _marks(context: str, cites: bool) -> Iterator[list[re.Match[str]]]:
    """Yields the marks at which passages begin, for each form that the context has."""
    yield from filter(None, (_ascending(mark, context) for mark in _PASSAGE_MARKS))
    if cites:
        yield from filter(None, (list(mark.finditer(context)) for mark in _NAMES))
        numbers = _ascending(_LIST_NUMBER, context)
        if numbers and not context[: numbers[0].start()].strip():  # a list further down is part of a passage
            yield numbers


def _label(mark: str) -> str:
    """The number or name of a mark, of metadata the source."""
    source = _METADATA_SOURCE.search(mark)
    return source[1] if source else mark.strip()


def find_question(text: str) -> str:
    """The question of a text: the one with a label, else the last sentence with a question mark, else the last line."""
    labels = [match[1].strip() for match in _QUESTION_LABEL.finditer(text) if match[1].strip()]
    if labels:
        return " ".join(labels[-1].split())
    lines = [line.strip() for line in text.strip().splitlines() if line.strip() and not _AFTER_CONTEXT.match(line)]
    questions = [line for line in lines if line.rstrip("\"'” ").endswith("?")]
    if questions:
        return " ".join(re.split(r"(?<=[.!:])\s+(?=[A-Z])", questions[-1])[-1].split())
    return " ".join((lines[-1] if lines else text.strip())[:600].split())

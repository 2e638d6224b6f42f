"""Find in a prompt what is asked and what it is to be answered from: question and passages.

Prompts of the usual frameworks come first (fences, tags, labels, numbered sources); plain paragraphs are the last resort.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from together_adapters.emulator.engine.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of context. `label` is the number it carries in the prompt, if it carries one."""

    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt understood. `told` says that passages were set apart in the prompt, not merely found around the question."""

    question: str
    passages: tuple[Passage, ...]
    told: bool = False


_EXAMPLES_END: Final = re.compile(r"(?:Now it's your turn|Let's try this now|Now try this)[.:!]?", re.IGNORECASE)
_FENCE: Final = re.compile(r"^[ \t]*(-{5,}|={5,}|#{5,}|\*{5,}|~{5,})[ \t]*$", re.MULTILINE)
_BEFORE_FENCE: Final = re.compile(
    r"(?:below|following|context|information|sources|documents?|excerpts?|provided)[^\n]{0,80}[:.]?\s*$", re.IGNORECASE
)
_TAGS: Final = ("context", "documents", "sources", "passages", "information", "text", "article")
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
_MARKS: Final = (
    re.compile(r"^[ \t]*\[(\d+)\]:?[ \t]*", re.MULTILINE),
    re.compile(r"^[ \t]*\[?(?:source|document|doc|passage|context|excerpt|chunk|node)[ \t]*#?\[?(\d+)\]?[ \t]*(?:\([^)\n]*\))?[ \t]*[:.\-\]]+[ \t]*",
               re.MULTILINE | re.IGNORECASE),
    re.compile(r"<(?:document|doc|source|passage|chunk)\b[^>]{0,60}?(?:index|id|number)=[\"']?(\d+)[\"']?[^>]{0,60}>", re.IGNORECASE),
)  # fmt: skip
_LIST_MARK: Final = re.compile(r"^[ \t]*\(?(\d+)[.)][ \t]+", re.MULTILINE)
_CLOSING_TAG: Final = re.compile(r"</?(?:document|doc|source|passage|chunk)\b[^>]{0,60}>", re.IGNORECASE)
_QUESTIONS: Final = re.compile(r"[^.!?\n]{1,2000}\?")
_INSTRUCTIONS: Final = re.compile(
    r"^\s*(?:you are|you're|you have|your task|use the|given the|answer|please|always|never|if you|if the|do not|don't|respond|reply|"
    r"only|keep|be |cite|based on|below|the following|context information|using|provide|when |summari[sz]e|generate|extract|higher-level|return|think|think step|make sure)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=64)
def read(talk: Conversation) -> Reading:
    """Read the last user message; look for context there, then in the instructions, then in what was said before."""
    own = _read_text(talk.prompt)
    observed = tuple(part for message in talk.tool_results for part in split_passages(message.text))
    if own.told or (own.passages and not observed):
        return Reading(own.question, (*own.passages, *observed), own.told)
    around = _context_of(talk.system, asks=False)
    if around is not None:
        return Reading(own.question, (*split_passages(around[0]), *observed), True)
    spoken = tuple(
        Passage(_QUESTIONS.sub("", message.text[:20_000])) for message in talk.history[-100:] if message.role == "user"
    )
    return Reading(own.question, (*observed, *_paragraphs(talk.system), *spoken), bool(observed))


def _read_text(text: str) -> Reading:
    if len(ends := list(_EXAMPLES_END.finditer(text))):
        text = text[ends[-1].end() :]
    found = _context_of(text)
    if found is not None:
        context, rest = found
        return Reading(question_in(rest) or question_in(text), tuple(split_passages(context)), True)
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    if len(paragraphs) < 2 or len(text) > 400_000:
        return Reading(question_in(text), ())
    asking = next((at for at in (-1, 0) if paragraphs[at].rstrip().endswith("?")), -1)
    asked = paragraphs.pop(asking)
    return Reading(question_in(asked), tuple(Passage(part) for part in paragraphs if not _INSTRUCTIONS.match(part)))


def _context_of(text: str, asks: bool = True) -> tuple[str, str] | None:
    """Split a text into its context and the rest; None when it sets no context apart.

    `asks` says that the text is known to end in a question, be it without a label.
    """
    for tag in _TAGS:
        start, end = text.find(f"<{tag}>"), text.rfind(f"</{tag}>")
        if 0 <= start < end:
            return text[start + len(tag) + 2 : end], text[:start] + "\n" + text[end + len(tag) + 3 :]
    if (fenced := _fenced(text)) is not None:
        return fenced
    if (labelled := _CONTEXT_LABEL.search(text)) is not None:
        after = _AFTER_CONTEXT.search(text, labelled.end())
        end = after.start() if after else len(text)
        end = _before_instructions(text, labelled.end(), end)
        if text[labelled.end() : end].strip():
            return text[labelled.end() : end], text[: labelled.start()] + "\n" + text[end:]
    for mark in _MARKS:
        if marks := ascending(mark, text):
            after = _AFTER_CONTEXT.search(text, marks[-1].end())
            end = after.start() if after else _last_question(text, marks[-1].end()) if asks else len(text)
            return text[marks[0].start() : end], text[: marks[0].start()] + "\n" + text[end:]
    return None


def _fenced(text: str) -> tuple[str, str] | None:
    fences = list(_FENCE.finditer(text))
    for opening in fences:
        if not _BEFORE_FENCE.search(text[max(0, opening.start() - 200) : opening.start()]):
            continue
        closing = [fence for fence in fences if fence.start() > opening.start() and fence[1] == opening[1]]
        if closing:
            return text[opening.end() : closing[-1].start()], text[: opening.start()] + "\n" + text[closing[-1].end() :]
    return None


def _before_instructions(text: str, start: int, end: int) -> int:
    """Where a context ends that is followed, without a label, by a paragraph on what to do with it."""
    breaks = [found.end() for found in re.finditer(r"\n[ \t]*\n", text[start:end].rstrip())]
    for place in reversed(breaks[-4:]):
        if not _INSTRUCTIONS.match(text[start + place : end]):
            break
        end = start + place
    return end


def _last_question(text: str, start: int) -> int:
    """Where the question begins that ends a text without a label: at its last paragraph."""
    breaks = [found.end() for found in re.finditer(r"\n\s*\n", text[start:].rstrip())]
    return start + breaks[-1] if breaks else len(text)


def ascending(mark: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """The marks that count upwards by one from the first: stray `[3]` in the text are none."""
    found: list[re.Match[str]] = []
    for match in mark.finditer(text):
        if not found and int(match[1]) > 1:
            continue
        if not found or int(match[1]) == int(found[-1][1]) + 1:
            found.append(match)
    return found


def split_passages(context: str) -> list[Passage]:
    """Cut a context into passages: where it is numbered by number, else by paragraphs."""
    for mark in _MARKS:
        if marks := ascending(mark, context):
            ends = [match.start() for match in marks[1:]] + [len(context)]
            return [
                Passage(_CLOSING_TAG.sub("", context[match.end() : end]).strip("\n"), match[1])
                for match, end in zip(marks, ends, strict=True)
            ]
    return list(_paragraphs(context, keep_instructions=True))


def _paragraphs(text: str, keep_instructions: bool = False) -> list[Passage]:
    """Paragraphs as passages. Short ones (headings, code) stay with what follows, so that sentences keep their neighbours."""
    parts = [part for part in re.split(r"\n[ \t]*\n", text) if part.strip()]
    return [Passage(part) for part in parts if keep_instructions or not _INSTRUCTIONS.match(part)]


def list_items(text: str) -> list[Passage]:
    """The items of a numbered list, `(1) ...` or `1. ...`."""
    marks = ascending(_LIST_MARK, text)
    ends = [match.start() for match in marks[1:]] + [len(text)][: len(marks)]
    return [Passage(text[match.end() : end].strip(), match[1]) for match, end in zip(marks, ends, strict=True)]


def question_in(text: str) -> str:
    """The question of a text: what a label says, else the last sentence that asks, else its last line."""
    labelled = [found[1].strip() for found in _QUESTION_LABEL.finditer(text) if found[1].strip()]
    if labelled:
        return " ".join(labelled[-1].split())
    lines = [line.strip() for line in text.strip().splitlines() if line.strip() and not _AFTER_CONTEXT.match(line)]
    asking = [line for line in lines if line.rstrip("\"'” ").endswith("?")]
    if asking:
        return " ".join(re.split(r"(?<=[.!:])\s+(?=[A-Z])", asking[-1])[-1].split())
    return " ".join((lines[-1] if lines else text.strip())[:600].split())

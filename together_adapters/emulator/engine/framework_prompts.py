"""Prompts that frameworks send on their own account, and the form in which they want the answer: one row each.

Condensing a question, choosing among numbered choices, refining an answer, judging relevance, rewriting queries, extracting
keywords, ReAct. A row is a pattern that marks the prompt, and a function that answers it or declines with an empty string.
"""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from together_adapters.emulator.engine import prompt_parser as reading
from together_adapters.emulator.engine.conversation import Conversation
from together_adapters.emulator.engine.extractive_qa import NOT_FOUND, cited, extract, keywords, summary, topic
from together_adapters.emulator.engine.prompt_parser import Passage, Reading
from together_adapters.emulator.engine.text_features import bm25, coverage, stems

Habit = Callable[[Conversation, Reading, str], str]
"""Takes the conversation, its reading, and instructions and prompt as one text."""


def habitual(talk: Conversation, read: Reading) -> str:
    """Answer a framework's own prompt; empty when it is none."""
    whole = f"{talk.system}\n{talk.prompt}"
    # What marks such a prompt is an instruction, so it stands at one of the ends, never amid a long context.
    ends = whole if len(whole) < 12_000 else whole[:6_000] + "\n" + whole[-6_000:]
    for mark, habit in _HABITS:
        if mark.search(ends) and (answer := habit(talk, read, whole)):
            return answer
    return ""


def _labelled(text: str, *labels: str) -> str:
    """The text after the last place of the first label that occurs, up to the next label, tag or blank line."""
    for label in labels:
        pattern = rf"(?:^|\n)[ \t]*<?(?:{label})[ \t]*[:>][ \t]*\n?(.*?)(?=\n[ \t]*\n|\n[ \t]*<?[A-Z][\w ]{{0,40}}[:>]|\Z)"
        found = [match[1].strip() for match in re.finditer(pattern, text, re.DOTALL | re.IGNORECASE)]
        if any(found):
            return str(next(text for text in reversed(found) if text))
    return ""


_VAGUE: Final = re.compile(r"\b(?:it|its|that|this|they|them|their|those|these|he|she|his|her|one|ones|there)\b", re.IGNORECASE)


def _condense(talk: Conversation, read: Reading, whole: str) -> str:
    asked = _labelled(whole, r"follow[- ]?up (?:input|question|message)", "latest user question") or talk.prompt
    asked = " ".join(asked[:2_000].split())
    said = re.findall(r"(?im)^\s*(?:human|user)\s*:\s*(.+)$", whole[:200_000])
    said = [line for line in said if line.strip() != asked] or [m.text for m in talk.history if m.role == "user"]
    if not said or (not _VAGUE.search(asked) and len(stems(asked)) >= 3):
        return asked
    about = topic(said[-1], 6).rstrip("?.! ")
    return f"{asked.rstrip('?.! ')}, regarding {about}?"


def _ranked(question: str, passages: list[Passage]) -> list[tuple[float, Passage]]:
    scores = bm25(stems(question), [stems(passage.text) for passage in passages])
    return sorted(zip(scores, passages, strict=True), key=lambda pair: (-pair[0], int(pair[1].label or 0)))


def _choices(whole: str) -> tuple[str, list[tuple[float, Passage]]]:
    question = next(
        iter(re.findall(r"question(?: is)?:? ['\"“](.{1,300}?)['\"”]\s*$", whole, re.MULTILINE)), ""
    ) or reading.question_in(whole)
    fenced = re.search(r"^-{5,}\s*$(.*?)^-{5,}\s*$", whole, re.DOTALL | re.MULTILINE)
    return question, _ranked(question, reading.list_items(fenced[1] if fenced else whole))


def _select(talk: Conversation, read: Reading, whole: str) -> str:
    _, ranked = _choices(whole)
    if not ranked:
        return ""
    most = re.search(r"no more than (\d+)", whole)
    kept = [passage for score, passage in ranked if score >= 0.6 * ranked[0][0]][: int(most[1]) if most else 1] or [ranked[0][1]]
    if "ANSWER:" in whole:
        return f"ANSWER: {', '.join(passage.label for passage in kept)}\nIt shares most words with the question."
    chosen = [{"choice": int(passage.label), "reason": f"It speaks of {topic(passage.text, 5)}."} for passage in kept]
    return json.dumps(chosen, ensure_ascii=False)


def best_choice(whole: str) -> int | None:
    """The number of the best of the choices that a prompt lists; None when it lists none."""
    if "choices are given below" not in whole:
        return None
    ranked = _choices(whole)[1]
    return int(ranked[0][1].label) if ranked else None


def _grade_documents(talk: Conversation, read: Reading, whole: str) -> str:
    documents = reading.split_passages(whole.rpartition("Let's try this now")[2].partition("\nQuestion:")[0])
    question = _labelled(whole.rpartition("Let's try this now")[2], "question")
    ranked = _ranked(question, [passage for passage in documents if passage.label])
    if not ranked or not ranked[0][0]:
        return "Doc: 1, Relevance: 1"
    return "\n".join(
        f"Doc: {passage.label}, Relevance: {max(1, round(10 * score / ranked[0][0]))}" for score, passage in ranked if score > 0
    )


def _rank_passages(talk: Conversation, read: Reading, whole: str) -> str:
    texts = "\n".join(message.text for message in talk.messages if message.role == "user")
    query = next(iter(re.findall(r"(?i)search query: (.+?)\.?\s*(?:\n|$|Rank)", texts)), talk.prompt)
    passages = [passage for passage in reading.split_passages(texts) if passage.label]
    return " > ".join(f"[{passage.label}]" for _, passage in _ranked(query, passages))


def _refine(talk: Conversation, read: Reading, whole: str) -> str:
    existing = next(
        (found[1].strip() for found in re.finditer(
            r"(?is)(?:original|existing) answer(?: is)?\s*:\s*(.+?)(?=\n\s*(?:new answer|refined answer|we have the opportunity|instruction)|below are|\Z)", whole)),
        "",
    )  # fmt: skip
    question = _labelled(whole, "query", r"the original query is as follows", "question") or read.question
    picks = extract(question, read.passages, 2)
    if not existing or "don't know" in existing or "does not answer" in existing:
        return cited(picks) or existing or NOT_FOUND
    fresh = [pick for pick in picks if coverage(stems(pick.sentence), stems(existing)) < 0.6]
    better = [
        pick for pick in fresh if coverage(stems(question), stems(pick.sentence)) > coverage(stems(question), stems(existing))
    ]
    return f"{existing} {cited(better[:1])}".strip()


def _yes_or_no(talk: Conversation, read: Reading, whole: str) -> str:
    claim = (
        _labelled(talk.prompt, "information", "query and response", "response", "answer", "user question", "question")
        or read.question
    )
    # Such prompts show examples first: what counts is the last context.
    last = re.split(r"\n\s*Context:", talk.prompt)[-1].partition("\nAnswer:")[0] if "Context:" in talk.prompt else ""
    shown = (
        last or "\n".join(passage.text for passage in read.passages) or _labelled(talk.prompt, "retrieved document", "document")
    )
    answer = "YES" if coverage(stems(claim), stems(shown[:200_000])) >= 0.4 else "NO"
    return answer if re.search(r"\bYES\b", whole) else answer.lower()


def _mark(talk: Conversation, read: Reading, whole: str) -> str:
    given = _labelled(talk.prompt, r"(?:## )?generated answer")
    wanted = _labelled(talk.prompt, r"(?:## )?reference answer") or _labelled(talk.prompt, r"(?:## )?user query")
    share = coverage(stems(wanted), stems(given))
    return f"{1 + round(8 * share) / 2:.1f}\nThe generated answer holds {share:.0%} of the words of the reference."


def _queries(talk: Conversation, read: Reading, whole: str) -> str:
    number = re.search(r"(?i)generate (?:up to )?(\d+|two|three|four|five)", whole)
    spelled = {"two": 2, "three": 3, "four": 4, "five": 5}
    size = spelled.get(number[1].lower()) or int(number[1][:2]) if number else 3
    asked = (_labelled(whole, "original question", "question", "query") or read.question).rstrip("?. ")
    if re.search(r"(?i)context(?:ual)? information", whole) and read.passages:
        about = keywords(" ".join(passage.text for passage in read.passages), size)
        return "\n".join(f"{place}. What does the text say about {word}?" for place, word in enumerate(about, 1))
    forms = ("{}?", "{} explained", "{} example", "{} in detail", "background of {}")
    core = topic(asked, 10)
    return "\n".join(forms[at % len(forms)].format(asked if at == 0 else core) for at in range(max(1, min(size, 20))))


def _keywords(talk: Conversation, read: Reading, whole: str) -> str:
    number = re.search(r"(?:up to|extract|give) (\d{1,2})", whole, re.IGNORECASE)
    before, marked, _ = talk.prompt.partition(f"Give {number[1]}" if number else "\0")
    text = before if marked else "\n".join(passage.text for passage in read.passages) or talk.prompt
    found = ", ".join(keywords(text, int(number[1]) if number else 8))
    return f"KEYWORDS: {found}" if "KEYWORDS:" in whole else found


def _passage(talk: Conversation, read: Reading, whole: str) -> str:
    asked = re.sub(r"(?i).*please write a passage to answer the question\s*(?:try to[^\n]*)?", "", talk.prompt, flags=re.DOTALL)
    about = topic(asked.replace("Passage:", ""), 12)
    return f"This passage is about {about}. It describes {about} and explains what {about} means."


def _summarise(talk: Conversation, read: Reading, whole: str) -> str:
    text = "\n\n".join(passage.text for passage in read.passages)
    if not text:
        text = re.sub(r"(?i)^.{0,120}?\b(?:summary|summari[sz]e)\b[^\n:]*[:\n]", "", talk.prompt, count=1, flags=re.DOTALL)
    return summary(text[:100_000].strip(" \n\"'"))


def _title(talk: Conversation, read: Reading, whole: str) -> str:
    text = "\n".join(passage.text for passage in read.passages) or talk.prompt
    return " ".join(word.capitalize() for word in keywords(text, 5)) or "Untitled"


def _react(talk: Conversation, read: Reading, whole: str) -> str:
    from together_adapters.emulator.engine import tool_calls as tools  # tools need answers, and answers come first

    return tools.react(talk, whole)


def _schema(talk: Conversation, read: Reading, whole: str) -> str:
    from together_adapters.emulator.engine import schema_filler as schemas

    found = schemas.in_text(whole)
    asked = talk.prompt[: talk.prompt.find("{")] if found and "{" in talk.prompt else talk.prompt
    return json.dumps(schemas.fill(found[0], asked), ensure_ascii=False) if found else ""


def _row(mark: str, habit: Habit) -> tuple[re.Pattern[str], Habit]:
    return re.compile(mark, re.IGNORECASE | re.MULTILINE), habit


_HABITS: Final[tuple[tuple[re.Pattern[str], Habit], ...]] = (
    _row(r"Action Input:", _react),
    _row(
        r"here'?s a JSON schema to follow|conforms? to the (?:following )?JSON schema|following JSON schema|JSON schema below",
        _schema,
    ),
    _row(r"standalone question|rephrase the (?:follow|question)|rewrite the (?:message|question)", _condense),
    _row(r"choices are given below", _select),
    _row(r"Doc: \d+, Relevance: \d+", _grade_documents),
    _row(r"rank the (?:\d+ |above )*passages", _rank_passages),
    _row(r"refin\w+ (?:the |existing |an? )*(?:original|existing) answers?|refining existing answers", _refine),
    _row(r"between 1 and 5|output a single score", _mark),
    _row(r"YES or NO\b|YES ?/ ?NO\b|['\"‘]yes['\"’] or ['\"‘]no['\"’]|binary score", _yes_or_no),
    _row(r"KEYWORDS: <keywords>|(?:extract|give) (?:up to )?\d+ (?:unique )?keywords", _keywords),
    _row(
        r"generate (?:up to )?(?:\d+|two|three|four|five) (?:\w+ ){0,3}(?:search |different |alternative )*(?:queries|versions|questions)",
        _queries,
    ),
    _row(r"write a passage to answer the question", _passage),
    _row(
        r"\b(?:write|give|provide|create)\b.{0,20}\b(?:concise |short |brief )?summary\b|^[^\w\n]*summari[sz]e\b|\bsummari[sz]e the (?:following|text|above)",
        _summarise,
    ),
    _row(r"(?:comprehensive|document|suitable) title|give a title", _title),
)

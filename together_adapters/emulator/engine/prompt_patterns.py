"""Prompts that a pattern recognises. Each table has a row for one kind: the pattern, and the function that answers it.

`_RECOGNISERS` has the prompts that LangChain and LlamaIndex send for their own purposes, such as condensing a question or ReAct;
answers have the format that the framework parses. `_FIXED_REPLIES` has prompts without a context: greetings, sums and the like.
"""

# ruff: noqa: RUF001  (typographic quotes are what these patterns look for)
from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from together_adapters.emulator.engine import schema_filler
from together_adapters.emulator.engine.conversation import Conversation, parse_arguments
from together_adapters.emulator.engine.extractive_qa import NOT_FOUND, cite, extract, keywords, summarize, topic
from together_adapters.emulator.engine.prompt_parser import ParsedPrompt, parse_prompt, rank, rank_choices, split_passages
from together_adapters.emulator.engine.text_features import coverage, stems
from together_adapters.emulator.engine.tool_calls import Tool, best_tool, build_call
from together_adapters.emulator.engine.value_extraction import one_line
from together_adapters.emulator.errors import Unsatisfiable

_MIN_COVERAGE: Final = 0.4  # the share of a claim's words that a context must contain to support it
_REFERENCE: Final = re.compile(
    r"\b(?:it|its|that|this|they|them|their|those|these|he|she|his|her|one|ones|there)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Request:
    """A prompt to answer: the conversation, its parsed prompt, and instructions and prompt as one text."""

    conversation: Conversation
    parsed: ParsedPrompt
    text: str

    @property
    def context(self) -> str:
        return "\n".join(passage.text for passage in self.parsed.passages)


def answer_framework_prompt(conversation: Conversation) -> str:
    """Answers a framework's own prompt; empty when the conversation has none."""
    text = conversation.full_prompt
    # The marks are part of the instructions at the beginning or end of a prompt, not of a long context between them.
    ends = text if len(text) < 12_000 else text[:6_000] + "\n" + text[-6_000:]
    for mark, answer in _RECOGNISERS:
        if mark.search(ends) and (result := answer(_Request(conversation, parse_prompt(conversation), text))):
            return result
    return ""


def _section(text: str, *labels: str) -> str:
    """The text after the last occurrence of the first label that occurs, up to the next label, tag or blank line."""
    for label in labels:
        pattern = rf"(?:^|\n)[ \t]*<?(?:{label})[ \t]*[:>][ \t]*\n?(.*?)(?=\n[ \t]*\n|\n[ \t]*<?[A-Z][\w ]{{0,40}}[:>]|\Z)"
        sections = [match[1].strip() for match in re.finditer(pattern, text, re.DOTALL | re.IGNORECASE)]
        if any(sections):
            return str(next(filter(None, reversed(sections))))
    return ""


def _answer_with_schema(request: _Request) -> str:
    schema = schema_filler.find_schema(request.text)
    prompt = request.conversation.prompt
    try:
        return json.dumps(schema_filler.fill(schema[0], prompt.partition("{")[0] or prompt), ensure_ascii=False) if schema else ""
    except Unsatisfiable:
        return ""


def _condense_question(request: _Request) -> str:
    """The question itself; when it refers to something ("it"), with the topic of the question before it."""
    question = _section(request.text, r"follow[- ]?up (?:input|question|message)", "latest user question")
    question = " ".join((question or request.conversation.prompt)[:2_000].split())
    earlier = re.findall(r"(?im)^\s*(?:human|user)\s*:\s*(.+)$", request.text[:200_000])
    earlier = [line for line in earlier if line.strip() != question]
    earlier = earlier or [message.text for message in request.conversation.history if message.role == "user"]
    if not earlier or (not _REFERENCE.search(question) and len(stems(question)) >= 3):
        return question
    return f"{question.rstrip('?.! ')}, regarding {topic(earlier[-1], 6).rstrip('?.! ')}?"


def _select_choices(request: _Request) -> str:
    ranking = rank_choices(request.text)
    limit = re.search(r"no more than (\d+)", request.text)
    selection = [choice for score, choice in ranking if score >= 0.6 * ranking[0][0]][: int(limit[1]) if limit else 1]
    if not selection:
        return ""
    reasons = [{"choice": int(choice.label), "reason": f"It is about {topic(choice.text, 5)}."} for choice in selection]
    return json.dumps(reasons, ensure_ascii=False)


def _grade_documents(request: _Request) -> str:
    task = request.text.rpartition("Let's try this now")[2]
    documents = [document for document in split_passages(task.partition("\nQuestion:")[0]) if document.label]
    ranking = rank(_section(task, "question"), documents)
    if not ranking or not ranking[0][0]:
        return "Doc: 1, Relevance: 1"
    grades = [(document.label, max(1, round(10 * score / ranking[0][0]))) for score, document in ranking if score > 0]
    return "\n".join(f"Doc: {label}, Relevance: {grade}" for label, grade in grades)


def _refine_answer(request: _Request) -> str:
    """The existing answer, with a sentence of the new context if that fits the question better."""
    end = r"\n\s*(?:new answer|refined answer|we have the opportunity|instruction)|below are|\Z"
    match = re.search(rf"(?is)(?:original|existing) answer(?: is)?\s*:\s*(.+?)(?={end})", request.text)
    existing = match[1].strip() if match else ""
    question = _section(request.text, "query", r"the original query is as follows", "question") or request.parsed.question
    sentences = extract(question, request.parsed.passages, 2)
    if not existing or "don't know" in existing or "does not answer" in existing:
        return cite(sentences) or existing or NOT_FOUND
    terms, existing_terms = stems(question), stems(existing)
    better = [
        sentence
        for sentence in sentences
        if coverage(stems(sentence.text), existing_terms) < 0.6
        and coverage(terms, stems(sentence.text)) > coverage(terms, existing_terms)
    ]
    return f"{existing} {cite(better[:1])}".strip()


def _judge(request: _Request) -> str:
    """Whether a context supports a claim or belongs to a question: YES or NO."""
    prompt = request.conversation.prompt
    labels = ("information", "query and response", "response", "answer", "user question", "question")
    claim = _section(prompt, *labels) or request.parsed.question
    # Such prompts begin with examples; the last context is the one to judge.
    context = re.split(r"\n\s*Context:", prompt)[-1].partition("\nAnswer:")[0] if "Context:" in prompt else ""
    context = context or request.context or _section(prompt, "retrieved document", "document")
    verdict = "YES" if coverage(stems(claim), stems(context[:200_000])) >= _MIN_COVERAGE else "NO"
    return verdict if re.search(r"\bYES\b", request.text) else verdict.lower()


def _write_queries(request: _Request) -> str:
    number = re.search(r"(?i)generate (?:up to )?(\d{1,2}|two|three|four|five)", request.text)
    count = (_NUMERALS.get(number[1].lower()) or int(number[1])) if number else 3
    question = (_section(request.text, "original question", "question", "query") or request.parsed.question).rstrip("?. ")
    forms = ("{} explained", "{} example", "{} in detail", "background of {}")
    variants = [forms[i % len(forms)].format(topic(question, 10)) for i in range(min(count, 20) - 1)]
    return "\n".join([f"{question}?", *variants])


def _extract_keywords(request: _Request) -> str:
    limit = re.search(r"(?i)(?:up to|extract|give) (\d{1,2})", request.text)
    result = ", ".join(keywords(request.context or request.conversation.prompt, int(limit[1]) if limit else 8))
    return f"KEYWORDS: {result}" if "KEYWORDS:" in request.text else result


def _summarize(request: _Request) -> str:
    text = "\n\n".join(passage.text for passage in request.parsed.passages)
    instruction = r"(?is)^.{0,120}?\b(?:summary|summari[sz]e)\b[^\n:]*[:\n]"
    return summarize((text or re.sub(instruction, "", request.conversation.prompt, count=1))[:100_000].strip(" \n\"'"))


def _react(request: _Request) -> str:
    """The next step of a ReAct loop: calls a tool once, then answers with its result."""
    final = "Final Answer" if "Final Answer:" in request.text else "Answer"
    messages = [message for message in request.conversation.messages if message.role != "system"]
    loop = "\n".join(message.text for message in messages)
    loop = loop.rpartition("\nBegin!")[2] or loop  # before it, the format is described
    observations = re.findall(r"(?:^|\n)Observation:\s*(.+?)(?=\n(?:Thought|Action|Question|Observation)\b|\Z)", loop, re.DOTALL)
    if observations:
        return f"Thought: I now know the final answer.\n{final}: {observations[-1].strip()}"
    prompts = [message.text for message in messages if message.role == "user"]
    labels = re.findall(r"(?m)^(?:Question|New input): (?!the input question)(.+)$", prompts[-1] if prompts else "")
    question = labels[-1] if labels else request.conversation.prompt
    tools = _react_tools(request.text)
    tool, score = best_tool(question, tools) if tools else (None, 0.0)
    if tool is None or score < 1.0:
        return f"Thought: I can answer without using any more tools.\n{final}: {fixed_reply(question)}"
    # LlamaIndex parses the input as JSON; a tool of LangChain without properties takes the text as it is.
    call = build_call(tool, question, request.conversation)
    is_json = final == "Answer" or tool.properties
    action_input = json.dumps(call.arguments, ensure_ascii=False) if is_json else one_line(question)
    return f"Thought: I need to use a tool to answer the question.\nAction: {tool.name}\nAction Input: {action_input}"


def _react_tools(text: str) -> list[Tool]:
    """The tools that a ReAct prompt describes, in the format of LlamaIndex or of LangChain."""
    pattern = r"^> ?Tool Name: (.+)\n(?:Tool )?Description: ((?:.*\n)*?)Tool Args: (.+)$"
    if descriptions := re.findall(pattern, text, re.MULTILINE):
        return [Tool(name.strip(), about.strip(), parse_arguments(schema)) for name, about, schema in descriptions]
    names = re.search(r"one of \[([^\]\n]+)\]", text)
    tool_names = {name.strip(" '\"") for name in names[1].split(",")} if names else set()
    pattern = r"^([A-Za-z]\w*)(?:\([^\n]*?\)(?: ->[^\n]*?)?)?(?: - |: )([^\n]+)$"
    return [Tool(name, about, {}) for name, about in re.findall(pattern, text, re.MULTILINE) if name in tool_names]


_RECOGNISERS: Final[tuple[tuple[re.Pattern[str], Callable[[_Request], str]], ...]] = tuple(
    (re.compile(mark, re.IGNORECASE | re.MULTILINE), answer)
    for mark, answer in (
        (r"Action Input:", _react),
        (r"here'?s a JSON schema to follow|conforms? to the (?:following )?JSON schema|following JSON schema|JSON schema below", _answer_with_schema),
        (r"standalone question|rephrase the (?:follow|question)|rewrite the (?:message|question)", _condense_question),
        (r"choices are given below", _select_choices),
        (r"Doc: \d+, Relevance: \d+", _grade_documents),
        (r"refin\w+ (?:the |existing |an? )*(?:original|existing) answers?|refining existing answers", _refine_answer),
        (r"YES or NO\b|YES ?/ ?NO\b|['\"‘]yes['\"’] or ['\"‘]no['\"’]|binary score", _judge),
        (r"KEYWORDS: <keywords>|(?:extract|give) (?:up to )?\d+ (?:unique )?keywords", _extract_keywords),
        (r"generate (?:up to )?(?:\d+|two|three|four|five) (?:\w+ ){0,3}(?:search |different |alternative )*(?:queries|versions|questions)", _write_queries),
        (r"\b(?:write|give|provide|create)\b.{0,20}\b(?:concise |short |brief )?summary\b|^[^\w\n]*summari[sz]e\b|\bsummari[sz]e the (?:following|text|above)", _summarize),
    )
)  # fmt: skip

_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    **dict.fromkeys(("+", "plus"), lambda a, b: a + b),
    **dict.fromkeys(("-", "minus"), lambda a, b: a - b),
    **dict.fromkeys(("*", "x", "times", "multiplied by"), lambda a, b: a * b),
    **dict.fromkeys(("/", "divided by"), lambda a, b: a / b if b else float("nan")),
}
_NUMERALS: Final = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
_SAMPLE_TEXT: Final = (
    "This text is about {}. It comes from a local emulator, which is not a language model. A real model would continue with thoughts"
    " of its own on {}. This text only makes sure that there are enough tokens to stream, to count and to cut. It ends here."
)


def _calculate(match: re.Match[str]) -> str:
    left, operator, right = match[1][:15], match[2].lower(), match[3][:15]
    return f"{left} {operator} {right} is {_OPERATORS[operator](float(left), float(right)):g}."


def _count(match: re.Match[str]) -> str:
    first, last = int(match[1] or 1), int(match[2])
    return ", ".join(map(str, range(first, min(last, first + 2_000) + 1)))


def _list(match: re.Match[str]) -> str:
    count = _NUMERALS.get(match[1].lower()) or int(match[1])
    subject = match[2].strip(" .!?:")
    return "\n".join(f"{i}. {subject[:1].upper()}{subject[1:]}, number {i}" for i in range(1, min(count, 50) + 1))


def _write(match: re.Match[str]) -> str:
    subject = re.split(r"[.,;!?\n]", match[0].partition(" about ")[2])[0].strip()[:60] or topic(match[0], 6)
    return _SAMPLE_TEXT.format(subject, subject)


_REPEAT: Final = r"(?:say|repeat(?: after me)?|reply with|respond with|answer with|output|echo)"
_EXACTLY: Final = r"[:,]? (?:exactly |only |just |the words? |the phrase )*"
_FIXED_REPLIES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|day)|greetings)\b[^?]{0,40}(?:how are you\W*)?$", re.I),
     lambda match: "Hello! How can I help you today?"),
    (re.compile(rf"\b{_REPEAT}\b{_EXACTLY}[\"“'](.{{1,500}}?)[\"”']", re.I | re.S), lambda match: match[1]),
    (re.compile(rf"^\W*(?:please )?{_REPEAT}{_EXACTLY}(\S[^\n]{{0,200}}?)[.!]?\s*$", re.I),
     lambda match: match[1][:1].upper() + match[1][1:] + "."),
    (re.compile(rf"{_NUMBER}\s*(\+|-|\*|/|x|plus|minus|times|divided by|multiplied by)\s*{_NUMBER}", re.I), _calculate),
    (re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.I), _count),
    (re.compile(r"\b(?:list|name|give me|suggest|tell me) (two|three|four|five|ten|\d{1,2}) ([^\n?]{2,60})", re.I), _list),
    (re.compile(r"\b(?:write|compose|tell)\b[^\n]{0,60}\b(?:story|poem|haiku|essay|paragraphs?|letter|song|article|text|email|words)\b"
                r"[^\n]{0,200}", re.I), _write),
)  # fmt: skip


def fixed_reply(text: str) -> str:
    """The reply of the first pattern that matches a text, or a sentence that quotes the text."""
    text = text.strip()[:4_000]
    for pattern, reply in _FIXED_REPLIES:
        if match := pattern.search(text):
            return reply(match)
    quotation = " ".join(text.split())[:200]
    if not re.search(r"\w", quotation):
        return "There is nothing to answer in this message."
    verb = "You asked" if quotation.endswith("?") else "You wrote"
    return f'{verb}: "{quotation}" This is a local emulator: it answers only from the content of a request.'

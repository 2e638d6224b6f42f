"""What the emulator answers by fixed rules: tool calls, else text in the response format, else by the first strategy that has some."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from together_adapters.emulator.conversation import Conversation, Message, ParsedToolCall, Scores
from together_adapters.emulator.engine import regex_generator, schema_filler
from together_adapters.emulator.engine.extractive_qa import (
    NOT_FOUND,
    answer_from_messages,
    best_sentences,
    quote,
    topic,
    with_citations,
)
from together_adapters.emulator.engine.fixed_replies import SAYS_NOTHING_ELSE, fixed_reply, standalone_question
from together_adapters.emulator.engine.passage_ranking import answer_decision_prompt, answer_ranking_prompt
from together_adapters.emulator.engine.prompt_parser import ParsedPrompt, parse_prompt
from together_adapters.emulator.engine.tool_calls import choose_tool_calls, parse_tools
from together_adapters.emulator.errors import Unsatisfiable, bad_request, unprocessable, unsatisfiable_schema

_MAX_CHARS, _SHORT = 300_000, 4_000
_MAY_REFUSE: Final = re.compile(  # what a prompt says of questions that the context does not answer
    r"\bif (?:you|the|they|there|no)\b[^.\n]{0,80}(?:\b(?:not|no|cannot)\b|n.t\b)[^.\n]{0,80}\b(?:say|tell|reply|answer|respond)\b",
    re.IGNORECASE,
)
_CITATION_SCHEMA: Final = re.compile(r"'\w*(?:citation|source|reference|quote)\w*':", re.IGNORECASE)
_BLANKS: Final = re.compile(r"\s{100,}")


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer before it is tokenized and truncated: text, tool calls, or a refusal. A `verbatim` one has no variants.

    `scores` are the log-probabilities of its first tokens; others are invented. A test may set its `tokens`, or the `deltas` of its stream.
    """

    text: str = ""
    tool_calls: tuple[ParsedToolCall, ...] = ()
    verbatim: bool = False
    scores: Scores = ()
    refusal: str = ""
    tokens: tuple[str, ...] = ()
    deltas: tuple[Mapping[str, Any], ...] = ()

    def variant(self, index: int) -> ModelReply:
        """The same answer with another beginning, for the choices of a request with `n`."""
        if not index or self.tool_calls or self.verbatim:
            return self
        return ModelReply(f"Answer {index + 1}: {self.text}")


def respond(conversation: Conversation, body: dict[str, Any]) -> ModelReply:
    """Answers a chat request; raises `ApiError` if its tools, tool choice or response format are invalid."""
    conversation = _shorten(conversation)
    tools = parse_tools(body.get("tools"))
    parallel = body.get("parallel_tool_calls") is not False
    if tool_calls := choose_tool_calls(conversation, tools, body.get("tool_choice"), parallel):
        return ModelReply(tool_calls=tuple(tool_calls))
    reply = _reply_with_text(conversation, body.get("response_format"))
    if (
        not tools
        or body.get("tool_choice") == "none"
        or conversation.previous_calls
        or not reply.text.endswith(SAYS_NOTHING_ELSE)
    ):
        return reply
    none = "The tool offered does not share" if len(tools) == 1 else f"None of the {len(tools)} tools offered shares"
    return replace(reply, text=f"{reply.text} {none} enough words with the request to be called.")


def respond_to_prompt(prompt: str, body: dict[str, Any]) -> ModelReply:
    """Answers the prompt of a completion request, as if it were a user message."""
    return _reply_with_text(_shorten(Conversation((Message("user", prompt),))), body.get("response_format"))


def explain(conversation: Conversation, reply: ModelReply, effort: str | None) -> str:
    """The reasoning before a reply: one sentence where no effort or a low one is asked for, two for medium, three for more."""
    names = ", ".join(dict.fromkeys(call.name for call in reply.tool_calls))
    source = f"The request fits {names}, so I call that first." if names else "The answer has to come from this conversation."
    question = topic(parse_prompt(_shorten(conversation)).question, 6)
    sentences = [f"The user asks about {question}.", source, f"It takes {len(reply.text.split())} words and nothing else."]
    return " ".join(sentences[: {None: 1, "none": 1, "minimal": 1, "low": 1, "medium": 2}.get(effort, 3)])


def _reply_with_text(conversation: Conversation, response_format: Any) -> ModelReply:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if (kind in ("text", "json_schema") or not response_format) and (
        answer := answer_ranking_prompt(conversation.prompt, as_json=kind == "json_schema")
        or answer_decision_prompt(conversation.prompt)
    ):
        return ModelReply(answer[0], verbatim=True, scores=[answer[1]] if answer[1] else ())
    if kind == "text" or not response_format:
        return ModelReply(_text(conversation))
    return ModelReply(_formatted_text(conversation, response_format), verbatim=True)


@lru_cache(maxsize=8)
def _text(conversation: Conversation) -> str:
    """The answer of the first strategy that has one; cached, since benchmarks repeat one request."""
    if "json schema" in conversation.full_prompt.lower() and (answer := _follow_schema(conversation)):
        return answer
    if answer := standalone_question(conversation.prompt):
        return answer
    prompt, results = parse_prompt(conversation), _quote_tool_results(conversation)
    answer = results if all(len(result.text) < 400 for result in conversation.tool_results) else ""
    strict = bool(_MAY_REFUSE.search(conversation.full_prompt))
    answer = (
        answer or quote(prompt.question, prompt.passages, strict=strict) or answer_from_messages(prompt, conversation) or results
    )
    counts = Counter(conversation.media)
    kinds = [kind if count == 1 else f"{count} {kind.partition(' ')[2]}s" for kind, count in counts.items()]
    media = f"I received {' and '.join(kinds)}. " if kinds else ""
    return f"{media}{answer or _default_answer(prompt, conversation)}".strip()


def _follow_schema(conversation: Conversation) -> str:
    """The object that a prompt with a JSON schema asks for; empty where it has none."""
    schema, text = schema_filler.find_schema(conversation.prompt_with_results)
    schema = schema or schema_filler.find_schema(conversation.system)[0]
    try:
        return _fill(schema, conversation, text) if schema else ""
    except Unsatisfiable:
        return ""


def _fill(schema: dict[str, Any], conversation: Conversation, text: str) -> str:
    prompt = parse_prompt(conversation, bool(_CITATION_SCHEMA.search(str(schema))))
    sentences = best_sentences(prompt.question, prompt.passages)
    answer = _quote_tool_results(conversation) or with_citations(sentences) or _default_answer(prompt, conversation)
    quotations = sentences if any(passage.label for passage in prompt.passages) else None
    return json.dumps(
        schema_filler.fill(schema, text, answer, conversation.full_prompt, quotations=quotations), ensure_ascii=False
    )


def _default_answer(prompt: ParsedPrompt, conversation: Conversation) -> str:
    return NOT_FOUND if prompt.passages else fixed_reply(prompt.question or conversation.prompt)


def _quote_tool_results(conversation: Conversation) -> str:
    names = {call.id: call.name for message in conversation.messages for call in message.tool_calls}
    quotations = []
    for result in conversation.tool_results:
        name = result.name or names.get(result.tool_call_id, "")
        text = " ".join(result.text.split())[:1_500] or "nothing"
        if "is now handling the request" in text and len(conversation.tool_results) > 1:
            continue  # the message of a hand-off to another agent
        quotation = f"{name} says: {text}" if name else text
        quotations.append(quotation if quotation.endswith((".", "!", "?", "}", "]")) else f"{quotation}.")
    return " ".join(quotations)


def _formatted_text(conversation: Conversation, response_format: dict[str, Any]) -> str:
    """The answer in the format that `response_format` requires."""
    kind = response_format.get("type")
    if kind == "regex":
        pattern = response_format.get("pattern")
        if not isinstance(pattern, str) or not pattern:
            raise bad_request("response_format of type regex needs a pattern.", param="response_format")
        try:
            return regex_generator.generate_match(pattern, conversation.prompt_with_results)
        except ValueError as error:
            raise bad_request(f"Input validation error: grammar is not valid: {error}", param="response_format") from None
    if kind not in ("json_object", "json_schema"):
        hint = (
            ': a schema goes into {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}'
            if "properties" in response_format
            else ""
        )
        raise unprocessable(
            f"response_format.type must be json_schema, json_object, regex or text{f', not {str(kind)[:40]}' if kind else ''}{hint}",
            param="response_format",
        )
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) and "schema" in inner else response_format.get("schema")
    text = conversation.prompt_with_results
    if isinstance(schema, dict):
        try:
            return _fill(schema, conversation, text)
        except Unsatisfiable as error:
            raise unsatisfiable_schema(error, "response_format") from None
    if kind == "json_schema":
        raise bad_request("response_format needs a schema: json_schema.schema.", param="response_format")
    if answer := _follow_schema(conversation):
        return answer
    schema, text = schema_filler.schema_of_keys(text, conversation.system)
    return _fill(schema, conversation, text)


def _shorten(conversation: Conversation) -> Conversation:
    """Leaves out the middle of very long texts and of long blanks, so that no request takes long."""
    if all(len(message.text) <= _SHORT for message in conversation.messages):
        return conversation
    return Conversation(tuple(replace(message, text=_shorten_text(message.text)) for message in conversation.messages))


def _shorten_text(text: str) -> str:
    half = _MAX_CHARS // 2
    text = text if len(text) <= _MAX_CHARS else f"{text[:half]}\n{text[-half:]}"
    return _BLANKS.sub(lambda blank: blank[0][:50] + blank[0][-50:], text)

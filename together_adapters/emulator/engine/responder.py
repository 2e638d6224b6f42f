"""What the emulator says: which of its rule books (tools, schemas, habits, extraction) answers a request.

It is no language model. The same request has the same answer, always, and every part of it comes from the request.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from together_adapters.emulator.engine import extractive_qa as answers
from together_adapters.emulator.engine import framework_prompts as habits
from together_adapters.emulator.engine import prompt_parser as reading
from together_adapters.emulator.engine import regex_generator as patterns
from together_adapters.emulator.engine import schema_filler as schemas
from together_adapters.emulator.engine import tool_calls as tools
from together_adapters.emulator.engine.conversation import Conversation, Message, ParsedToolCall
from together_adapters.emulator.http.errors import bad_request, unprocessable

_MOST_TEXT: Final = 300_000
_SHORT: Final = 4_000
_BLANKS: Final = re.compile(r"\s{100,}")
_OPENERS: Final = ("In short: ", "Put differently: ", "To answer that: ", "Briefly: ", "Said another way: ")


@dataclass(frozen=True, slots=True)
class ModelReply:
    """An answer before it is cut and framed: text, or tool calls."""

    text: str = ""
    tool_calls: tuple[ParsedToolCall, ...] = ()
    verbatim: bool = False

    def variant(self, number: int) -> ModelReply:
        """The same answer in other words, for the further choices of one request; a form that was asked for stays."""
        if not number or self.tool_calls or self.verbatim:
            return self
        opener = _OPENERS[(number - 1) % len(_OPENERS)]
        rounds = (number - 1) // len(_OPENERS)
        return ModelReply(opener + self.text + (f" ({rounds + 1})" if rounds else ""))


def respond(talk: Conversation, body: dict[str, Any], strict: bool = False) -> ModelReply:
    """Find the answer to a chat request.

    Raises:
        ApiError: Tools, their choice or the response format make no sense.
    """
    talk = _bearable(talk)
    offered = tools.read(body.get("tools"), strict)
    choice = body.get("tool_choice")
    if calls := tools.choose(talk, offered, choice, body.get("parallel_tool_calls") is not False):
        return ModelReply("", tuple(calls))
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") not in (None, "text"):
        return ModelReply(_formatted(talk, wanted), verbatim=True)
    return ModelReply(_prose(talk))


def respond_to_prompt(prompt: str, body: dict[str, Any]) -> ModelReply:
    """Continue a plain prompt: answer it, as a model would go on after a line that ends in `Answer:`."""
    talk = _bearable(Conversation((Message("user", prompt),)))
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") not in (None, "text"):
        return ModelReply(_formatted(talk, wanted), verbatim=True)
    return ModelReply(_prose(talk))


def explain(talk: Conversation, reply: ModelReply, effort: str) -> str:
    """Say how the answer came about, in one sentence for low effort, two for medium, three for high."""
    talk = _bearable(talk)
    said = [f"The user asks about {answers.topic(reading.read(talk).question, 6)}."]
    if reply.tool_calls:
        named = ", ".join(dict.fromkeys(call.name for call in reply.tool_calls))
        said.append(f"The words of the request fit {named}, so calling that comes first.")
    else:
        said.append("The answer has to come from the words of this conversation.")
    said.append(f"It takes {len(reply.text.split())} words." if reply.text else "The values are taken from the request.")
    return " ".join(said[: {"minimal": 1, "low": 1, "medium": 2}.get(effort, 3)])


@lru_cache(maxsize=128)
def _prose(talk: Conversation) -> str:
    """Answer in text; remembered, since benchmarks send one request again and again."""
    read = reading.read(talk)
    if habit := habits.habitual(talk, read):
        return habit
    seen = _seen(talk)
    found = "" if read.told else answers.own_words(talk, read.question)
    if not found and read.passages:
        found = answers.from_passages(read, talk)
    if talk.tool_results and (not found or all(len(message.text) < 400 for message in talk.tool_results)):
        found = _observed(talk)
    if not found and read.told:
        found = answers.NOT_FOUND
    return " ".join(filter(None, (seen, found or answers.small_talk(read.question or talk.prompt)))).strip()


def _seen(talk: Conversation) -> str:
    """Mention what came besides text."""
    counted = Counter(talk.media)
    if not counted:
        return ""
    kinds = [kind if number == 1 else f"{number} {kind.partition(' ')[2]}s" for kind, number in counted.items()]
    return f"I received {' and '.join(kinds)}."


def _observed(talk: Conversation) -> str:
    """Quote the results of tools."""
    names = {call.id: call.name for message in talk.messages for call in message.tool_calls}
    said = []
    for message in talk.tool_results:
        name = message.name or names.get(message.tool_call_id, "")
        text = " ".join(message.text.split())[:1_500] or "nothing"
        if "is now handling the request" in text and len(talk.tool_results) > 1:
            continue  # an agent took over: no result
        said.append(f"{name} says: {text}" if name else text)
    return " ".join(line if line.endswith((".", "!", "?", "}", "]")) else f"{line}." for line in said)


def _formatted(talk: Conversation, wanted: dict[str, Any]) -> str:
    """Answer in the form that `response_format` asks for."""
    kind = wanted.get("type")
    if kind == "regex":
        return _matching(talk, wanted.get("pattern"))
    if kind not in ("json_object", "json_schema"):
        raise unprocessable(f"response_format.type {str(kind)[:40]} is not known", param="response_format")
    inner = wanted.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) and "schema" in inner else wanted.get("schema")
    if kind == "json_schema" and not isinstance(schema, dict):
        raise bad_request("response_format needs a schema.", param="response_format")
    whole = f"{talk.system}\n{talk.prompt}"
    spelled = None if isinstance(schema, dict) else schemas.in_text(whole)
    source = talk.prompt
    if spelled is not None:
        schema, source = spelled[0], source.replace(spelled[1], "")
    answer = _prose_for_fields(talk)
    if not isinstance(schema, dict):
        told = source if schemas.names_keys(source) else whole
        return json.dumps(schemas.object_for(told, answer), ensure_ascii=False)
    return json.dumps(schemas.fill(schema, source, answer, whole), ensure_ascii=False)


def _prose_for_fields(talk: Conversation) -> str:
    read = reading.read(talk)
    found = answers.from_passages(read, talk) if read.passages else ""
    return found or (answers.NOT_FOUND if read.told else answers.small_talk(read.question or talk.prompt))


def _matching(talk: Conversation, pattern: Any) -> str:
    if not isinstance(pattern, str) or not pattern:
        raise bad_request("response_format of type regex needs a pattern.", param="response_format")
    try:
        return patterns.example(pattern, talk.prompt)
    except ValueError as error:
        raise bad_request(f"Input validation error: grammar is not valid: {error}", param="response_format") from None


def _bearable(talk: Conversation) -> Conversation:
    """Leave out the middle of texts that no one reads whole, and of endless blanks, so that no request takes long."""
    if all(len(message.text) <= _SHORT for message in talk.messages):
        return talk
    return Conversation(tuple(replace(message, text=_shortened(message.text)) for message in talk.messages))


def _shortened(text: str) -> str:
    if len(text) > _MOST_TEXT:
        text = text[: _MOST_TEXT // 2] + "\n" + text[-_MOST_TEXT // 2 :]
    return text if len(text) <= _SHORT else _BLANKS.sub(lambda blank: blank[0][:50] + blank[0][-50:], text)

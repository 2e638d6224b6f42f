"""Chooses tools whose names and descriptions share words with the last user message, or parts of it; it has their arguments too."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.emulator.conversation import Conversation, ParsedToolCall
from together_adapters.emulator.engine import schema_filler
from together_adapters.emulator.engine.value_extraction import ValueExtractor
from together_adapters.emulator.errors import Unsatisfiable, bad_request, unprocessable, unsatisfiable_schema
from together_adapters.emulator.text.features import STOPWORDS, WORDS, separate_words, stem, words

MIN_SCORE: Final = 2.0  # from which a tool is called without being required: one word of its name, or two of its description
_MAX_TOOLS, _MAX_CALLS, _MAX_REQUEST = 1024, 16, 6_000
# Parts of a request; not within quoted text, "Boston, MA" or numbers.
_BREAK: Final = r"(?:[.;!?\n]+\s+|,?\s+(?i:and then|then|and also|and|also|plus|as well as)\s+|,\s+(?![A-Z]{2}\b))"
_SEPARATOR: Final = re.compile(rf"(?:(?<!\d){_BREAK}|{_BREAK}(?!\d))(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)")
_UNSPECIFIC: Final = frozenset(WORDS["unspecific"].split())
_OPERATORS: Final = tuple((re.compile(rf"\d\s*(?:{sign})\s*\d"), names) for sign, names in WORDS["operators"].items())
_OUTPUT_TOOL: Final = re.compile(r"[A-Z]\w*|final_\w+")  # names of tools by which agents return objects: others come first
_AGENT: Final = re.compile(r"(['\"])([\w -]+)\1\s*:\s*(['\"])(.*?)\3\s*(?=[,}])")


@dataclass(frozen=True)
class Tool:
    """A function that the request offers to the model, with the stems of its name, and other ones of what it says of itself."""

    name: str
    parameters: dict[str, Any]
    name_terms: set[str]
    description_terms: set[str]


def parse_tools(tools: Any) -> list[Tool]:
    """Parses the `tools` of a request; raises `ApiError` if an entry is not a function with a name."""
    entries = tools if isinstance(tools, list) else []
    if len(entries) > _MAX_TOOLS:
        raise bad_request(f"tools may have at most {_MAX_TOOLS} entries; this request has {len(entries)}.", param="tools")
    result = []
    for i, entry in enumerate(entries):
        path = f"tools[{i}]"
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            hint = '{"type": "function", "function": {"name": ..., "parameters": ...}}'
            raise unprocessable(f"{path} needs a function with a name: {hint}", param=path)
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise unprocessable(f"{path}.function.parameters must be an object", param=path)
        result.append(_tool(function["name"], str(function.get("description") or ""), parameters or {}))
    return result


def _tool(name: str, description: str, parameters: dict[str, Any]) -> Tool:
    properties = parameters.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    words_of_name = separate_words(name)
    # A hand-off tool of LlamaIndex lists the agents to which it can pass the conversation.
    if "to_agent" in properties and (agents := _AGENT.findall(description.partition("available agents:")[2])):
        choices = [{"const": agent, "description": tasks} for _, agent, _, tasks in agents]
        parameters = {**parameters, "properties": {**properties, "to_agent": {"anyOf": choices}}}
        words_of_name += " ".join(f" {agent} {tasks}" for _, agent, _, tasks in agents)
    fields = [f"{key} {schema.get('description', '') if isinstance(schema, dict) else ''}" for key, schema in properties.items()]
    name_terms = _terms(words_of_name)
    return Tool(name, parameters, name_terms, _terms(f"{description[:2_000]} {' '.join(fields[:50])[:2_000]}") - name_terms)


def choose_tool_calls(
    conversation: Conversation, tools: list[Tool], tool_choice: Any, parallel: bool = True
) -> list[ParsedToolCall]:
    """Chooses the tool calls that answer a conversation, under the `tool_choice` and `parallel_tool_calls` of the request.

    Raises `ApiError` if the choice names a tool that is not offered, or requires a tool when there is none.
    """
    if tool_choice == "none" or (not tools and tool_choice in (None, "auto")):
        return []
    if isinstance(tool_choice, dict):
        function = tool_choice.get("function")
        name = function.get("name") if isinstance(function, dict) else tool_choice.get("name")
        if named_tool := next((tool for tool in tools if tool.name == name), None):
            return [_build_call(named_tool, conversation.prompt, conversation)]
        raise bad_request(f"tool_choice names {str(name)[:80]}, which is not among the tools.", param="tool_choice")
    if tool_choice not in (None, "auto", "required", "any"):
        raise unprocessable("tool_choice must be auto, required, none or a function", param="tool_choice")
    if not tools:
        raise bad_request("tool_choice is required, but there are no tools.", param="tool_choice")
    calls = _new_calls(conversation, tools)
    if not calls and tool_choice in ("required", "any"):
        calls = [_required_call(conversation, tools)]
    return calls if parallel else calls[:1]


def _build_call(tool: Tool, text: str, conversation: Conversation) -> ParsedToolCall:
    """A call of a tool, with arguments from a text."""
    text = text[-20_000:]
    try:
        arguments = schema_filler.fill({"type": "object", **tool.parameters}, text, text, conversation.full_prompt, tool.name)
    except Unsatisfiable as error:
        raise unsatisfiable_schema(error, f"tools: {tool.name[:80]}") from None
    return ParsedToolCall(tool.name, arguments)


def _new_calls(conversation: Conversation, tools: list[Tool]) -> list[ParsedToolCall]:
    """The requested calls of tools that were not called before; where a result is there, it is time to answer."""
    previous = {call.name for call in conversation.previous_calls}
    functions = [tool for tool in tools if not _OUTPUT_TOOL.fullmatch(tool.name)]
    calls = (_requested_calls(conversation, functions) if functions else []) or _requested_calls(conversation, tools)
    return [call for call in calls if call.name not in previous]


def _required_call(conversation: Conversation, tools: list[Tool]) -> ParsedToolCall:
    """The call where the user requests none, but one is required: an output tool where there is one, so that agents end.

    After a result it is the last tool that was not called yet: frameworks add their output tools behind the others.
    """
    previous = {call.name for call in conversation.previous_calls}
    new_tools = [tool for tool in tools if tool.name not in previous] or tools
    tool = new_tools[-1]
    if not previous and not _OUTPUT_TOOL.fullmatch(tool.name):
        tool, _ = _best_tool(conversation.prompt[-_MAX_REQUEST:], tools, _term_counts(tools))
    return _build_call(tool, conversation.prompt_with_results, conversation)


def _requested_calls(conversation: Conversation, tools: list[Tool]) -> list[ParsedToolCall]:
    """The calls that the last user message requests: one for each of its parts that fits a tool."""
    if conversation.last_user < 0:
        return []
    prompt = conversation.prompt[-_MAX_REQUEST:]  # of a long one, the beginning is context
    counts = _term_counts(tools)
    requests: list[tuple[Tool, str]] = []
    for part in filter(str.strip, _SEPARATOR.split(prompt)):
        tool, score = _best_tool(part, tools, counts)
        previous, text = requests[-1] if requests else (None, "")
        # A request without a name, quoted text or a number may be completed by the next part.
        values = ValueExtractor(text)
        is_complete = tool is not previous or values.names or values.quotations or values.numbers
        if score >= MIN_SCORE and is_complete:
            requests.append((tool, part))
        elif previous and (repetition := _repeat_request(text, part)):
            requests.append((previous, repetition))
        elif previous:
            requests[-1] = (previous, f"{text} and {part}")
    if len(requests) < 2:
        tool, score = (requests[0][0], MIN_SCORE) if requests else _best_tool(prompt, tools, counts)
        requests = [(tool, prompt)] if score >= MIN_SCORE else []
    return list(dict.fromkeys(_build_call(tool, part, conversation) for tool, part in requests))[:_MAX_CALLS]


def _term_counts(tools: list[Tool]) -> Counter[str]:
    return Counter(term for tool in tools for term in tool.name_terms | tool.description_terms)


def _best_tool(text: str, tools: list[Tool], counts: Counter[str]) -> tuple[Tool, float]:
    """The tool that fits a text best, with its score; of equal ones, the first."""
    lowercase = text.lower()
    terms = _terms(" ".join([text, *(names for sign, names in _OPERATORS if sign.search(text))]))

    def score(tool: Tool) -> float:
        name = tool.name.lower()
        if ("_" in name or len(name) > 2) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", lowercase):
            return 10.0
        # The fewer tools have a word of a description, the more it says.
        return 2.0 * len(terms & tool.name_terms) + sum(0.5 + 0.5 / counts[term] for term in terms & tool.description_terms)

    best = max(tools, key=score)
    return best, score(best)


def _repeat_request(request: str, part: str) -> str:
    """After `weather in Paris`, `in London` requests the same for another name: returns `weather in London`, or nothing."""
    names, previous_names = ValueExtractor(part).names, ValueExtractor(request).names
    if not names or not previous_names or len(part.split()) > len(names[0].split()) + 2:
        return ""
    return request.replace(previous_names[-1], names[0])


def _terms(text: str) -> set[str]:
    return {stem(word) for word in words(text.replace("_", " ")) if word not in STOPWORDS} - _UNSPECIFIC

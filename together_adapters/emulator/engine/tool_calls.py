"""Chooses tools whose names and descriptions share words with the last user message, or parts of it; it has their arguments too."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.conversation import Conversation, ParsedToolCall
from together_adapters.emulator.engine import schema_filler
from together_adapters.emulator.engine.text_features import STOPWORDS, WORDS, stem, words
from together_adapters.emulator.engine.value_extraction import ValueExtractor, one_line
from together_adapters.emulator.errors import Unsatisfiable, bad_request, unprocessable, unsatisfiable_schema

MIN_SCORE: Final = 2.0  # from which a tool is called without being required: one word of its name, or two of its description
_MAX_TOOLS, _MAX_CALLS = 1024, 16
_CONJUNCTION: Final = r"(?:and then|then|and also|and|also|plus|as well as)"
_SEPARATOR: Final = re.compile(rf"(?:[.;!?\n]+\s+|,?\s+{_CONJUNCTION}\s+|,\s+)", re.IGNORECASE)
_UNSPECIFIC: Final = frozenset(WORDS["unspecific"].split())
_ARITHMETIC: Final = frozenset(map(stem, ("calculate", "calculator", "compute", "arithmetic", "math", "expression", "evaluate")))
_OPERATORS: Final = {
    re.compile(rf"\d\s*(?:{sign})\s*\d"): _ARITHMETIC | {stem(word) for word in names.split()}
    for sign, names in WORDS["operators"].items()
}
_OUTPUT_TOOL: Final = re.compile(r"[A-Z]\w*|final_\w+")  # names of tools by which agents return objects: others come first
_AGENT: Final = re.compile(r"(['\"])([\w -]+)\1\s*:\s*(['\"])(.*?)\3\s*(?=[,}])")


@dataclass(frozen=True)
class Tool:
    """A function that the request offers to the model."""

    name: str
    description: str
    parameters: dict[str, Any] = field(repr=False)

    @cached_property
    def properties(self) -> dict[str, Any]:
        """The parameters by name."""
        properties = self.parameters.get("properties")
        return properties if isinstance(properties, dict) else {}

    @cached_property
    def name_terms(self) -> set[str]:
        """Stems of the words in the name."""
        return _terms(_split_camel_case(self.name))

    @cached_property
    def description_terms(self) -> set[str]:
        """Stems of the words that are in the description or the parameters, and not in the name."""
        parameters = " ".join(
            f"{name} {schema.get('description', '') if isinstance(schema, dict) else ''}"
            for name, schema in list(self.properties.items())[:50]
        )
        return _terms(f"{self.description[:2_000]} {parameters[:2_000]}") - self.name_terms

    @cached_property
    def agents(self) -> dict[str, set[str]]:
        """The agents to which a hand-off tool of LlamaIndex can pass the conversation, with their terms."""
        if not {"to_agent", "reason"} <= set(self.properties):
            return {}
        listing = _AGENT.findall(self.description.partition("available agents:")[2])
        return {name: _terms(f"{_split_camel_case(name)} {about}") - {"agent"} for _, name, _, about in listing}


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
            raise unprocessable(f"{path} needs a function with a name", param=path)
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise unprocessable(f"{path}.function.parameters must be an object", param=path)
        result.append(Tool(function["name"], str(function.get("description") or ""), parameters or {}))
    return result


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
            return [build_call(named_tool, conversation.prompt, conversation)]
        raise bad_request(f"tool_choice names {str(name)[:80]}, which is not among the tools.", param="tool_choice")
    if tool_choice in ("required", "any"):
        if not tools:
            raise bad_request("tool_choice is required, but there are no tools.", param="tool_choice")
        calls = _new_calls(conversation, tools) or [_required_call(conversation, tools)]
    elif tool_choice in (None, "auto"):
        calls = _new_calls(conversation, tools)
    else:
        raise unprocessable("tool_choice must be auto, required, none or a function", param="tool_choice")
    return calls if parallel else calls[:1]


def best_tool(text: str, tools: list[Tool]) -> tuple[Tool, float]:
    """The tool that fits a text best, with its score; of equal ones, the first."""
    scores = _scores(text, tools, _term_weights(tools))
    best = max(scores)
    return tools[scores.index(best)], best


def build_call(tool: Tool, text: str, conversation: Conversation) -> ParsedToolCall:
    """A call of a tool, with arguments from a text."""
    if tool.agents:
        terms = _terms(text)
        agent = max(tool.agents, key=lambda name: len(terms & tool.agents[name]))
        return ParsedToolCall(tool.name, {"to_agent": agent, "reason": f"The request is for {agent}: {one_line(text)[:120]}"})
    text = text[-20_000:]
    try:
        arguments = schema_filler.fill({"type": "object", **tool.parameters}, text, text, conversation.full_prompt)
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
    previous = [call.name for call in conversation.previous_calls]
    new_tools = [tool for tool in tools if tool.name not in previous]
    if not new_tools:
        tool = next((tool for tool in tools if tool.name == previous[-1]), tools[-1])
    elif previous or _OUTPUT_TOOL.fullmatch(new_tools[-1].name):
        tool = new_tools[-1]
    else:
        tool, _ = best_tool(_request(conversation), tools)
    return build_call(tool, conversation.prompt_with_results, conversation)


def _request(conversation: Conversation) -> str:
    """The prompt; of a long one, the end, since its beginning is context."""
    return conversation.prompt if len(conversation.prompt) <= 6_000 else conversation.prompt[-3_000:]


def _requested_calls(conversation: Conversation, tools: list[Tool]) -> list[ParsedToolCall]:
    """The calls that the last user message requests: one for each of its parts that fits a tool."""
    if conversation.last_user < 0:
        return []
    prompt = _request(conversation)
    weights = _term_weights(tools)
    requests: list[tuple[Tool, str]] = []
    for part in _split_request(prompt):
        scores = _scores(part, tools, weights)
        tool = tools[scores.index(max(scores))]
        previous = requests[-1] if requests else None
        # A request without a name, quoted text or a number may be completed by the next part.
        values = ValueExtractor(previous[1] if previous else "")
        is_open = previous and previous[0] is tool and not (values.names or values.quotations or values.numbers)
        if max(scores) >= MIN_SCORE and not is_open:
            requests.append((tool, part))
        elif previous and (repetition := _repeat_request(previous[1], part)):
            requests.append((previous[0], repetition))
        elif previous:
            requests[-1] = (previous[0], f"{previous[1]} and {part}")
    if not requests:
        tool, score = best_tool(prompt, tools)
        requests = [(tool, prompt)] if score >= MIN_SCORE else []
    if len(requests) == 1:
        requests = [(requests[0][0], prompt)]
    return list(dict.fromkeys(build_call(tool, part, conversation) for tool, part in requests))[:_MAX_CALLS]


def _split_request(prompt: str) -> list[str]:
    """Splits a prompt at punctuation and conjunctions, but never within quoted text, numbers or "Boston, MA"."""
    parts, start = [], 0
    for separator in _SEPARATOR.finditer(prompt):
        before, after = prompt[start : separator.start()].strip(), prompt[separator.end() :]
        if not before or prompt[: separator.start()].count('"') % 2:
            continue
        if re.search(r"\d$", before) and re.match(r"\d", after):
            continue
        if separator[0].strip() == "," and re.search(r"[A-Z]\w*$", before) and re.match(r"[A-Z]{2}\b", after):
            continue
        parts.append(prompt[start : separator.end()].strip(" \n,;"))
        start = separator.end()
    parts.append(prompt[start:].strip())
    return [re.sub(rf"\s+{_CONJUNCTION}$", "", part, flags=re.IGNORECASE) for part in parts if part]


def _scores(text: str, tools: list[Tool], weights: dict[str, float]) -> list[float]:
    """How well each tool fits a text: shared words, where those of the name count most, and arithmetic operators."""
    lowercase, terms = text.lower(), _terms(text)
    operations = [names for pattern, names in _OPERATORS.items() if pattern.search(text)]
    scores = []
    for tool in tools:
        name = tool.name.lower()
        if ("_" in name or len(name) > 2) and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", lowercase):
            scores.append(10.0)
        elif tool.agents:
            scores.append(MIN_SCORE if any(terms & agent_terms for agent_terms in tool.agents.values()) else 0.0)
        else:
            score = 2.0 * len(terms & tool.name_terms) + sum(weights[term] for term in terms & tool.description_terms)
            is_operation = any(names & (tool.name_terms | (tool.description_terms & _ARITHMETIC)) for names in operations)
            scores.append(score + (2.0 if is_operation else 0.0))
    return scores


def _term_weights(tools: list[Tool]) -> dict[str, float]:
    """The weight of each term, between 0.5 and 1: the fewer tools have it, the higher."""
    counts = Counter(term for tool in tools for term in tool.name_terms | tool.description_terms)
    return {term: 0.5 + 0.5 / count for term, count in counts.items()}


def _repeat_request(request: str, part: str) -> str:
    """After `weather in Paris`, `in London` requests the same for another name: returns `weather in London`, or nothing."""
    names, previous_names = ValueExtractor(part).names, ValueExtractor(request).names
    is_short = names and len(part.split()) <= len(names[0].split()) + 2
    if not previous_names or not is_short:
        return ""
    name = previous_names[-1]
    if not re.search(rf"\b(?:in|for|at|of|to|from|about|on)\s+{re.escape(name)}", request):
        return ""
    return request.replace(name, names[0])


def _terms(text: str) -> set[str]:
    return {stem(word) for word in words(text.replace("_", " ")) if word not in STOPWORDS} - _UNSPECIFIC


def _split_camel_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("-", " ").replace(".", " ")

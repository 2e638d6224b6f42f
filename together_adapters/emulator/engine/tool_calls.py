"""Which tools to call, and with what: decided by the words that a prompt shares with names, descriptions and parameters."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.engine import schema_filler as schemas
from together_adapters.emulator.engine.conversation import Conversation, ParsedToolCall
from together_adapters.emulator.engine.extractive_qa import small_talk
from together_adapters.emulator.engine.text_features import STOPWORDS, stem, words
from together_adapters.emulator.engine.value_extraction import Evidence, plain
from together_adapters.emulator.http.errors import bad_request, unprocessable

_ENOUGH: Final = 2.0
"""Score from which a tool is worth calling unasked: its name's word, or two words of its description."""
_MOST_TOOLS: Final = 1024
_JOINTS: Final = re.compile(r"(?:[.;!?\n]+\s+|,?\s+(?:and then|then|and also|and|also|plus|as well as)\s+|,\s+)", re.IGNORECASE)
_WEAK: Final = frozenset(
    "get tool function call user string value input output data return returns run make use find current number name type".split()
)


@dataclass(frozen=True)
class Tool:
    """A function that the request offers."""

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
        parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.name).replace("_", " ").replace("-", " ").replace(".", " ")
        return {stem(word) for word in words(parts) if word not in STOPWORDS}

    @cached_property
    def text_terms(self) -> set[str]:
        """Stems of the words in description and parameters."""
        inner = " ".join(
            f"{key} {value.get('description', '') if isinstance(value, dict) else ''}"
            for key, value in list(self.properties.items())[:50]
        )
        return {
            stem(word) for word in words(f"{self.description[:2_000]} {inner[:2_000]}".replace("_", " ")) if word not in STOPWORDS
        }


def read(tools: Any, strict: bool = False) -> list[Tool]:
    """Read the `tools` of a request.

    Raises:
        ApiError: An entry is no function with a name.
    """
    found: list[Tool] = []
    if isinstance(tools, list) and len(tools) > _MOST_TOOLS:
        raise bad_request(f"tools may hold {_MOST_TOOLS} at most; this request has {len(tools)}.", param="tools")
    for at, entry in enumerate(tools if isinstance(tools, list) else []):
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise unprocessable(f"tools[{at}] needs a function with a name", param=f"tools[{at}]")
        parameters = function.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise unprocessable(f"tools[{at}].function.parameters must be an object", param=f"tools[{at}]")
        found.append(Tool(function["name"], str(function.get("description") or ""), parameters or {}))
    return found


def choose(talk: Conversation, tools: list[Tool], choice: Any, parallel: bool = True, answer: str = "") -> list[ParsedToolCall]:
    """Decide which tools to call.

    Args:
        talk: The conversation.
        tools: What is offered.
        choice: `tool_choice` of the request: auto, required (or any), none, or one tool by name.
        parallel: Whether several calls may be made at once.
        answer: What a prose answer would say, for parameters that ask for one.

    Raises:
        ApiError: The choice names a tool that is not offered, or nothing is.
    """
    if choice == "none" or (not tools and choice in (None, "auto")):
        return []
    if isinstance(choice, dict):
        return [_call(_named(choice, tools), talk.prompt, talk, answer)]
    if choice in ("required", "any"):
        if not tools:
            raise bad_request("tool_choice is required, but there are no tools.", param="tool_choice")
        calls = _wanted(talk, tools, answer) or [_call(_likeliest(talk, tools), talk.prompt, talk, answer)]
    elif choice in (None, "auto"):
        calls = _new(_wanted(talk, tools, answer), talk)
    else:
        raise unprocessable("tool_choice must be auto, required, none or a function", param="tool_choice")
    return calls if parallel else calls[:1]


def _named(choice: dict[str, Any], tools: list[Tool]) -> Tool:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("name")
    found = next((tool for tool in tools if tool.name == name), None)
    if found is None:
        raise bad_request(f"tool_choice names {str(name)[:80]}, which is not among the tools.", param="tool_choice")
    return found


def _new(calls: list[ParsedToolCall], talk: Conversation) -> list[ParsedToolCall]:
    """Leave out what was called already: once a result is there, it is time to answer."""
    made = {call.name for call in talk.previous_calls}
    return [call for call in calls if call.name not in made]


def _wanted(talk: Conversation, tools: list[Tool], answer: str) -> list[ParsedToolCall]:
    """The calls that the last user message asks for, one for each part of it that speaks of a tool."""
    if talk.last_user < 0:
        return []
    prompt = _asking(talk.prompt)
    shares = _commonness(tools)
    found: list[tuple[Tool, str]] = []
    for part in _parts(prompt):
        tool, score = _best(part, tools, shares)
        if score >= _ENOUGH:
            found.append((tool, part))
        elif found and (repeated := _repeats(part, found[-1])):
            found.append((found[-1][0], repeated))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} and {part}")
    if not found:
        tool, score = _best(prompt, tools, shares)
        found = [(tool, prompt)] if score >= _ENOUGH else []
    calls: list[ParsedToolCall] = []
    found = _joined(found)
    for tool, part in found:
        call = _call(tool, part, talk, answer, prompt if len(found) == 1 else "")
        if not any(call.name == other.name and call.arguments == other.arguments for other in calls):
            calls.append(call)
    return calls[:16]


def _asking(prompt: str) -> str:
    """The end of a long prompt: a request for action stands there, and the beginning is context."""
    return prompt if len(prompt) <= 6_000 else prompt[-3_000:]


def _parts(prompt: str) -> list[str]:
    """Parts of a prompt that may each ask for something; numbers and quoted text are never torn apart."""
    parts, start = [], 0
    for joint in _JOINTS.finditer(prompt):
        before, after = prompt[start : joint.start()].strip(), prompt[joint.end() :]
        if not before or prompt[: joint.start()].count('"') % 2:
            continue
        if re.search(r"\d$", before) and re.match(r"\d", after):
            continue
        if joint[0].strip() == "," and re.search(r"[A-Z]\w*$", before) and re.match(r"[A-Z]{2}\b", after):
            continue  # "Boston, MA"
        parts.append(prompt[start : joint.end()].strip(" \n,;"))
        start = joint.end()
    parts.append(prompt[start:].strip())
    return [
        re.sub(r"\s+(?:and then|then|and also|and|also|plus|as well as)$", "", part, flags=re.IGNORECASE)
        for part in parts
        if part
    ]


def _commonness(tools: list[Tool]) -> dict[str, float]:
    """Weigh each word by how few of the tools speak of it."""
    counts: dict[str, int] = {}
    for tool in tools:
        for term in tool.name_terms | tool.text_terms:
            counts[term] = counts.get(term, 0) + 1
    return {term: 1.0 / count for term, count in counts.items()}


def _best(part: str, tools: list[Tool], shares: dict[str, float]) -> tuple[Tool, float]:
    scores = [(_score(part, tool, shares), -at) for at, tool in enumerate(tools)]
    score, at = max(scores)
    return tools[-at], score


def _score(part: str, tool: Tool, shares: dict[str, float]) -> float:
    lowered = part.lower()
    named = tool.name.lower()
    if re.search(rf"(?<!\w){re.escape(named)}(?!\w)", lowered) and ("_" in named or len(named) > 2):
        return 10.0
    terms = {stem(word) for word in words(part.replace("_", " ")) if word not in STOPWORDS}
    if {"to_agent", "reason"} <= set(tool.properties):
        return 2.0 if any(terms & _agent_terms(name, told) for name, told in _agents(tool).items()) else 0.0
    own = sum(2.0 if term not in _WEAK else 0.4 for term in terms & tool.name_terms)
    told = sum(
        (1.0 if term not in _WEAK else 0.25) * (0.5 + 0.5 * shares.get(term, 1.0))
        for term in (terms & tool.text_terms) - tool.name_terms
    )
    signed = [names for sign, names in _SIGNS if re.search(rf"\d\s*(?:{sign})\s*\d", part)]
    operator = (
        2.0 if any(names & tool.name_terms or _ARITHMETIC & (tool.name_terms | tool.text_terms) for names in signed) else 0.0
    )
    return own + told + operator


_ARITHMETIC: Final = {
    stem(word) for word in ("calculate", "calculator", "compute", "arithmetic", "math", "expression", "evaluate")
}
_SIGNS: Final = tuple(
    (sign, {stem(word) for word in names.split()})
    for sign, names in (
        (r"\+|plus", "add sum plus addition"),
        (r"[*x]|times|multiplied by", "multiply times product multiplication"),
        (r"-|minus", "subtract minus difference subtraction"),
        (r"/|divided by|over", "divide division quotient"),
    )
)


def _repeats(part: str, before: tuple[Tool, str]) -> str:
    """`... in Paris` followed by `in London`: the same thing asked again for another name. Return that as a request of its own."""
    tool, asked = before
    names, earlier = Evidence(part).names, Evidence(asked).names
    kinds = [value.get("type") for value in tool.properties.values() if isinstance(value, dict)]
    if not names or not earlier or "string" not in kinds or "array" in kinds or len(part.split()) > len(names[0].split()) + 2:
        return ""
    if not re.search(rf"\b(?:in|for|at|of|to|from|about|on)\s+{re.escape(earlier[-1])}", asked):
        return ""
    return asked.replace(earlier[-1], names[0])


def _joined(found: list[tuple[Tool, str]]) -> list[tuple[Tool, str]]:
    """Put neighbouring parts together that speak of one tool and bring nothing to tell two calls apart."""
    joined: list[tuple[Tool, str]] = []
    for tool, part in found:
        if joined and joined[-1][0] is tool and not _tells_apart(joined[-1][1], part):
            joined[-1] = (tool, f"{joined[-1][1]} {part}")
        else:
            joined.append((tool, part))
    return joined


def _tells_apart(one: str, other: str) -> bool:
    a, b = Evidence(one), Evidence(other)
    return bool((a.names and b.names and a.names != b.names) or (a.quoted and b.quoted) or (len(a.numbers) and len(b.numbers)))


def _likeliest(talk: Conversation, tools: list[Tool]) -> Tool:
    return _best(_asking(talk.prompt), tools, _commonness(tools))[0]


def _call(tool: Tool, part: str, talk: Conversation, answer: str, whole: str = "") -> ParsedToolCall:
    if (handed := _handoff(tool, part, talk)) is not None:
        return ParsedToolCall(tool.name, handed)
    if (written := _spelled_out(tool, part)) is not None:
        return ParsedToolCall(tool.name, written)
    source = part if len(part) <= 20_000 else part[-20_000:]
    text = f"{talk.system}\n{talk.prompt}"
    arguments = schemas.fill(tool.parameters or {"type": "object"}, whole or source, answer or source, text)
    return ParsedToolCall(tool.name, arguments if isinstance(arguments, dict) else {})


def _spelled_out(tool: Tool, part: str) -> dict[str, Any] | None:
    """Arguments of a call written out in the prompt: `magic_function(3)`, `add(a=2, b=3)`, `search({"q": 1})`."""
    match = re.search(rf"(?<!\w){re.escape(tool.name)}\(([^()\n]{{0,2000}})\)", part)
    if not match or not match[1].strip() or not tool.properties:
        return None
    inside = match[1].strip()
    values: list[Any] = []
    named: dict[str, Any] = {}
    for piece in re.findall(r"(?:[^,\"']|\"[^\"]*\"|'[^']*')+", inside):
        key, equals, value = piece.partition("=")
        if equals and key.strip() in tool.properties:
            named[key.strip()] = _literal(value)
        else:
            values.append(_literal(piece))
    free = [name for name in tool.properties if name not in named]
    return named | dict(zip(free, values, strict=False))


def _literal(text: str) -> Any:
    text = text.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip("'\"")


def _handoff(tool: Tool, part: str, talk: Conversation) -> dict[str, Any] | None:
    """Arguments for handing a conversation to another agent, chosen among those that the tool's description lists."""
    if not {"to_agent", "reason"} <= set(tool.properties):
        return None
    agents = _agents(tool)
    if not agents:
        return None
    asked = {stem(word) for word in words(part) if word not in STOPWORDS}
    name = max(agents, key=lambda agent: len(asked & _agent_terms(agent, agents[agent])))
    return {"to_agent": name, "reason": f"The request is for {name}: {plain(part)[:120]}"}


def _agents(tool: Tool) -> dict[str, str]:
    listed = tool.description.partition("available agents:")[2]
    try:
        found = json.loads(listed[listed.index("{") :].strip().replace("'", '"'))
    except (ValueError, RecursionError):
        found = dict(re.findall(r"['\"]?([\w -]+)['\"]?\s*:\s*['\"]([^'\"\n]+)['\"]", listed))
    return {str(name): str(told) for name, told in found.items()} if isinstance(found, dict) else {}


def _agent_terms(name: str, told: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")
    return {stem(word) for word in words(f"{spaced} {told}") if word not in STOPWORDS | {"agent"}}


_ACTIONS: Final = re.compile(r"^> ?Tool Name: (.+)\n(?:Tool )?Description: ((?:.*\n)*?)Tool Args: (.+)$", re.MULTILINE)
_LISTED: Final = re.compile(r"^([A-Za-z]\w*)(?:\([^\n]*?\)(?: ->[^\n]*?)?)?(?: - |: )([^\n]+)$", re.MULTILINE)


def react(talk: Conversation, whole: str) -> str:
    """Take the next step of a ReAct loop written in text: call a tool once, then answer with what it said."""
    scratch = "\n".join(message.text for message in talk.messages if message.role != "system")
    question = _react_question(talk)
    observed = [
        text.strip()
        for text in re.findall(
            r"(?:^|\n)Observation:\s*(.+?)(?=\n(?:ModelReply|Action|Question|Observation)\b|\Z)",
            _after_format(scratch),
            re.DOTALL,
        )
    ]
    final = "Final Answer" if "Final Answer:" in whole else "Answer"
    done = (
        "I now know the final answer"
        if final == "Final Answer"
        else "I can answer without using any more tools. I'll use the user's language to answer"
    )
    offered = _offered(whole)
    if observed or not offered:
        told = observed[-1] if observed else "There is no tool for this."
        return f"Thought: {done}\n{final}: {told}"
    tool, score = _best(question, offered, _commonness(offered))
    if score < 1.0:
        return f"Thought: {done}\n{final}: {small_talk(question)}"
    call = _call(tool, question, talk, question)
    given: Any = call.arguments
    text = json.dumps(given, ensure_ascii=False) if final == "Answer" or tool.properties else plain(question)
    return f"Thought: The current language of the user is: English. I need to use a tool to help me answer the question.\nAction: {tool.name}\nAction Input: {text}"


def _react_question(talk: Conversation) -> str:
    """What the loop is about: the last user message that is no observation."""
    spoken = [
        message.text
        for message in talk.messages
        if message.role == "user" and not message.text.lstrip().startswith("Observation:")
    ]
    text = spoken[-1] if spoken else talk.prompt
    labelled = re.findall(r"(?m)^(?:Question|New input): (?!the input question)(.+)$", text)
    return labelled[-1] if labelled else text


def _after_format(text: str) -> str:
    """Leave out the description of the format, where `Observation:` only names the place of one."""
    return text.rpartition("\nBegin!")[2] if "\nBegin!" in text else text


def _offered(whole: str) -> list[Tool]:
    found = []
    for name, told, arguments in _ACTIONS.findall(whole):
        try:
            parameters = json.loads(arguments) if arguments else {}
        except (ValueError, RecursionError):
            parameters = {}
        found.append(Tool(name.strip(), told.strip(), parameters if isinstance(parameters, dict) else {}))
    if found:
        return found
    names = re.search(r"one of \[([^\]\n]+)\]", whole)
    allowed = {name.strip(" '\"") for name in names[1].split(",")} if names else set()
    return [Tool(name, told, {}) for name, told in _LISTED.findall(whole) if name in allowed]

"""What agents did, as a conversation: an executor's steps become calls of tools and their results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from together_adapters.finetune.records import Unconvertible

_GIVEN_UP: Final = "Agent stopped due to "


def executed(result: Mapping[str, Any], input_key: str, output_key: str) -> Iterator[Any]:
    """Return the messages of what an agent executor returned with `return_intermediate_steps`.

    Args:
        result: Its input, output and `intermediate_steps`: pairs of an action and what came of it.
        input_key: Where the question is.
        output_key: Where the answer is.

    Raises:
        Unconvertible: The agent gave up, or a step is none.
    """
    answer = result.get(output_key)
    if not isinstance(answer, str | BaseMessage):
        text = f"the agent's answer {output_key!r} is no text"
        raise Unconvertible("columns_undeclared", text, output_key)
    if isinstance(answer, str) and answer.startswith(_GIVEN_UP):
        raise Unconvertible("answer_unfinished", "the agent gave up", output_key, answer, skipped=True)
    yield from result.get("chat_history") or ()
    asked = result.get(input_key)
    yield from asked if isinstance(asked, list) else [HumanMessage(asked) if isinstance(asked, str) else asked]
    shown: set[int] = set()
    for place, step in enumerate(_steps(result["intermediate_steps"])):
        action, observation = step
        yield from _called(action, shown, f"step_{place}")
        yield ToolMessage(_text(observation), tool_call_id=getattr(action, "tool_call_id", None) or _made(action, place))
    yield AIMessage(answer) if isinstance(answer, str) else answer


def _steps(steps: Any) -> Iterator[tuple[Any, Any]]:
    for place, step in enumerate(steps or ()):
        if not (isinstance(step, Sequence) and len(step) == 2 and hasattr(step[0], "tool")):
            text = "a step must be a pair of an action and what came of it"
            raise Unconvertible("message_kind_unknown", text, f"intermediate_steps[{place}]", type(step).__name__)
        yield step[0], step[1]


def _made(action: Any, place: int) -> str:
    """The id of an action's result: empty where its message has the call, which then is paired by order."""
    return "" if getattr(action, "message_log", None) else f"step_{place}"


def _called(action: Any, shown: set[int], identity: str) -> Iterator[Any]:
    """The messages with which a model called a tool; those that called several at once come once."""
    log = getattr(action, "message_log", None)
    if log:
        for message in log:
            if id(message) not in shown:
                shown.add(id(message))
                yield message
        return
    given = action.tool_input if isinstance(action.tool_input, Mapping) else {"__arg1": action.tool_input}
    thought = str(getattr(action, "log", "") or "").partition("Action:")[0].strip().removeprefix("Thought:").strip()
    yield AIMessage(thought, tool_calls=[{"name": action.tool, "args": dict(given), "id": identity}])


def _text(observation: Any) -> Any:
    if isinstance(observation, str):
        return observation
    if isinstance(observation, list) and all(
        isinstance(one, str) or (isinstance(one, dict) and "type" in one) for one in observation
    ):
        return observation
    try:
        return json.dumps(observation, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(observation)

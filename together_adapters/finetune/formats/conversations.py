"""What a framework's conversation needs before it is a row: ids that pair calls with results, one form of content, turns to train on.

Messages are the service's, as dicts. They are changed in place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

from together_adapters.finetune.records import Row, Unconvertible

Expand: TypeAlias = Literal["whole", "last_turn", "every_assistant_turn"]

CHANGED_ID: Final = "tool_call_id_made"
_encode = json.JSONEncoder(ensure_ascii=False).encode


def call(identity: str | None, name: str, arguments: Any) -> Row:
    """Return a tool call; one without an id is given one by `pair_calls`.

    Args:
        identity: Its id, if it has one.
        name: The tool.
        arguments: An object, or the text of one, which stays as it is.

    Raises:
        Unconvertible: The arguments cannot be written as JSON.
    """
    if not isinstance(arguments, str):
        try:
            arguments = _encode({} if arguments is None else arguments)
        except (TypeError, ValueError, RecursionError) as problem:
            raise Unconvertible("tool_call_invalid", f"the arguments of {name!r} cannot be written as JSON: {problem}") from None
    return {"id": identity or "", "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}


def pair_calls(messages: Iterable[Row], number: int) -> bool:
    """Give ids to calls that have none, and to the results that answer them.

    Args:
        messages: The conversation.
        number: The number of its row: the ids are `call_{number}_{i}`, the same each time.

    Returns:
        Whether there were any.
    """
    made, waiting = 0, list[tuple[str, str, bool]]()
    changed = False
    for message in messages:
        if message["role"] == "tool":
            changed = _answer(message, waiting) or changed
            continue
        waiting = []
        for one in message.get("tool_calls") or ():
            own = bool(one["id"])
            if not own:
                one["id"], made, changed = f"call_{number}_{made}", made + 1, True
            waiting.append((one["id"], one["function"]["name"], own))
    return changed


def _answer(result: Row, waiting: list[tuple[str, str, bool]]) -> bool:
    """Take the call that a result answers out of those that wait; write its id into the result where it has none that fits."""
    given = result.get("tool_call_id")
    named = next((one for one in waiting if one[0] == given), None)
    if named is not None:
        waiting.remove(named)
        return False
    fitting = [one for one in waiting if not (given and one[2])]
    found = next((one for one in fitting if one[1] == result.get("name")), None)
    if found is None and fitting and (not result.get("name") or len(fitting) == 1):
        found = fitting[0]
    if found is None:
        return False
    waiting.remove(found)
    result["tool_call_id"] = found[0]
    return True


def in_one_form(messages: Iterable[Row]) -> None:
    """Write all content as parts: a row has either texts or parts."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, str) and (content or not message.get("tool_calls")):
            message["content"] = [{"type": "text", "text": content}]


def expanded(messages: list[Row], expand: Expand) -> list[list[Row]]:
    """Return the rows that a conversation makes.

    Args:
        messages: The conversation.
        expand: `whole` trains on every answer; `last_turn` on those after the last question; `every_assistant_turn` makes a row
            for each answer, that ends with it. What is not trained on has weight 0, and what is has 1.
    """
    if expand == "whole":
        return [messages]
    places = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if expand == "last_turn":
        begin = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=0)
        return [_weighted(messages, {place for place in places if place >= begin})]
    return [_weighted(messages[: place + 1], {place}) for place in places] or [messages]


def _weighted(messages: Sequence[Row], trained: set[int]) -> list[Row]:
    return [{**message, "weight": int(place in trained)} for place, message in enumerate(messages)]

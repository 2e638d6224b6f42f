"""An independent reading of a stream: plain chunks joined into the answer that they make together."""

from __future__ import annotations

from typing import Any


def join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Join the chunks of one answer: what a single answer says under `choices` and `usage`."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for part in chunk.get("choices") or ():
            choice = choices.setdefault(part.get("index") or 0, {"content": "", "reasoning": "", "calls": [], "roles": set()})
            delta = part.get("delta") or {}
            choice["content"] += delta.get("content") or (part.get("text") if "delta" not in part else "") or ""
            choice["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or ""
            choice["roles"] |= {delta.get("role")} - {None}
            for call in delta.get("tool_calls") or ():
                _add(choice["calls"], call)
            choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
            choice["seed"] = part.get("seed") or choice.get("seed")
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usage}


def _add(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Add a piece of a tool call: an id opens a new one, else the index says which it continues, else the last."""
    function = part.get("function") or {}
    position = part.get("index")
    mine = [call for call in calls if call["index"] == position] if position is not None else calls
    opens = not mine or (part.get("id") and all(call["id"] != part["id"] for call in mine))
    if opens:
        calls.append({"index": position, "id": part.get("id"), "name": "", "arguments": ""})
        mine = calls
    call = mine[-1]
    call["name"] = function.get("name") or call["name"]
    call["arguments"] += function.get("arguments") or ""


def single(answer: dict[str, Any]) -> dict[str, Any]:
    """A whole answer in the form that `join` gives."""
    return {
        "choices": [
            {
                "content": choice["message"].get("content") or "",
                "reasoning": choice["message"].get("reasoning") or choice["message"].get("reasoning_content") or "",
                "calls": [
                    {"index": call.get("index"), "id": call["id"], **call["function"]}
                    for call in choice["message"].get("tool_calls") or ()
                ],
                "roles": {choice["message"]["role"]},
                "finish_reason": choice["finish_reason"],
                "seed": choice["seed"],
            }
            for choice in answer["choices"]
        ],
        "usage": answer.get("usage"),
    }


def without_ids(response: dict[str, Any]) -> dict[str, Any]:
    """A joined answer without what differs between two requests: the ids and places of calls."""
    choices = [
        {**choice, "calls": [(call["name"], call["arguments"]) for call in choice["calls"]]} for choice in response["choices"]
    ]
    return {**response, "choices": choices}

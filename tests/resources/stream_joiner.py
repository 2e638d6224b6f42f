"""Joins the chunks of a stream, independently of the client, for comparison with a unary response."""

from __future__ import annotations

from typing import Any


def join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Joins the chunks of one response into `choices` and `usage`."""
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
    """Adds a part of a tool call: an id starts a new call, else the index names the call, else it is the last one."""
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
    """Returns a unary response in the form of `join`."""
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
    """Returns a joined response without the ids and indices of calls, which differ between requests."""
    choices = [
        {**choice, "calls": [(call["name"], call["arguments"]) for call in choice["calls"]]} for choice in response["choices"]
    ]
    return {**response, "choices": choices}

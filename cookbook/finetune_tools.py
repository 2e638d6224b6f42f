# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Teach a model which functions to call: a data set of tool calls, with its faults found and mended before it trains.

You learn what a row with tools looks like, with several calls in one answer, to have faults named by line, place and remedy
before anything is uploaded, and which of them are mended for you, which by a function of yours, and which rows have to go.

It prints what the check finds in a log as it was, what became of each row, the job, and what the model calls before and after.

Live (`TOGETHER_API_KEY` is set) it starts a training job, which costs money: with this little data a dollar or less, shown before
it starts and to be agreed to (`--yes` agrees). Without a key it runs on the emulator, where nothing costs anything and a tuned
model answers as the nearest of its rows does.

    python cookbook/finetune_tools.py --folder tools
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tuning

from together_adapters import Together
from together_adapters.finetune import load

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
QUESTION = "It is evening: make the living room cosy, please."
Row = dict[str, Any]


# %% The tools, and a log of what people said and what was to be done
def tool(name: str, **parameters: str) -> Row:
    """Declare a function."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = [
    tool("dim", room="string", percent="integer"),
    tool("heat", room="string", degrees="integer"),
    tool("blinds", room="string"),
]


def said(text: str, *calls: tuple[str, Any], then: str = "Done.") -> Row:
    """One exchange: what was said, the calls of one answer, their results, and the answer that closes it."""
    made = [
        {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": given}}
        for at, (name, given) in enumerate(calls, 1)
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in made]
    answers = [{"role": "assistant", "content": None, "tool_calls": made}, *results, {"role": "assistant", "content": then}]
    return {"messages": [{"role": "user", "content": text}, *answers], "tools": TOOLS}


def log() -> list[Row]:
    """What a log holds: good rows, and the faults that logs have."""
    rows = [
        said(
            "Make the living room cosy.", ("dim", '{"room": "living room", "percent": 30}'), ("blinds", '{"room": "living room"}')
        ),
        said("I am cold in the study.", ("heat", '{"room": "study", "degrees": 22}')),
        said("Good night!", ("dim", '{"room": "bedroom", "percent": 0}'), ("heat", '{"room": "bedroom", "degrees": 17}')),
        said("Film time in the living room.", ("dim", '{"room": "living room", "percent": 5}')),
        said("We leave for a week.", ("heat", '{"room": "all", "degrees": 14}'), ("blinds", '{"room": "all"}')),
        said("Guests are coming to the kitchen.", ("dim", {"room": "kitchen", "percent": 100})),  # arguments that are no text
        said("The bath is too hot.", ("heat", "{'room': 'bath', 'degrees': 20}")),  # Python, not JSON
        said("The cat wants out.", ("open_door", '{"door": "garden"}')),  # not declared
    ]
    rows[3]["messages"][2]["tool_call_id"] = "call_9"  # the result of a call that nobody made
    return rows


# %% Mending
def mend(row: Row) -> Row | None:
    """Mend what can be mended without guessing; None where a row cannot be."""
    declared = {one["function"]["name"] for one in row["tools"]}
    for at, message in enumerate(row["messages"]):
        for call, result in zip(message.get("tool_calls") or (), row["messages"][at + 1 :], strict=False):
            function = call["function"]
            if function["name"] not in declared:
                return None
            if isinstance(function["arguments"], str):
                function["arguments"] = function["arguments"].replace("'", '"')
            result["tool_call_id"] = call["id"]
    return row


# %% The same words to both models
def calls(client: Together, model: str, question: str) -> str:
    """Ask a model; return what it calls, and what it says."""
    asked = [{"role": "user", "content": question}]
    message = client.chat.completions.create(model=model, messages=asked, tools=TOOLS, temperature=0).choices[0].message
    made = [f"{call.function.name}({call.function.arguments})" for call in message.tool_calls or ()]
    return "\n".join(f"calls: {call}" for call in made) or f"says:  {message.content}"


def write_log(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in log()), "utf-8")
    return path


def main() -> None:
    with tuning.connect("Tools: a data set of calls", QUESTION, "Train a model to run a house.") as run:
        path = write_log(run.folder / "log.jsonl")
        run.check(path)
        # Arguments that are objects are written as text without being told to.
        prepared = run.write(load(path).map(mend, name="mended", reason="tool_not_declared"), "train.jsonl")
        job = run.train(prepared, model=MODEL, suffix="house", n_epochs=3)

        print(f"\nQuestion: {run.question}")
        run.tell("The model as it was", calls(run.client, MODEL, run.question))
        run.tell("The tuned model", calls(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()

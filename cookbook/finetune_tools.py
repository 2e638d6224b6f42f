# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[emulator,finetune]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a model on tool calls: a dataset whose errors are found and fixed before training.

You learn the format of rows with tools and with several calls in one answer, how to find errors with their line, path and fix before
anything is uploaded, and which errors are fixed for you, which by a function of yours, and which rows are dropped.

It prints the errors in a log, the report of the rows, the job, and the tool calls of the model before and after.

With `TOGETHER_API_KEY` set, it starts a training job, which costs money: with this little data a dollar or less. The price is
shown before it starts and must be confirmed (`--yes` confirms it). Without a key, it runs on the emulator, where nothing costs
anything and a tuned model gives the answer of its nearest training row.

    uv run cookbook/finetune_tools.py --folder tools
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tuning

from together_adapters import Together
from together_adapters.finetune import load

MODEL = "Qwen/Qwen3.5-9B"
QUESTION = "It is evening: make the living room cosy, please."
Row = dict[str, Any]


# %% The tools, and a log of requests and calls
def tool(name: str, **parameters: str) -> Row:
    """Declares a function."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = [
    tool("dim", room="string", percent="integer"),
    tool("heat", room="string", degrees="integer"),
    tool("blinds", room="string"),
]


def exchange(text: str, *calls: tuple[str, Any], answer: str = "Done.") -> Row:
    """Builds one exchange: the request, the calls of one answer, their results, and the final answer."""
    tool_calls = [
        {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls, 1)
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in tool_calls]
    answers = [
        {"role": "assistant", "content": None, "tool_calls": tool_calls},
        *results,
        {"role": "assistant", "content": answer},
    ]
    return {"messages": [{"role": "user", "content": text}, *answers], "tools": TOOLS}


def log() -> list[Row]:
    """Builds a log with valid rows and typical errors."""
    rows = [
        exchange(
            "Make the living room cosy.", ("dim", '{"room": "living room", "percent": 30}'), ("blinds", '{"room": "living room"}')
        ),
        exchange("I am cold in the study.", ("heat", '{"room": "study", "degrees": 22}')),
        exchange("Good night!", ("dim", '{"room": "bedroom", "percent": 0}'), ("heat", '{"room": "bedroom", "degrees": 17}')),
        exchange("Film time in the living room.", ("dim", '{"room": "living room", "percent": 5}')),
        exchange("We leave for a week.", ("heat", '{"room": "all", "degrees": 14}'), ("blinds", '{"room": "all"}')),
        exchange(
            "Guests are coming to the kitchen.", ("dim", {"room": "kitchen", "percent": 100})
        ),  # arguments as an object instead of a string
        exchange("The bath is too hot.", ("heat", "{'room': 'bath', 'degrees': 20}")),  # Python, not JSON
        exchange("The cat wants out.", ("open_door", '{"door": "garden"}')),  # not declared
    ]
    rows[3]["messages"][2]["tool_call_id"] = "call_9"  # a result without its call
    return rows


# %% Fixing
def fix(row: Row) -> Row | None:
    """Fixes a row; returns None when that needs a guess."""
    names = {tool["function"]["name"] for tool in row["tools"]}
    for i, message in enumerate(row["messages"]):
        for call, result in zip(message.get("tool_calls") or (), row["messages"][i + 1 :], strict=False):
            function = call["function"]
            if function["name"] not in names:
                return None
            if isinstance(function["arguments"], str):
                function["arguments"] = function["arguments"].replace("'", '"')
            result["tool_call_id"] = call["id"]
    return row


# %% The same request to both models
def calls(client: Together, model: str, question: str) -> str:
    """Asks a model; returns its tool calls, or its answer."""
    messages = [{"role": "user", "content": question}]
    message = client.chat.completions.create(model=model, messages=messages, tools=TOOLS, temperature=0).choices[0].message
    tool_calls = [f"{call.function.name}({call.function.arguments})" for call in message.tool_calls or ()]
    return "\n".join(f"calls: {call}" for call in tool_calls) or f"answer: {message.content}"


def write_log(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in log()), "utf-8")
    return path


def main() -> None:
    with tuning.connect("Tools: a dataset of calls", QUESTION, "Train a model to run a house.") as run:
        path = write_log(run.folder / "log.jsonl")
        run.check(path)
        # Arguments that are objects are converted to strings automatically.
        prepared = run.write(load(path).map(fix, name="fixed", reason="tool_not_declared"), "train.jsonl")
        job = run.train(prepared, model=MODEL, suffix="house", n_epochs=3)

        print(f"\nQuestion: {run.question}")
        with run.answer_of("The original model") as show:
            show(calls(run.client, MODEL, run.question))
        with run.answer_of("The tuned model") as show:
            show(calls(run.client, str(job.model), run.question))


if __name__ == "__main__":
    main()

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator,finetune]", "langchain>=1.0,<2", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Train a small model on the traces of an agent: LangChain's `create_agent`, recorded by a callback, and tuned.

A large model with a manual in every request knows which tool to call. You learn how to record its calls, how to convert the traces
to training rows without the manual, how to train a small model on them, and how to use it in the same agent: it calls the right
tools without the manual, and its prompts have fewer tokens. For conversations that you already have, use `from_langchain` of the
same module.

It prints the recording, the report of the rows, the job, and the answers of an agent on the small model before and after.

With `TOGETHER_API_KEY` set, it sends about 25 requests to the large model and starts a training job, which costs money: with this
little data a dollar or less. The price is shown before it starts and must be confirmed (`--yes` confirms it). Without a key, it
runs on the emulator, where nothing costs anything and a tuned model gives the answer of its nearest training row.

    uv run cookbook/finetune_agent_langchain.py --folder traces
"""

from __future__ import annotations

from typing import Any

import tuning
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.finetuning import FinetuneRecorder

from together_adapters.finetune import TrainingData

TEACHER = "openai/gpt-oss-120b"
STUDENT = "Qwen/Qwen3.5-9B"
QUESTION = "Any news of my lamp? The parcel of order 1042 is late."
SYSTEM = "You are at the desk of a shop. Use tools for every fact. Answer in one or two sentences."
REQUESTS = [
    "My parcel of order 1042, a lamp, has not come. Where is it?",
    "When will the parcel of order 1043, a kettle, arrive?",
    "Is the parcel of order 1051 lost? The tracking page is empty.",
    "Track the parcel of order 1060 for me.",
    "The vase of order 1044 arrived broken. I want my money back.",
    "I sent the shoes of order 1045 back and want a refund.",
    "Please pay back order 1052, the radio is damaged.",
    "Refund order 1061: it is the wrong colour.",
    "What does shipping to Norway cost?",
    "How much is delivery to Japan?",
    "What are the shipping rates to 'Peru'?",
    "Where is the parcel of order 1070, and what does shipping to Chile cost?",
    "Good morning!",
]


# %% The tools, under the names that the shop's old systems gave them
def wms_status(order: int) -> str:
    """Warehouse system."""
    return f"Order {order} left the warehouse on Monday and is at the depot in Lyon."


def psp_credit(order: int) -> str:
    """Payment system."""
    return f"The money for order {order} goes back to the card it came from."


def tms_rates(country: str) -> str:
    """Carrier system."""
    return f"A parcel to {country} costs 14.90 EUR and takes 3 to 5 days."


TOOLS = (wms_status, psp_credit, tms_rates)
MANUAL = {
    "wms_status": "Tell where the parcel of an order is. Take this when somebody asks where a parcel is, when it will arrive, "
    "wants to track it, or says that it has not come, is late or is lost.",
    "psp_credit": "Pay an order back. Take this whenever somebody wants a refund or the money back, because something is broken, "
    "damaged, wrong, or was sent back.",
    "tms_rates": "Tell the shipping rates to a country. Take this whenever somebody asks what shipping or delivery costs.",
}


# %% The agent, with the manual and without
def build_agent(model: ChatTogether, manual: dict[str, str] | None = None) -> Any:
    """Builds an agent whose tools have the descriptions of the manual, or only short ones."""
    tools = [StructuredTool.from_function(tool, description=(manual or {}).get(tool.__name__)) for tool in TOOLS]
    return create_agent(model, tools, system_prompt=SYSTEM)


def record(agent: Any, recorder: FinetuneRecorder) -> None:
    """Runs an agent; the recorder writes each answer of its model to a file."""
    inputs = [{"messages": [("user", question)]} for question in REQUESTS]
    agent.batch(inputs, {"callbacks": [recorder], "max_concurrency": 4})
    print(f"\nRecorded {recorder.counts['written']} answers of the large model")


# %% From traces to rows
def build_rows(recorder: FinetuneRecorder) -> TrainingData:
    """Builds a row from each complete conversation with a tool call, with the tool descriptions that the small model will get."""
    descriptions = {tool.__name__: tool.__doc__ for tool in TOOLS}

    def without_manual(row: dict[str, Any]) -> dict[str, Any]:
        for tool in row["tools"]:
            tool["function"]["description"] = descriptions[tool["function"]["name"]]
        return row

    return (
        recorder.data()  # the last answer of a conversation contains the messages before it
        .filter(lambda row: any("tool_calls" in message for message in row["messages"]), reason="no_call")
        .map(without_manual, name="manual_left_out")
        .dedupe()
    )


# %% The same agent on both models
def describe(agent: Any, question: str) -> str:
    """Asks an agent; returns its tool calls, its answer and the number of prompt tokens."""
    usage = UsageMetadataCallbackHandler()
    messages = agent.invoke({"messages": [("user", question)]}, {"callbacks": [usage]})["messages"]
    tool_calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    calls = ", ".join(f"{call['name']}({', '.join(map(repr, call['args'].values()))})" for call in tool_calls)
    prompt_tokens = sum(tokens["input_tokens"] for tokens in usage.usage_metadata.values())
    return f"calls:  {calls or 'none'}\nanswer: {messages[-1].text}\nprompt: {prompt_tokens:,} tokens"


def main() -> None:
    with tuning.connect("LangChain: from an agent's traces to a tuned model", QUESTION, "Train a small model for a shop.") as run:
        recorder = FinetuneRecorder(run.folder / "traces.jsonl")
        teacher = build_agent(ChatTogether(model=run.chat_model(TEACHER), temperature=0, client=run.client), MANUAL)
        record(teacher, recorder)
        prepared = run.write(build_rows(recorder), "train.jsonl")
        job = run.train(prepared, model=STUDENT, suffix="desk", n_epochs=3)

        print(f"\nQuestion: {run.question}")
        with run.answer_of("The large model, with the manual") as show:
            show(describe(teacher, run.question))
        student = ChatTogether(model=STUDENT, temperature=0, client=run.client)
        with run.answer_of("The small model, without it") as show:
            show(describe(build_agent(student), run.question))
        with run.answer_of("The tuned model, without it") as show:
            show(describe(build_agent(job.chat_model(temperature=0)), run.question))


if __name__ == "__main__":
    main()

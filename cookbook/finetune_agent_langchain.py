# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator,finetune]", "langchain>=1.0,<2", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Train a small model on the traces of an agent: LangChain's `create_agent`, recorded by a callback, and tuned.

A large model that is given a manual with every request knows which tool to take. You learn to record what it does, to turn the
traces into rows for training that leave the manual out, to train a small model on them, and to put it into the same agent: it
takes the right tools without being told what they are for, and reads fewer tokens. Conversations that you have already become
rows through `from_langchain` of the same module.

It prints what was recorded, what became of it, the job, and how an agent on the small model answers before and after.

Live (`TOGETHER_API_KEY` is set) it asks the large model some 25 times and starts a training job, which costs money: with this
little data a dollar or less, shown before it starts and to be agreed to (`--yes` agrees). Without a key it runs on the emulator,
where nothing costs anything and a tuned model answers as the nearest of its rows does.

    python cookbook/finetune_agent_langchain.py --folder traces
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

from together_adapters import Together
from together_adapters.finetune import TrainingData

TEACHER = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
STUDENT = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
QUESTION = "Any news of my lamp? The parcel of order 1042 is late."
SYSTEM = "You are at the desk of a shop. Use tools for every fact. Answer in one or two sentences."
ASKED = [
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
    """An agent whose tools are described by the manual, or by next to nothing."""
    tools = [StructuredTool.from_function(tool, description=(manual or {}).get(tool.__name__)) for tool in TOOLS]
    return create_agent(model, tools, system_prompt=SYSTEM)


def record(client: Together, recorder: FinetuneRecorder) -> None:
    """Let the large model work, with the manual; each of its answers is written to the recorder's file."""
    agent = build_agent(ChatTogether(model=TEACHER, temperature=0, client=client), MANUAL)
    asked = [{"messages": [("user", question)]} for question in ASKED]
    agent.batch(asked, {"callbacks": [recorder], "max_concurrency": 4})
    print(f"\nRecorded {recorder.counts['written']} answers of {TEACHER}")


# %% From traces to rows
def rows_of(recorder: FinetuneRecorder) -> TrainingData:
    """The conversations that called a tool, each once and whole, with the tools described as the small model will see them."""
    bare = {tool.__name__: tool.__doc__ for tool in TOOLS}

    def without_manual(row: dict[str, Any]) -> dict[str, Any]:
        for tool in row["tools"]:
            tool["function"]["description"] = bare[tool["function"]["name"]]
        return row

    return (
        recorder.data()  # of the answers of one conversation, the last holds all the others
        .filter(lambda row: any("tool_calls" in message for message in row["messages"]), reason="no_call")
        .map(without_manual, name="manual_left_out")
        .dedupe()
    )


# %% The same agent on both models
def describe(agent: Any, question: str) -> str:
    """Ask an agent; return what it called, what it said, and what it read for that."""
    usage = UsageMetadataCallbackHandler()
    messages = agent.invoke({"messages": [("user", question)]}, {"callbacks": [usage]})["messages"]
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    called = ", ".join(f"{call['name']}({', '.join(map(repr, call['args'].values()))})" for call in calls)
    read = sum(spent["input_tokens"] for spent in usage.usage_metadata.values())
    return f"calls: {called or 'none'}\nsays:  {messages[-1].text}\nread:  {read:,} tokens"


def main() -> None:
    with tuning.connect("LangChain: from an agent's traces to a tuned model", QUESTION, "Train a small model for a shop.") as run:
        recorder = FinetuneRecorder(run.folder / "traces.jsonl")
        record(run.client, recorder)
        prepared = run.write(rows_of(recorder), "train.jsonl")
        job = run.train(prepared, model=STUDENT, suffix="desk", n_epochs=3)

        print(f"\nQuestion: {run.question}")
        teacher = build_agent(ChatTogether(model=TEACHER, temperature=0, client=run.client), MANUAL)
        run.tell("The large model, with the manual", describe(teacher, run.question))
        student = ChatTogether(model=STUDENT, temperature=0, client=run.client)
        run.tell("The small model, without", describe(build_agent(student), run.question))
        run.tell("The tuned model, without", describe(build_agent(job.chat_model(temperature=0)), run.question))


if __name__ == "__main__":
    main()

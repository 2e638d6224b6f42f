# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Let agents hand a conversation to one another: LlamaIndex's AgentWorkflow on Together.

You learn to give each agent its own tools and instructions, to say who may hand over to whom, to keep a conversation going
over several questions (its memory, and the agent that has it), and to share one client among all of them.

It prints a customer's two questions, which desk takes them, what it looks up, and what it answers.

Live (`TOGETHER_API_KEY` is set) it asks the chat model about six times, with about 4,000 tokens in all. Without a key it
runs on the emulator and costs nothing.

    python cookbook/handoff_llama_index.py
"""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter

import session
from llama_index.core.agent.workflow import AgentInput, AgentOutput, AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.memory import Memory
from llama_index.core.workflow import Context, Event
from llama_index_together_adapters import TogetherLLM

from together_adapters import AsyncTogether

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
QUESTIONS = ["Can you track my order 1042?", "It arrived broken, please refund order 1042."]


# %% The tools
ORDERS = {1042: ("a desk lamp", 24.50, "delivered on 3 May"), 1043: ("a floor lamp", 89.00, "on its way, due on 9 May")}


def track(order: int) -> str:
    """Look up where an order is."""
    what, price, state = ORDERS[order]
    return f"Order {order}, {what} for {price:.2f} EUR, was {state}."


def refund(order: int) -> str:
    """Refund what was paid for an order."""
    return f"{ORDERS[order][1]:.2f} EUR for order {order} go back to the card they came from."


# %% The agents
def build_desks(client: AsyncTogether) -> AgentWorkflow:
    """Three agents on one model. The descriptions are what the others go by when they hand over."""
    llm = TogetherLLM(MODEL, temperature=0, async_client=client)
    rule = "Hand over what is not yours at once, without a word. Answer in one sentence, from what your tools say."
    reception = FunctionAgent(
        name="Reception",
        description="Welcomes customers.",
        system_prompt=f"You are the reception of a lamp shop. You answer nothing yourself. {rule}",
        llm=llm,
        can_handoff_to=["Parcels", "Payments"],
    )
    parcels = FunctionAgent(
        name="Parcels",
        description="Knows where an order is.",
        system_prompt=f"You track the parcels of a lamp shop. {rule}",
        tools=[track],
        llm=llm,
        can_handoff_to=["Payments"],
    )
    payments = FunctionAgent(
        name="Payments",
        description="Pays a refund.",
        system_prompt=f"You look after the payments of a lamp shop. {rule}",
        tools=[refund],
        llm=llm,
        can_handoff_to=["Parcels"],
    )
    return AgentWorkflow(agents=[reception, parcels, payments], root_agent=reception.name)


# %% What happens, as it happens
class Watch:
    """Prints who has the conversation, what is looked up, and what is answered.

    Attributes:
        usage: What the service counted, by name.
    """

    def __init__(self) -> None:
        self.usage: Counter[str] = Counter()
        self._desk = ""
        self._screen = session.Screen()

    def begin(self, question: str) -> None:
        """Print a question."""
        self._desk = ""
        print(f"\n> {question}")

    def see(self, event: Event) -> None:
        """Take note of one event of the workflow."""
        if isinstance(event, AgentInput) and event.current_agent_name != self._desk:
            self._desk = event.current_agent_name
            print(f"  [{self._desk}]")
        elif isinstance(event, ToolCallResult) and event.tool_name == "handoff":
            print(f"    hands over to {event.tool_kwargs.get('to_agent')}")
        elif isinstance(event, ToolCallResult):
            print(f"    {event.tool_name}: {event.tool_output.content}")
        elif isinstance(event, AgentStream):
            self._screen.write(event.delta)
        elif isinstance(event, AgentOutput) and event.raw:
            counted = event.raw.get("usage") or {}
            self.usage.update({name: counted[name] for name in ("prompt_tokens", "completion_tokens") if name in counted})
            if not event.tool_calls:
                self._screen.end()
                self._screen = session.Screen()


async def converse(run: session.Session) -> Counter[str]:
    """Ask the questions, one after the other; return the tokens that took."""
    async with run.asynchronous() as client:
        desks, watch = build_desks(client), Watch()
        memory = Memory.from_defaults()  # what was said
        state = Context(desks)  # which agent has the conversation; a memory of its own would not outlast the first question
        for question in QUESTIONS:
            watch.begin(question)
            handler = desks.run(question, ctx=state, memory=memory)
            async for event in handler.stream_events():
                watch.see(event)
            await handler
    return watch.usage


def main() -> None:
    # A context that goes on to a second run leaves out the memory, and says so. We hold it ourselves.
    warnings.filterwarnings("ignore", "Skipping serialization of known unserializable key: memory")
    with session.connect("LlamaIndex: agents that hand over") as run:
        usage = asyncio.run(converse(run))
        run.close_with(usage["prompt_tokens"], usage["completion_tokens"])


if __name__ == "__main__":
    main()

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Let agents hand over a conversation to each other: LlamaIndex's AgentWorkflow on Together.

You learn how to give each agent its own tools and instructions, how to define which agent may hand over to which, how to keep the
memory and the active agent of a conversation over several questions, and how to share one client among the agents.

It prints two questions of a customer, the agent that handles each, its tool results and its answer.

With `TOGETHER_API_KEY` set, it sends about six chat requests (about 4,000 tokens in all). Without a key, it runs on the emulator
and costs nothing.

    uv run cookbook/handoff_llama_index.py
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

MODEL = "openai/gpt-oss-120b"
QUESTIONS = ["Can you track my order 1042?", "It arrived broken, please refund order 1042."]


# %% The tools
ORDERS = {1042: ("a desk lamp", 24.50, "delivered on 3 May"), 1043: ("a floor lamp", 89.00, "on its way, due on 9 May")}


def track(order: int) -> str:
    """Look up where an order is."""
    product, price, state = ORDERS[order]
    return f"Order {order}, {product} for {price:.2f} EUR, was {state}."


def refund(order: int) -> str:
    """Refund what was paid for an order."""
    return f"{ORDERS[order][1]:.2f} EUR for order {order} go back to the card they came from."


# %% The agents
def build_agents(llm: TogetherLLM) -> AgentWorkflow:
    """Builds three agents on one model. An agent chooses by the descriptions of the others to whom it hands over."""
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


# %% The output
class EventPrinter:
    """Prints the active agent, its tool results and its answers.

    Attributes:
        usage: Token counts of the responses, by name.
    """

    def __init__(self) -> None:
        self.usage: Counter[str] = Counter()
        self._agent = ""
        self._screen = session.Screen()

    def begin(self, question: str) -> None:
        """Prints a question."""
        self._agent = ""
        print(f"\n> {question}")

    def handle(self, event: Event) -> None:
        """Prints an event of the workflow."""
        if isinstance(event, AgentInput) and event.current_agent_name != self._agent:
            self._agent = event.current_agent_name
            print(f"  [{self._agent}]")
        elif isinstance(event, ToolCallResult) and event.tool_name == "handoff":
            print(f"    hands over to {event.tool_kwargs.get('to_agent')}")
        elif isinstance(event, ToolCallResult):
            print(f"    {event.tool_name}: {event.tool_output.content}")
        elif isinstance(event, AgentStream):
            self._screen.write(event.delta)
        elif isinstance(event, AgentOutput) and event.raw:
            usage = event.raw.get("usage") or {}
            self.usage.update({name: usage[name] for name in ("prompt_tokens", "completion_tokens") if name in usage})
            if not event.tool_calls:
                self._screen.end()
                self._screen = session.Screen()


async def converse(run: session.Session) -> Counter[str]:
    """Asks the questions, one after the other; returns the token counts."""
    async with run.async_client() as client:
        llm = TogetherLLM(run.chat_model(MODEL), temperature=0, async_client=client)
        agents, printer = build_agents(llm), EventPrinter()
        memory = Memory.from_defaults()  # the messages
        state = Context(agents)  # the active agent; the context's own memory would end with the first question
        for question in QUESTIONS:
            printer.begin(question)
            handler = agents.run(question, ctx=state, memory=memory)
            async for event in handler.stream_events():
                printer.handle(event)
            await handler
    return printer.usage


def main() -> None:
    # A context that is used for a second run warns that it does not keep the memory. We keep it ourselves.
    warnings.filterwarnings("ignore", "Skipping serialization of known unserializable key: memory")
    with session.connect("LlamaIndex: agents that hand over") as run:
        usage = asyncio.run(converse(run))
        run.print_summary(usage["prompt_tokens"], usage["completion_tokens"])


if __name__ == "__main__":
    main()

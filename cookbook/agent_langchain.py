# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "langchain>=1.0,<2", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Let an agent call several tools at the same time, and watch it: LangChain's create_agent on Together.

You learn to give an agent tools that are plain functions, to follow its run in one loop (what the model calls, what each tool
tells while it works, what it gives, the answer word by word), and that calls which the model makes in one turn run side by side.

It prints each call, each result with the time it came at, then the answer, and what that took.

Live (`TOGETHER_API_KEY` is set) it asks the chat model twice, with about 1,000 tokens in all. Without a key it runs on the
emulator and costs nothing.

    python cookbook/agent_langchain.py --question "How many kettles are in stock, and what is the price of a teapot?"
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import session
from langchain.agents import create_agent
from langchain.agents.middleware import ToolCallRequest, wrap_tool_call
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_together_adapters import ChatTogether
from langgraph.config import get_stream_writer
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from together_adapters import Together

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
QUESTION = "How many kettles are in stock, what is the price of a teapot, and how many days does delivery to Oslo take?"
SECONDS = 0.5  # what a tool of your own may have to wait for: a database, a web page


# %% The tools
Article = Literal["kettle", "teapot", "mug"]  # the model is told what it may ask for

STOCK = {"kettle": 12, "teapot": 3, "mug": 140}
PRICES = {"kettle": 39.00, "teapot": 54.50, "mug": 9.90}
DAYS = {"Oslo": 4, "Lisbon": 2, "Vienna": 1}


def stock(article: Article) -> str:
    """Look up how many pieces of an article are in stock."""
    wait("counting the shelves")
    return f"There are {STOCK[article]} pieces of the {article} in stock."


def price(article: Article) -> str:
    """Look up the price of an article in euros."""
    wait("opening the price list")
    return f"The price of the {article} is {PRICES[article]:.2f} EUR."


def delivery(city: str) -> str:
    """Look up how many days a delivery to a city takes."""
    wait("asking the carrier")
    if city not in DAYS:
        raise ValueError(f"{city} is not on the timetable; on it are {', '.join(DAYS)}")
    return f"A delivery to {city} takes {DAYS[city]} working days."


def wait(task: str) -> None:
    """Take some time, and tell whoever watches the run what for."""
    get_stream_writer()(task)
    time.sleep(SECONDS)


# %% The agent
@wrap_tool_call
def tell_errors(request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
    """Tell the model what went wrong in a tool, so that it can do better; without this, an error ends the run."""
    try:
        return handler(request)
    except ValueError as problem:
        return ToolMessage(f"error: {problem}", name=request.tool_call["name"], tool_call_id=request.tool_call["id"], status="error")


def build_agent(client: Together) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A model, its tools, and what stands between them."""
    return create_agent(
        ChatTogether(model=MODEL, temperature=0, client=client),
        tools=[stock, price, delivery],
        middleware=[tell_errors],
        system_prompt="You are a tea shop. Use the tools for every fact, as many at once as you can. Answer in whole sentences.",
    )


# %% What happens, as it happens
class Watch:
    """Prints what an agent does, with the time, and what it says."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._called: list[float] = []
        self._waiting: set[str | None] = set()
        self._screen = session.Screen()

    def see(self, kind: str, told: Any) -> None:
        """Take note of what one of the stream's three modes tells."""
        if kind == "custom":
            self._line(f"  {told}")
        elif kind == "updates":  # what a step did to the agent's state
            for update in told.values():
                for message in (update or {}).get("messages", ()):
                    self._message(message)
        elif isinstance(told[0], AIMessageChunk):  # a piece of what the model says
            self._screen.write(told[0].text)

    def _message(self, message: AIMessage | ToolMessage) -> None:
        if isinstance(message, ToolMessage):
            self._line(f"{message.name}: {message.text}")
            self._waiting.discard(message.tool_call_id)
            if not self._waiting:
                print(f"\nThe tools took {self._now() - self._called[0]:.1f} s; ", end="")
                print(f"one after the other they take {SECONDS * len(self._called)} s.\n")
                self._called.clear()
        for call in getattr(message, "tool_calls", ()):
            self._line(f"{call['name']}({', '.join(map(repr, call['args'].values()))})")
            self._called.append(self._now())
            self._waiting.add(call["id"])

    def end(self) -> None:
        """End the answer's last line."""
        self._screen.end()

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _line(self, text: str) -> None:
        print(f"{self._now():5.1f} s  {text}")


def main() -> None:
    question = session.question(QUESTION, "Ask a tea shop.")
    with session.connect("LangChain: an agent with parallel tools", question) as run:
        agent, watch, usage = build_agent(run.client), Watch(), UsageMetadataCallbackHandler()
        print()
        asked = {"messages": [{"role": "user", "content": question}]}
        for kind, told in agent.stream(asked, {"callbacks": [usage]}, stream_mode=["updates", "messages", "custom"]):
            watch.see(kind, told)
        watch.end()
        spent = usage.usage_metadata.values()
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()

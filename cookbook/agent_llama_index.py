# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm", "tzdata"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Let an agent call several tools at the same time, and watch it: LlamaIndex's FunctionAgent on Together.

You learn to give an agent tools that are plain functions, to follow what it does by its events (tool calls, results, the
answer word by word), and that calls which the model makes in one turn run at the same time.

It prints each call and each result with the time it came at, then the answer, and what that took.

Live (`TOGETHER_API_KEY` is set) it asks the chat model twice, with about 1,000 tokens in all. Without a key it runs on the
emulator and costs nothing.

    python cookbook/agent_llama_index.py --question "What time is it in Oslo, and how far is it from Oslo to Cairo?"
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from math import acos, cos, radians, sin
from zoneinfo import ZoneInfo

import session
from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent, ToolCall, ToolCallResult
from llama_index.core.workflow import Event
from llama_index_together_adapters import TogetherLLM

from together_adapters import AsyncTogether

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
QUESTION = "What time is it in Tokyo and in Lima, and what is the distance from Lima to Tokyo?"
SECONDS = 0.5  # what a tool of your own may have to wait for: a database, a web page


# %% The tools
@dataclass(frozen=True)
class City:
    """Where a city is, and what its clocks show."""

    latitude: float
    longitude: float
    zone: str


CITIES = {
    "Cairo": City(30.04, 31.24, "Africa/Cairo"),
    "Lima": City(-12.05, -77.04, "America/Lima"),
    "Nairobi": City(-1.29, 36.82, "Africa/Nairobi"),
    "Oslo": City(59.91, 10.75, "Europe/Oslo"),
    "Tokyo": City(35.68, 139.69, "Asia/Tokyo"),
}


def find(name: str) -> City:
    """Find a city. What is raised here is told to the model, which can then do better."""
    if name not in CITIES:
        raise ValueError(f"{name} is not among {', '.join(CITIES)}")
    return CITIES[name]


async def local_time(city: str) -> str:
    """Tell the local time in a city."""
    await asyncio.sleep(SECONDS)
    return f"In {city} it is {datetime.now(ZoneInfo(find(city).zone)):%H:%M on %A}."


async def distance(origin: str, destination: str) -> str:
    """Tell the distance between two cities, as the crow flies."""
    await asyncio.sleep(SECONDS)
    here, there = find(origin), find(destination)
    a, b, apart = radians(here.latitude), radians(there.latitude), radians(there.longitude - here.longitude)
    kilometres = 6371 * acos(min(1.0, sin(a) * sin(b) + cos(a) * cos(b) * cos(apart)))
    return f"From {origin} to {destination} it is {kilometres:,.0f} km."


# %% The agent
def build_agent(client: AsyncTogether) -> FunctionAgent:
    """A model and its tools. That the model calls tools is known: nothing has to be switched on."""
    return FunctionAgent(
        tools=[local_time, distance],
        llm=TogetherLLM(MODEL, temperature=0, async_client=client),
        system_prompt="You are a travel desk. Use the tools for every fact, as many at once as you can. Answer in whole sentences.",
    )


# %% What happens, as it happens
class Watch:
    """Prints what an agent does, with the time, and what it says.

    Attributes:
        usage: What the service counted, by name.
    """

    def __init__(self) -> None:
        self.usage: Counter[str] = Counter()
        self._begun = time.monotonic()
        self._called: list[float] = []
        self._waiting: set[str] = set()
        self._screen = session.Screen()

    def see(self, event: Event) -> None:
        """Take note of one event of the agent."""
        seconds = time.monotonic() - self._begun
        if isinstance(event, ToolCallResult):  # a kind of ToolCall, so it comes first
            print(f"{seconds:5.1f} s  {event.tool_name}: {event.tool_output.content}")
            self._waiting.discard(event.tool_id)
            if not self._waiting:
                alone = SECONDS * len(self._called)
                print(f"\nThe tools took {seconds - self._called[0]:.1f} s; one after the other they take {alone} s.\n")
                self._called.clear()
        elif isinstance(event, ToolCall):
            print(f"{seconds:5.1f} s  {event.tool_name}({', '.join(map(repr, event.tool_kwargs.values()))})")
            self._called.append(seconds)
            self._waiting.add(event.tool_id)
        elif isinstance(event, AgentStream):
            self._screen.write(event.delta)
        elif isinstance(event, AgentOutput) and event.raw:
            counted = event.raw.get("usage") or {}
            self.usage.update({name: counted[name] for name in ("prompt_tokens", "completion_tokens") if name in counted})

    def end(self) -> None:
        """End the answer's last line."""
        self._screen.end()


async def ask(run: session.Session, question: str) -> Counter[str]:
    """Ask the agent; return the tokens that took."""
    async with run.asynchronous() as client:
        handler, watch = build_agent(client).run(question), Watch()
        print()
        async for event in handler.stream_events():
            watch.see(event)
        await handler
    watch.end()
    return watch.usage


def main() -> None:
    question = session.question(QUESTION, "Ask a travel desk.")
    with session.connect("LlamaIndex: an agent with parallel tools", question) as run:
        usage = asyncio.run(ask(run, question))
        run.close_with(usage["prompt_tokens"], usage["completion_tokens"])


if __name__ == "__main__":
    main()

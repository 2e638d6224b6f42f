# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[llama-index,emulator]", "tqdm", "tzdata"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Let an agent call several tools in parallel: LlamaIndex's FunctionAgent on Together.

You learn how to use plain functions as tools, how to follow an agent by its events (tool calls, results, and the answer in
chunks), and that the calls of one model response run in parallel.

It prints each call and each result with its time, then the answer and the tokens used.

With `TOGETHER_API_KEY` set, it sends two chat requests (about 1,000 tokens in all). Without a key, it runs on the emulator and
costs nothing.

    uv run cookbook/agent_llama_index.py --question "What time is it in Oslo, and how far is it from Oslo to Cairo?"
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

MODEL = "openai/gpt-oss-120b"
QUESTION = "What time is it in Tokyo and in Lima, and what is the distance from Lima to Tokyo?"
SECONDS = 0.5  # simulates the latency of a database or a web request


# %% The tools
@dataclass(frozen=True)
class City:
    """The coordinates and the time zone of a city."""

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
    """Finds a city. An exception becomes the tool's result, so that the model can react."""
    if name not in CITIES:
        raise ValueError(f"{name} is not among {', '.join(CITIES)}")
    return CITIES[name]


async def local_time(city: str) -> str:
    """Get the local time in a city."""
    await asyncio.sleep(SECONDS)
    return f"In {city} it is {datetime.now(ZoneInfo(find(city).zone)):%H:%M on %A}."


async def distance(origin: str, destination: str) -> str:
    """Get the distance between two cities, as the crow flies."""
    await asyncio.sleep(SECONDS)
    start, end = find(origin), find(destination)
    a, b, difference = radians(start.latitude), radians(end.latitude), radians(end.longitude - start.longitude)
    kilometres = 6371 * acos(min(1.0, sin(a) * sin(b) + cos(a) * cos(b) * cos(difference)))
    return f"From {origin} to {destination} it is {kilometres:,.0f} km."


# %% The agent
def build_agent(llm: TogetherLLM) -> FunctionAgent:
    """Builds an agent. The adapter knows that this model can call tools, so there is nothing to configure."""
    return FunctionAgent(
        tools=[local_time, distance],
        llm=llm,
        system_prompt="You are a travel desk. Use the tools for every fact, as many at once as you can. Answer in whole sentences.",
    )


# %% The output
class EventPrinter:
    """Prints the tool calls of an agent with their times, their results, and the answer.

    Attributes:
        usage: Token counts of the responses, by name.
    """

    def __init__(self) -> None:
        self.usage: Counter[str] = Counter()
        self._start = time.monotonic()
        self._call_times: list[float] = []
        self._waiting: set[str] = set()
        self._screen = session.Screen()

    def handle(self, event: Event) -> None:
        """Prints an event of the agent."""
        seconds = time.monotonic() - self._start
        if isinstance(event, ToolCallResult):  # a subclass of ToolCall, so it is checked first
            print(f"{seconds:5.1f} s  {event.tool_name}: {event.tool_output.content}")
            self._waiting.discard(event.tool_id)
            if not self._waiting:
                sequential = SECONDS * len(self._call_times)
                print(f"\nThe tools took {seconds - self._call_times[0]:.1f} s; one after the other they take {sequential} s.\n")
                self._call_times.clear()
        elif isinstance(event, ToolCall):
            print(f"{seconds:5.1f} s  {event.tool_name}({', '.join(map(repr, event.tool_kwargs.values()))})")
            self._call_times.append(seconds)
            self._waiting.add(event.tool_id)
        elif isinstance(event, AgentStream):
            self._screen.write(event.delta)
        elif isinstance(event, AgentOutput) and event.raw:
            usage = event.raw.get("usage") or {}
            self.usage.update({name: usage[name] for name in ("prompt_tokens", "completion_tokens") if name in usage})

    def end(self) -> None:
        """Ends the last line of the answer."""
        self._screen.end()


async def run_agent(run: session.Session, question: str) -> Counter[str]:
    """Runs the agent; returns the token counts."""
    async with run.async_client() as client:
        llm = TogetherLLM(run.chat_model(MODEL), temperature=0, async_client=client)
        handler, printer = build_agent(llm).run(question), EventPrinter()
        print()
        async for event in handler.stream_events():
            printer.handle(event)
        await handler
    printer.end()
    return printer.usage


def main() -> None:
    question = session.question(QUESTION, "Ask a travel desk.")
    with session.connect("LlamaIndex: an agent with parallel tools", question) as run:
        usage = asyncio.run(run_agent(run, question))
        run.print_summary(usage["prompt_tokens"], usage["completion_tokens"])


if __name__ == "__main__":
    main()

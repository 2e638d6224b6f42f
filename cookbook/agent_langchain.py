# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "langchain>=1.0,<2", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = "..", editable = true }
# ///
"""Let an agent call several tools in parallel: LangChain's `create_agent` on Together.

You learn how to use plain functions as tools, how to follow an agent through one stream (tool calls, results, and the answer in
chunks), that the calls of one model response run in parallel, and how to report a tool's error to the model.

It prints each call and each result with its time, then the answer and the tokens used. The tools look up the Python packages of
this machine.

With `TOGETHER_API_KEY` set, it sends two chat requests (about 1,000 tokens in all). Without a key, it runs on the emulator and
costs nothing. Put the name of a package in quotation marks:

    uv run cookbook/agent_langchain.py --question "Which version has 'pydantic', and what license has 'rice'?"
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from textwrap import fill
from typing import Any

import session
from langchain.agents import create_agent
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langchain_together_adapters import ChatTogether

MODEL = "openai/gpt-oss-120b"
QUESTION = "Which version has 'httpx', what license has 'tqdm', and what does 'langgraph' require?"
SECONDS = 0.5  # simulates the latency of a database or a web request


# %% The tools
def installed_version(package: str) -> str:
    """Get the installed version of a Python package."""
    return f"Version {find(package).version} of {package} is installed."


def license_of(package: str) -> str:
    """Get the license of a Python package."""
    fields = find(package).metadata
    return f"The license of {package} is {fields.get('License-Expression') or fields.get('License') or 'not named'}."


def requirements(package: str) -> str:
    """List the packages that a Python package requires."""
    names = [re.split(r"[^\w.-]", line)[0] for line in find(package).requires or () if "extra ==" not in line]
    return f"{package} requires {', '.join(sorted(names)) or 'no package'}."


def find(package: str) -> metadata.Distribution:
    """Finds a package. A `ToolException` becomes the tool's result, so that the model can react; other exceptions end the agent."""
    time.sleep(SECONDS)
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise ToolException(f"A package {package!r} is not installed.") from None


# %% The agent
def build_agent(llm: ChatTogether) -> Any:
    """Builds an agent. The adapter knows that this model can call tools, so there is nothing to configure."""

    def tool(function: Callable[[str], str]) -> StructuredTool:
        return StructuredTool.from_function(function, handle_tool_error=True)

    return create_agent(
        llm,
        [tool(installed_version), tool(license_of), tool(requirements)],
        system_prompt="You know this machine. Use the tools for every fact, as many at once as you can. Answer in whole sentences.",
    )


# %% The output
class EventPrinter:
    """Prints the tool calls of an agent with their times, their results, and the answer."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._call_times: list[float] = []
        self._waiting: set[str] = set()
        self._screen = session.Screen()

    def handle(self, message: AnyMessage) -> None:
        """Prints a complete message, or a chunk of the answer."""
        seconds = time.monotonic() - self._start
        if isinstance(message, AIMessageChunk):
            self._screen.write(message.text)
        elif isinstance(message, AIMessage):
            for call in message.tool_calls:
                print(f"{seconds:5.1f} s  {call['name']}({', '.join(map(repr, call['args'].values()))})")
                self._call_times.append(seconds)
                self._waiting.add(str(call["id"]))
        elif isinstance(message, ToolMessage):
            failed = " failed" if message.status == "error" else ""
            print(fill(f"{seconds:5.1f} s  {message.name}{failed}: {message.text}", 79, subsequent_indent=" " * 9))
            self._waiting.discard(message.tool_call_id)
            if not self._waiting:
                sequential = SECONDS * len(self._call_times)
                print(f"\nThe tools took {seconds - self._call_times[0]:.1f} s; one after the other they take {sequential} s.\n")
                self._call_times.clear()

    def end(self) -> None:
        """Ends the last line of the answer."""
        self._screen.end()


def messages(agent: Any, question: str, config: dict[str, Any]) -> Iterator[AnyMessage]:
    """Yields the chunks of the answer as the model writes it, and each message when it is complete."""
    inputs = {"messages": [("user", question)]}
    for mode, data in agent.stream(inputs, config, stream_mode=["messages", "updates"]):
        if mode == "updates":
            for update in data.values():  # one for each step, "model" or "tools"
                yield from update["messages"]
        elif isinstance(data[0], AIMessageChunk):
            yield data[0]


def main() -> None:
    question = session.question(QUESTION, "Ask about the Python packages of this machine.")
    with session.connect("LangChain: an agent with parallel tools", question) as run:
        llm = ChatTogether(model=run.chat_model(MODEL), temperature=0, client=run.client)
        usage, printer = UsageMetadataCallbackHandler(), EventPrinter()
        print()
        for message in messages(build_agent(llm), question, {"callbacks": [usage]}):
            printer.handle(message)
        printer.end()
        tokens = usage.usage_metadata.values()  # one entry for each model
        run.print_summary(sum(model["input_tokens"] for model in tokens), sum(model["output_tokens"] for model in tokens))


if __name__ == "__main__":
    main()

# /// script
# requires-python = ">=3.11"
# dependencies = ["together-adapters[langchain,emulator]", "langchain>=1.0,<2", "tqdm"]
#
# [tool.uv.sources]
# together-adapters = { path = ".." }
# ///
"""Let an agent call several tools at the same time, and watch it: LangChain's `create_agent` on Together.

You learn to give an agent tools that are plain functions, to follow it through one stream (calls, results, the answer word by
word), that calls which the model makes in one turn run at the same time, and to tell the model when a tool has failed.

It prints each call and each result with the time it came at, then the answer, and what that took. The tools know the Python
packages of this machine.

Live (`TOGETHER_API_KEY` is set) it asks the chat model twice, with about 1,000 tokens in all. Without a key it runs on the
emulator and costs nothing. A package is best named in quotation marks:

    python cookbook/agent_langchain.py --question "Which version has 'pydantic', and what license has 'rice'?"
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

from together_adapters import Together

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
QUESTION = "Which version has 'httpx', what license has 'tqdm', and what does 'langgraph' require?"
SECONDS = 0.5  # what a tool of your own may have to wait for: a database, a web page


# %% The tools
def installed_version(package: str) -> str:
    """Tell which version of a Python package is installed."""
    return f"Version {find(package).version} of {package} is installed."


def license_of(package: str) -> str:
    """Tell the license of a Python package."""
    known = find(package).metadata
    return f"The license of {package} is {known.get('License-Expression') or known.get('License') or 'not named'}."


def requirements(package: str) -> str:
    """List the packages that a Python package requires."""
    needed = [re.split(r"[^\w.-]", line)[0] for line in find(package).requires or () if "extra ==" not in line]
    return f"{package} requires {', '.join(sorted(needed)) or 'no package'}."


def find(package: str) -> metadata.Distribution:
    """Find a package. A `ToolException` is told to the model, which can then do better; any other ends the agent."""
    time.sleep(SECONDS)
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise ToolException(f"A package {package!r} is not installed.") from None


# %% The agent
def build_agent(client: Together) -> Any:
    """A model and its tools. That the model calls tools is known: nothing has to be switched on."""

    def tool(function: Callable[[str], str]) -> StructuredTool:
        return StructuredTool.from_function(function, handle_tool_error=True)

    return create_agent(
        ChatTogether(model=MODEL, temperature=0, client=client),
        [tool(installed_version), tool(license_of), tool(requirements)],
        system_prompt="You know this machine. Use the tools for every fact, as many at once as you can. Answer in whole sentences.",
    )


# %% What happens, as it happens
class Watch:
    """Prints what an agent does, with the time, and what it says."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._called: list[float] = []
        self._waiting: set[str] = set()
        self._screen = session.Screen()

    def see(self, message: AnyMessage) -> None:
        """Take note of a message that is complete, or of a piece of one that is being written."""
        seconds = time.monotonic() - self._begun
        if isinstance(message, AIMessageChunk):
            self._screen.write(message.text)
        elif isinstance(message, AIMessage):
            for call in message.tool_calls:
                print(f"{seconds:5.1f} s  {call['name']}({', '.join(map(repr, call['args'].values()))})")
                self._called.append(seconds)
                self._waiting.add(str(call["id"]))
        elif isinstance(message, ToolMessage):
            failed = " failed" if message.status == "error" else ""
            print(fill(f"{seconds:5.1f} s  {message.name}{failed}: {message.text}", 79, subsequent_indent=" " * 9))
            self._waiting.discard(message.tool_call_id)
            if not self._waiting:
                alone = SECONDS * len(self._called)
                print(f"\nThe tools took {seconds - self._called[0]:.1f} s; one after the other they take {alone} s.\n")
                self._called.clear()

    def end(self) -> None:
        """End the answer's last line."""
        self._screen.end()


def messages(agent: Any, question: str, config: dict[str, Any]) -> Iterator[AnyMessage]:
    """Yield the messages of an agent: pieces of what the model is writing, and each message as soon as it is complete."""
    asked = {"messages": [("user", question)]}
    for mode, news in agent.stream(asked, config, stream_mode=["messages", "updates"]):
        if mode == "updates":
            for update in news.values():  # by step: "model" or "tools"
                yield from update["messages"]
        elif isinstance(news[0], AIMessageChunk):
            yield news[0]


def main() -> None:
    question = session.question(QUESTION, "Ask about the Python packages of this machine.")
    with session.connect("LangChain: an agent with parallel tools", question) as run:
        usage, watch = UsageMetadataCallbackHandler(), Watch()
        print()
        for message in messages(build_agent(run.client), question, {"callbacks": [usage]}):
            watch.see(message)
        watch.end()
        spent = usage.usage_metadata.values()  # by model; one was asked
        run.close_with(sum(model["input_tokens"] for model in spent), sum(model["output_tokens"] for model in spent))


if __name__ == "__main__":
    main()

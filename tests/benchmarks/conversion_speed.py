"""Turning what frameworks hold into rows for training, against what the frameworks themselves offer for it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.benchmarks.measure import Bench, Builder, Goal, Operation

CONVERSATIONS: Final = 100_000
GOAL: Final = Goal(0.25)
"""Four times as fast."""
FILE_GOAL: Final = Goal(0.5)


def langchain_chats(name: str, bench: Bench, *, tools: bool = False, to_file: bool = False) -> Operation:
    """LangChain's messages to rows, through all of `TrainingData`, against `convert_to_openai_messages`; or to a checked file."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.messages.utils import convert_to_openai_messages
    from langchain_together_adapters.finetuning import from_langchain

    from together_adapters.finetune import write_jsonl

    def chat(number: int) -> list[Any]:
        asked = HumanMessage(f"What is the weather on day {number}, and what should I wear?")
        if not tools:
            return [SystemMessage("You are a helpful assistant."), asked, AIMessage(f"On day {number} it rains: take a coat.")]
        call = {"name": "weather", "args": {"day": number}, "id": f"call_{number}"}
        return [
            asked,
            AIMessage("", tool_calls=[call]),
            ToolMessage("rain", tool_call_id=f"call_{number}"),
            AIMessage("Take a coat."),
        ]

    chats = [chat(number) for number in range(CONVERSATIONS // 10 if tools else CONVERSATIONS)]

    def adapter() -> int:
        return sum(len(row["messages"]) for row in from_langchain(chats))

    def framework() -> int:
        return sum(len(row["messages"]) for row in ({"messages": convert_to_openai_messages(chat)} for chat in chats))

    folder = TemporaryDirectory()  # deleted with the operation

    def adapter_to_file() -> int:
        return write_jsonl(from_langchain(chats), Path(folder.name, "data.jsonl"), overwrite=True).report.turns.total

    def framework_to_file() -> int:
        with Path(folder.name, "other.jsonl").open("w") as file:
            for chat in chats:
                file.write(json.dumps({"messages": convert_to_openai_messages(chat)}) + "\n")
        return sum(map(len, chats))

    if to_file:
        return Operation(name, adapter_to_file, (framework_to_file,), FILE_GOAL, per=len(chats))
    return Operation(name, adapter, (framework,), None if tools else GOAL, per=len(chats))


def llama_index_chats(name: str, bench: Bench) -> Operation:
    """LlamaIndex's messages to rows, against reading content and role through the properties that LlamaIndex offers."""
    from llama_index.core.llms import ChatMessage
    from llama_index_together_adapters.finetuning import from_llama_index

    def chat(number: int) -> list[Any]:
        texts = (
            "You are a helpful assistant.",
            f"What is the weather on day {number}?",
            f"On day {number} it rains: take a coat.",
        )
        return [ChatMessage(role=role, content=text) for role, text in zip(("system", "user", "assistant"), texts, strict=True)]

    chats = [chat(number) for number in range(CONVERSATIONS // 5)]

    def adapter() -> int:
        return sum(len(row["messages"]) for row in from_llama_index(chats))

    def framework() -> int:
        rows = ({"messages": [{"role": one.role.value, "content": one.content} for one in chat]} for chat in chats)
        return sum(len(row["messages"]) for row in rows)

    return Operation(name, adapter, (framework,), None, per=len(chats))


OPERATIONS: Final[dict[str, Builder]] = {
    "LangChain 100k conversations to rows, each": langchain_chats,
    "LangChain conversations with tools to rows, each": partial(langchain_chats, tools=True),
    "LangChain conversations to a checked file, each": partial(langchain_chats, to_file=True),
    "LlamaIndex conversations to rows, each": llama_index_chats,
}

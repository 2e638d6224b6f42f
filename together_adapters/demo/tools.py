"""Python functions as tools: a model calls several in one answer, and they run in threads."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from together_adapters.demo.service import Service
from together_adapters.types.chat import ChatMessage

QUESTION: Final = 'How many passages have the word "yield", and which version of Python is running?'


@dataclass(frozen=True)
class ToolAnswer:
    """An answer that rests on tools.

    Attributes:
        calls: The calls of the model's first answer, as Python code.
        results: What they returned, as text.
        seconds: The time that all of them took together.
        text: The model's second answer.
    """

    calls: list[str]
    results: list[str]
    seconds: float
    text: str


def answer_with_tools(service: Service, texts: Sequence[str]) -> ToolAnswer:
    """Lets a model answer the question with tools, in two requests."""

    def count_passages(word: str) -> int:
        """Count the passages that have a word.

        Args:
            word: The word.
        """
        return sum(word.lower() in text.lower() for text in texts)

    def python_version() -> str:
        """Get the version of Python that is running."""
        return platform.python_version()

    functions: dict[str, Callable[..., Any]] = {"count_passages": count_passages, "python_version": python_version}
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def next_message() -> ChatMessage:
        response = service.client.chat.completions.create(
            model=service.chat_model, messages=messages, tools=[*functions.values()]
        )
        return response.choices[0].message or ChatMessage()

    message = next_message()
    calls = message.tool_calls or []
    start = time.perf_counter()
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda call: _perform(functions, call), calls))
    seconds = time.perf_counter() - start
    messages.append(message.model_dump(exclude_none=True))
    for call, result in zip(calls, results, strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    text = (next_message().content or "") if calls else message.content or ""
    return ToolAnswer(list(map(_source, calls)), results, seconds, " ".join(str(text).split()))


def _perform(functions: dict[str, Callable[..., Any]], call: Any) -> str:
    """Returns the result of a call; what is wrong with it is a result, too, from which the model can learn."""
    try:
        return str(functions[call.function.name](**json.loads(call.function.arguments or "{}")))
    except (KeyError, TypeError, ValueError) as error:
        return f"error: {type(error).__name__}: {error}"


def _source(call: Any) -> str:
    """Returns a call as Python code; arguments that are no object as they are."""
    try:
        arguments = ", ".join(f"{name}={value!r}" for name, value in json.loads(call.function.arguments or "{}").items())
    except (ValueError, AttributeError):
        arguments = call.function.arguments
    return f"{call.function.name}({arguments})"

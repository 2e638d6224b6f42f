"""How an object is asked for: by JSON schema, by a tool, or in words; and how it is read from the answer. Pure.

The way is chosen once, by `plan_for`, and is the same for whole and streamed answers, sync and async.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from llama_index_together_adapters.llm import TogetherLLM

_MOST_PROBLEMS = 5


class Plan:
    """How an answer of one model class is asked for and read.

    Attributes:
        kwargs: Arguments of the chat call.
    """

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        self.output_cls = output_cls
        self.kwargs = kwargs

    def messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Return the messages to send."""
        return messages

    def text(self, response: ChatResponse) -> str:
        """Return the part of an answer that holds the object, as JSON."""
        return response.message.content or ""

    def correction(self, response: ChatResponse, problem: ValueError) -> list[ChatMessage]:
        """Return what continues a conversation in which an answer was no such object: that answer, and what is wrong with it."""
        told = f"{_listed(problem)}\nGive the whole object again, mended."
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        answers = [
            ChatMessage(role=MessageRole.TOOL, content=told, additional_kwargs={"tool_call_id": call.tool_call_id})
            for call in calls
        ]
        return [response.message, *(answers or [ChatMessage(role=MessageRole.USER, content=told)])]

    def read(self, response: ChatResponse) -> BaseModel:
        """Return the object of a whole answer.

        Raises:
            ValueError: The answer is not such an object.
        """
        text = self.text(response)
        try:
            return self.output_cls.model_validate_json(_json_part(text))
        except ValidationError as problem:
            excerpt = text if len(text) < 400 else f"{text[:400]}..."
            raise ValueError(
                f"the model's answer is not a {self.output_cls.__name__}: {problem.error_count()} problems, the first: "
                f"{problem.errors()[0]['msg']} at {_place(problem)}; it answered {excerpt!r}"
            ) from problem


class SchemaPlan(Plan):
    """By `response_format`: the service holds the model to the schema."""

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        schema = output_cls.model_json_schema()
        name = re.sub(r"[^A-Za-z0-9_-]", "_", output_cls.__name__)[:64]
        wanted = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
        super().__init__(output_cls, {"response_format": wanted, **kwargs})


class ToolPlan(Plan):
    """By a tool that the model must call."""

    def __init__(self, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> None:
        from llama_index.core.program.function_program import get_function_tool

        tool = get_function_tool(output_cls).metadata.to_openai_tool(skip_length_check=True)
        forced = {"tools": [tool], "tool_choice": "required", "allow_parallel_tool_calls": False}
        dropped = {"tool_required", "tool_choice", "allow_parallel_tool_calls"}
        super().__init__(output_cls, {**{key: value for key, value in kwargs.items() if key not in dropped}, **forced})

    def text(self, response: ChatResponse) -> str:
        """Return the arguments of the call; the text, where the model answered in words instead."""
        calls = response.message.additional_kwargs.get("tool_calls")
        return str(calls[0]["function"]["arguments"] or "{}") if calls else response.message.content or ""


class PromptPlan(Plan):
    """In words: the schema is written under the last message."""

    def messages(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        """Return the messages with the schema in the last one."""
        from llama_index.core.output_parsers.pydantic import PydanticOutputParser

        copied = [message.model_copy(update={"blocks": list(message.blocks)}) for message in messages]
        return list(PydanticOutputParser(output_cls=self.output_cls).format_messages(copied))


def plan_for(llm: TogetherLLM, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> Plan:
    """Return how a model is asked for an object: by schema where it can, else by tool, else in words."""
    mode = llm.pydantic_program_mode
    if mode is PydanticProgramMode.LLM or not llm._chats:
        return PromptPlan(output_cls, kwargs)
    by_schema = llm.capabilities.json_schema if llm.should_use_structured_outputs is None else llm.should_use_structured_outputs
    if by_schema and mode is not PydanticProgramMode.FUNCTION:
        return SchemaPlan(output_cls, kwargs)
    if llm._calls_functions or mode is PydanticProgramMode.FUNCTION:
        return ToolPlan(output_cls, kwargs)
    return PromptPlan(output_cls, kwargs)


def _json_part(text: str) -> str:
    """Return the JSON object in a text; models put it in code fences or between words."""
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else text


def _place(problem: ValidationError) -> str:
    return _joined(problem.errors()[0]["loc"])


def _joined(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path)) or "the top"


def _listed(problem: ValueError) -> str:
    """Say what is wrong with an object, for the model to mend it."""
    cause = problem.__cause__
    if not isinstance(cause, ValidationError):
        return str(problem)
    found = [f"- {_joined(each['loc'])}: {each['msg']}" for each in cause.errors()[:_MOST_PROBLEMS]]
    return "\n".join([f"This is not a {cause.title}:", *found])

"""Structured output: an answer in the shape of a pydantic model, asked for by JSON schema, by a tool, or in words.

The way is chosen once (`plan`), and is the same for whole and streamed answers, sync and async. LlamaIndex's own programs
lose the system prompt when they are asynchronous and do not insist on the tool when they stream.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import LLMStructuredPredictEndEvent, LLMStructuredPredictStartEvent
from llama_index.core.llms.llm import LLM
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

if TYPE_CHECKING:
    from llama_index_together_adapters.llm import TogetherLLM

dispatcher = get_dispatcher(__name__)
_SHORT = 2048
_STEP = 64


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


class Partials:
    """Makes objects of an answer that is still streaming. Linear: long texts are read again when they have grown enough."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._read = 0
        self._flexible: Any = None
        self._last: ChatResponse | None = None

    def add(self, response: ChatResponse) -> Any:
        """Return the object so far, incomplete perhaps, or None where there is nothing new."""
        self._last = response
        text = self._plan.text(response)
        size = len(text)
        if size == self._read or (size >= _SHORT and (size - self._read) * _STEP < size):
            return None
        self._read = size
        begin = text.find("{")
        try:
            value = from_json(text[begin:], allow_partial="trailing-strings") if begin >= 0 else None
        except ValueError:
            return None
        return self._object(value) if isinstance(value, dict) and value else None

    def end(self) -> BaseModel:
        """Return the whole object.

        Raises:
            ValueError: The answer is not such an object.
        """
        return self._plan.read(self._last or ChatResponse(message=ChatMessage()))

    def _object(self, value: dict[str, Any]) -> Any:
        try:
            return self._plan.output_cls.model_validate(value)
        except ValidationError:
            if self._flexible is None:
                from llama_index.core.program.utils import create_flexible_model

                self._flexible = create_flexible_model(self._plan.output_cls)
            return self._flexible.model_validate(value)


class StructuredOutput(LLM):
    """The structured half of `TogetherLLM`."""

    def structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Answer a prompt with an object.

        Args:
            output_cls: The pydantic model that the answer must fit.
            prompt: The prompt's template.
            llm_kwargs: Request parameters for this call.
            **prompt_args: What fills the template.

        Raises:
            TogetherError: No answer came.
            ValueError: The answer is not such an object.
        """
        plan, messages = self._begin(output_cls, prompt, llm_kwargs, prompt_args)
        return _ended(plan.read(self.chat(messages, **plan.kwargs)))

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """Answer a prompt with an object, as `structured_predict` does."""
        plan, messages = self._begin(output_cls, prompt, llm_kwargs, prompt_args)
        return _ended(plan.read(await self.achat(messages, **plan.kwargs)))

    def _structured_stream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        plan, messages = self._ask(output_cls, prompt, llm_kwargs, prompt_args)
        return _objects(Partials(plan), self.stream_chat(messages, **plan.kwargs))

    async def _structured_astream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        plan, messages = self._ask(output_cls, prompt, llm_kwargs, prompt_args)
        return _aobjects(Partials(plan), await self.astream_chat(messages, **plan.kwargs))

    def _begin(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> tuple[Plan, list[ChatMessage]]:
        dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
        return self._ask(output_cls, prompt, kwargs, prompt_args)

    def _ask(self, output_cls: Any, prompt: Any, kwargs: Any, prompt_args: dict[str, Any]) -> tuple[Plan, list[ChatMessage]]:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        plan = plan_for(self, output_cls, dict(kwargs or {}))  # type: ignore[arg-type]
        return plan, plan.messages(messages)


def plan_for(llm: TogetherLLM, output_cls: type[BaseModel], kwargs: dict[str, Any]) -> Plan:
    """Return how a model is asked for an object: by schema where it can, else by tool, else in words."""
    mode = llm.pydantic_program_mode
    metadata = llm.metadata
    if mode is PydanticProgramMode.LLM or not metadata.is_chat_model:
        return PromptPlan(output_cls, kwargs)
    by_schema = llm.capabilities.json_schema if llm.should_use_structured_outputs is None else llm.should_use_structured_outputs
    if by_schema and mode is not PydanticProgramMode.FUNCTION:
        return SchemaPlan(output_cls, kwargs)
    if metadata.is_function_calling_model or mode is PydanticProgramMode.FUNCTION:
        return ToolPlan(output_cls, kwargs)
    return PromptPlan(output_cls, kwargs)


def _ended(found: BaseModel) -> BaseModel:
    dispatcher.event(LLMStructuredPredictEndEvent(output=found))
    return found


def _objects(partials: Partials, responses: Generator[ChatResponse, None, None]) -> Generator[Any, None, None]:
    try:
        for response in responses:
            if (found := partials.add(response)) is not None:
                yield found
    finally:
        responses.close()
    yield partials.end()


async def _aobjects(partials: Partials, responses: AsyncGenerator[ChatResponse, None]) -> AsyncGenerator[Any, None]:
    try:
        async for response in responses:
            if (found := partials.add(response)) is not None:
                yield found
    finally:
        await responses.aclose()
    yield partials.end()


def _json_part(text: str) -> str:
    """Return the JSON object in a text; models put it in code fences or between words."""
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else text


def _place(problem: ValidationError) -> str:
    return ".".join(map(str, problem.errors()[0]["loc"])) or "the top"
